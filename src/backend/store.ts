import type { KnownStart, UNCHANGED } from './known-entries.js'
import type { KeyFault } from '../keys.js'
import type { MaybePromise } from '../maybe-promise.js'
import type { PayloadFormat } from '../payload-format.js'
import type { Unpacked } from '../serializer.js'
import type { ServerFigures } from '../server-stats.js'
import type { TagVersions } from '../tags.js'
import type { Deadline } from '../timeout.js'

/** One entry to write. */
export interface WriteEntry<Payload = Uint8Array> {
  readonly key: string
  readonly payload: Payload
  readonly expiresAtMs: Deadline
  /** Writes only if there is no live entry. */
  readonly ifAbsent?: boolean
  /**
   * Writes only if the live entry is exactly this payload or, together with `ifAbsent`, also if there is none
   * (compare and set).
   */
  readonly replacing?: Payload
}

/**
 * The result of a {@link WriteEntry}: stored; refused by its condition; too large for the backend; not taken by a
 * store that answers, mostly since it is full; or lost because a part of the store failed. If no entry of a call can
 * be written, the call rejects instead.
 */
export type WriteOutcome = 'stored' | 'refused' | 'too_large' | 'not_taken' | 'failed'

/**
 * A store of entries: seven required methods, and optional ones for what it does differently. It works with
 * stored keys, payloads and deadlines, and does not know timeouts, versions, values or tags. Methods may
 * return their results directly or as promises.
 *
 * @typeParam Payload - What is stored for a value: bytes, unless `packValue` and `unpackPayload` are there.
 */
export interface CacheStore<Payload = Uint8Array> {
  /** Reads the payloads of the live entries, in the order of the keys; `undefined` for a miss. */
  readEntries(keys: readonly string[]): MaybePromise<readonly (Payload | undefined)[]>
  /**
   * Writes entries, each with its own deadline (always in the future) and condition, and returns the outcome
   * of each. Conditions are atomic, also against other processes that share the store.
   */
  writeEntries(entries: readonly WriteEntry<Payload>[]): MaybePromise<readonly WriteOutcome[]>
  /** Removes entries, also those that have expired and still lie there; `true` for each that was live. */
  removeEntries(keys: readonly string[]): MaybePromise<readonly boolean[]>
  /**
   * Gives a live entry a new deadline (always in the future); `false` if there is no live entry. Atomic.
   */
  touchEntry(key: string, expiresAtMs: Deadline): MaybePromise<boolean>
  /**
   * Adds to a live entry that is a raw whole number (see `readInteger`, `addIntegers`), and keeps its
   * deadline. Atomic.
   *
   * @returns The new number; `undefined` if there is no live entry; `null` if it is not a raw whole number.
   */
  incrementEntry(key: string, delta: number): MaybePromise<number | null | undefined>
  /** Returns the deadline of a live entry; `undefined` if there is none. */
  readDeadline(key: string): MaybePromise<Deadline | undefined>
  /** Removes everything this cache could have written. */
  removeAll(): MaybePromise<void>

  /** Returns the deadlines of several entries. Default: one by one. */
  readDeadlines?(keys: readonly string[]): MaybePromise<readonly (Deadline | undefined)[]>
  /** Closes connections and stops timers. The next call opens them again. Default: nothing. */
  disconnect?(): MaybePromise<void>
  /**
   * Returns what the store reports about itself, for `caches.serverStats()`: a few round trips, whatever its
   * size. Default: nothing.
   */
  readServerStats?(): MaybePromise<ServerFigures | undefined>
  /**
   * Returns the size of a payload in bytes; `undefined`: unknown. Default: the size of bytes and texts.
   */
  sizeOfPayload?(payload: Payload): number | undefined
  /** Handles a stored key that is not portable. Default: warns once per kind of fault. */
  onKeyFaults?(storedKey: string, faults: readonly KeyFault[]): void
  /**
   * Turns a checked value into what is stored. Default: `pack`, with `options.types`; without the default,
   * that option is refused.
   */
  packValue?(value: unknown, tags: TagVersions | undefined): Payload
  /**
   * Turns what is stored back into a value. Default: `unpack`. @throws Error: the payload is damaged.
   */
  unpackPayload?(payload: Payload): Unpacked
  /**
   * Whether a failure means that the store cannot be reached or does not work, as opposed to an error that a
   * live store answers. Only an outage makes further calls fail at once for a while. Default: every failure
   * but a `CacheBackendError`.
   */
  isOutage?(error: unknown): boolean
}

/** What a keeper of copies hears about entries. */
export interface ChangeListener {
  /** From now on every change is reported. What was kept until now may be outdated. */
  up(): void
  /** From now on changes may go untold. */
  down(): void
  /** Entries, or counters of tags, were written or removed. */
  changed(storedKeys: readonly string[]): void
  /** Anything may have changed. */
  changedAll(): void
}

/** An entry past its deadline. */
export interface ExpiredEntry<Payload = unknown> {
  readonly payload: Payload
  /** Milliseconds since the epoch. */
  readonly expiresAtMs: number
}

/** What a store of this package may do besides. */
export interface OwnStore<Payload> extends CacheStore<Payload> {
  /** As {@link writeEntries}, of one entry. Default: that. */
  writeEntry?(entry: WriteEntry<Payload>): MaybePromise<WriteOutcome>
  /** As {@link sizeOfPayload}, as far as nothing has to be counted for it. Default: that. */
  knownSizeOf?(payload: Payload): number | undefined
  /** Compresses what is written and inflates what is read, where that is not done by packing. */
  readonly format?: PayloadFormat | undefined
  /**
   * While its client library is loaded and connects for the first time: settles, and never rejects. The time limit of a
   * call that comes meanwhile begins afterwards.
   */
  readonly starting?: Promise<void> | undefined
  /** Whether what {@link readCopies} gives may be older than what was last written, as from a replica. */
  readonly readsMayLag?: boolean
  /** Whether reads are answered while writes wait, as on other connections of a pool. */
  readonly readsPassWrites?: boolean
  /** Whether it forgets what it is given, so that nothing is missing from it. */
  readonly keepsNothing?: boolean
  /** Whether keys live on several servers, of which one may be down while the others answer. */
  readonly isPartitioned?: boolean
  /**
   * Reads entries for a look-up, and the counters of tags behind them, as `readEntries` does. A store with
   * copies that lag may take the entries from one, but never the counters: what was invalidated would come
   * back. Default: `readEntries`.
   *
   * @param known - What is known of the entry under a key: if it is still the same, `UNCHANGED` may be given.
   */
  readCopies?(
    keys: readonly string[],
    counterKeys: readonly string[],
    known?: (key: string) => KnownStart | undefined,
  ): MaybePromise<readonly (Payload | typeof UNCHANGED | undefined)[]>
  /**
   * As {@link readCopies}, where the answer lies among others.
   *
   * @param use - Called with all of them, of which those asked for begin at a place.
   */
  readAmong?<T>(
    keys: readonly string[],
    use: (payloads: readonly (Payload | null | undefined)[], at: number) => MaybePromise<T>,
  ): MaybePromise<T>
  /**
   * Reports every change of an entry, by any process, if the store does that on its own.
   *
   * @returns A function that ends it. Afterwards nothing is reported.
   */
  watchChanges?: ((listener: ChangeListener) => () => MaybePromise<void>) | undefined
  /**
   * The stored keys of what this cache could have written, in parts and in no order; one may come twice, and one that
   * is written or removed meanwhile may come or not. Left out: the store cannot tell.
   */
  readonly listKeys?: (() => AsyncIterable<readonly string[]>) | undefined
  /**
   * What lies under a key and is past its deadline, where that is not removed at once. Left out: it is, or the store
   * cannot tell.
   */
  readonly readExpired?:
    ((key: string) => MaybePromise<ExpiredEntry<Payload> | undefined>) | undefined
  /**
   * Waits until an invalidation is as durable as the settings ask for.
   *
   * @throws CacheBackendError: it was carried out, and may be lost.
   */
  confirmInvalidation?(operation: string): MaybePromise<void>
}
