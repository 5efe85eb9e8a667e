import { coreOf, hasCore } from '../../src/backend/core.js'
import type { Cache } from '../../src/cache.js'
import { eachOf, isCaches, type Caches } from '../../src/caches.js'
import { show } from '../../src/errors.js'

/**
 * Each cache once, whatever the number of its aliases.
 *
 * @param caller - For messages.
 * @throws TypeError: it is neither a `Caches` nor a cache.
 */
export function eachCache(caller: string, caches: unknown): readonly Cache[] {
  if (isCaches(caches)) return eachOf(caches)
  if (hasCore(caches)) return [caches as Cache]
  throw new TypeError(
    `${caller}: ${show(caches)} is not a set of caches; give the result of createCaches, or one cache`,
  )
}

/** What the test helpers accept: all caches, or one of them. */
export type TestedCaches = Caches | Cache

/** How a cache is called in messages. */
export function nameOfCache(cache: Cache): string {
  const { alias, backendName } = coreOf(cache)
  return alias === '' ? backendName : `${JSON.stringify(alias)} (${backendName})`
}
