import type { Counts } from './counts.js'
import { totalOf } from './counters.js'
import { meanOf, type CachesTallies, type Figures, type Tally } from './tally.js'

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
  const fragments = figuresOf(tallies.fragments).map(toFragmentStats)
  const routes = figuresOf(tallies.routes).map(toRouteStats)
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

/** @internal Of one fragment name alone. */
export function fragmentStatsOf(tally: Tally): FragmentStats {
  return toFragmentStats([tally, tally.figures()])
}

/** @internal Of one route alone. */
export function routeStatsOf(tally: Tally): RouteStats {
  return toRouteStats([tally, tally.figures()])
}

type Told = readonly [tally: Tally, figures: Figures]

function figuresOf(tallies: Iterable<Tally>): Told[] {
  return [...tallies]
    .map((tally) => [tally, tally.figures()] as const)
    .filter(([, { outcomes }]) => totalOf(outcomes) > 0)
}

function toCacheStats(
  alias: string,
  { backendName, counts }: Counted,
  savedMs: number,
): CacheStats {
  const { hits, misses, sets, deletes, errors, bytesWritten, reads, valueHits, producers } = counts
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
    timeSavedMs: valueHits * producers.value + savedMs,
  }
}

function toOutcomeStats([tally, { outcomes, sums }]: Told): OutcomeStats {
  const { hit, stale, joined } = outcomes
  return {
    alias: tally.alias,
    hits: hit,
    misses: outcomes.miss,
    stale,
    joined,
    bypasses: outcomes.bypass,
    errors: outcomes.error,
    timeSavedMs: (hit + stale + joined) * meanOf(sums.madeMs, sums.made),
    variants: tally.variants.estimate,
    ...(sums.stored > 0 && { meanBytes: sums.storedBytes / sums.stored }),
  }
}

function toFragmentStats(told: Told): FragmentStats {
  const [{ name }, { sums }] = told
  return {
    name,
    ...toOutcomeStats(told),
    bodyMs: meanOf(sums.madeMs, sums.made),
    ...(sums.timedHits > 0 && { hitMs: sums.hitMs / sums.timedHits }),
  }
}

function toRouteStats(told: Told): RouteStats {
  const [{ name }, { sums, reasons }] = told
  const counted = [...reasons].map(([reason, outcomes]) => [reason, totalOf(outcomes)] as const)
  return {
    route: name,
    ...toOutcomeStats(told),
    viewMs: meanOf(sums.madeMs, sums.made),
    reasons: Object.fromEntries(counted.filter(([, count]) => count > 0)),
  }
}
