import { CacheBackendError } from '../errors.js'
import { isPromise, type MaybePromise } from '../maybe-promise.js'
import { operationChannel, type OperationMessage } from '../observe/channels.js'
import type { ResolvedSettings } from '../settings.js'
import type { Counting, Counts, LookupOperation } from '../observe/counts.js'
import { endNow, UNTIMED } from '../observe/told.js'
import type { Hit, Lookup } from './entries.js'
import type { Guard } from './guard.js'
import type { WriteOutcome } from './store.js'

/** The name under which the calls to a cache are reported, and what guards them. */
export interface Called {
  readonly alias: string
  readonly backendName: string
  readonly answersAtOnce: boolean
  readonly settings: ResolvedSettings
  readonly counts: Counts
  readonly guard: Guard
}

/**
 * A kind of call about one key.
 *
 * @typeParam Of - What it is asked of.
 * @typeParam Subject - The rest of what it is about.
 */
export interface Call<Of, Subject, T> {
  readonly operation: string
  readonly act: (of: Of, subject: Subject, key: string) => MaybePromise<T>
  /** What `ignoreErrors` answers for a store that fails. */
  readonly fallback: T
  readonly counting?: Counting<T>
}

/** Runs the calls to one cache: guarded, counted, and reported to listeners. */
export class Calls<Of extends Called> {
  readonly #of: Of

  constructor(of: Of) {
    this.#of = of
  }

  /**
   * Runs a call about one key of the public interface, as {@link run} does. Where the store answers at once and
   * there is nothing to be reported, it costs no more than what it does.
   */
  one<Subject, T>(call: Call<Of, Subject, T>, key: string, subject: Subject): MaybePromise<T> {
    const of = this.#of
    const { operation, act, fallback, counting } = call
    if (!of.answersAtOnce || !of.guard.isQuiet || of.settings.ignoreErrors || this.isTold) {
      return this.run(operation, [key], () => act(of, subject, key), fallback, counting)
    }
    let result: MaybePromise<T>
    try {
      result = act(of, subject, key)
    } catch (error) {
      throw this.failedAtOnce(operation, key, error)
    }
    if (isPromise(result)) {
      const answer = result
      return this.observed(operation, [key], () => answer, counting)
    }
    this.#count(counting, result)
    of.counts.add(operation, NO_LOOKUP)
    return result
  }

  #count<T>(counting: Counting<T> | undefined, result: T): void {
    if (counting === undefined) return
    const { counts } = this.#of
    if (counting.sets !== undefined) counts.sets += counting.sets(result)
    if (counting.deletes !== undefined) counts.deletes += counting.deletes(result)
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
    const isRead = counting?.hits !== undefined && keys.length > 0
    const isTimed = isRead && (!answersAtOnce || counts.sampler.isTimed(keys.length))
    const startedMs = isTimed || this.isTold ? performance.now() : UNTIMED
    const succeeded = (result: T) => {
      const durationMs = sinceMs(startedMs)
      if (isTimed) counts.reads.add(durationMs)
      this.#count(counting, result)
      const hits = counting?.hits?.(result) ?? 0
      const misses = counting?.hits === undefined ? 0 : keys.length - hits
      this.#end(operation, keys, { hits, misses, durationMs }, startedMs !== UNTIMED)
      return result
    }
    const failed = (error: unknown) => {
      const outcome = { hits: 0, misses: 0, durationMs: sinceMs(startedMs), error }
      this.#end(operation, keys, outcome, startedMs !== UNTIMED)
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

  /** Whether anybody hears about each call, apart from look-ups that are answered at once. */
  get isTold(): boolean {
    return operationChannel.hasSubscribers || !this.#of.counts.listeners.isEmpty
  }

  /**
   * Begins a look-up that may be answered at once, and is not guarded: see {@link lookedUp}.
   *
   * @returns Milliseconds; {@link UNTIMED}: nobody asks how long it takes.
   */
  startLookup(): number {
    const isTimed = this.#of.counts.sampler.isTimed() || operationChannel.hasSubscribers
    return isTimed ? performance.now() : UNTIMED
  }

  /**
   * Counts a look-up that was answered at once. If it was timed, tells of it.
   *
   * @returns The milliseconds that it took; 0: nobody asked.
   */
  lookedUp(operation: LookupOperation, key: string, isFound: boolean, startedMs: number): number {
    const counted = this.#of.counts[operation]
    if (isFound) counted.hit++
    else counted.miss++
    return startedMs === UNTIMED ? 0 : this.#tookTime(operation, key, isFound, startedMs)
  }

  /** Of its own, so that V8 inlines what each hit calls. */
  #tookTime(operation: LookupOperation, key: string, isFound: boolean, startedMs: number): number {
    const { counts } = this.#of
    const durationMs = endNow(startedMs)
    counts.reads.add(durationMs)
    counts.sampler.lastMs = durationMs
    const count = counts.takeUntold()
    if (this.isTold) {
      const outcome = { hits: isFound ? 1 : 0, misses: isFound ? 0 : 1, durationMs }
      this.#tell(operation, [key], outcome, count)
    }
    return durationMs
  }

  /** What a look-up failed with that was not guarded; counts it, and tells of it. */
  failedAtOnce(operation: string, key: string, error: unknown): Error {
    const failure = this.#of.guard.toFailure(operation, error)
    this.lookupFailed(operation, key, UNTIMED, failure)
    return failure
  }

  /** Counts a look-up that failed and was not run by {@link observed}, and tells of it. */
  lookupFailed(operation: string, key: string, startedMs: number, error: unknown): void {
    const outcome = { hits: 0, misses: 0, durationMs: endNow(startedMs), error }
    this.#end(operation, [key], outcome, true)
  }

  /** @param mayTell - Not of a call that began when nobody asked how long it takes. */
  #end(operation: string, keys: readonly string[], outcome: Outcome, mayTell: boolean): void {
    this.#of.counts.add(operation, outcome)
    if (mayTell && this.isTold) this.#tell(operation, keys, outcome, 1)
  }

  #tell(operation: string, keys: readonly string[], outcome: Outcome, count: number): void {
    const { alias, backendName: backend, counts } = this.#of
    const { hits, misses, durationMs, error } = outcome
    const about = { alias, backend, operation, keys, hits, misses, durationMs }
    const message: OperationMessage = error === undefined ? about : { ...about, error }
    if (operationChannel.hasSubscribers) operationChannel.publish(message)
    counts.listeners.tell(message, count)
  }
}

type Outcome = Pick<OperationMessage, 'hits' | 'misses' | 'durationMs' | 'error'>

const NO_LOOKUP = { hits: 0, misses: 0 }

const sinceMs = (startedMs: number): number => (startedMs === UNTIMED ? 0 : endNow(startedMs))

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
