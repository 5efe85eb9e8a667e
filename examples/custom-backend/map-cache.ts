import { addIntegers, Cache, isExpired, readInteger } from 'fragcache'
import type { CacheSettings, CacheStore, Deadline, WriteEntry, WriteOutcome } from 'fragcache'

/** Where the entries live: several caches, with other key prefixes say, may share one. */
export type Store = Map<string, { payload: Uint8Array; expiresAtMs: Deadline; prefix: string }>

export interface MapCacheSettings extends CacheSettings {
  readonly options?: { readonly store?: Store }
}

/** A cache over a Map: what a backend of one's own has to do, and no more. */
export class MapCache extends Cache implements CacheStore {
  override readonly answersAtOnce = true
  readonly #store: Store

  constructor(settings: MapCacheSettings = {}) {
    super(settings, { options: ['store'] })
    this.#store = settings.options?.store ?? (new Map() as Store)
  }

  #live(key: string) {
    const entry = this.#store.get(key)
    return entry === undefined || isExpired(entry.expiresAtMs, Date.now()) ? undefined : entry
  }

  readEntries(keys: readonly string[]) {
    return keys.map((key) => this.#live(key)?.payload)
  }

  writeEntries(entries: readonly WriteEntry[]): WriteOutcome[] {
    return entries.map(({ key, payload, expiresAtMs, ifAbsent, replacing }) => {
      if (ifAbsent || replacing) {
        const live = this.#live(key)
        const allowed = live ? replacing && Buffer.compare(live.payload, replacing) === 0 : ifAbsent
        if (!allowed) return 'refused'
      }
      this.#store.set(key, { payload, expiresAtMs, prefix: this.settings.keyPrefix })
      return 'stored'
    })
  }

  removeEntries(keys: readonly string[]) {
    return keys.map((key) => this.#live(key) !== undefined && this.#store.delete(key))
  }

  touchEntry(key: string, expiresAtMs: Deadline) {
    const entry = this.#live(key)
    if (entry !== undefined) entry.expiresAtMs = expiresAtMs
    return entry !== undefined
  }

  incrementEntry(key: string, delta: number) {
    const entry = this.#live(key)
    if (entry === undefined) return undefined
    const value = readInteger(entry.payload)
    if (value === undefined) return null
    const sum = addIntegers(value, delta)
    entry.payload = Buffer.from(String(sum))
    return sum
  }

  readDeadline(key: string) {
    return this.#live(key)?.expiresAtMs
  }

  removeAll() {
    for (const [key, { prefix }] of this.#store) {
      if (prefix === this.settings.keyPrefix) this.#store.delete(key)
    }
  }
}
