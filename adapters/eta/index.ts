import type { Caches } from '../../src/caches.js'
import { toFragmentCache, type FragmentCache } from '../../src/fragment/render.js'
import { addRuntime } from './prelude.js'
import { rewriteTags } from './rewrite.js'
import { Runtime } from './runtime.js'
import type { EtaPlugin } from './types.js'

export type { EtaPlugin }

/**
 * Makes the plugin that gives Eta templates the cache tag:
 *
 *     <% cache 500 sidebar it.user.username using="local" %> … <% endcache %>
 *
 * The body stays in place: a hit adds the text, a miss runs the body and stores what it added.
 *
 * @param caches - What `createCaches` returned, or fragments made from it.
 * @returns An entry for Eta's option `plugins`. Engines may share it.
 * @throws TypeError: it is given neither.
 * @remarks `render` works with caches that answer at once (local memory, dummy), `renderAsync` with
 *   every cache. Faults of a tag are `CacheTagError`s, when the template is compiled where possible.
 * @see Django, "Template fragment caching"
 */
export function cachePlugin(caches: Caches | FragmentCache): EtaPlugin {
  const runtime = new Runtime(toFragmentCache(caches))
  let source: string | undefined
  const plugin: EtaPlugin & Pick<Runtime, 'fragcache'> = {
    processTemplate(template) {
      // Kept until the same template is parsed, which Eta does next.
      source = template
      return template
    },
    processAST(ast, config) {
      const parsed = source
      source = undefined
      return config === undefined ? ast : rewriteTags(ast, parsed, config)
    },
    processFnString(code, config) {
      return config === undefined ? code : addRuntime(code, config)
    },
    fragcache: (...run) => runtime.fragcache(...run),
  }
  return plugin
}
