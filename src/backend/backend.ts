import { InvalidCacheBackendError } from '../errors.js'
import type { KeyFault } from '../keys.js'
import type { MaybePromise } from '../maybe-promise.js'
import type { Unpacked } from '../serializer.js'
import type { ServerFigures } from '../server-stats.js'
import {
  resolveSettings,
  type CacheSettings,
  type KnownSettings,
  type ResolvedSettings,
} from '../settings.js'
import type { TagVersions } from '../tags.js'
import type { Deadline } from '../timeout.js'
import { CacheCore, exposeCore, type Build } from './core.js'
import type { WriteEntry, WriteOutcome } from './store.js'

/** What a class that is its own store has to implement. */
const PRIMITIVES = [
  'readEntries',
  'writeEntries',
  'removeEntries',
  'touchEntry',
  'incrementEntry',
  'readDeadline',
  'removeAll',
] as const

/**
 * What a backend says of itself, and implements: seven methods, `readEntries` to `removeAll`, and of the
 * others what it does differently. It sees stored keys, payloads and deadlines, nothing else. Whatever other
 * members it has are its own: a cache has none that is not declared.
 *
 * @typeParam Payload - What the backend keeps for a value. Bytes, unless {@link packValue} and
 *   {@link unpackPayload} are implemented.
 */
export abstract class Backend<Payload = unknown> {
  /** The name this cache has in its `Caches`; empty for a cache in none. */
  readonly alias: string = ''

  /** Whether the store answers synchronously, so that templates can be rendered synchronously. */
  readonly answersAtOnce: boolean = false

  /**
   * Whether other processes read and write the same entries. Then what this process knows of its own
   * changes is not all that happened.
   */
  readonly isShared: boolean = true

  /** The settings with their defaults. */
  protected readonly settings: ResolvedSettings

  protected constructor(settings: CacheSettings, known: KnownSettings, build: Build | undefined) {
    const { name } = new.target
    this.settings = resolveSettings(name, settings, known)
    if (build === undefined) checkPrimitives(name, this)
    exposeCore(this, new CacheCore(this, this.settings, known.server === true, build))
  }

  /** Gives the payloads of the live entries, in the order asked, `undefined` for a miss. */
  protected readEntries?(keys: readonly string[]): MaybePromise<readonly (Payload | undefined)[]>

  /**
   * Writes entries, each with its own deadline (always in the future) and condition, and says what
   * became of each. Conditions are atomic, also against other processes that share the store.
   */
  protected writeEntries?(
    entries: readonly WriteEntry<Payload>[],
  ): MaybePromise<readonly WriteOutcome[]>

  /** Removes entries; `true` for each that was live. */
  protected removeEntries?(keys: readonly string[]): MaybePromise<readonly boolean[]>

  /** Gives a live entry a new deadline (always in the future); `false` if there is none. Atomic. */
  protected touchEntry?(key: string, expiresAtMs: Deadline): MaybePromise<boolean>

  /**
   * Adds to a live entry that is a raw whole number (see `readInteger`, `addIntegers`), keeping its
   * deadline. Atomic.
   *
   * @returns The new number; `undefined` if there is no live entry; `null` if it is no raw whole
   *   number.
   */
  protected incrementEntry?(key: string, delta: number): MaybePromise<number | null | undefined>

  /** The deadline of a live entry; `undefined` if there is none. */
  protected readDeadline?(key: string): MaybePromise<Deadline | undefined>

  /** Removes everything this cache could have written. */
  protected removeAll?(): MaybePromise<void>

  /** The deadlines of several entries. Default: one by one. */
  protected readDeadlines?(keys: readonly string[]): MaybePromise<readonly (Deadline | undefined)[]>

  /** Lets go of connections and timers. The next call opens them again. Default: nothing. */
  protected disconnect?(): MaybePromise<void>

  /**
   * What the store tells of itself, for `caches.serverStats()`: a few round trips, whatever it holds.
   * Default: nothing.
   */
  protected readServerStats?(): MaybePromise<ServerFigures | undefined>

  /** Bytes that are kept for a payload; `undefined`: not known. Default: of bytes and texts their own. */
  protected sizeOfPayload?(payload: Payload): number | undefined

  /** What to do about a stored key that is not portable. Default: warn once per kind of fault. */
  protected onKeyFaults?(storedKey: string, faults: readonly KeyFault[]): void

  /** Turns a checked value into what this backend keeps. Default: `pack`. */
  protected packValue?(value: unknown, tags: TagVersions | undefined): Payload

  /** Default: `unpack`. @throws Error: the payload is damaged. */
  protected unpackPayload?(payload: Payload): Unpacked

  /**
   * Whether a failure says that the store cannot be reached or does not work, as opposed to an
   * answer of a store that is alive. Only the former make calls fail at once for a while. Default: every
   * failure but a `CacheBackendError`.
   */
  protected isOutage?(error: unknown): boolean
}

function checkPrimitives(name: string, backend: object): void {
  const missing = PRIMITIVES.find((method) => !(method in backend))
  if (missing === undefined) return
  throw new InvalidCacheBackendError(
    `${name}: it has no method ${missing}; a backend implements ${PRIMITIVES.join(', ')}`,
  )
}
