import { LRUCache } from 'lru-cache'
import { shortKey, type ShortKey } from '../bounded-memo.js'
import { Moments } from '../moments.js'
import type { Stamp } from '../stamp.js'
import { MAX_SOFT_HISTORY, type TagVersions } from '../tags.js'
import { isExpired, type Deadline } from '../timeout.js'
import { DeadlineHeap } from './deadline-heap.js'

/** A value that could be changed from outside, kept as bytes so that nobody can. */
export class Serialized {
  constructor(readonly bytes: Uint8Array) {}
}

/** A value with the tag versions it depends on. */
export class Tagged {
  /** The store's invalidation count when the tags were last checked. */
  checkedAt = -1
  /** When one of the tags was softly invalidated: milliseconds since the epoch. */
  softMs = Infinity

  constructor(
    readonly value: Untagged,
    readonly tags: TagVersions,
    /** The versions in the store this is a copy from, if it is one. */
    readonly origin?: TagVersions,
    readonly stamp?: Stamp,
  ) {}
}

export type Untagged = string | number | boolean | bigint | null | Serialized

/** What local memory keeps for a value: immutable values by reference, anything else as bytes. */
export type MemoryPayload = Untagged | Tagged

// By shape: one process may load two copies of this package, whose classes differ, over one store.

export function isTagged(payload: MemoryPayload): payload is Tagged {
  return typeof payload === 'object' && payload !== null && 'tags' in payload
}

export function isSerialized(payload: MemoryPayload): payload is Serialized {
  return typeof payload === 'object' && payload !== null && 'bytes' in payload
}

/** An entry in local memory. */
export interface MemoryEntry {
  payload: MemoryPayload
  expiresAtMs: Deadline
  /** The key prefix of the cache that wrote it: neighbours' `clear` and tags spare it. */
  readonly owner: string
}

/** How much may be kept. */
export interface Limits {
  readonly maxEntries: number
  /** Bytes of keys and values; `Infinity` for no limit. */
  readonly maxBytes: number
  /** One in so many live entries goes when it is full; 0: all. */
  readonly cullFrequency: number
}

interface SoftInvalidation {
  readonly count: number
  readonly atMs: number
}

/** Tags whose soft invalidations are remembered one by one. */
const MAX_SOFT = 10_000

/** Longer tags are kept as digests. */
const MAX_TAG_LENGTH = 64

/**
 * Entries of one location, shared by every cache of that name in the process.
 *
 * Tags cost no entries here: only the count of the latest invalidation of a tag is remembered, and
 * an entry is stored with the count at the time its versions were read. Where the oldest of these
 * memories are given up, what is older than them counts as invalidated.
 */
export class MemoryStore {
  // Bounded by each cache's own limits. With lru-cache's `max` it would take the memory of a full
  // table from the start: two gigabytes for a hundred million entries.
  readonly #entries = new LRUCache<string, MemoryEntry>({
    maxSize: Number.MAX_SAFE_INTEGER,
    sizeCalculation: () => 1,
  })
  #bytes: number | undefined
  readonly #deadlines = new DeadlineHeap()
  readonly #invalidations = new Moments()
  readonly #softInvalidations = new Map<ShortKey, readonly SoftInvalidation[]>()
  #forgottenSoftCount = 0
  #invalidationCount = 0

  /** How many entries are kept, expired ones included. */
  get size(): number {
    return this.#entries.size
  }

  /** Bytes of keys and values; only known while something limits them. */
  get bytes(): number | undefined {
    return this.#bytes
  }

  /** The live entry of a key, which counts as used. What is dead goes. */
  get(key: string): MemoryEntry | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    if (isExpired(entry.expiresAtMs, Date.now()) || !this.#isCurrent(entry)) {
      this.delete(key)
      return undefined
    }
    return entry
  }

  #isCurrent({ payload, owner }: MemoryEntry): boolean {
    if (!isTagged(payload) || payload.checkedAt === this.#invalidationCount) return true
    let softMs = Infinity
    for (const [tag, version] of payload.tags) {
      const own = ownTag(owner, tag)
      if (this.#invalidations.of(own) > Number(version)) return false
      const soft = this.#softHistory(own)
      if (soft === undefined) {
        if (this.#forgottenSoftCount > Number(version)) return false
        continue
      }
      // The first one since counts; where it may be one that is forgotten, the entry is gone.
      const at = soft.findIndex(({ count }) => count > Number(version))
      if (at === 0 && soft.length >= MAX_SOFT_HISTORY) return false
      softMs = Math.min(softMs, soft[at]?.atMs ?? Infinity)
    }
    payload.softMs = softMs
    payload.checkedAt = this.#invalidationCount
    return true
  }

  #softHistory(own: string): readonly SoftInvalidation[] | undefined {
    if (this.#softInvalidations.size === 0) return undefined
    return this.#softInvalidations.get(shortKey(own, MAX_TAG_LENGTH))
  }

  set(key: string, entry: MemoryEntry, limits: Limits): boolean {
    if (limits.maxBytes !== Infinity && !this.#makeRoom(key, entry, limits)) return false
    if (this.#entries.size >= limits.maxEntries && !this.#entries.has(key)) this.#cull(limits)
    if (this.#bytes !== undefined) this.#bytes += sizeOf(key, entry) - this.#sizeAt(key)
    this.#entries.set(key, entry)
    if (entry.expiresAtMs !== null) this.#watch(key, entry.expiresAtMs)
    return true
  }

  #watch(key: string, expiresAtMs: number): void {
    this.#deadlines.push(expiresAtMs, key)
    // Deadlines of what is gone hold its key.
    if (this.#deadlines.size <= 2 * this.#entries.size + 100) return
    this.#deadlines.rebuild(this.#allDeadlines())
  }

  *#allDeadlines(): Generator<[string, number]> {
    for (const [key, { expiresAtMs }] of this.#entries.entries()) {
      if (expiresAtMs !== null) yield [key, expiresAtMs]
    }
  }

  touch(key: string, expiresAtMs: Deadline): boolean {
    const entry = this.get(key)
    if (entry === undefined) return false
    entry.expiresAtMs = expiresAtMs
    if (expiresAtMs !== null) this.#watch(key, expiresAtMs)
    return true
  }

  delete(key: string): boolean {
    const entry = this.#entries.peek(key)
    if (entry === undefined) return false
    if (this.#bytes !== undefined) this.#bytes -= sizeOf(key, entry)
    return this.#entries.delete(key)
  }

  /** Removes the entries that caches with this key prefix wrote. */
  clear(owner: string): void {
    for (const [key, entry] of [...this.#entries.entries()]) {
      if (entry.owner === owner) this.delete(key)
    }
    this.#deadlines.rebuild(this.#allDeadlines())
  }

  /** The count to store with an entry whose producer starts now. */
  get invalidationCount(): number {
    return this.#invalidationCount
  }

  /**
   * Makes a miss of what caches with this key prefix stored with one of the tags.
   *
   * @param soft - Makes it stale instead.
   */
  invalidate(owner: string, tags: readonly string[], soft = false): void {
    const count = ++this.#invalidationCount
    for (const tag of tags) {
      const own = ownTag(owner, tag)
      if (soft) {
        const short = shortKey(own, MAX_TAG_LENGTH)
        const before = this.#softInvalidations.get(short) ?? []
        this.#softInvalidations.delete(short)
        const history = [...before, { count, atMs: Date.now() }].slice(-MAX_SOFT_HISTORY)
        this.#softInvalidations.set(short, history)
        continue
      }
      this.#invalidations.note(own, count)
    }
    for (const [tag, history] of this.#softInvalidations) {
      if (this.#softInvalidations.size <= MAX_SOFT) break
      this.#softInvalidations.delete(tag)
      this.#forgottenSoftCount = history.at(-1)?.count ?? this.#forgottenSoftCount
    }
  }

  /** Expired entries go before live ones. */
  #dropExpired(): void {
    const nowMs = Date.now()
    while (this.#deadlines.earliest <= nowMs) {
      const key = this.#deadlines.pop()
      if (key === undefined) return
      const entry = this.#entries.peek(key)
      if (entry !== undefined && isExpired(entry.expiresAtMs, nowMs)) this.delete(key)
    }
  }

  #cull({ maxEntries, cullFrequency }: Limits): void {
    this.#dropExpired()
    if (this.#entries.size < maxEntries) return
    if (cullFrequency === 0) {
      this.#entries.clear()
      this.#bytes = this.#bytes === undefined ? undefined : 0
      return
    }
    // At least one must go, and where a neighbour keeps more, enough for this cache's own limit.
    const size = this.#entries.size
    const count = Math.max(Math.floor(size / cullFrequency), size - maxEntries + 1)
    for (let i = 0; i < count; i++) this.#dropLeastRecentlyUsed()
  }

  #dropLeastRecentlyUsed(): boolean {
    if (this.#bytes === undefined) return this.#entries.pop() !== undefined
    const { value: key } = this.#entries.rkeys().next()
    return typeof key === 'string' && this.delete(key)
  }

  /** @returns `false` if the entry alone is larger than everything may be. */
  #makeRoom(key: string, entry: MemoryEntry, { maxBytes }: Limits): boolean {
    const size = sizeOf(key, entry)
    if (size > maxBytes) return false
    const bytes = () => (this.#bytes ??= this.#countBytes())
    const fits = () => bytes() - this.#sizeAt(key) + size <= maxBytes
    if (!fits()) this.#dropExpired()
    if (fits()) return true
    // What is replaced goes in any case, so it goes before others do.
    this.delete(key)
    while (!fits() && this.#dropLeastRecentlyUsed());
    return true
  }

  #sizeAt(key: string): number {
    const entry = this.#entries.peek(key)
    return entry === undefined ? 0 : sizeOf(key, entry)
  }

  #countBytes(): number {
    let bytes = 0
    for (const [key, entry] of this.#entries.entries()) bytes += sizeOf(key, entry)
    return bytes
  }
}

/** Bytes of the key and the value, not of what surrounds them. */
function sizeOf(key: string, { payload }: MemoryEntry): number {
  return Buffer.byteLength(key) + sizeOfPayload(payload)
}

/** Bytes of a value alone. */
export function sizeOfPayload(payload: MemoryPayload): number {
  return sizeOfValue(isTagged(payload) ? payload.value : payload)
}

function sizeOfValue(value: Untagged): number {
  if (typeof value === 'string') return Buffer.byteLength(value)
  return isSerialized(value) ? value.bytes.byteLength : 8
}

function ownTag(owner: string, tag: string): string {
  return `${owner}\0${tag}`
}
