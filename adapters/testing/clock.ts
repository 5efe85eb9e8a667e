import { coreOf, type CacheCore } from '../../src/backend/core.js'
import { currentMs, testTime } from '../../src/current-time.js'
import { show } from '../../src/errors.js'
import { chain } from '../../src/maybe-promise.js'
import type { Deadline } from '../../src/timeout.js'
import { eachCache, type TestedCaches } from './caches.js'

/** Moves the time of all caches of this process. {@link useTestClock} returns it. */
export interface TestClock {
  /** The current time of the caches, in milliseconds since the epoch. */
  readonly nowMs: number
  /**
   * Lets time pass, for the caches alone. Entries that have expired by then are gone, and entries that are
   * served have aged.
   *
   * @param seconds - Zero: the stores adopt the time that fake timers have set in `Date.now`.
   * @throws TypeError: `seconds` is not a finite number of at least 0.
   * @throws CacheBackendError: a store failed.
   */
  readonly advance: (seconds: number) => Promise<void>
  /**
   * Restores the time, and removes what was stored while it was moved, since that would live too long.
   *
   * @throws CacheBackendError: a store failed. The time is restored all the same.
   */
  readonly restore: () => Promise<void>
}

/** Entries that are moved in one call. */
const BATCH = 500

let isInUse = false

/**
 * Takes control of the time of the caches in this process. Time goes on as before until you move it.
 *
 * `Date.now`, timers and dates of the site do not change. You can use fake timers as well; both add up.
 *
 * @param caches - The caches whose entries should expire. If the store itself expires entries, as Redis and
 *   Memcached do, the clock moves the deadline of each entry that was stored through these caches since this
 *   call.
 * @throws Error: another test clock was not restored.
 * @throws TypeError: `caches` is neither a `Caches` nor a cache.
 */
export function useTestClock(caches: TestedCaches): TestClock {
  const watched = eachCache('useTestClock', caches).map((cache) => new WatchedCache(coreOf(cache)))
  const end = () => {
    // Who was put around another is taken away before it.
    for (const one of watched.toReversed()) one.end()
  }
  if (isInUse) {
    end()
    throw new Error(
      'useTestClock: an earlier clock was not restored; call its restore after each test, as by `afterEach(() => clock.restore())`',
    )
  }
  isInUse = true
  let isOver = false
  let hasMoved = false
  return {
    get nowMs() {
      return currentMs()
    },
    async advance(seconds) {
      if (typeof seconds !== 'number' || !Number.isFinite(seconds) || seconds < 0) {
        throw new TypeError(
          `advance: ${show(seconds)} is not a duration; give a number of seconds of at least 0, or restore the clock to go back`,
        )
      }
      if (isOver) throw new Error('advance: this clock was restored; take another by useTestClock')
      hasMoved = true
      testTime.aheadMs += Math.round(seconds * 1000)
      for (const one of watched) await one.settle()
    },
    async restore() {
      if (isOver) return
      isOver = true
      isInUse = false
      testTime.aheadMs = 0
      end()
      if (hasMoved) for (const one of watched) await one.remove()
    },
  }
}

/** A cache, and when what is stored in it ends. */
class WatchedCache {
  readonly #core: CacheCore
  readonly #ends = new Map<string, Deadline>()
  readonly #unwatch: (() => void)[] = []

  constructor(core: CacheCore) {
    this.#core = core
    this.#watch(core)
  }

  /** Notes what is written, there and in the caches that it stands on. */
  #watch(core: CacheCore): void {
    for (const inner of core.standsOn) this.#watch(inner)
    const { store } = core
    const writeEntry = store.writeEntry.bind(store)
    const writeEntries = store.writeEntries.bind(store)
    const touchEntry = store.touchEntry.bind(store)
    store.writeEntry = (entry) =>
      chain(writeEntry(entry), (outcome) => {
        if (outcome === 'stored') this.#ends.set(entry.key, entry.expiresAtMs)
        return outcome
      })
    store.writeEntries = (entries) =>
      chain(writeEntries(entries), (outcomes) => {
        entries.forEach(({ key, expiresAtMs }, i) => {
          if (outcomes[i] === 'stored') this.#ends.set(key, expiresAtMs)
        })
        return outcomes
      })
    store.touchEntry = (key, expiresAtMs) =>
      chain(touchEntry(key, expiresAtMs), (isThere) => {
        if (isThere) this.#ends.set(key, expiresAtMs)
        return isThere
      })
    this.#unwatch.push(() => Object.assign(store, { writeEntry, writeEntries, touchEntry }))
  }

  end(): void {
    for (const unwatch of this.#unwatch.toReversed()) unwatch()
  }

  /** Ends what is over by now, and moves the ends of the rest where the store has a time of its own. */
  async settle(): Promise<void> {
    const { guard, store } = this.#core
    for (const keys of this.#batches()) {
      const there = await guard.run('clock', () => store.readDeadlines(keys))
      const over: string[] = []
      const moved: [string, number][] = []
      for (const [i, key] of keys.entries()) {
        const endMs = this.#ends.get(key)
        if (there[i] === undefined) this.#ends.delete(key)
        else if (typeof endMs !== 'number') continue
        else if (endMs <= currentMs()) over.push(key)
        else if (there[i] !== endMs) moved.push([key, endMs])
      }
      const touch = () =>
        Promise.all(moved.map(async ([key, endMs]) => store.touchEntry(key, endMs)))
      if (moved.length > 0) await guard.run('clock', touch)
      await this.#removeKeys(over)
    }
  }

  async remove(): Promise<void> {
    for (const keys of this.#batches()) await this.#removeKeys(keys)
  }

  async #removeKeys(keys: readonly string[]): Promise<void> {
    if (keys.length === 0) return
    await this.#core.guard.run('clock', () => this.#core.store.removeEntries(keys))
    for (const key of keys) this.#ends.delete(key)
  }

  #batches(): string[][] {
    const keys = [...this.#ends.keys()]
    const count = Math.ceil(keys.length / BATCH)
    return Array.from({ length: count }, (_, i) => keys.slice(i * BATCH, (i + 1) * BATCH))
  }
}
