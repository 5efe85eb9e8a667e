import type { ClockTime } from '../clock.js'
import type { MaybePromise } from '../maybe-promise.js'
import type { Lost, Subject } from '../observe/remembered.js'
import type { Stamp } from '../stamp.js'
import type { SeenVersions, TagVersions } from '../tags.js'
import type { Deadline } from '../timeout.js'
import type { KnownStart } from './known-entries.js'
import type { WriteOutcome } from './store.js'

/** An entry that was stored, and what it depends on. */
export interface StoredTags {
  readonly storedKey: string
  readonly tags: TagVersions
}

/** A live entry that was looked up. */
export interface Hit {
  readonly value: unknown
  /** The versions it was stored with; `undefined` without tags. */
  readonly tags: TagVersions | undefined
  /**
   * Present only for entries that may be served past their time, or produced again before it ends.
   */
  readonly stamp?: Stamp | undefined
  /** Milliseconds since the epoch; `undefined`: it is fresh. Only told to who asks for stale ones. */
  readonly staleSinceMs?: number | undefined
  /**
   * Where the value itself is kept in memory: the same object for as long as there is the entry, whatever its value,
   * and given up with it.
   */
  readonly entry?: object | undefined
}

/** What a look-up answers, in the order asked. */
export interface Lookup {
  readonly hits: readonly (Hit | undefined)[]
  /**
   * The payloads under these keys, of whatever worth, and perhaps others behind them; `undefined`: nothing, or
   * it was not looked; `UNCHANGED`: that of the known hit.
   */
  readonly lying: readonly unknown[]
  /** The versions of the tags that were expected, and perhaps of others. */
  readonly seen: SeenVersions
  /** Whether the clock of invalidations was read together with them. */
  readonly withClock?: boolean
  /** In the order asked: what lies there, and was no hit. Left out: nothing such is known. */
  readonly lost?: readonly (Lost | undefined)[] | undefined
}

/** What is looked up. */
export interface LookupOptions {
  /** What is past its time is wanted too, as long as it was not invalidated. */
  readonly stale?: boolean
  /** What is missing is about to be made: how far the clock of invalidations is has to be known. */
  readonly toMake?: boolean
  /** No copy will do, neither of a replica nor of local memory. */
  readonly isCurrent?: boolean
  /**
   * It is copied to where changes of counters are reported, but not those of the clock: all counters are to
   * be read.
   */
  readonly toCopy?: boolean
  /** What is had already of the entry under a stored key: it is given again if the entry is still the same. */
  readonly known?: (storedKey: string) => KnownHit | undefined
}

/** A hit that is kept by who looked it up. */
export interface KnownHit extends KnownStart {
  readonly hit: Hit
}

/**
 * What is stored under the key of something that is about to be produced: an entry that is past its time or
 * invalidated, else a claim. The result replaces it by compare and set. So anybody who removes or replaces
 * the entry meanwhile wins, as does a later one that was produced in the meantime.
 */
export type Claim = unknown

/** What something that is about to be made is begun with. */
export interface Beginning {
  /** In the order asked; `undefined`: there is none, and what is made cannot be kept. */
  readonly claims: readonly Claim[]
  /** `undefined`: not to be had, and what is made cannot be kept. */
  readonly versions: TagVersions | undefined
}

/** An entry to be stored, with its value, tags and age. */
export interface StoreRequest {
  readonly storedKey: string
  readonly value: unknown
  readonly expiresAtMs: Deadline
  readonly tags?: TagVersions | undefined
  readonly stamp?: Stamp | undefined
  readonly ifAbsent?: boolean
  /** As in {@link WriteEntry}. */
  readonly replacing?: unknown
  /** What it is of, where that is to be remembered. */
  readonly subject?: Subject | undefined
}

/**
 * The entries of a cache with their values, tags and ages: what a cache makes of a store. Nothing here is
 * guarded or counted.
 */
export interface Entries {
  /** Whether a look-up may answer at once, from a memory in front of the store. */
  readonly mayAnswerAtOnce: boolean
  /** Whether nobody but this cache stores anything there: neither another process nor another cache. */
  readonly isAlone: boolean
  /** What the store's clock of invalidations showed when it was last heard of. */
  readonly clockTime: ClockTime | undefined

  /**
   * Looks up one key in memory of this process, or in a store that answers at once.
   *
   * @returns `undefined`: it is not there, or somebody has to be asked. A promise: the store breaks its word.
   */
  findAtOnce(storedKey: string): MaybePromise<Hit | undefined>
  /**
   * Looks up one key: the hot path.
   *
   * @param toWrite - The answer decides about a write, or about what a write is said to have done:
   *   it must not come from a copy.
   * @param stale - What is past its time is wanted too, as long as it was not invalidated.
   */
  lookupOne(storedKey: string, toWrite?: boolean, stale?: boolean): MaybePromise<Hit | undefined>
  /**
   * Reads entries and, in the same round trip, the versions of the tags they are expected to have.
   * Tags that only the entries themselves name, and did not when they were last read, cost one
   * round trip more.
   */
  lookup(
    storedKeys: readonly string[],
    expected: readonly string[],
    options?: LookupOptions,
  ): MaybePromise<Lookup>
  /**
   * Called before things are made: claims their keys, and begins the counters of their tags that are not
   * there. One write, where there is anything to be written.
   *
   * @param lying - What a look-up found under the keys.
   * @param seen - The versions of their tags, as a look-up found them.
   * @param withClock - Whether it read the clock of invalidations together with them.
   * @remarks What another one claimed before is a claim for this one too: the first that is made is kept,
   *   unless the entry is removed meanwhile; then none is that was begun before.
   */
  begin(
    storedKeys: readonly string[],
    lying: readonly unknown[],
    seen: SeenVersions,
    withClock?: boolean,
  ): MaybePromise<Beginning>
  /**
   * Gives a claim up, of which nothing came.
   *
   * @param tookMs - What it took to make.
   */
  giveUp(storedKey: string, claim: Claim, tookMs: number): MaybePromise<void>
  /** Whether what lies under a key is still a claim. */
  isStillClaimed(claim: Claim, lying: unknown): boolean
  /** Writes an entry. What is past its deadline is removed, and counts as stored. */
  storeOne(request: StoreRequest): MaybePromise<WriteOutcome>
  /** Writes entries, in one round trip. */
  store(requests: readonly StoreRequest[]): MaybePromise<readonly WriteOutcome[]>

  /**
   * The versions of tags as they are now.
   *
   * @param isMade - What depends on them is made already: an invalidation meanwhile wins.
   * @returns `undefined`: a counter cannot be written. What depends on it cannot be kept.
   */
  currentVersions(tags: readonly string[], isMade?: boolean): MaybePromise<TagVersions | undefined>
  /**
   * The versions of tags that are declared while something is made, as they are now: of those that were
   * not invalidated since the clock showed a time.
   *
   * @returns `undefined`: a counter cannot be written. What depends on it cannot be kept.
   */
  declaredVersions(
    tags: readonly string[],
    time: ClockTime | undefined,
  ): MaybePromise<TagVersions | undefined>
  /**
   * The versions of tags that were not invalidated since the clock showed a time, by whomever.
   *
   * @returns `undefined`: one was, or may have been.
   */
  versionsSince(
    tags: readonly string[],
    time: ClockTime | undefined,
  ): MaybePromise<TagVersions | undefined>
  /**
   * Whether a version of a tag is current.
   *
   * @param made - `undefined`: it is not known.
   * @param now - As it was read now.
   */
  isCurrentVersion(tag: string, made: string | undefined, now: string | undefined): boolean
  /**
   * Makes every entry stored with one of the tags a miss.
   *
   * @param soft - Stale instead.
   * @param isAgain - Repeated for what was made since the last time, which a soft one makes a miss too.
   */
  bumpTags(tags: readonly string[], soft?: boolean, isAgain?: boolean): MaybePromise<void>
  /**
   * Which of what was stored lies there and was not invalidated since: fresh, or stale. Nothing counts as used,
   * and no entry is read.
   */
  areThere(stored: readonly StoredTags[]): MaybePromise<readonly boolean[]>
  /** Copies in memory of entries with a tag may be outdated: another version of it was seen. */
  forgetCopies(tag: string): void
  /** Everything was removed from the store, and the clock with it. */
  forgetClock(): void
}
