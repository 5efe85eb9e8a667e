import { Latencies } from '../../src/observe/latencies.js'
import type { Point } from './api.js'

/** Milliseconds between two points. */
export const INTERVAL_MS = 5000
/** Fifteen minutes. */
export const MAX_POINTS = 180

/** What is used of the counts of a cache. */
export interface Counted {
  readonly hits: number
  readonly misses: number
  readonly sets: number
  readonly deletes: number
  readonly errors: number
  readonly reads: Latencies
}

interface Sums {
  readonly hits: number
  readonly misses: number
  readonly errors: number
  readonly events: number
  /** A copy: the cache's own goes on. */
  readonly reads: Latencies
}

const NOTHING: Sums = { hits: 0, misses: 0, errors: 0, events: 0, reads: new Latencies() }

/** What each cache did from one sample to the next. */
export class History {
  readonly #points = new Map<string, Point[]>()
  readonly #before = new Map<string, Sums>()
  #atMs: number | undefined
  #eventsPerSecond = 0

  /** Adds a point for each cache. The first sample, and the first after a pause, only say where to begin. */
  sample(caches: Iterable<readonly [alias: string, counted: Counted]>, atMs: number): void {
    const isFirst = this.#atMs === undefined
    let events = 0
    for (const [alias, counted] of caches) {
      const now = sumsOf(counted)
      const before = this.#before.get(alias) ?? NOTHING
      this.#before.set(alias, now)
      if (isFirst) continue
      // Counts that fell were reset in between.
      const since = now.events < before.events ? NOTHING : before
      events += now.events - since.events
      this.#add(alias, {
        atMs,
        hits: now.hits - since.hits,
        misses: now.misses - since.misses,
        errors: now.errors - since.errors,
        ...timesOf(now.reads.since(since.reads)),
      })
    }
    const seconds = (atMs - (this.#atMs ?? atMs)) / 1000
    this.#eventsPerSecond = seconds > 0 ? events / seconds : 0
    this.#atMs = atMs
  }

  /** No sample reports what happens until the next one. */
  pause(): void {
    this.#atMs = undefined
    this.#eventsPerSecond = 0
  }

  /** The latest last. */
  of(alias: string): readonly Point[] {
    return this.#points.get(alias) ?? []
  }

  /** In the last interval. */
  get eventsPerSecond(): number {
    return this.#eventsPerSecond
  }

  #add(alias: string, point: Point): void {
    const points = this.#points.get(alias)
    if (points === undefined) this.#points.set(alias, [point])
    else points.push(point)
    if (points !== undefined && points.length > MAX_POINTS) points.shift()
  }
}

function sumsOf({ hits, misses, sets, deletes, errors, reads }: Counted): Sums {
  const events = hits + misses + sets + deletes + errors
  return { hits, misses, errors, events, reads: reads.copy() }
}

function timesOf(reads: Latencies): Pick<Point, 'meanMs' | 'p99Ms'> {
  return { meanMs: reads.meanMs, p99Ms: reads.quantileMs(0.99) }
}
