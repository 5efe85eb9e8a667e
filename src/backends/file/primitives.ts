import type { ExpiredEntry, OwnStore, WriteEntry, WriteOutcome } from '../../backend/store.js'
import type { PayloadFormat } from '../../payload-format.js'
import { addIntegers, pack, readInteger, type Unpacked } from '../../serializer.js'
import type { ServerFigures } from '../../server-stats.js'
import type { TagVersions } from '../../tags.js'
import type { Deadline } from '../../timeout.js'
import { mapLimited } from './limit.js'
import type { FileStore } from './store.js'

/** Entries of one call that are worked on at a time. */
const BATCH = 16

/** The entries of a directory, several at a time. */
export class FilePrimitives implements OwnStore<Uint8Array> {
  readonly format: PayloadFormat
  readonly #files: FileStore
  readonly #maxEntries: number

  constructor(files: FileStore, maxEntries: number, format: PayloadFormat) {
    this.format = format
    this.#files = files
    this.#maxEntries = maxEntries
  }

  async readEntries(keys: readonly string[]): Promise<(Uint8Array | undefined)[]> {
    return mapLimited(keys, BATCH, async (key) => (await this.#files.read(key))?.payload)
  }

  async writeEntries(entries: readonly WriteEntry[]): Promise<WriteOutcome[]> {
    const failures: unknown[] = []
    // Two entries of one key keep their order.
    const isPlain = new Set(entries.map(({ key }) => key)).size === entries.length
    const outcomes = await mapLimited(entries, isPlain ? BATCH : 1, async (entry) => {
      try {
        return await this.#files.write(entry)
      } catch (error) {
        failures.push(error)
        return 'failed'
      }
    })
    if (failures.length > 0 && failures.length === entries.length) throw failures[0]
    return outcomes
  }

  async removeEntries(keys: readonly string[]): Promise<boolean[]> {
    return mapLimited(keys, BATCH, (key) => this.#files.remove(key))
  }

  async touchEntry(key: string, expiresAtMs: Deadline): Promise<boolean> {
    return this.#files.update(key, ({ payload }) => ({ payload, expiresAtMs }))
  }

  async incrementEntry(key: string, delta: number): Promise<number | null | undefined> {
    let sum: number | undefined
    let isOther = false
    const isDone = await this.#files.update(key, ({ payload, expiresAtMs }) => {
      const value = integerOf(payload)
      isOther = value === undefined
      if (value === undefined) return undefined
      sum = addIntegers(value, delta)
      return { payload: pack(sum), expiresAtMs }
    })
    if (isDone) return sum
    return isOther ? null : undefined
  }

  async readDeadline(key: string): Promise<Deadline | undefined> {
    return (await this.#files.read(key))?.expiresAtMs
  }

  async readExpired(key: string): Promise<ExpiredEntry<Uint8Array> | undefined> {
    const entry = await this.#files.readExpired(key)
    if (entry === undefined || entry.expiresAtMs === null) return undefined
    return { payload: entry.payload, expiresAtMs: entry.expiresAtMs }
  }

  async removeAll(): Promise<void> {
    await this.#files.clear()
  }

  listKeys(): AsyncIterable<readonly string[]> {
    return this.#files.keys()
  }

  async readServerStats(): Promise<ServerFigures> {
    return { scope: 'machine', ...(await this.#files.measure()), maxEntries: this.#maxEntries }
  }

  packValue(value: unknown, tags: TagVersions | undefined): Uint8Array {
    return this.format.pack(value, tags)
  }

  unpackPayload(payload: Uint8Array): Unpacked {
    return this.format.unpack(payload)
  }

  async disconnect(): Promise<void> {
    await this.#files.close()
  }
}

function integerOf(payload: Uint8Array): number | undefined {
  try {
    return readInteger(payload)
  } catch {
    return undefined
  }
}
