import { AtOnce } from './at-once.js'
import { Latencies } from './latencies.js'

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
  readonly atOnce = new AtOnce()
  /** Of those of `getOrSet`, what is told of as such. */
  valuesAtOnce = 0
  #valuesTold = 0

  /** Whether this look-up, if it is answered at once, is one of those that are timed. */
  isTimed(): boolean {
    return this.atOnce.isTimed(this.hits + this.misses)
  }

  /** How many values `getOrSet` found at once since it was asked last. */
  takeValues(): number {
    const values = this.valuesAtOnce - this.#valuesTold
    this.#valuesTold = this.valuesAtOnce
    return values
  }

  reset(): void {
    this.hits = this.misses = this.sets = this.deletes = this.errors = 0
    this.valueHits = this.producerRuns = this.producerMs = 0
    this.bytesWritten = undefined
    this.valuesAtOnce = this.#valuesTold = 0
    this.atOnce.reset()
    this.reads.reset()
  }
}

/** What the result of an operation adds to the counts. */
export interface Counting<T> {
  readonly hits?: (result: T) => number
  readonly sets?: (result: T) => number
  readonly deletes?: (result: T) => number
}
