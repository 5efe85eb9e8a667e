import type { Beginning, Claim, Hit, Lookup, LookupOptions, StoreRequest } from './entries.js'
import type { ClockTime } from '../clock.js'
import type { Version } from '../keys.js'
import type { MaybePromise } from '../maybe-promise.js'
import type { WriteOutcome } from '../primitives.js'
import type { ServerStats } from '../server-stats.js'
import type { ResolvedSettings } from '../settings.js'
import type { Counts } from '../stats/counts.js'
import type { SeenVersions, TagVersions } from '../tags.js'
import type { Deadline } from '../timeout.js'

/** A whole number that is written under a condition, whatever serializer the values have. */
export interface NumberWrite {
  readonly storedKey: string
  readonly value: number
  readonly expiresAtMs: Deadline
  /** Write if nothing is there. */
  readonly ifAbsent?: boolean
  /** Write if exactly this number is there. */
  readonly replacing: number
}

/**
 * A cache as the other parts of this package know it: with stored keys, tags and claims, and without the
 * checks of what a user passes. It is had by {@link coreOf}, and no member of a cache, so that nothing in a
 * subclass can take its place by accident.
 *
 * The calls that begin with `try` are limited in time. A store that fails is reported, and gives `undefined`.
 */
export interface CacheCore {
  /** The name the cache has in its `Caches`; empty for a cache in none. */
  readonly alias: string
  /** The class name of the cache. */
  readonly backendName: string
  readonly answersAtOnce: boolean
  /** Whether a look-up may answer at once, from a memory in front of the store. */
  readonly mayAnswerAtOnce: boolean
  readonly isShared: boolean
  readonly settings: ResolvedSettings
  readonly counts: Counts
  /** Whether the last call failed: the next one that succeeds has an end to report. */
  readonly isFailing: boolean
  /** What the store's clock of invalidations showed when it was last heard of. */
  readonly clockTime: ClockTime | undefined
  /** Called with the stored key of an entry that is being removed; without: all are. */
  readonly removalListeners: ((storedKey?: string) => void)[]

  makeKey(key: string, version?: Version): string
  /** Like {@link makeKey}, and checked for what this backend can take. */
  checkedKey(key: string, version?: Version): string

  /**
   * Looks up one key, neither guarded nor counted.
   *
   * @param toWrite - The answer decides about a write: it must not come from a copy.
   * @param stale - What is past its time is wanted too, as long as it was not invalidated.
   */
  lookupOne(storedKey: string, toWrite?: boolean, stale?: boolean): MaybePromise<Hit | undefined>

  /** Looks up for a fragment or a page. */
  tryLookup(
    keys: readonly string[],
    storedKeys: readonly string[],
    expected: readonly string[],
    options?: LookupOptions,
  ): MaybePromise<Lookup | undefined>
  /** What lies under a key, of whatever worth, as the store itself says: not a copy of it. */
  tryLying(storedKey: string): MaybePromise<{ readonly payload: unknown } | undefined>
  /**
   * Claims the keys of what is about to be made, and begins the counters of its tags.
   *
   * @param found - By the look-up before it.
   * @returns `undefined`: the store failed; nothing can be kept.
   */
  tryBegin(
    storedKeys: readonly string[],
    found: Pick<Lookup, 'lying' | 'seen' | 'withClock'>,
    tags: readonly string[],
  ): MaybePromise<Beginning | undefined>
  /**
   * Gives up a claim of which nothing came.
   *
   * @param tookMs - What it took to make.
   */
  tryGiveUp(storedKey: string, claim: Claim, tookMs: number): MaybePromise<void>
  /** Reads for what is being made, by one of the calls below that read versions. */
  tryRead<T>(read: () => MaybePromise<T>): MaybePromise<T | undefined>
  /**
   * What there is now of something that was made while others waited for it: it may have been invalidated
   * before they asked, by another process, or before it was known that it depends on that.
   *
   * @param claim - What it was begun with.
   * @param made - The versions that it depends on.
   * @returns What is stored by now; `true`: nothing yet, and what was made is current (or the store fails and
   *   cannot tell); `false`: they have to look for themselves.
   */
  tryRecheck(
    key: string,
    storedKey: string,
    claim: Claim,
    made: SeenVersions,
  ): MaybePromise<Hit | boolean>
  /** Writes for a fragment or a page. */
  tryStore(
    keys: readonly string[],
    requests: readonly StoreRequest[],
  ): MaybePromise<readonly WriteOutcome[] | undefined>
  /** Until when an entry lives: no longer than now if it is gone meanwhile, or the store fails. */
  readLifetime(storedKey: string): MaybePromise<Deadline>

  /** The versions of tags as they are now; `undefined`: what depends on them cannot be kept. */
  currentVersions(tags: readonly string[]): MaybePromise<TagVersions | undefined>
  /** The same of tags that are declared while something is made: of those not invalidated since a time. */
  declaredVersions(
    tags: readonly string[],
    time: ClockTime | undefined,
  ): MaybePromise<TagVersions | undefined>
  /** The versions of tags, if none was invalidated since the clock showed a time, by whomever. */
  versionsSince(
    tags: readonly string[],
    time: ClockTime | undefined,
  ): MaybePromise<TagVersions | undefined>

  /** Runs a call against the store: failures become `CacheBackendError`s and are reported once per outage. */
  guarded<T>(operation: string, action: () => MaybePromise<T>): MaybePromise<T>
  /** Reports a failure that is going to count as a miss. @throws What is no failure of the store. */
  reportFailure(operation: string, error: unknown): void
  /**
   * Writes a number under its condition.
   *
   * @returns Whether it was written.
   * @throws CacheBackendError: the store failed.
   */
  writeNumber(operation: string, write: NumberWrite): MaybePromise<boolean>
  /**
   * Waits until an invalidation is as durable as the settings ask for.
   *
   * @throws CacheBackendError: it was carried out, and may be lost.
   */
  confirmInvalidation(operation: string): MaybePromise<void>

  /** Makes entries stored with any of these stored tags a miss, or stale. */
  invalidateStoredTags(tags: readonly string[], soft?: boolean): Promise<void>
  /** The same for what was made since then from what lies in another cache. */
  invalidateAgain(tags: readonly string[], soft: boolean): Promise<void>
  /** What the store tells of itself; a store that fails rejects, whatever `ignoreErrors` says. */
  readOwnServerStats(): Promise<ServerStats | undefined>

  /** Tells of a look-up that was answered at once, timed and counted. */
  timedAtOnce(key: string, isFound: boolean, durationMs: number): void
  /** Tells of a look-up that was answered at once, and found nothing. */
  tellOfMiss(key: string): void
  /** Tells of a look-up that was made without {@link tryLookup}. */
  tellOfLookup(
    key: string,
    isFound: boolean,
    durationMs: number,
    failure?: { readonly operation?: string; readonly error?: unknown },
  ): void
  /** Tells of the hits that were answered at once, if there are as many. */
  tellHits(atLeast?: number): void
}

/** One process may load two copies of this package. */
const CORE = Symbol.for('fragcache.cache.core.1')

/** Makes a cache's core known to {@link coreOf}. */
export function exposeCore(cache: object, core: CacheCore): void {
  Object.defineProperty(cache, CORE, { value: core })
}

/** The core of a cache. */
export function coreOf(cache: object): CacheCore {
  return (cache as { readonly [CORE]: CacheCore })[CORE]
}

/** Whether something is a cache, of this copy of the package or another. */
export function hasCore(value: unknown): value is object {
  return typeof value === 'object' && value !== null && CORE in value
}
