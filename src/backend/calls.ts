import { CacheBackendError } from '../errors.js'
import { isPromise, type MaybePromise } from '../maybe-promise.js'
import {
  isToldOfOperations,
  operationChannel,
  operationSumChannel,
  type OperationMessage,
  type Sum,
} from '../observe.js'
import { HITS_OF_SUM } from '../stats/at-once.js'
import type { ResolvedSettings } from '../settings.js'
import type { Counting, Counts } from '../stats/counts.js'
import type { Hit, Lookup } from './entries.js'
import type { Guard } from './guard.js'
import type { WriteOutcome } from './store.js'

/** What the calls to a cache are told of as, and what guards them. */
export interface Called {
  readonly alias: string
  readonly backendName: string
  readonly answersAtOnce: boolean
  readonly settings: ResolvedSettings
  readonly counts: Counts
  readonly guard: Guard
}

/** In place of the moment when something began. */
export const UNTIMED = -1

/** Runs the calls to one cache: guarded, counted, and told of to who listens. */
export class Calls {
  readonly #of: Called

  constructor(of: Called) {
    this.#of = of
  }

  /**
   * Runs a call of the public interface.
   *
   * @param fallback - What `ignoreErrors` answers for a store that fails.
   */
  run<T>(
    operation: string,
    keys: readonly string[],
    action: () => MaybePromise<T>,
    fallback: T,
    counting?: Counting<T>,
  ): MaybePromise<T> {
    return this.#of.settings.ignoreErrors
      ? this.#runOr(fallback, operation, keys, action, counting)
      : this.observed(operation, keys, action, counting)
  }

  async #runOr<T>(
    fallback: T,
    operation: string,
    keys: readonly string[],
    action: () => MaybePromise<T>,
    counting?: Counting<T>,
  ): Promise<T> {
    try {
      return await this.observed(operation, keys, action, counting)
    } catch (error) {
      if (isStoreFailure(error)) return fallback
      throw error
    }
  }

  /** Runs a call whose failure is the caller's. */
  observed<T>(
    operation: string,
    keys: readonly string[],
    action: () => MaybePromise<T>,
    counting?: Counting<T>,
  ): MaybePromise<T> {
    const { counts, answersAtOnce, guard } = this.#of
    const isTold = isToldOfOperations()
    const isRead = counting?.hits !== undefined && keys.length > 0
    const isTimed = isRead && (!answersAtOnce || counts.isTimed())
    const startedMs = isTold || isTimed ? performance.now() : 0
    const succeeded = (result: T) => {
      const durationMs = isTold || isTimed ? performance.now() - startedMs : 0
      if (isTimed) counts.reads.add(durationMs)
      const hits = counting === undefined ? 0 : this.#count(keys, result, counting)
      const misses = counting?.hits === undefined ? 0 : keys.length - hits
      if (isTold) this.#publish(operation, keys, { hits, misses, durationMs })
      return result
    }
    const failed = (error: unknown) => {
      const durationMs = performance.now() - startedMs
      if (isTold) this.#publish(operation, keys, { hits: 0, misses: 0, durationMs, error })
      throw error
    }
    let result: MaybePromise<T>
    try {
      result = guard.run(operation, action)
    } catch (error) {
      return failed(error)
    }
    return isPromise(result) ? result.then(succeeded, failed) : succeeded(result)
  }

  /** @returns The number of hits. */
  #count<T>(keys: readonly string[], result: T, { sets, deletes, hits }: Counting<T>): number {
    const { counts } = this.#of
    if (sets !== undefined) counts.sets += sets(result)
    if (deletes !== undefined) counts.deletes += deletes(result)
    if (hits === undefined) return 0
    const found = hits(result)
    counts.hits += found
    counts.atOnce.told(found)
    counts.misses += keys.length - found
    return found
  }

  /**
   * Begins a look-up that may be answered at once, and is not guarded: see {@link lookedUp}.
   *
   * @returns Milliseconds; {@link UNTIMED}: nobody asks how long it takes.
   */
  startLookup(): number {
    const isTimed = this.#of.counts.isTimed() || operationChannel.hasSubscribers
    return isTimed ? performance.now() : UNTIMED
  }

  /**
   * Counts a look-up that was answered at once, and tells of it: of hits that nobody is told of one by one,
   * who adds up is told once they are many.
   *
   * @returns The milliseconds that it took; 0: nobody asked.
   */
  lookedUp(
    operation: 'get' | 'getOrSet',
    key: string,
    isFound: boolean,
    startedMs: number,
  ): number {
    const { counts } = this.#of
    if (isFound) counts.hits++
    else counts.misses++
    if (startedMs === UNTIMED) {
      if (operation === 'getOrSet') counts.valuesAtOnce++
      if (!isFound) this.#tellOfMiss(key)
      return 0
    }
    const isTold = operationChannel.hasSubscribers
    if (operation === 'getOrSet' && !isTold) counts.valuesAtOnce++
    const durationMs = performance.now() - startedMs
    counts.reads.add(durationMs)
    counts.atOnce.timed(key, durationMs)
    if (isTold) this.tellOfLookup(key, isFound, durationMs, { operation })
    else if (isFound) this.tellHits(HITS_OF_SUM)
    else this.#tellOfMiss(key)
    return durationMs
  }

  /**
   * Tells who adds up of the hits that were answered at once, by the last of them that was timed.
   *
   * @param atLeast - Of fewer it is told later.
   */
  tellHits(atLeast = 1): void {
    const { counts } = this.#of
    const count = counts.atOnce.takeUntold(counts.hits, atLeast)
    if (count === 0) return
    const values = counts.takeValues()
    if (!operationSumChannel.hasSubscribers) return
    if (values > 0) this.#tellSum('getOrSet', values)
    if (count > values) this.#tellSum('get', count - values)
  }

  #tellSum(operation: string, count: number): void {
    const { alias, backendName: backend } = this.#of
    const { lastKey, lastMs: durationMs } = this.#of.counts.atOnce
    const keys = lastKey === undefined ? [] : [lastKey]
    const message = { alias, backend, operation, keys, hits: count, misses: 0, durationMs }
    operationSumChannel.publish({ message, count } satisfies Sum<OperationMessage>)
  }

  /** Tells who adds up of a look-up that was answered at once, and found nothing. */
  #tellOfMiss(key: string): void {
    if (!operationSumChannel.hasSubscribers) return
    this.tellOfLookup(key, false, this.#of.counts.atOnce.lastMs)
  }

  /** What a look-up failed with that was not guarded; tells of it. */
  failedAtOnce(operation: string, key: string, error: unknown): Error {
    const failure = this.#of.guard.toFailure(operation, error)
    if (isToldOfOperations()) {
      this.tellOfLookup(key, false, 0, { operation, error: failure })
    }
    return failure
  }

  /** Tells of a look-up that was not made by {@link observed}, to who listens. */
  tellOfLookup(
    key: string,
    isFound: boolean,
    durationMs: number,
    {
      operation = 'get',
      ...failure
    }: { readonly operation?: string; readonly error?: unknown } = {},
  ): void {
    const hits = isFound ? 1 : 0
    const misses = isFound || failure.error !== undefined ? 0 : 1
    this.#of.counts.atOnce.told(hits)
    this.#publish(operation, [key], { hits, misses, durationMs, ...failure })
  }

  #publish(
    operation: string,
    keys: readonly string[],
    outcome: Pick<OperationMessage, 'hits' | 'misses' | 'durationMs' | 'error'>,
  ): void {
    const { alias, backendName: backend } = this.#of
    const { hits, misses, durationMs, error } = outcome
    const about = { alias, backend, operation, keys, hits, misses, durationMs }
    const message: OperationMessage = error === undefined ? about : { ...about, error }
    if (operationChannel.hasSubscribers) operationChannel.publish(message)
    if (operationSumChannel.hasSubscribers) {
      operationSumChannel.publish({ message, count: 1 } satisfies Sum<OperationMessage>)
    }
  }
}

export const IF_FOUND: Counting<Hit | undefined> = { hits: (hit) => (hit === undefined ? 0 : 1) }
export const ALL_OF_LOOKUP: Counting<Lookup | undefined> = {
  hits: (found) => found?.hits.filter((hit) => hit !== undefined).length ?? 0,
}
export const ONE_SET: Counting<unknown> = { sets: () => 1 }
export const IF_ADDED: Counting<boolean> = { sets: (added) => (added ? 1 : 0) }
export const IF_STORED: Counting<readonly WriteOutcome[]> = {
  sets: (outcomes) => outcomes.filter((outcome) => outcome === 'stored').length,
}
export const IF_REMOVED: Counting<readonly boolean[]> = {
  deletes: (removed) => removed.filter((isRemoved) => isRemoved).length,
}
export const IF_DELETED: Counting<boolean> = { deletes: (deleted) => (deleted ? 1 : 0) }

/** Whether an error says that the store failed, rather than that the call was wrong. */
export function isStoreFailure(error: unknown): boolean {
  return error instanceof CacheBackendError && error.code === 'FRAGCACHE_BACKEND_FAILED'
}
