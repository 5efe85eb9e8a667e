import {
  addIntegers,
  Cache,
  isExpired,
  readInteger,
  type CacheStore,
  type Deadline,
  type WriteEntry,
  type WriteOutcome,
} from '../../../src/index.js'

interface Entry {
  payload: Uint8Array
  expiresAtMs: Deadline
}

/** A cache that never answers at once, as one behind a network. */
export class FarCache extends Cache implements CacheStore {
  /** Round trips that only read, however many keys each had. */
  reads = 0
  /** The store is down. */
  isDown = false
  readonly #entries = new Map<string, Entry>()

  constructor() {
    super({}, { options: [] })
  }

  readEntries(keys: readonly string[]) {
    this.reads++
    return this.#answer(() => keys.map((key) => this.#live(key)?.payload))
  }

  writeEntries(entries: readonly WriteEntry<Uint8Array>[]) {
    return this.#answer(() => entries.map((entry) => this.#write(entry)))
  }

  #write({ key, payload, expiresAtMs, ifAbsent, replacing }: WriteEntry<Uint8Array>): WriteOutcome {
    if (ifAbsent === true || replacing !== undefined) {
      const live = this.#live(key)
      const isAllowed =
        live === undefined
          ? ifAbsent === true
          : replacing !== undefined && Buffer.compare(live.payload, replacing) === 0
      if (!isAllowed) return 'refused'
    }
    this.#entries.set(key, { payload, expiresAtMs })
    return 'stored'
  }

  removeEntries(keys: readonly string[]) {
    return this.#answer(() =>
      keys.map((key) => this.#live(key) !== undefined && this.#entries.delete(key)),
    )
  }

  touchEntry(key: string, expiresAtMs: Deadline) {
    return this.#answer(() => {
      const entry = this.#live(key)
      if (entry !== undefined) entry.expiresAtMs = expiresAtMs
      return entry !== undefined
    })
  }

  incrementEntry(key: string, delta: number) {
    return this.#answer(() => {
      const entry = this.#live(key)
      if (entry === undefined) return undefined
      const value = readInteger(entry.payload)
      if (value === undefined) return null
      const sum = addIntegers(value, delta)
      entry.payload = Buffer.from(String(sum))
      return sum
    })
  }

  readDeadline(key: string) {
    return this.#answer(() => this.#live(key)?.expiresAtMs)
  }

  removeAll() {
    return this.#answer(() => {
      this.#entries.clear()
    })
  }

  #live(key: string): Entry | undefined {
    const entry = this.#entries.get(key)
    return entry === undefined || isExpired(entry.expiresAtMs, Date.now()) ? undefined : entry
  }

  async #answer<T>(effect: () => T): Promise<T> {
    await new Promise<void>((arrive) => setImmediate(arrive))
    if (this.isDown) throw new Error('the store of the suite is down')
    return effect()
  }
}
