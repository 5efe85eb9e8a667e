import { Latencies } from './latencies.js'
import { Told } from './told.js'

/** One in so many calls that are answered at once is timed: to read the clock costs as much as some of them. */
const SAMPLED = 64

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
  readonly told = new Told()
  /** After so many keys the next call is timed; a call may be of several. */
  #nextSampled = 0

  /** Whether this call is one of those that are timed. */
  isSampled(): boolean {
    const lookedUp = this.hits + this.misses
    if (lookedUp < this.#nextSampled) return false
    this.#nextSampled = lookedUp + SAMPLED
    return true
  }

  reset(): void {
    this.hits = this.misses = this.sets = this.deletes = this.errors = 0
    this.valueHits = this.producerRuns = this.producerMs = 0
    this.bytesWritten = undefined
    this.#nextSampled = 0
    this.told.reset()
    this.reads.reset()
  }
}

/** What the result of an operation adds to the counts. */
export interface Counting<T> {
  readonly hits?: (result: T) => number
  readonly sets?: (result: T) => number
  readonly deletes?: (result: T) => number
}
