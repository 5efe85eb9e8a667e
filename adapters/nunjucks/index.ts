import type { Environment, Template } from 'nunjucks'
import type { Caches } from '../../src/caches.js'
import { checkKnown } from '../../src/check-known.js'
import { beginVaryOn, endVaryOn, EngineCache } from '../../src/engine.js'
import { show } from '../../src/errors.js'
import type { HoleRenderer } from '../../src/fragment/hole-parts.js'
import type { HoleEngine } from '../../src/fragment/holes.js'
import type { AdapterOptions } from '../../src/fragment/options.js'
import type { FragmentCache } from '../../src/fragment/render.js'
import { missingPeer } from '../../src/missing-peer.js'
import { renderSuper } from './body.js'
import { guardContinuations } from './continuations.js'
import { Digests } from './digest.js'
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
import { ENGINE, Holes } from './holes.js'
import { otherTags, parseOtherTag } from './other-tags.js'
import { parseTag } from './parse.js'
import { EXTENSION } from './parse-settings.js'
import { REMEDY, TagRenderer } from './tag.js'
import { Templates } from './templates.js'

/** Options of {@link NunjucksCache.renderStringAsync}. */
export interface RenderStringOptions {
  /** The template's name in messages, and the base of relative names. */
  readonly path?: string | undefined
}

export type { AdapterOptions } from '../../src/fragment/options.js'

/** What {@link registerCache} returns. */
export interface NunjucksCache extends HoleEngine {
  readonly name: 'nunjucks'

  /**
   * Fills the nocache blocks of stored fragments and pages that have no cache tag around them: for the option
   * `holes` of `responseCache`, and of `FragmentCache`'s `render`.
   *
   * @param context - The variables that the blocks see.
   */
  holes(context: unknown): HoleRenderer

  /**
   * Renders a template over any cache.
   *
   * @param template - The name of a template, or a `Template` of the environment.
   * @param context - The template's context.
   * @returns The text.
   * @throws CacheTagError: a cache tag has a syntax error or a value that it cannot use.
   * @throws What the template throws, as the engine reports it.
   * @remarks Over an asynchronous cache the body of a fragment runs after the rest of its template. All
   *   fragments of a level are read in one round trip per cache and written in another.
   */
  renderAsync(template: string | Template, context?: object): Promise<string>

  /** Works like {@link renderAsync}, for a template's source. */
  renderStringAsync(
    source: string,
    context?: object,
    options?: RenderStringOptions,
  ): Promise<string>
}

interface Registered {
  readonly caches: Caches
  readonly options: AdapterOptions
  readonly result: NunjucksCache
}

const registered = new WeakMap<Engine, Registered>()

const TAGS = ['cache', 'endcache', 'nocache', 'endnocache']

/**
 * Registers the tags `cache` and `nocache`:
 *
 *     {% cache 500 sidebar request.user.username|lower using="local" %} ... {% endcache %}
 *
 * The content between `nocache` and `endnocache` inside it is rendered again on every hit.
 *
 * @param env - The environment. It is changed: its templates are rendered over any cache whenever there is a
 *   callback, as in Express. Other environments do not change.
 * @param caches - Caches, or a `FragmentCache` made from them.
 * @param options - Default: those of the `FragmentCache`, if you pass one.
 * @returns `renderAsync`, `renderStringAsync` and `holes`. Over a cache that answers at once (local memory)
 *   you can render templates as usual. With the same caches and options, the same functions are returned.
 * @throws FragcacheError `FRAGCACHE_MISSING_PEER`: `env` is missing because the engine is not installed.
 * @throws TypeError: `env` is not an environment, has another tag `cache` or `nocache`, or was registered
 *   with other caches or options; `caches` is neither of these; or an option is unknown or neither true nor
 *   false.
 */
export function registerCache(
  env: Environment,
  caches: Caches | FragmentCache,
  options: AdapterOptions = {},
): NunjucksCache {
  const engine = checkEnvironment(env)
  const cache = new EngineCache(caches, { remedy: REMEDY, options })
  const before = registered.get(engine)
  if (before !== undefined) {
    if (before.caches === cache.fragments.caches && areSame(before.options, options))
      return before.result
    throw new TypeError(
      'env: registerCache was called on it before, with other caches or options; make one environment for each',
    )
  }
  checkTagIsFree(engine)
  const digest = cache.wantsDigest
  const templates = new Templates(engine, cache)
  const { names } = templates
  const holes = new Holes(engine, names)
  const renderer = new TagRenderer({
    cache,
    names,
    holes,
    digests: digest ? new Digests(engine, names) : undefined,
    isDev: () => engine.opts.dev,
  })
  watchFilters(engine, holes)
  const extension = {
    get tags() {
      return [...TAGS, ...otherTags(engine)]
    },
    parse(parser: Parser, nodes: Nodes, lexer: Lexer) {
      if (!TAGS.includes(parser.peekToken()?.value ?? '')) {
        return parseOtherTag(engine, parser, nodes, lexer)
      }
      return remembering(() =>
        parseTag(parser, nodes, lexer, {
          asyncFilters: engine.asyncFilters,
          template: templates.compiling,
          digest,
        }),
      )
    },
    beginVaryOn,
    endVaryOn,
    run: renderer.run.bind(renderer),
    hole: holes.run.bind(holes),
    parentBlock: renderSuper,
  }
  engine.addExtension(EXTENSION, extension)
  // Of the extensions with a tag the first one parses it.
  engine.extensionsList.unshift(...engine.extensionsList.splice(-1))
  guardContinuations(engine)
  const result = makeResult(engine, holes)
  registered.set(engine, { caches: cache.fragments.caches, options, result })
  return result
}

function areSame(one: AdapterOptions, other: AdapterOptions): boolean {
  return (
    (['strict', 'bubbleTimeout', 'digest'] as const).every((name) => one[name] === other[name]) &&
    JSON.stringify(one.personal) === JSON.stringify(other.personal)
  )
}

function makeResult(engine: Engine, holes: Holes): NunjucksCache {
  const promise = (start: (callback: RenderCallback) => void) =>
    new Promise<string>((resolve, reject) => {
      start((error, text) => {
        if (error === null || error === undefined) resolve(text ?? '')
        else reject(error)
      })
    })
  return Object.freeze<NunjucksCache>({
    name: ENGINE,
    holes: (context) => holes.in(context),
    renderAsync: (template, context) =>
      promise((callback) => engine.render(template, context, callback)),
    renderStringAsync: (source, context, options) =>
      promise((callback) => {
        if (options !== undefined) checkKnown('renderStringAsync', options, ['path'])
        engine.renderString(source, context, options, callback)
      }),
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
      `env: ${show(env)} is not a Nunjucks environment; give the result of nunjucks.configure or new nunjucks.Environment`,
    )
  }
  return engineOf(env as Environment)
}

function checkTagIsFree(engine: Engine): void {
  const taken = TAGS.find((tag) => engine.extensionsList.some(({ tags }) => tags?.includes(tag)))
  if (taken !== undefined || engine.hasExtension(EXTENSION)) {
    throw new TypeError(
      `env: it has an extension with the tag ${show(taken ?? 'cache')} already; remove that with env.removeExtension`,
    )
  }
}
