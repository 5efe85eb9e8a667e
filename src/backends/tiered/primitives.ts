import type { OwnStore, WriteEntry, WriteOutcome } from '../../backend/store.js'
import type { KeyFault } from '../../keys.js'
import type { MaybePromise } from '../../maybe-promise.js'
import type { PayloadFormat } from '../../payload-format.js'
import type { Unpacked } from '../../serializer.js'
import type { ServerFigures } from '../../server-stats.js'
import type { TagVersions } from '../../tags.js'
import type { Deadline } from '../../timeout.js'
import type { NearMemory } from './near-memory.js'
import type { Remote } from './remote.js'

/** The entries of the remote cache: what is read decides about a write, and what is written counts there. */
export class TieredPrimitives implements OwnStore<unknown> {
  readonly #remote: Remote
  readonly #near: NearMemory
  readonly #closeLocal: () => Promise<void>

  constructor(remote: Remote, near: NearMemory, closeLocal: () => Promise<void>) {
    this.#remote = remote
    this.#near = near
    this.#closeLocal = closeLocal
  }

  readEntries(keys: readonly string[]): MaybePromise<readonly unknown[]> {
    return this.#remote.ask('get', ({ store }) => store.readEntries(keys))
  }

  writeEntries(entries: readonly WriteEntry<unknown>[]): MaybePromise<readonly WriteOutcome[]> {
    const keys = entries.map(({ key }) => key)
    return this.#near.change(keys, () =>
      this.#remote.ask('set', ({ store }) => store.writeEntries(entries)),
    )
  }

  removeEntries(keys: readonly string[]): MaybePromise<readonly boolean[]> {
    return this.#near.change(keys, () =>
      this.#remote.ask('delete', ({ store }) => store.removeEntries(keys)),
    )
  }

  touchEntry(key: string, expiresAtMs: Deadline): MaybePromise<boolean> {
    return this.#near.change([key], () =>
      this.#remote.ask('touch', ({ store }) => store.touchEntry(key, expiresAtMs)),
    )
  }

  incrementEntry(key: string, delta: number): MaybePromise<number | null | undefined> {
    return this.#near.change([key], () =>
      this.#remote.ask('incr', ({ store }) => store.incrementEntry(key, delta)),
    )
  }

  readDeadline(key: string): MaybePromise<Deadline | undefined> {
    return this.#remote.ask('get', ({ store }) => store.readDeadline(key))
  }

  removeAll(): MaybePromise<void> {
    return this.#near.change(null, () =>
      this.#remote.ask('clear', ({ store }) => store.removeAll()),
    )
  }

  get listKeys(): OwnStore<unknown>['listKeys'] {
    return this.#remote.core.store.listKeys
  }

  get readExpired(): OwnStore<unknown>['readExpired'] {
    return this.#remote.core.store.readExpired
  }

  get format(): PayloadFormat | undefined {
    return this.#remote.core.store.format
  }

  packValue(value: unknown, labels: TagVersions | undefined): unknown {
    return this.#remote.core.store.packValue(value, labels)
  }

  unpackPayload(payload: unknown): Unpacked {
    return this.#remote.core.store.unpackPayload(payload)
  }

  readServerStats(): MaybePromise<ServerFigures | undefined> {
    return this.#remote.ask('serverStats', ({ store }) => store.readServerStats())
  }

  sizeOfPayload(payload: unknown): number | undefined {
    return this.#remote.core.store.sizeOfPayload(payload)
  }

  onKeyFaults(storedKey: string, faults: readonly KeyFault[]): void {
    this.#remote.core.store.onKeyFaults(storedKey, faults)
  }

  confirmInvalidation(operation: string): MaybePromise<void> {
    return this.#remote.ask(operation, ({ store }) => store.confirmInvalidation(operation))
  }

  async disconnect(): Promise<void> {
    await this.#near.close()
    await this.#remote.close()
    await this.#closeLocal()
  }
}
