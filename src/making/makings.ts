import type { CacheCore } from '../backend/core.js'
import { Flights } from './flights.js'
import type { Landed } from './landed.js'
import { Refreshes } from './refreshes.js'

/**
 * What is being made over one store, in the foreground and in the background, by key.
 *
 * @typeParam Brought - What those who wait get.
 */
export class Makings<Brought> {
  readonly flights = new Flights<Brought>()
  readonly refreshes = new Refreshes()

  /** What is being made is not stored: of one key, or of all. */
  forget(storedKey?: string): void {
    this.flights.forget(storedKey)
    this.refreshes.forget(storedKey)
  }
}

/** The makings of one kind of entry over each cache, shared by all who use that cache. */
export class MakingsByCache<Value> {
  readonly #known = new WeakMap<CacheCore, Makings<Landed<Value>>>()

  over(cache: CacheCore): Makings<Landed<Value>> {
    const known = this.#known.get(cache)
    if (known !== undefined) return known
    const makings = new Makings<Landed<Value>>()
    this.#known.set(cache, makings)
    cache.removalListeners.push((storedKey) => makings.forget(storedKey))
    return makings
  }
}
