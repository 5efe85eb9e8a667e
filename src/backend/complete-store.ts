import { CacheBackendError } from '../errors.js'
import { warnOfKey, type KeyFault } from '../keys.js'
import { chain, isPromise, type MaybePromise } from '../maybe-promise.js'
import { pack, unpack, type Unpacked } from '../serializer.js'
import type { ServerFigures } from '../server-stats.js'
import type { TagVersions } from '../tags.js'
import type { Deadline } from '../timeout.js'
import type { ChangeListener, OwnStore, Store, WriteEntry, WriteOutcome } from './store.js'

/** A store with its defaults. */
export class CompleteStore {
  readonly #store: Store<unknown>
  readonly #own: Partial<OwnStore<unknown>>

  /** @param own - The same, if it is one of this package. In a user's, members of those names are nothing. */
  constructor(store: Store<unknown>, own: OwnStore<unknown> | undefined) {
    this.#store = store
    this.#own = own ?? {}
  }

  get readsMayLag(): boolean {
    return this.#own.readsMayLag === true
  }

  readEntries(keys: readonly string[]): MaybePromise<readonly unknown[]> {
    return this.#store.readEntries(keys)
  }

  readCopies(
    keys: readonly string[],
    counterKeys: readonly string[],
  ): MaybePromise<readonly unknown[]> {
    if (this.#own.readCopies !== undefined) return this.#own.readCopies(keys, counterKeys)
    return this.#store.readEntries(counterKeys.length === 0 ? keys : [...keys, ...counterKeys])
  }

  readAmong<T>(
    keys: readonly string[],
    use: (payloads: readonly unknown[], at: number) => MaybePromise<T>,
  ): MaybePromise<T> {
    if (this.#own.readAmong !== undefined) return this.#own.readAmong(keys, use)
    return chain(this.#store.readEntries(keys), (payloads) => use(payloads, 0))
  }

  writeEntries(entries: readonly WriteEntry<unknown>[]): MaybePromise<readonly WriteOutcome[]> {
    return this.#store.writeEntries(entries)
  }

  removeEntries(keys: readonly string[]): MaybePromise<readonly boolean[]> {
    return this.#store.removeEntries(keys)
  }

  touchEntry(key: string, expiresAtMs: Deadline): MaybePromise<boolean> {
    return this.#store.touchEntry(key, expiresAtMs)
  }

  incrementEntry(key: string, delta: number): MaybePromise<number | null | undefined> {
    return this.#store.incrementEntry(key, delta)
  }

  readDeadline(key: string): MaybePromise<Deadline | undefined> {
    return this.#store.readDeadline(key)
  }

  readDeadlines(keys: readonly string[]): MaybePromise<readonly (Deadline | undefined)[]> {
    if (this.#store.readDeadlines !== undefined) return this.#store.readDeadlines(keys)
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
    return this.#store.disconnect?.()
  }

  readServerStats(): MaybePromise<ServerFigures | undefined> {
    return this.#store.readServerStats?.()
  }

  sizeOfPayload(payload: unknown): number | undefined {
    if (this.#store.sizeOfPayload !== undefined) return this.#store.sizeOfPayload(payload)
    if (typeof payload === 'string') return Buffer.byteLength(payload)
    return payload instanceof Uint8Array ? payload.byteLength : undefined
  }

  onKeyFaults(storedKey: string, faults: readonly KeyFault[]): void {
    if (this.#store.onKeyFaults === undefined) warnOfKey(storedKey, faults)
    else this.#store.onKeyFaults(storedKey, faults)
  }

  packValue(value: unknown, tags: TagVersions | undefined): unknown {
    return this.#store.packValue === undefined
      ? pack(value, tags)
      : this.#store.packValue(value, tags)
  }

  unpackPayload(payload: unknown): Unpacked {
    return this.#store.unpackPayload === undefined
      ? unpack(payload as Uint8Array)
      : this.#store.unpackPayload(payload)
  }

  isOutage(error: unknown): boolean {
    return this.#store.isOutage?.(error) ?? !(error instanceof CacheBackendError)
  }

  get tellsOfChanges(): boolean {
    return this.#own.watchChanges !== undefined
  }

  watchChanges(listener: ChangeListener): () => MaybePromise<void> {
    if (this.#own.watchChanges !== undefined) return this.#own.watchChanges(listener)
    listener.down()
    return () => undefined
  }

  confirmInvalidation(operation: string): MaybePromise<void> {
    return this.#own.confirmInvalidation?.(operation)
  }
}
