import {
  addIntegers,
  Cache,
  isExpired,
  readInteger,
  type CacheSettings,
  type CacheStore,
  type Deadline,
  type WriteEntry,
  type WriteOutcome,
} from '../../src/index.js'

interface Entry {
  payload: Uint8Array
  expiresAtMs: Deadline
  readonly owner: string
}

const shared = new Map<string, Map<string, Entry>>()

// Taken before a test fakes the timers: the store answers late by real turns of the event loop.
const { setImmediate: nextTurn, setTimeout: later } = globalThis

/**
 * A cache that never answers at once, as one behind a network: bytes in a `Map`, each round trip
 * taking effect in one turn of the event loop and answered in a later one. Caches of one `location`
 * share their entries, as two processes would.
 */
export class AsyncTestCache extends Cache implements CacheStore {
  /** Round trips that only read, however many keys each had. */
  reads = 0
  /** Round trips that wrote, removed, touched or counted. */
  writes = 0
  /** Real milliseconds each way; 0: one turn of the event loop each way. */
  latencyMs = 0
  /** The store is down: every round trip rejects and nothing takes effect. */
  failing = false
  /** Most bytes of a payload. */
  maxPayloadBytes = Infinity

  #hanging = false
  #waiting: (() => void)[] = []
  readonly #entries: Map<string, Entry>

  /** @param server - With time limit and circuit, as the backends of servers have them. */
  constructor(settings: CacheSettings = {}, server = false) {
    super(settings, { options: [], server })
    const name = settings.location === undefined ? undefined : String(settings.location)
    this.#entries = (name === undefined ? undefined : shared.get(name)) ?? new Map<string, Entry>()
    if (name !== undefined) shared.set(name, this.#entries)
  }

  /** While true, round trips get no answer; set to false, those that wait go on. */
  get hanging(): boolean {
    return this.#hanging
  }

  set hanging(on: boolean) {
    this.#hanging = on
    if (on) return
    for (const goOn of this.#waiting.splice(0)) goOn()
  }

  /** Gives what waits for an answer none for ever, as on a connection that is dead; others get theirs. */
  lose(): void {
    this.#waiting = []
    this.#hanging = false
  }

  /** The stored keys, expired ones included. */
  get storedKeys(): string[] {
    return [...this.#entries.keys()]
  }

  /** Puts bytes under a stored key, as another program, or a fault, might. */
  plant(storedKey: string, payload: Uint8Array): void {
    this.#entries.set(storedKey, { payload, expiresAtMs: null, owner: this.settings.keyPrefix })
  }

  async readEntries(keys: readonly string[]): Promise<(Uint8Array | undefined)[]> {
    this.reads++
    return this.#roundTrip(() =>
      keys.map((key) => {
        const entry = this.#live(key)
        return entry === undefined ? undefined : Uint8Array.from(entry.payload)
      }),
    )
  }

  async writeEntries(entries: readonly WriteEntry<Uint8Array>[]): Promise<WriteOutcome[]> {
    this.writes++
    return this.#roundTrip(() => entries.map((entry) => this.#write(entry)))
  }

  #write(entry: WriteEntry<Uint8Array>): WriteOutcome {
    const { key, payload, expiresAtMs, ifAbsent = false, replacing } = entry
    if (ifAbsent || replacing !== undefined) {
      const live = this.#live(key)
      const allowed =
        live === undefined
          ? ifAbsent
          : replacing !== undefined && Buffer.compare(live.payload, replacing) === 0
      if (!allowed) return 'refused'
    }
    if (payload.byteLength > this.maxPayloadBytes) return 'too_large'
    const owner = this.settings.keyPrefix
    this.#entries.set(key, { payload: Uint8Array.from(payload), expiresAtMs, owner })
    return 'stored'
  }

  async removeEntries(keys: readonly string[]): Promise<boolean[]> {
    this.writes++
    return this.#roundTrip(() =>
      keys.map((key) => this.#live(key) !== undefined && this.#entries.delete(key)),
    )
  }

  async touchEntry(key: string, expiresAtMs: Deadline): Promise<boolean> {
    this.writes++
    return this.#roundTrip(() => {
      const entry = this.#live(key)
      if (entry === undefined) return false
      entry.expiresAtMs = expiresAtMs
      return true
    })
  }

  async incrementEntry(key: string, delta: number): Promise<number | null | undefined> {
    this.writes++
    return this.#roundTrip(() => {
      const entry = this.#live(key)
      if (entry === undefined) return undefined
      const value = readInteger(entry.payload)
      if (value === undefined) return null
      const sum = addIntegers(value, delta)
      entry.payload = Buffer.from(String(sum))
      return sum
    })
  }

  async readDeadline(key: string): Promise<Deadline | undefined> {
    this.reads++
    return this.#roundTrip(() => this.#live(key)?.expiresAtMs)
  }

  async removeAll(): Promise<void> {
    this.writes++
    await this.#roundTrip(() => {
      for (const [key, { owner }] of this.#entries) {
        if (owner === this.settings.keyPrefix) this.#entries.delete(key)
      }
    })
  }

  #live(key: string): Entry | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined || !isExpired(entry.expiresAtMs, Date.now())) return entry
    this.#entries.delete(key)
    return undefined
  }

  async #roundTrip<T>(effect: () => T): Promise<T> {
    await this.#travel()
    if (this.#hanging) await new Promise<void>((goOn) => this.#waiting.push(goOn))
    if (this.failing) throw new Error('the test store is down')
    const answer = effect()
    await this.#travel()
    return answer
  }

  async #travel(): Promise<void> {
    await new Promise<void>((arrive) => {
      if (this.latencyMs > 0) later(arrive, this.latencyMs)
      else nextTurn(arrive)
    })
  }
}
