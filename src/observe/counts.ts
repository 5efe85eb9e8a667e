import type { OperationMessage } from './channels.js'
import { since, totalOf, type Counters } from './counters.js'
import { Latencies } from './latencies.js'
import { ListenerList } from './listener-list.js'
import { Mean } from './mean.js'
import { TimingSample } from './timing-sample.js'

/** `partial`: of several keys some were there; `ok`: nothing was looked up. */
export const RESULTS = ['hit', 'miss', 'partial', 'ok', 'error'] as const
export type Result = (typeof RESULTS)[number]
export type Results = Counters<Result>

/** What became of an operation. */
export function resultOf({
  hits,
  misses,
  error,
}: Pick<OperationMessage, 'hits' | 'misses' | 'error'>): Result {
  if (error !== undefined) return 'error'
  if (misses === 0) return hits === 0 ? 'ok' : 'hit'
  return hits === 0 ? 'miss' : 'partial'
}

/** Calls that look one key up, and may be answered at once. */
export type LookupOperation = 'get' | 'getOrSet'

/** What one cache did, counted in place: a hit costs an addition. */
export class Counts {
  /** Look-ups that were answered at once: a call is a key, so that one addition counts both. */
  readonly get = { hit: 0, miss: 0 }
  readonly getOrSet = { hit: 0, miss: 0 }
  /** All other calls, by operation, and the keys that they found or did not. */
  readonly #calls = new Map<string, Results>()
  readonly #keys = { hits: 0, misses: 0 }
  sets = 0
  deletes = 0
  errors = 0
  /** Of payloads whose size is known; `undefined` as long as none was. */
  bytesWritten: number | undefined
  /** Values that `getOrSet` found. */
  valueHits = 0
  /** Milliseconds that its producers took. */
  readonly producers = new Mean()
  readonly reads = new Latencies()
  readonly sampler = new TimingSample()
  /**
   * They hear about each call; of look-ups that are answered at once, only about those that are timed.
   */
  readonly listeners = new ListenerList<OperationMessage>()
  /** The keys that were counted when {@link reset} was called. */
  #before = { hits: 0, misses: 0 }

  /** Counts a call that was not answered at once. */
  add(operation: string, outcome: Pick<OperationMessage, 'hits' | 'misses' | 'error'>): void {
    let results = this.#calls.get(operation)
    if (results === undefined) {
      results = { hit: 0, miss: 0, partial: 0, ok: 0, error: 0 }
      this.#calls.set(operation, results)
    }
    results[resultOf(outcome)]++
    this.#keys.hits += outcome.hits
    this.#keys.misses += outcome.misses
  }

  get hits(): number {
    return this.keys().hits - this.#before.hits
  }

  get misses(): number {
    return this.keys().misses - this.#before.misses
  }

  /** Keys that were looked up since the process began. */
  keys(): Counters<'hits' | 'misses'> {
    const { get, getOrSet } = this
    const { hits, misses } = this.#keys
    return { hits: hits + get.hit + getOrSet.hit, misses: misses + get.miss + getOrSet.miss }
  }

  /** All calls since the process began, by operation and what became of them. */
  *calls(): IterableIterator<readonly [operation: string, results: Results]> {
    const operations = new Set(this.#calls.keys())
    if (totalOf(this.get) > 0) operations.add('get')
    if (totalOf(this.getOrSet) > 0) operations.add('getOrSet')
    for (const operation of operations) yield [operation, this.callsOf(operation)]
  }

  callsOf(operation: string): Results {
    const calls = this.#calls.get(operation)
    const results = { hit: 0, miss: 0, partial: 0, ok: 0, error: 0, ...calls }
    if (operation !== 'get' && operation !== 'getOrSet') return results
    const { hit, miss } = this[operation]
    return { ...results, hit: results.hit + hit, miss: results.miss + miss }
  }

  /** The number of {@link callsOf}. */
  totalOf(operation: string): number {
    const calls = this.#calls.get(operation)
    const others = calls === undefined ? 0 : totalOf(calls)
    if (operation !== 'get' && operation !== 'getOrSet') return others
    const { hit, miss } = operation === 'get' ? this.get : this.getOrSet
    return others + hit + miss
  }

  /** For how many look-ups the one stands that was timed just now. */
  takeUntold(): number {
    const { get, getOrSet, sampler } = this
    return sampler.takeUntold(get.hit + get.miss + getOrSet.hit + getOrSet.miss)
  }

  /** The figures of statistics restart at zero; what metrics read goes on. */
  reset(): void {
    this.#before = this.keys()
    this.sets = this.deletes = this.errors = this.valueHits = 0
    this.bytesWritten = undefined
    this.producers.reset()
    this.reads.reset()
  }
}

/** What was counted of one cache since it was read last. */
export class CountsReader {
  #keys: Counters<'hits' | 'misses'>
  #calls: ReadonlyMap<string, Results>

  constructor(readonly counts: Counts) {
    this.#keys = counts.keys()
    this.#calls = new Map(counts.calls())
  }

  takeKeys(): Counters<'hits' | 'misses'> {
    const before = this.#keys
    this.#keys = this.counts.keys()
    return since(this.#keys, before)
  }

  takeCalls(): (readonly [operation: string, results: Results])[] {
    const before = this.#calls
    this.#calls = new Map(this.counts.calls())
    return [...this.#calls].map(([operation, results]) => [
      operation,
      since(results, before.get(operation)),
    ])
  }
}

/** What the result of an operation adds to the counts. */
export interface Counting<T> {
  readonly hits?: (result: T) => number
  readonly sets?: (result: T) => number
  readonly deletes?: (result: T) => number
}
