import { CacheBackendError, InvalidCacheBackendError, show } from '../errors.js'
import type { KnownStart } from './known-entries.js'
import { warnOfKey, type KeyFault } from '../keys.js'
import { chain, isPromise, type MaybePromise } from '../maybe-promise.js'
import type { PayloadFormat } from '../payload-format.js'
import {
  binaryFormat,
  packWith,
  unpackWith,
  type BinaryFormat,
  type Unpacked,
} from '../serializer.js'
import type { ServerFigures } from '../server-stats.js'
import type { TagVersions } from '../tags.js'
import type { Deadline } from '../timeout.js'
import type { ValueTypes } from '../value-types.js'
import type { OwnStore, CacheStore, WriteEntry, WriteOutcome } from './store.js'

const REQUIRED: readonly (keyof CacheStore)[] = [
  'readEntries',
  'writeEntries',
  'removeEntries',
  'touchEntry',
  'incrementEntry',
  'readDeadline',
  'removeAll',
]

/** @throws InvalidCacheBackendError: it has not all that a store must have. */
export function checkStore(backend: string, store: unknown): void {
  const has = (store ?? {}) as Partial<CacheStore>
  const missing = REQUIRED.find((method) => typeof has[method] !== 'function')
  if (missing === undefined) return
  throw new InvalidCacheBackendError(
    `${backend}: it has no method ${missing}; a backend implements ${REQUIRED.join(', ')}`,
  )
}

/** @throws InvalidCacheBackendError: there are types for values that the store itself packs. */
export function checkPacking(backend: string, store: unknown, types: ValueTypes): void {
  if (types.isEmpty || typeof (store as Partial<CacheStore>).packValue !== 'function') return
  throw new InvalidCacheBackendError(
    `${backend}: options.types: its packValue turns all values into what is kept by itself; leave the types out, or let packValue store such instances`,
  )
}

const OUTCOMES: ReadonlySet<unknown> = new Set<WriteOutcome>([
  'stored',
  'refused',
  'too_large',
  'not_taken',
  'failed',
])

/** What a store gives for each key or entry. */
interface Each<T> {
  readonly method: string
  readonly isOne: (one: unknown) => one is T
  readonly words: string
}

/** It goes far: into the reasons that a page states, and to who waits for another's entry. */
const OUTCOME: Each<WriteOutcome> = {
  method: 'writeEntries',
  isOne: (one): one is WriteOutcome => OUTCOMES.has(one),
  words: `one of ${[...OUTCOMES].join(', ')}`,
}

const REMOVED: Each<boolean> = {
  method: 'removeEntries',
  isOne: (one): one is boolean => typeof one === 'boolean',
  words: 'true or false',
}

/** @throws TypeError: it is not given for each, or is something else. */
function checkEach<T>(
  { method, isOne, words }: Each<T>,
  given: unknown,
  count: number,
): readonly T[] {
  if (Array.isArray(given) && given.length === count && given.every(isOne)) return given
  const said = Array.isArray(given) ? `[${given.map(show).join(', ')}]` : show(given)
  throw new TypeError(
    `${method} returned ${said} for ${count}; it returns a list with ${words} for each`,
  )
}

/** Tells those who wait that something was stored. */
function telling<T>(
  onStored: (() => void) | undefined,
  written: MaybePromise<T>,
  isStored: (given: T) => boolean,
): MaybePromise<T> {
  if (onStored === undefined) return written
  return chain(written, (given) => {
    if (isStored(given)) onStored()
    return given
  })
}

/**
 * A store with its defaults. A cache that is its own store may have a member of another kind that is named as
 * a method which it could have: only a function counts as that.
 */
export class CompleteStore {
  readonly #store: CacheStore<unknown>
  readonly #own: Partial<OwnStore<unknown>>
  readonly #isOurs: boolean
  readonly #values: BinaryFormat
  /** As {@link OwnStore.keepsNothing}. */
  readonly keepsNothing: boolean
  /** As {@link OwnStore.readsPassWrites}. */
  readonly readsPassWrites: boolean
  /** As {@link OwnStore.format}. */
  readonly format: PayloadFormat | undefined
  /** As {@link OwnStore.listKeys}. */
  readonly listKeys: OwnStore<unknown>['listKeys']
  /** As {@link OwnStore.readExpired}. */
  readonly readExpired: OwnStore<unknown>['readExpired']
  /** As {@link OwnStore.watchChanges}. */
  readonly watchChanges: OwnStore<unknown>['watchChanges']
  /** Called by each write that begins while it is here, once something was stored by it. */
  onStored: (() => void) | undefined

  /**
   * @param own - The same, if it is one of this package. In a user's, members of those names are nothing.
   * @param types - How instances are stored, where the store leaves packing to us.
   */
  constructor(store: CacheStore<unknown>, own: OwnStore<unknown> | undefined, types: ValueTypes) {
    this.#store = store
    this.#values = binaryFormat(types)
    this.#own = own ?? {}
    this.#isOurs = own !== undefined
    this.keepsNothing = own?.keepsNothing === true
    this.readsPassWrites = own?.readsPassWrites === true
    this.format = own?.format
    this.listKeys = own?.listKeys?.bind(own)
    this.readExpired = own?.readExpired?.bind(own)
    this.watchChanges = own?.watchChanges?.bind(own)
  }

  get starting(): Promise<void> | undefined {
    return this.#own.starting
  }

  get readsMayLag(): boolean {
    return this.#own.readsMayLag === true
  }

  get isPartitioned(): boolean {
    return this.#own.isPartitioned === true
  }

  readEntries(keys: readonly string[]): MaybePromise<readonly unknown[]> {
    return this.#inflated(this.#store.readEntries(keys))
  }

  readCopies(
    keys: readonly string[],
    counterKeys: readonly string[],
    known?: (key: string) => KnownStart | undefined,
  ): MaybePromise<readonly unknown[]> {
    if (this.#own.readCopies !== undefined) {
      return this.#inflated(this.#own.readCopies(keys, counterKeys, known))
    }
    return this.readEntries(counterKeys.length === 0 ? keys : [...keys, ...counterKeys])
  }

  readAmong<T>(
    keys: readonly string[],
    use: (payloads: readonly unknown[], at: number) => MaybePromise<T>,
  ): MaybePromise<T> {
    if (this.#own.readAmong === undefined) {
      return chain(this.readEntries(keys), (payloads) => use(payloads, 0))
    }
    const { format } = this
    if (format === undefined) return this.#own.readAmong(keys, use)
    return this.#own.readAmong(keys, (payloads, at) => {
      const pending = format.inflateLarge(payloads, at, keys.length)
      return pending === undefined ? use(payloads, at) : pending.then(() => use(payloads, at))
    })
  }

  /** Large values are inflated by other threads before anybody unpacks them. */
  #inflated(read: MaybePromise<readonly unknown[]>): MaybePromise<readonly unknown[]> {
    const { format } = this
    if (format === undefined) return read
    return chain(read, (payloads) => {
      const pending = format.inflateLarge(payloads, 0, payloads.length)
      return pending === undefined ? payloads : pending.then(() => payloads)
    })
  }

  writeEntry(entry: WriteEntry<unknown>): MaybePromise<WriteOutcome> {
    if (this.#own.writeEntry !== undefined) {
      return telling(this.onStored, this.#own.writeEntry(entry), (outcome) => outcome === 'stored')
    }
    return chain(this.writeEntries([entry]), ([outcome = 'failed']) => outcome)
  }

  writeEntries(entries: readonly WriteEntry<unknown>[]): MaybePromise<readonly WriteOutcome[]> {
    const { onStored } = this
    const given = this.#store.writeEntries(entries)
    const written = this.#isOurs
      ? given
      : chain(given, (outcomes) => checkEach(OUTCOME, outcomes, entries.length))
    return telling(onStored, written, (outcomes) => outcomes.includes('stored'))
  }

  removeEntries(keys: readonly string[]): MaybePromise<readonly boolean[]> {
    const removed = this.#store.removeEntries(keys)
    if (this.#isOurs) return removed
    return chain(removed, (given) => checkEach(REMOVED, given, keys.length))
  }

  touchEntry(key: string, expiresAtMs: Deadline): MaybePromise<boolean> {
    return this.#store.touchEntry(key, expiresAtMs)
  }

  incrementEntry(key: string, delta: number): MaybePromise<number | null | undefined> {
    return telling(
      this.onStored,
      this.#store.incrementEntry(key, delta),
      (sum) => typeof sum === 'number',
    )
  }

  readDeadline(key: string): MaybePromise<Deadline | undefined> {
    return this.#store.readDeadline(key)
  }

  readDeadlines(keys: readonly string[]): MaybePromise<readonly (Deadline | undefined)[]> {
    if (typeof this.#store.readDeadlines === 'function') return this.#store.readDeadlines(keys)
    const deadlines: (Deadline | undefined)[] = []
    const pending: Promise<void>[] = []
    keys.forEach((key, i) => {
      const read = chain(
        this.#store.readDeadline(key),
        (deadline) => void (deadlines[i] = deadline),
      )
      if (isPromise(read)) pending.push(read)
    })
    return pending.length === 0 ? deadlines : Promise.all(pending).then(() => deadlines)
  }

  removeAll(): MaybePromise<void> {
    return this.#store.removeAll()
  }

  disconnect(): MaybePromise<void> {
    return typeof this.#store.disconnect === 'function' ? this.#store.disconnect() : undefined
  }

  readServerStats(): MaybePromise<ServerFigures | undefined> {
    return typeof this.#store.readServerStats === 'function'
      ? this.#store.readServerStats()
      : undefined
  }

  sizeOfPayload(payload: unknown): number | undefined {
    if (typeof this.#store.sizeOfPayload === 'function') return this.#store.sizeOfPayload(payload)
    if (typeof payload === 'string') return Buffer.byteLength(payload)
    return payload instanceof Uint8Array ? payload.byteLength : undefined
  }

  knownSizeOf(payload: unknown): number | undefined {
    if (this.#own.knownSizeOf !== undefined) return this.#own.knownSizeOf(payload)
    return this.sizeOfPayload(payload)
  }

  onKeyFaults(storedKey: string, faults: readonly KeyFault[]): void {
    if (typeof this.#store.onKeyFaults === 'function') this.#store.onKeyFaults(storedKey, faults)
    else warnOfKey(storedKey, faults)
  }

  /** As {@link packValue}, for being written: compressed where the store does that and it pays. */
  packToWrite(value: unknown, tags: TagVersions | undefined): MaybePromise<unknown> {
    const payload = this.packValue(value, tags)
    return this.format === undefined ? payload : this.format.compress(payload)
  }

  packValue(value: unknown, tags: TagVersions | undefined): unknown {
    return typeof this.#store.packValue === 'function'
      ? this.#store.packValue(value, tags)
      : packWith(this.#values.write, value, tags)
  }

  unpackPayload(payload: unknown): Unpacked {
    return typeof this.#store.unpackPayload === 'function'
      ? this.#store.unpackPayload(payload)
      : unpackWith(this.#values.read, payload as Uint8Array)
  }

  isOutage(error: unknown): boolean {
    return typeof this.#store.isOutage === 'function'
      ? this.#store.isOutage(error)
      : !(error instanceof CacheBackendError)
  }

  confirmInvalidation(operation: string): MaybePromise<void> {
    return this.#own.confirmInvalidation?.(operation)
  }
}

/** A value as somebody else would read it from a store, free to be changed. */
export function ownCopyOf(store: CompleteStore, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  return store.unpackPayload(store.packValue(value, undefined)).value
}
