import type { Caches } from '../../src/caches.js'
import { EngineCache } from '../../src/engine.js'
import type { HoleEngine } from '../../src/fragment/holes.js'
import type { AdapterOptions } from '../../src/fragment/options.js'
import { watchInPage } from '../../src/fragment/personal.js'
import type { FragmentCache } from '../../src/fragment/render.js'
import { ENGINE, holesOfEngines } from './holes.js'
import { addRuntime } from './prelude.js'
import { rewriteTags } from './rewrite.js'
import { REMEDY, TemplateRun } from './run.js'
import { Runtime } from './runtime.js'
import type { Engine, RunOptions } from './templates.js'
import type { EtaPlugin } from './types.js'
import type { EtaBuffer } from './writing.js'

export type { AdapterOptions, EtaPlugin, HoleEngine }

/** The plugin that {@link cachePlugin} returns. */
export interface CachePlugin extends EtaPlugin, HoleEngine {
  readonly name: 'eta'
  /**
   * Connects the plugin to an engine before that engine has rendered anything. Without this call, pages that
   * another process stored are rendered again until the engine has rendered a template with cache tags in
   * this process.
   *
   * @param eta - The instance that `new Eta` created.
   */
  attach(eta: object): void
}

/** What the code of a template calls. */
interface TemplatePlugin extends Pick<Runtime, 'given' | 'included' | 'pageOf'> {
  /** What a template is to see of the data that it is given. */
  seen<T>(data: T): T
  /**
   * A template is run.
   *
   * @param reach - Gives the compiled template; throws in strict code.
   * @param data - What it is given.
   */
  fragcache(
    engine: Engine,
    buffer: EtaBuffer,
    options: RunOptions,
    asynchronous: boolean,
    reach: () => unknown,
    data: unknown,
  ): TemplateRun
}

/**
 * Creates the plugin that adds the cache tag to Eta templates, and blocks inside it that are never cached:
 *
 *     <% cache 500 sidebar it.section using="local" %>
 *       … <% nocache %><%= it.user.name %><% endnocache %> …
 *     <% endcache %>
 *
 * The body stays in place: a hit adds the text, a miss runs the body and stores what it added.
 *
 * @param caches - What `createCaches` returned, or a `FragmentCache` made from it.
 * @returns An entry for Eta's option `plugins`. Several engines may share it.
 * @throws TypeError: `caches` is neither of these, or an option is invalid.
 * @remarks `render` works with caches that answer at once (local memory, dummy), `renderAsync` with every
 *   cache. Faults of a tag are `CacheTagError`s. They are thrown when the template is compiled, where
 *   possible.
 * @see Django, "Template fragment caching"
 */
export function cachePlugin(
  caches: Caches | FragmentCache,
  options: AdapterOptions = {},
): CachePlugin {
  const cache = new EngineCache(caches, { remedy: REMEDY, options })
  const runtime = new Runtime(cache)
  // Only to warn, templates without a tag are left as they are.
  const isTold = options.personal !== undefined && cache.isWatching
  let source: string | undefined
  const plugin: CachePlugin & TemplatePlugin = {
    name: ENGINE,
    processTemplate(template) {
      // Kept until the same template is parsed, which Eta does next.
      source = template
      return template
    },
    processAST(ast, config) {
      const parsed = source
      source = undefined
      return config === undefined ? ast : rewriteTags(ast, parsed, config, cache.wantsDigest)
    },
    processFnString(code, config) {
      return config === undefined ? code : addRuntime(code, config, isTold)
    },
    fragcache(engine, buffer, options, asynchronous, reach, data) {
      runtime.attach(engine)
      return new TemplateRun(runtime, engine, buffer, options, asynchronous, reach, data)
    },
    seen: (data) => watchInPage(data, cache),
    given: (data, own) => runtime.given(data, own),
    included: (data, options) => runtime.included(data, options),
    pageOf: (data, options, isCopied) => runtime.pageOf(data, options, isCopied),
    holes(context) {
      const data = typeof context === 'object' && context !== null ? context : {}
      return holesOfEngines(() => runtime.engines, data)
    },
    attach: (eta) => runtime.attach(eta as Engine),
  }
  return plugin
}
