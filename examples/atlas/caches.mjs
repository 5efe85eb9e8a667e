import { createCaches, DummyCache, LocMemCache } from 'fragcache'
import { FileBasedCache } from 'fragcache/file'
import { join } from 'node:path'

/**
 * Three caches under their aliases: `template_fragments` takes the fragments, `maps` those that say
 * `using="maps"`, `default` whole responses. Each engine has its own by a key prefix, since one fragment
 * comes out of each of them with links into its own pages.
 *
 * @param {string} engine
 * @param {string} [where] - `memory`, of this process; `file:DIRECTORY`; or `none`, to see what pages
 *   cost when nothing is kept.
 */
export function cachesFor(engine, where = 'memory') {
  const cache = backend(where)
  const keyPrefix = engine
  return createCaches({
    default: cache('pages', { keyPrefix, options: { maxEntries: 200 } }),
    template_fragments: cache('fragments', { keyPrefix, options: { maxEntries: 20_000 } }),
    maps: cache('maps', { keyPrefix, options: { maxEntries: 2_000 } }),
  })
}

function backend(where) {
  if (where === 'memory') {
    return (name, settings) => new LocMemCache({ ...settings, location: `atlas-${name}` })
  }
  if (where === 'none') return (name, { keyPrefix }) => new DummyCache({ keyPrefix })
  const [, directory] = /^file:(.+)$/.exec(where) ?? []
  if (directory === undefined) {
    throw new Error(`--cache is ${JSON.stringify(where)}; say "memory", "file:DIRECTORY" or "none"`)
  }
  return (name, settings) => new FileBasedCache({ ...settings, location: join(directory, name) })
}
