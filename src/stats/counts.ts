import { Latencies } from './latencies.js'

/** One in so many calls that are answered at once is timed: to read the clock costs as much as some of them. */
const SAMPLED = 64

/** Hits that are answered at once and told of in one message: to make it takes as long as some of them. */
export const HITS_OF_SUM = 256

/** What one cache did, counted in place: a hit costs an addition. */
export class Counts {
  hits = 0
  misses = 0
  sets = 0
  deletes = 0
  errors = 0
  /** Of payloads whose size is known; `undefined` as long as none was. */
  bytesWritten: number | undefined
  readonly reads = new Latencies()
  /** Values that `getOrSet` found, and the time its producers took. */
  valueHits = 0
  producerRuns = 0
  producerMs = 0
  /** How many of the hits were told of on the channel of sums, or to nobody. */
  #told = 0
  /** After so many keys the next call is timed; a call may be of several. */
  #nextSampled = 0

  /** Whether this call is one of those that are timed. */
  isSampled(): boolean {
    const lookedUp = this.hits + this.misses
    if (lookedUp < this.#nextSampled) return false
    this.#nextSampled = lookedUp + SAMPLED
    return true
  }

  /** Hits were told of one by one. */
  told(hits: number): void {
    this.#told += hits
  }

  /** @returns How many hits are to be told of in one sum; 0 while they are fewer than that. */
  takeUntold(atLeast: number): number {
    const untold = this.hits - this.#told
    if (untold < atLeast) return 0
    this.#told = this.hits
    return untold
  }

  reset(): void {
    this.hits = this.misses = this.sets = this.deletes = this.errors = 0
    this.valueHits = this.producerRuns = this.producerMs = 0
    this.bytesWritten = undefined
    this.#nextSampled = this.#told = 0
    this.reads.reset()
  }
}

/** What the result of an operation adds to the counts. */
export interface Counting<T> {
  readonly hits?: (result: T) => number
  readonly sets?: (result: T) => number
  readonly deletes?: (result: T) => number
}
