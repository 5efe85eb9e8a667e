import type { OwnStore, WriteEntry, WriteOutcome } from '../../backend/store.js'
import { writeEach } from '../../backend/write-each.js'
import { currentMs } from '../../current-time.js'
import { CacheBackendError } from '../../errors.js'
import { refuseKey, type KeyFault } from '../../keys.js'
import type { PayloadFormat } from '../../payload-format.js'
import type { Unpacked } from '../../serializer.js'
import { askEach, together, type ServerFigures } from '../../server-stats.js'
import type { TagVersions } from '../../tags.js'
import { toDeadline, type Deadline, type Timeout } from '../../timeout.js'
import { toBytes, type MemcachedEntries } from './entries.js'
import { MemcachedReplyError } from './faults.js'
import type { Payload } from './request.js'
import type { Servers } from './servers.js'

/** The entries of a ring of servers, asynchronously. */
export class MemcachedPrimitives implements OwnStore<Payload> {
  readonly #servers: Servers
  readonly #entries: MemcachedEntries
  readonly format: PayloadFormat
  readonly #timeout: Timeout

  /** @param timeout - Of what is found without a deadline of its own. */
  constructor(
    servers: Servers,
    entries: MemcachedEntries,
    format: PayloadFormat,
    timeout: Timeout,
  ) {
    this.#servers = servers
    this.#entries = entries
    this.format = format
    this.#timeout = timeout
  }

  get isPartitioned(): boolean {
    return this.#servers.all.length > 1
  }

  packValue(value: unknown, tags: TagVersions | undefined): Payload {
    const text = this.format.packText(value, tags)
    if (text === undefined) return this.format.pack(value, tags)
    return Buffer.byteLength(text) === text.length ? text : Buffer.from(text)
  }

  unpackPayload(payload: Payload): Unpacked {
    return this.format.unpack(toBytes(payload))
  }

  onKeyFaults(storedKey: string, faults: readonly KeyFault[]): void {
    refuseKey(storedKey, faults)
  }

  /** An answer of a server that is alive is no outage; nor is one server of several that is down. */
  isOutage(error: unknown): boolean {
    if (error instanceof CacheBackendError || isReply(error)) return false
    const { all } = this.#servers
    return all.length === 1 || all.every(({ isDown }) => isDown)
  }

  readEntries(keys: readonly string[]): Promise<(Uint8Array | undefined)[]> {
    return new Promise((resolve, reject) => {
      const payloads = new Array<Uint8Array | undefined>(keys.length)
      let left = keys.length
      if (left === 0) resolve(payloads)
      keys.forEach((key, i) => {
        this.#entries.read(key, (error, payload) => {
          if (error !== undefined) {
            reject(error)
            return
          }
          payloads[i] = payload
          if (--left === 0) resolve(payloads)
        })
      })
    })
  }

  writeEntry(entry: WriteEntry<Payload>): Promise<WriteOutcome> {
    return new Promise((resolve, reject) => {
      this.#entries.write(entry, resolve, reject)
    })
  }

  writeEntries(entries: readonly WriteEntry<Payload>[]): Promise<WriteOutcome[]> {
    return writeEach(entries, (...asked) => this.#entries.write(...asked), isReply)
  }

  async removeEntries(keys: readonly string[]): Promise<boolean[]> {
    return Promise.all(keys.map((key) => this.#entries.remove(key)))
  }

  async touchEntry(key: string, expiresAtMs: Deadline): Promise<boolean> {
    return this.#entries.touch(key, expiresAtMs)
  }

  async incrementEntry(key: string, delta: number): Promise<number | null | undefined> {
    return this.#entries.increment(key, delta)
  }

  async readDeadline(key: string): Promise<Deadline | undefined> {
    return this.#entries.deadline(key, toDeadline(this.#timeout, currentMs()))
  }

  async removeAll(): Promise<void> {
    await this.#entries.clear()
  }

  async readServerStats(): Promise<ServerFigures> {
    const asked = this.#servers.all.map((server) => ({
      name: server.name,
      ask: () => server.stats(),
    }))
    return together(await askEach(asked))
  }

  async disconnect(): Promise<void> {
    await this.#servers.close()
  }
}

/** What a server said, as opposed to what became of the connection. */
function isReply(error: unknown): boolean {
  return error instanceof MemcachedReplyError
}
