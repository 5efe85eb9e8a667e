import type { Counts } from './counts.js'
import { totalOf } from './counters.js'
import { meanOf, type CachesTallies, type Figures, type Tally } from './tally.js'

/**
 * The duration of reads, from those that were timed: all reads of asynchronous stores, one in 64 of others.
 */
export interface ReadTimes {
  readonly count: number
  readonly meanMs: number
  /** 99 of 100 reads took no longer; at most 19 % above the true value. */
  readonly p99Ms: number
}

/** What one cache did in this process. */
export interface CacheStats {
  readonly alias: string
  /** The backend's class name. */
  readonly backend: string
  /** Keys that were found, including fragments and pages. */
  readonly hits: number
  readonly misses: number
  /** Entries that were stored. */
  readonly sets: number
  /** Entries that were deleted by key. */
  readonly deletes: number
  /** Calls that failed. */
  readonly errors: number
  /**
   * Bytes of the values whose size the cache knows when it stores them. Absent if there were none.
   */
  readonly bytesWritten?: number
  readonly reads: ReadTimes
  /**
   * Milliseconds that callers would have waited for producers, bodies and views without the cache: hits
   * multiplied by the mean time of what ran in this process.
   */
  readonly timeSavedMs: number
}

/** Counts of outcomes. */
export interface OutcomeStats {
  /** The alias of its cache. */
  readonly alias: string
  readonly hits: number
  readonly misses: number
  /** Served past their time. */
  readonly stale: number
  /** Taken from another caller's body or view that was running. */
  readonly joined: number
  /** Produced and not stored, or not looked up. */
  readonly bypasses: number
  readonly errors: number
  readonly timeSavedMs: number
  /**
   * Why it was missing, where that is known, with counts, since there is an inspector of the caches: a code of `MissCause`, or for `dropped` the invalidated
   * tag or fragment, such as `tag:country:de` or `fragment:menu`. Past the first twenty names only the code.
   */
  readonly causes: Readonly<Record<string, number>>
  /** The approximate number of different keys that this process stored. */
  readonly variants: number
  /** The mean size of what this process stored. Absent if it stored nothing. */
  readonly meanBytes?: number
}

/** Outcomes of one fragment name in one cache. */
export interface FragmentStats extends OutcomeStats {
  /** The fragment's name; `(others)` for all after the first 10 000 names. */
  readonly name: string
  /** The mean time of the bodies that ran, in milliseconds. */
  readonly bodyMs: number
  /** The mean time of the hits that were timed, in milliseconds. Absent if none was. */
  readonly hitMs?: number
}

/** Outcomes of the requests of one route. */
export interface RouteStats extends OutcomeStats {
  /**
   * The route, such as `GET /countries/:code`; `GET (any)` if no route is known, as for a page that a
   * middleware answers with what another process has stored; `(others)` for all after the first 10 000.
   */
  readonly route: string
  /** The mean time of the views that ran, in milliseconds. */
  readonly viewMs: number
  /** The reasons why responses were not stored or not looked up, with their counts. */
  readonly reasons: Readonly<Record<string, number>>
}

/** What {@link Caches.stats} returns, for this process. */
export interface CachesStats {
  /** When counting began, in milliseconds since the epoch. */
  readonly sinceMs: number
  readonly aliases: Readonly<Record<string, CacheStats>>
  readonly fragments: readonly FragmentStats[]
  readonly routes: readonly RouteStats[]
}

/** A cache with its counts, as statistics show them. */
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

function toOutcomeStats([tally, { outcomes, sums, causes }]: Told): OutcomeStats {
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
    causes: Object.fromEntries(causes),
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
