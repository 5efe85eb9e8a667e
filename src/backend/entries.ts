import type { Stamp } from '../stamp.js'
import type { SeenVersions, TagVersions } from '../tags.js'
import type { Deadline } from '../timeout.js'

/** A live entry that was looked up. */
export interface Hit {
  readonly value: unknown
  /** The versions it was stored with; `undefined` without tags. */
  readonly tags: TagVersions | undefined
  /** Only of entries that may be served past their time, or are to be made again ahead of it. */
  readonly stamp?: Stamp | undefined
  /** Milliseconds since the epoch; `undefined`: it is fresh. Only told to who asks for stale ones. */
  readonly staleSinceMs?: number | undefined
  /**
   * Where the value itself is kept in memory: the same object for as long as the entry has this value,
   * and given up with it.
   */
  readonly entry?: object | undefined
}

/** What a look-up answers, in the order asked. */
export interface Lookup {
  readonly hits: readonly (Hit | undefined)[]
  /** The payloads under these keys, of whatever worth; `undefined`: nothing, or it was not looked. */
  readonly lying: readonly unknown[]
  /** The versions of the tags that were expected. */
  readonly seen: SeenVersions
  /** Whether the clock of invalidations was read together with them. */
  readonly withClock?: boolean
}

/** What is looked up. */
export interface LookupOptions {
  /** What is past its time is wanted too, as long as it was not invalidated. */
  readonly stale?: boolean
  /** What is missing is about to be made: how far the clock of invalidations is has to be known. */
  readonly toMake?: boolean
  /** No copy will do, neither of a replica nor of local memory. */
  readonly isCurrent?: boolean
}

/**
 * What lies under the key of something that is about to be made: what was found there past its time or
 * invalidated, else a claim. It is written by compare and set in place of that. So whoever removes or
 * replaces the entry meanwhile wins, as does a later one that was made in the meantime.
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
}

/** What is told to somebody who keeps copies of entries. */
export interface ChangeListener {
  /** From now on every change is told. What was kept until now may be outdated. */
  up(): void
  /** From now on changes may go untold. */
  down(): void
  /** Entries, or counters of tags, were written or removed. */
  changed(storedKeys: readonly string[]): void
  /** Anything may have changed. */
  changedAll(): void
}
