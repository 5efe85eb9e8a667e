import type { CacheCore } from '../backend/core.js'
import { Flights } from './flights.js'
import type { Landed } from './landed.js'
import { Refreshes } from './refreshes.js'

/**
 * What is being made over one store, for those who wait and in the background, by key.
 *
 * @typeParam Brought - What those who wait are brought.
 */
export class Makings<Brought> {
  readonly flights = new Flights<Brought>()
  readonly refreshes = new Refreshes()

  /** What is on its way is not to be kept: of one key, or of all. */
  forget(storedKey?: string): void {
    this.flights.forget(storedKey)
    this.refreshes.forget(storedKey)
  }
}

/** The makings of one kind over each cache, shared by everyone who uses it. */
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
