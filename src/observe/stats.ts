import type { Counts } from './counts.js'
import { totalOf } from './counters.js'
import {
  meanOf,
  numberOf,
  type CachesTallies,
  type Figures,
  type Tallies,
  type Tally,
} from './tally.js'

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
  /** The reasons why it was not stored, or was stale, with their counts. */
  readonly reasons: Readonly<Record<string, number>>
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
  const fragments: FragmentStats[] = []
  const routes: RouteStats[] = []
  const summary = visitStats(caches, tallies, {
    fragment: (row) => fragments.push(row),
    route: (row) => routes.push(row),
  })
  return { ...summary, fragments, routes }
}

/** @internal Called with each row. */
export interface StatsVisitor {
  readonly fragment?: (row: FragmentStats) => void
  readonly route?: (row: RouteStats) => void
}

/** @internal The rows one after the other: ten thousand at once are garbage that takes longer to collect than to make. */
export function visitStats(
  caches: ReadonlyMap<string, Counted>,
  { sinceMs, fragments, routes }: CachesTallies,
  visitor: StatsVisitor,
): Pick<CachesStats, 'sinceMs' | 'aliases'> {
  const savedMs = new Map<string, number>()
  const addSaved = ({ alias, timeSavedMs }: OutcomeStats) => {
    savedMs.set(alias, (savedMs.get(alias) ?? 0) + timeSavedMs)
  }
  forEachUsed(fragments, (tally, figures) => {
    const row = toFragmentStats(tally, figures)
    addSaved(row)
    visitor.fragment?.(row)
  })
  forEachUsed(routes, (tally, figures) => {
    const row = toRouteStats(tally, figures)
    addSaved(row)
    visitor.route?.(row)
  })
  const rows = [...caches].map(
    ([alias, cache]) => [alias, toCacheStats(alias, cache, savedMs.get(alias) ?? 0)] as const,
  )
  return { sinceMs, aliases: Object.fromEntries(rows) }
}

/** @internal Of one fragment name alone. */
export function fragmentStatsOf(tally: Tally): FragmentStats {
  return toFragmentStats(tally, tally.figures())
}

/** @internal Of one route alone. */
export function routeStatsOf(tally: Tally): RouteStats {
  return toRouteStats(tally, tally.figures())
}

function forEachUsed(tallies: Tallies, visit: (tally: Tally, figures: Figures) => void): void {
  tallies.forEach((tally) => {
    const figures = tally.figures()
    if (numberOf(figures.outcomes) > 0) visit(tally, figures)
  })
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

/** For ten thousand rows, most of which have none. */
const NONE: Readonly<Record<string, number>> = Object.freeze({})

type Writable<T> = { -readonly [Key in keyof T]: T[Key] }

/** What is added to it is assigned: to spread ten thousand of them into others takes V8 three times as long. */
function toOutcomeStats(tally: Tally, { outcomes, sums, causes }: Figures): Writable<OutcomeStats> {
  const { hit, stale, joined } = outcomes
  const stats: Writable<OutcomeStats> = {
    alias: tally.alias,
    hits: hit,
    misses: outcomes.miss,
    stale,
    joined,
    bypasses: outcomes.bypass,
    errors: outcomes.error,
    timeSavedMs: (hit + stale + joined) * meanOf(sums.madeMs, sums.made),
    causes: causes.size === 0 ? NONE : Object.fromEntries(causes),
    variants: tally.variants.estimate,
  }
  if (sums.stored > 0) stats.meanBytes = sums.storedBytes / sums.stored
  return stats
}

function toFragmentStats(tally: Tally, figures: Figures): FragmentStats {
  const { sums, reasons } = figures
  const stats = toOutcomeStats(tally, figures) as Writable<FragmentStats>
  stats.name = tally.name
  stats.bodyMs = meanOf(sums.madeMs, sums.made)
  if (sums.timedHits > 0) stats.hitMs = sums.hitMs / sums.timedHits
  stats.reasons = countsOf(reasons)
  return stats
}

function toRouteStats(tally: Tally, figures: Figures): RouteStats {
  const { sums, reasons } = figures
  const stats = toOutcomeStats(tally, figures) as Writable<RouteStats>
  stats.route = tally.name
  stats.viewMs = meanOf(sums.madeMs, sums.made)
  stats.reasons = countsOf(reasons)
  return stats
}

function countsOf(reasons: Figures['reasons']): Readonly<Record<string, number>> {
  if (reasons.size === 0) return NONE
  const counted = [...reasons].map(([reason, outcomes]) => [reason, totalOf(outcomes)] as const)
  return Object.fromEntries(counted.filter(([, count]) => count > 0))
}
