import type { Cache } from '../../src/cache.js'
import { eachOf, type Caches } from '../../src/caches.js'
import type { CachesStats, ProcessFigures } from './api.js'

/** Sums over all caches of the sets, each once whatever the number of its aliases and of its sets. */
export function totalsOf(
  sets: Iterable<readonly [caches: Caches, stats: Pick<CachesStats, 'aliases'>]>,
): Pick<ProcessFigures, 'hits' | 'misses' | 'errors' | 'timeSavedMs'> {
  const totals = { hits: 0, misses: 0, errors: 0, timeSavedMs: 0 }
  const counted = new Set<Cache>()
  for (const [caches, { aliases }] of sets) {
    for (const cache of eachOf(caches)) {
      const row = aliases[firstAliasOf(caches, cache)]
      if (row === undefined || counted.has(cache)) continue
      counted.add(cache)
      totals.hits += row.hits
      totals.misses += row.misses
      totals.errors += row.errors
      totals.timeSavedMs += row.timeSavedMs
    }
  }
  return totals
}

/** A cache under several aliases counts under the first. */
export function firstAliasOf(caches: Caches, cache: Cache): string {
  return caches.aliases.find((alias) => caches.get(alias) === cache) ?? ''
}
