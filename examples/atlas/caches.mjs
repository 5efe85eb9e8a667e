import { createCaches } from 'fragcache'

/**
 * Three caches under their aliases: `template_fragments` takes the fragments, `maps` those that say
 * `using="maps"`, `default` whole responses. Each engine has its own by a key prefix, since one fragment
 * comes out of each of them with links into its own pages.
 *
 * @param {string} engine
 * @param {import('./stores.mjs').Store} store - Where they keep their entries.
 */
export function cachesFor(engine, { open }) {
  const keyPrefix = engine
  return createCaches({
    // A page has the tags of all that is in it, and where entries are files each tag has one too.
    default: open('pages', { keyPrefix, options: { maxEntries: 5_000 } }),
    template_fragments: open('fragments', { keyPrefix, options: { maxEntries: 20_000 } }),
    maps: open('maps', { keyPrefix, options: { maxEntries: 2_000 } }),
  })
}
