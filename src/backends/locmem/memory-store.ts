import type { WriteEntry } from '../../backend/store.js'
import { currentMs } from '../../current-time.js'
import { isExpired, type Deadline } from '../../timeout.js'
import { newEviction, type Eviction, type EvictionPolicy } from './eviction.js'
import { Invalidations } from './invalidations.js'
import { OwnedEntries, type MemoryEntry, type Turns } from './owned-entries.js'
import { sizeOf, type MemoryPayload } from './payload.js'
import { Removals } from './removals.js'

/** How much may be kept. */
export interface MemoryLimits {
  readonly maxEntries: number
  /** One in so many entries goes when it is full; 0: all. `undefined`: one goes for one that comes. */
  readonly cullFrequency: number | undefined
  /** Bytes of keys and values; `Infinity` for no limit. */
  readonly maxBytes: number
}

/** Entries that go in one call: by code that has not run before, they may take a hundredfold. */
const AT_ONCE = 125

/** Entries that stay where it would take too long to remove the others one by one. */
const KEPT = 1000

/** Entries that go with each later one, until as many are gone as should. */
const BY_AND_BY = 16

/**
 * Entries of one location, shared by every cache of that name in the process.
 *
 * No call takes longer the more is kept: what has to go goes in small steps, or is dropped as a whole.
 */
export class MemoryStore {
  readonly #owners = new Map<string, OwnedEntries>()
  /** The same, for what goes through all of them: a list is quicker. */
  readonly #homes: OwnedEntries[] = []
  readonly #turns: Turns = { turn: 0, latest: undefined }
  readonly #eviction: Eviction
  #size = 0
  #countsBytes = false
  /** Entries that are still to go since it was full. */
  #owed = 0
  /** How many caches keep their entries here. */
  caches = 0
  readonly invalidations = new Invalidations()
  readonly removals = new Removals()

  constructor(policy: EvictionPolicy) {
    this.#eviction = newEviction(policy)
  }

  /** What goes first. */
  get policy(): EvictionPolicy {
    return this.#eviction.policy
  }

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
    for (const { bytes: own } of this.#homes) bytes += own
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

  /** What caches with this key prefix keep. */
  ownerOf(keyPrefix: string): OwnedEntries {
    const known = this.#owners.get(keyPrefix)
    if (known !== undefined) return known
    const owner = new OwnedEntries(keyPrefix, this.#turns)
    owner.clear(this.#countsBytes)
    this.#owners.set(keyPrefix, owner)
    this.#homes.push(owner)
    return owner
  }

  /** The live entry of a key, which counts as used. What is dead goes. */
  get(owner: OwnedEntries, key: string): MemoryEntry | undefined {
    const entry = this.find(owner, key)
    return entry === undefined || !this.isLive(entry) ? undefined : entry
  }

  /** Whether an entry is live. Then it counts as used, and otherwise goes. */
  isLive(entry: MemoryEntry): boolean {
    if (isExpired(entry.expiresAtMs, currentMs()) || !this.isCurrent(entry)) {
      this.#remove(entry)
      return false
    }
    this.#eviction.used(entry)
    return true
  }

  /** Whether no tag of an entry was invalidated, unless softly. */
  isCurrent({ payload, list }: MemoryEntry): boolean {
    // Most have no tags, and this is the hot path.
    return typeof payload !== 'object' || this.invalidations.isCurrent(list.home.owner, payload)
  }

  /**
   * The entry of a key, live or dead. Two key prefixes may come to the same stored key, and then it is the same
   * entry.
   */
  find(owner: OwnedEntries, key: string): MemoryEntry | undefined {
    const own = owner.get(key)
    return own !== undefined || owner.size === this.#size ? own : this.#findElsewhere(key)
  }

  #findElsewhere(key: string): MemoryEntry | undefined {
    for (const owner of this.#homes) {
      const entry = owner.get(key)
      if (entry !== undefined) return entry
    }
    return undefined
  }

  /**
   * Stores a value, which counts as a use of its key.
   *
   * @param before - What {@link find} found.
   * @returns `false` if it alone is larger than everything may be.
   */
  set(
    owner: OwnedEntries,
    { key, payload, expiresAtMs }: WriteEntry<MemoryPayload>,
    before: MemoryEntry | undefined,
    limits: MemoryLimits,
  ): boolean {
    const bytes = limits.maxBytes === Infinity ? 0 : sizeOf(key, payload)
    if (bytes > limits.maxBytes) return false
    if (before !== undefined) {
      const more = bytes === 0 ? 0 : bytes - sizeOf(key, before.payload)
      if (before.list.home === owner && this.#hasRoomFor(more, limits)) {
        owner.rewrite(before, payload, expiresAtMs)
        this.#eviction.used(before)
        return true
      }
      before.list.home.remove(before)
      this.#size--
    }
    if (bytes > 0) this.#makeRoomFor(bytes, limits)
    if (before === undefined) this.#cull(limits)
    owner.add(this.#eviction.listFor(owner, key), key, payload, expiresAtMs)
    this.#size++
    return true
  }

  /** Gives an entry another deadline. */
  expireAt(entry: MemoryEntry, expiresAtMs: Deadline): void {
    entry.list.home.expireAt(entry, expiresAtMs)
  }

  /** @returns Whether there was one, and live. */
  delete(owner: OwnedEntries, key: string): boolean {
    const entry = this.get(owner, key)
    if (entry !== undefined) this.#remove(entry)
    return entry !== undefined
  }

  #remove(entry: MemoryEntry): void {
    entry.list.home.remove(entry)
    this.#haveGone(1)
  }

  /** Whatever goes counts towards what should. */
  #haveGone(count: number): void {
    this.#size -= count
    this.#owed = Math.max(0, this.#owed - count)
  }

  /** Removes the entries that caches with this key prefix wrote. */
  clear(owner: OwnedEntries): void {
    this.removals.noteAll()
    this.#haveGone(owner.size)
    owner.clear(this.#countsBytes)
  }

  /** Removes an entry for a caller. @returns Whether it was live. */
  remove(owner: OwnedEntries, key: string): boolean {
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
    const culled = cullFrequency === undefined ? least : Math.floor(size / cullFrequency)
    this.#owed = Math.max(culled, least)
    this.#drop(Math.min(this.#owed, AT_ONCE))
  }

  #hasRoomFor(bytes: number, { maxBytes }: MemoryLimits): boolean {
    return maxBytes === Infinity || this.#countBytes() + bytes <= maxBytes
  }

  #makeRoomFor(bytes: number, limits: MemoryLimits): void {
    for (let i = 0; i < AT_ONCE; i++) {
      if (this.#hasRoomFor(bytes, limits) || this.#drop(1) === 0) return
    }
    if (!this.#hasRoomFor(bytes, limits)) this.#keepNewest(KEPT, limits.maxBytes - bytes)
  }

  /**
   * Removes so many entries, if there are: expired ones before live ones, then those that the policy
   * chooses.
   *
   * @returns How many.
   */
  #drop(count: number): number {
    let gone = this.#dropExpired(count)
    for (; gone < count; gone++) {
      const next = this.#eviction.next(this.#homes)
      if (next === undefined) break
      this.#remove(next)
    }
    return gone
  }

  #dropExpired(count: number): number {
    const nowMs = currentMs()
    let gone = 0
    for (const owner of this.#homes) {
      for (; gone < count; gone++) {
        const next = owner.expired(nowMs)
        if (next === undefined) break
        this.#remove(next)
      }
    }
    return gone
  }

  /**
   * Drops everything but the newest, of which it looks at no more than {@link KEPT}: first of what has
   * proven worth keeping, then of the others.
   *
   * @param maxBytes - Of those that stay.
   */
  #keepNewest(count: number, maxBytes = Infinity): void {
    const kept = this.#newest(count)
    for (const owner of this.#homes) this.clear(owner)
    let bytes = 0
    const fitting = kept.findIndex(({ key, payload }) => {
      bytes += maxBytes === Infinity ? 0 : sizeOf(key, payload)
      return bytes > maxBytes
    })
    const staying = fitting < 0 ? kept : kept.slice(0, fitting)
    for (const { isProven, home, key, payload, expiresAtMs } of staying.reverse()) {
      home.add(isProven ? home.proven : home.untried, key, payload, expiresAtMs)
      this.#size++
    }
  }

  /** Up to so many live entries, in the order in which they are worth keeping. */
  #newest(count: number): Kept[] {
    const nowMs = currentMs()
    const found: Kept[] = []
    let seen = 0
    for (const isProven of [true, false]) {
      const lists = this.#homes.map((home) => (isProven ? home.proven : home.untried))
      const next = lists.flatMap(({ newest }) => newest ?? [])
      for (; seen < KEPT && found.length < count && next.length > 0; seen++) {
        let at = 0
        next.forEach(({ turn }, j) => {
          if (turn > (next[at] as MemoryEntry).turn) at = j
        })
        const entry = next[at] as MemoryEntry
        const { key, payload, expiresAtMs, older } = entry
        if (!isExpired(expiresAtMs, nowMs)) {
          found.push({ isProven, home: entry.list.home, key, payload, expiresAtMs })
        }
        if (older === undefined) next.splice(at, 1)
        else next[at] = older
      }
    }
    return found
  }
}

/** What is kept of an entry where all others are dropped. */
interface Kept extends Pick<MemoryEntry, 'key' | 'payload' | 'expiresAtMs'> {
  readonly isProven: boolean
  readonly home: OwnedEntries
}
