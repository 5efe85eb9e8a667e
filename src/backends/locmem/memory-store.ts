import { isExpired, type Deadline } from '../../timeout.js'
import { Invalidations } from './invalidations.js'
import { OwnedEntries, type MemoryEntry, type Turns } from './owned-entries.js'
import type { Limits } from '../limits.js'
import { sizeOf, type MemoryPayload } from './payload.js'
import { Removals } from './removals.js'

/** How much may be kept. */
export interface MemoryLimits extends Limits {
  /** Bytes of keys and values; `Infinity` for no limit. */
  readonly maxBytes: number
}

/** Entries that go in one call: by code that has not run before, they may take a hundredfold. */
const AT_ONCE = 125

/** Entries that stay where it would take too long to remove the others one by one. */
const KEPT = 1000

/** Entries that go with each later one, until as many are gone as should. */
const BY_AND_BY = 16

/** The entries that caches with one key prefix wrote. They are others after each `clear`. */
export interface Owner {
  entries: OwnedEntries
}

/**
 * Entries of one location, shared by every cache of that name in the process.
 *
 * No call takes longer the more is kept: what has to go goes in small steps, or is dropped as a whole.
 */
export class MemoryStore {
  readonly #owners = new Map<string, Owner>()
  readonly #turns: Turns = { turn: 0, latest: undefined }
  #size = 0
  #countsBytes = false
  /** Entries that are still to go since it was full. */
  #owed = 0
  readonly invalidations = new Invalidations()
  readonly removals = new Removals()

  /** How many entries are kept, expired ones included. */
  get size(): number {
    return this.#size
  }

  /** Bytes of keys and values; only known while something limits them. */
  get bytes(): number | undefined {
    return this.#countsBytes ? this.#countBytes() : undefined
  }

  #countBytes(): number {
    let bytes = 0
    for (const { entries } of this.#owners.values()) bytes += entries.bytes
    return bytes
  }

  /**
   * From now on bytes are counted. Of many entries that nobody has counted yet, only the most
   * recently used stay.
   */
  countBytes(): void {
    if (this.#countsBytes) return
    this.#countsBytes = true
    this.#keepNewest(KEPT)
  }

  /** What caches with this key prefix are known by. */
  ownerOf(keyPrefix: string): Owner {
    const known = this.#owners.get(keyPrefix)
    if (known !== undefined) return known
    const owner = { entries: this.#newEntries(keyPrefix) }
    this.#owners.set(keyPrefix, owner)
    return owner
  }

  #newEntries(keyPrefix: string): OwnedEntries {
    return new OwnedEntries(keyPrefix, this.#turns, this.#countsBytes)
  }

  /** The live entry of a key, which counts as used. What is dead goes. */
  get(owner: Owner, key: string): MemoryEntry | undefined {
    const entry = this.#find(owner, key)
    if (entry === undefined) return undefined
    if (isExpired(entry.expiresAtMs, Date.now()) || !this.#isCurrent(entry)) {
      this.#remove(entry)
      return undefined
    }
    entry.home.use(entry)
    return entry
  }

  #isCurrent({ payload, home }: MemoryEntry): boolean {
    // Most have no tags, and this is the hot path.
    return typeof payload !== 'object' || this.invalidations.isCurrent(home.owner, payload)
  }

  /** Two key prefixes may come to the same stored key, and then it is the same entry. */
  #find({ entries }: Owner, key: string): MemoryEntry | undefined {
    const own = entries.get(key)
    return own !== undefined || entries.size === this.#size ? own : this.#findElsewhere(key)
  }

  #findElsewhere(key: string): MemoryEntry | undefined {
    for (const { entries } of this.#owners.values()) {
      const entry = entries.get(key)
      if (entry !== undefined) return entry
    }
    return undefined
  }

  /**
   * Stores a value, as the most recently used.
   *
   * @returns `false` if it alone is larger than everything may be.
   */
  set(
    owner: Owner,
    key: string,
    payload: MemoryPayload,
    expiresAtMs: Deadline,
    limits: MemoryLimits,
  ): boolean {
    const bytes = limits.maxBytes === Infinity ? 0 : sizeOf(key, payload)
    if (bytes > limits.maxBytes) return false
    const before = this.#find(owner, key)
    if (before !== undefined) {
      before.home.remove(before)
      this.#size--
    }
    if (bytes > 0) this.#makeRoomFor(bytes, limits)
    if (before === undefined) this.#cull(limits)
    owner.entries.add(key, payload, expiresAtMs)
    this.#size++
    return true
  }

  /** Gives an entry another deadline. */
  expireAt(entry: MemoryEntry, expiresAtMs: Deadline): void {
    entry.home.expireAt(entry, expiresAtMs)
  }

  /** @returns Whether there was one, and live. */
  delete(owner: Owner, key: string): boolean {
    const entry = this.get(owner, key)
    if (entry !== undefined) this.#remove(entry)
    return entry !== undefined
  }

  #remove(entry: MemoryEntry): void {
    entry.home.remove(entry)
    this.#haveGone(1)
  }

  /** Whatever goes counts towards what should. */
  #haveGone(count: number): void {
    this.#size -= count
    this.#owed = Math.max(0, this.#owed - count)
  }

  /** Removes the entries that caches with this key prefix wrote. */
  clear(owner: Owner): void {
    this.removals.noteAll()
    this.#haveGone(owner.entries.size)
    // Nothing is to hold what is dropped.
    if (this.#turns.latest === owner.entries) this.#turns.latest = undefined
    owner.entries = this.#newEntries(owner.entries.owner)
  }

  /** Removes an entry for a caller. @returns Whether it was live. */
  remove(owner: Owner, key: string): boolean {
    this.removals.note(key)
    return this.delete(owner, key)
  }

  #cull({ maxEntries, cullFrequency }: MemoryLimits): void {
    if (this.#size < maxEntries) {
      if (this.#owed > 0) this.#drop(Math.min(this.#owed, BY_AND_BY))
      return
    }
    this.#dropExpired(AT_ONCE)
    const size = this.#size
    if (size < maxEntries) return
    // Where a neighbour keeps more, enough must go for this cache's own limit.
    const least = size - maxEntries + 1
    if (cullFrequency === 0 || least > AT_ONCE) {
      this.#keepNewest(cullFrequency === 0 ? 0 : Math.min(maxEntries - 1, KEPT))
      return
    }
    this.#owed = Math.max(Math.floor(size / cullFrequency), least)
    this.#drop(Math.min(this.#owed, AT_ONCE))
  }

  #makeRoomFor(bytes: number, { maxBytes }: MemoryLimits): void {
    const fits = () => this.#countBytes() + bytes <= maxBytes
    if (fits()) return
    for (let i = 0; i < AT_ONCE; i++) {
      if (this.#drop(1) === 0 || fits()) return
    }
    this.#keepNewest(KEPT, maxBytes - bytes)
  }

  /**
   * Removes so many entries, if there are: expired ones before live ones, then the least recently
   * used first.
   *
   * @returns How many.
   */
  #drop(count: number): number {
    let gone = this.#dropExpired(count)
    for (; gone < count; gone++) {
      const oldest = this.#leastRecentlyUsed()
      if (oldest === undefined) break
      this.#remove(oldest)
    }
    return gone
  }

  #dropExpired(count: number): number {
    const nowMs = Date.now()
    let gone = 0
    for (const { entries } of this.#owners.values()) {
      for (; gone < count; gone++) {
        const next = entries.nextToExpire
        if (next === undefined || !isExpired(next.expiresAtMs, nowMs)) break
        this.#remove(next)
      }
    }
    return gone
  }

  #leastRecentlyUsed(): MemoryEntry | undefined {
    let found: MemoryEntry | undefined
    for (const { entries } of this.#owners.values()) {
      const { oldest } = entries
      if (oldest !== undefined && (found === undefined || oldest.turn < found.turn)) found = oldest
    }
    return found
  }

  /**
   * Drops everything but the most recently used, of which it looks at no more than {@link KEPT}.
   *
   * @param maxBytes - Of those that stay.
   */
  #keepNewest(count: number, maxBytes = Infinity): void {
    const kept = this.#newest(count)
    for (const owner of this.#owners.values()) this.clear(owner)
    let bytes = 0
    const fitting = kept.findIndex(({ key, payload }) => {
      bytes += maxBytes === Infinity ? 0 : sizeOf(key, payload)
      return bytes > maxBytes
    })
    const staying = fitting < 0 ? kept : kept.slice(0, fitting)
    for (const { home, key, payload, expiresAtMs } of staying.reverse()) {
      this.ownerOf(home.owner).entries.add(key, payload, expiresAtMs)
      this.#size++
    }
  }

  /** Up to so many live entries, the most recently used first. */
  #newest(count: number): MemoryEntry[] {
    const nowMs = Date.now()
    const found: MemoryEntry[] = []
    const next = [...this.#owners.values()].flatMap(({ entries }) => entries.newest ?? [])
    for (let i = 0; i < KEPT && found.length < count && next.length > 0; i++) {
      let at = 0
      next.forEach(({ turn }, j) => {
        if (turn > (next[at] as MemoryEntry).turn) at = j
      })
      const entry = next[at] as MemoryEntry
      if (!isExpired(entry.expiresAtMs, nowMs)) found.push(entry)
      if (entry.older === undefined) next.splice(at, 1)
      else next[at] = entry.older
    }
    return found
  }
}
