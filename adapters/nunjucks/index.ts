import type { Environment, Template } from 'nunjucks'
import type { Caches } from '../../src/caches.js'
import { show } from '../../src/errors.js'
import { toFragmentCache, type FragmentCache } from '../../src/fragment/render.js'
import { missingPeer } from '../../src/missing-peer.js'
import { renderSuper } from './body.js'
import { remembering } from './engine-errors.js'
import {
  engineOf,
  type Engine,
  type Lexer,
  type Nodes,
  type Parser,
  type RenderCallback,
} from './engine.js'
import { watchFilters } from './filters.js'
import { EXTENSION, parseTag } from './parse.js'
import { TagRenderer } from './tag.js'
import { Templates } from './templates.js'

/** Options of {@link NunjucksCache.renderStringAsync}. */
export interface RenderStringOptions {
  /** The template's name in messages, and what relative names start from. */
  readonly path?: string | undefined
}

/** What {@link registerCache} gives. */
export interface NunjucksCache {
  /**
   * Renders a template over any cache.
   *
   * @param template - Its name, or a `Template` of the environment.
   * @param context - What the template sees.
   * @returns The text.
   * @throws CacheTagError: a cache tag is written wrongly or was given a value it cannot use.
   * @throws What the template throws, in the engine's words.
   * @remarks Over an asynchronous cache the body of a fragment runs after the rest of its template.
   *   All fragments of a level are read in one round trip per cache and written in another.
   */
  renderAsync(template: string | Template, context?: object): Promise<string>

  /** As {@link renderAsync}, for a template's source. */
  renderStringAsync(
    source: string,
    context?: object,
    options?: RenderStringOptions,
  ): Promise<string>
}

interface Registered {
  readonly caches: Caches
  readonly result: NunjucksCache
}

const registered = new WeakMap<Engine, Registered>()

/**
 * Registers the tag `cache`:
 *
 *     {% cache 500 sidebar request.user.username|lower using="local" %} ... {% endcache %}
 *
 * @param env - The environment, which is changed: its templates are rendered over any cache wherever
 *   a callback is given, as Express does. Others are left alone.
 * @param caches - Caches, or a `FragmentCache` made from them.
 * @returns `renderAsync` and `renderStringAsync`. Over a cache that answers at once (local memory)
 *   templates may be rendered as ever.
 * @throws FragcacheError `FRAGCACHE_MISSING_PEER`: there is no `env`, as without the engine.
 * @throws TypeError: `env` is no environment, has another tag `cache`, or was registered with other
 *   caches; or `caches` are none. With the same caches, the same functions are returned.
 */
export function registerCache(env: Environment, caches: Caches | FragmentCache): NunjucksCache {
  const engine = checkEnvironment(env)
  const fragments = toFragmentCache(caches)
  const before = registered.get(engine)
  if (before !== undefined) {
    if (before.caches === fragments.caches) return before.result
    throw new TypeError(
      'env: registerCache was called on it before, with other caches; make one environment for each',
    )
  }
  checkTagIsFree(engine)
  const templates = new Templates(engine)
  const renderer = new TagRenderer(fragments, templates.names, () => engine.opts.dev)
  watchFilters(engine)
  const extension = {
    tags: ['cache', 'endcache'],
    parse: (parser: Parser, nodes: Nodes, lexer: Lexer) =>
      remembering(() =>
        parseTag(parser, nodes, lexer, {
          asyncFilters: engine.asyncFilters,
          template: templates.compiling,
        }),
      ),
    run: renderer.run.bind(renderer),
    parentBlock: renderSuper,
  }
  engine.addExtension(EXTENSION, extension)
  const result = makeResult(engine)
  registered.set(engine, { caches: fragments.caches, result })
  return result
}

function makeResult(engine: Engine): NunjucksCache {
  const promise = (start: (callback: RenderCallback) => void) =>
    new Promise<string>((resolve, reject) => {
      start((error, text) => {
        if (error === null || error === undefined) resolve(text ?? '')
        else reject(error)
      })
    })
  return Object.freeze<NunjucksCache>({
    renderAsync: (template, context) =>
      promise((callback) => engine.render(template, context, callback)),
    renderStringAsync: (source, context, options) =>
      promise((callback) => engine.renderString(source, context, options, callback)),
  })
}

function checkEnvironment(env: unknown): Engine {
  if (env === undefined || env === null) throw missingPeer('fragcache/nunjucks', 'nunjucks')
  const { addExtension, getTemplate, extensionsList } = env as Partial<Engine>
  if (
    typeof addExtension !== 'function' ||
    typeof getTemplate !== 'function' ||
    !Array.isArray(extensionsList)
  ) {
    throw new TypeError(
      `env: ${show(env)} is no Nunjucks environment; give what nunjucks.configure or new nunjucks.Environment gives`,
    )
  }
  return engineOf(env as Environment)
}

function checkTagIsFree(engine: Engine): void {
  const isTaken = engine.extensionsList.some(({ tags }) => tags?.includes('cache'))
  if (isTaken || engine.hasExtension(EXTENSION)) {
    throw new TypeError(
      'env: it has an extension with the tag "cache" already; remove that with env.removeExtension',
    )
  }
}
