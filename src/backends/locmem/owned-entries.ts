import type { Deadline } from '../../timeout.js'
import { DeadlineHeap } from './deadline-heap.js'
import { KeyTable } from './key-table.js'
import { sizeOf, type MemoryPayload } from './payload.js'

/** What can tell an entry of local memory apart, and what is kept in it. */
export class MemoryEntry {
  /** Where it stands in the order of use, among the entries of its owner. */
  older: MemoryEntry | undefined = undefined
  newer: MemoryEntry | undefined = undefined
  /** Its place among the deadlines; -1: it has none. */
  deadlineAt = -1
  /** Orders it among the entries of other owners; see `OwnedEntries`. */
  turn = 0

  constructor(
    readonly home: OwnedEntries,
    readonly key: string,
    public payload: MemoryPayload,
    public expiresAtMs: Deadline,
  ) {}
}

/** Counts how often the use of a store went from one owner's entries to another's. */
export interface Turns {
  turn: number
  latest: OwnedEntries | undefined
}

/**
 * The entries that caches with one key prefix wrote, by key, by deadline and by use. They are
 * cleared by being dropped as a whole: nothing else refers to them.
 */
export class OwnedEntries {
  readonly #byKey = new KeyTable<MemoryEntry>()
  readonly #deadlines = new DeadlineHeap<MemoryEntry>()
  #size = 0
  #bytes = 0

  /** The most recently used. */
  newest: MemoryEntry | undefined
  /** The least recently used. */
  oldest: MemoryEntry | undefined

  /** @param owner - The key prefix. */
  constructor(
    readonly owner: string,
    private readonly turns: Turns,
    /** Whether sizes are added up. */
    readonly countsBytes: boolean,
  ) {}

  get size(): number {
    return this.#size
  }

  /** Bytes of keys and values, if they are counted. */
  get bytes(): number {
    return this.#bytes
  }

  /** What expires first. */
  get nextToExpire(): MemoryEntry | undefined {
    return this.#deadlines.first
  }

  get(key: string): MemoryEntry | undefined {
    return this.#byKey.get(key)
  }

  /** Adds an entry as the most recently used. There must be none of its key. */
  add(key: string, payload: MemoryPayload, expiresAtMs: Deadline): void {
    const entry = new MemoryEntry(this, key, payload, expiresAtMs)
    this.#byKey.set(key, entry)
    this.#deadlines.put(entry)
    this.#size++
    if (this.countsBytes) this.#bytes += sizeOf(key, payload)
    this.#append(entry)
  }

  remove(entry: MemoryEntry): void {
    this.#byKey.delete(entry.key)
    this.#deadlines.remove(entry)
    this.#size--
    if (this.countsBytes) this.#bytes -= sizeOf(entry.key, entry.payload)
    this.#unlink(entry)
  }

  /** Makes an entry the most recently used. */
  use(entry: MemoryEntry): void {
    if (entry === this.newest && this.turns.latest === this) return
    this.#unlink(entry)
    this.#append(entry)
  }

  expireAt(entry: MemoryEntry, expiresAtMs: Deadline): void {
    entry.expiresAtMs = expiresAtMs
    this.#deadlines.put(entry)
  }

  #append(entry: MemoryEntry): void {
    // While one owner's entries are used its own order says it all.
    if (this.turns.latest !== this) {
      this.turns.latest = this
      this.turns.turn++
    }
    entry.turn = this.turns.turn
    const before = this.newest
    entry.older = before
    if (before === undefined) this.oldest = entry
    else before.newer = entry
    this.newest = entry
  }

  #unlink(entry: MemoryEntry): void {
    const { older, newer } = entry
    if (older === undefined) this.oldest = newer
    else older.newer = newer
    if (newer === undefined) this.newest = older
    else newer.older = older
    entry.older = undefined
    entry.newer = undefined
  }
}
