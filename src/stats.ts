import type { Counts } from './stats/counts.js'
import type { CachesTallies, Tally } from './stats/tally.js'

/** How long reads took, by those that were timed: all of asynchronous stores, one in 64 of the others. */
export interface ReadTimes {
  readonly count: number
  readonly meanMs: number
  /** 99 of 100 took no longer; at most 19 % above the true value. */
  readonly p99Ms: number
}

/** What one cache did in this process. */
export interface CacheStats {
  readonly alias: string
  /** The backend's class name. */
  readonly backend: string
  /** Keys that were found; fragments and pages that were looked up count too. */
  readonly hits: number
  readonly misses: number
  /** Entries that were stored. */
  readonly sets: number
  /** Entries that were deleted by key. */
  readonly deletes: number
  /** Calls that failed. */
  readonly errors: number
  /** Of the values whose size the cache knows when it stores them; left out if there was none. */
  readonly bytesWritten?: number
  readonly reads: ReadTimes
  /**
   * What callers would have waited for producers, bodies and views, had nothing been found: hits by the
   * mean time of what ran in this process.
   */
  readonly timeSavedMs: number
}

/** How often what became of something. */
export interface OutcomeStats {
  /** The alias of its cache. */
  readonly alias: string
  readonly hits: number
  readonly misses: number
  /** Served past its time. */
  readonly stale: number
  /** Taken from another's body or view that was running. */
  readonly joined: number
  /** Made and not stored, or not looked for. */
  readonly bypasses: number
  readonly errors: number
  readonly timeSavedMs: number
  /** About how many different keys this process stored. */
  readonly variants: number
  /** The mean size of what this process stored; left out if it stored nothing. */
  readonly meanBytes?: number
}

/** What became of one fragment name in one cache. */
export interface FragmentStats extends OutcomeStats {
  /** `(others)` for all that come after the first 10 000 names. */
  readonly name: string
  /** Milliseconds, the mean of the bodies that ran. */
  readonly bodyMs: number
  /** Milliseconds, the mean of the hits that were timed; left out if none was. */
  readonly hitMs?: number
}

/** What became of the requests of one route. */
export interface RouteStats extends OutcomeStats {
  /**
   * Such as `GET /countries/:code`; `GET (any)` where no route is known, as for a page that a middleware
   * answers with what another process has stored; `(others)` for all that come after the first 10 000.
   */
  readonly route: string
  /** Milliseconds, the mean of the views that ran. */
  readonly viewMs: number
  /** Why it was not stored, or not looked for, and how often. */
  readonly reasons: Readonly<Record<string, number>>
}

/** What {@link Caches.stats} tells of this process. */
export interface CachesStats {
  /** When counting began, in milliseconds since the epoch. */
  readonly sinceMs: number
  readonly aliases: Readonly<Record<string, CacheStats>>
  readonly fragments: readonly FragmentStats[]
  readonly routes: readonly RouteStats[]
}

/** A cache as its counts are told. */
interface Counted {
  readonly backendName: string
  readonly counts: Counts
}

/** @internal */
export function statsOf(caches: ReadonlyMap<string, Counted>, tallies: CachesTallies): CachesStats {
  const fragments = [...tallies.fragments].filter(isUsed).map(toFragmentStats)
  const routes = [...tallies.routes].filter(isUsed).map(toRouteStats)
  const savedMs = new Map<string, number>()
  for (const { alias, timeSavedMs } of [...fragments, ...routes]) {
    savedMs.set(alias, (savedMs.get(alias) ?? 0) + timeSavedMs)
  }
  const aliases = Object.fromEntries(
    [...caches].map(([alias, cache]) => [
      alias,
      toCacheStats(alias, cache, savedMs.get(alias) ?? 0),
    ]),
  )
  return { sinceMs: tallies.sinceMs, aliases, fragments, routes }
}

const isUsed = (tally: Tally): boolean => tally.total > 0

function toCacheStats(
  alias: string,
  { backendName, counts }: Counted,
  savedMs: number,
): CacheStats {
  const { hits, misses, sets, deletes, errors, bytesWritten, reads } = counts
  const { valueHits, producerMs, producerRuns } = counts
  const valuesMs = producerRuns === 0 ? 0 : (valueHits * producerMs) / producerRuns
  return {
    alias,
    backend: backendName,
    hits,
    misses,
    sets,
    deletes,
    errors,
    ...(bytesWritten !== undefined && { bytesWritten }),
    reads: { count: reads.count, meanMs: reads.meanMs, p99Ms: reads.quantileMs(0.99) },
    timeSavedMs: valuesMs + savedMs,
  }
}

function toOutcomeStats(tally: Tally): OutcomeStats {
  const { alias, hits, misses, stale, joined, bypasses, errors, timeSavedMs } = tally
  return {
    alias,
    hits,
    misses,
    stale,
    joined,
    bypasses,
    errors,
    timeSavedMs,
    variants: tally.variants.estimate,
    ...(tally.sized > 0 && { meanBytes: tally.bytes / tally.sized }),
  }
}

const meanMadeMs = ({ made, madeMs }: Tally): number => (made === 0 ? 0 : madeMs / made)

function toFragmentStats(tally: Tally): FragmentStats {
  return {
    name: tally.name,
    ...toOutcomeStats(tally),
    bodyMs: meanMadeMs(tally),
    ...(tally.timedHits > 0 && { hitMs: tally.meanHitMs }),
  }
}

function toRouteStats(tally: Tally): RouteStats {
  return {
    route: tally.name,
    ...toOutcomeStats(tally),
    viewMs: meanMadeMs(tally),
    reasons: Object.fromEntries(tally.reasons ?? []),
  }
}
