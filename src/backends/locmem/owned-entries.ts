import type { Deadline } from '../../timeout.js'
import { DeadlineHeap } from './deadline-heap.js'
import { KeyTable } from './key-table.js'
import { sizeOf, type MemoryPayload } from './payload.js'

/** What can tell an entry of local memory apart, and what is kept in it. */
export class MemoryEntry {
  older: MemoryEntry | undefined = undefined
  newer: MemoryEntry | undefined = undefined
  /** Its place among the deadlines; -1: it has none. */
  deadlineAt = -1
  /** Orders it among the entries of other owners; see {@link EntryList}. */
  turn = 0
  /** How often it was used, as far as the policy counts. */
  uses = 0

  constructor(
    /** Where it is. */
    public list: EntryList,
    readonly key: string,
    public payload: MemoryPayload,
    public expiresAtMs: Deadline,
  ) {}
}

/** Counts how often what is appended goes to another list than what was appended before. */
export interface Turns {
  turn: number
  latest: EntryList | undefined
}

/**
 * Entries of one owner in the order in which they were appended. Which of two came first is also known
 * when they are in the lists of different owners: by their turns, as long as these count together.
 */
export class EntryList {
  /** Appended last. */
  newest: MemoryEntry | undefined
  /** Appended first. */
  oldest: MemoryEntry | undefined
  #size = 0

  constructor(
    readonly home: OwnedEntries,
    private readonly turns: Turns,
  ) {}

  get size(): number {
    return this.#size
  }

  /** Whether an entry is what was appended last to any of the lists that count together. */
  isLatest(entry: MemoryEntry): boolean {
    return entry === this.newest && this.turns.latest === this
  }

  /** Puts an entry that is in no list at the end of this one. */
  append(entry: MemoryEntry): void {
    // While entries of one owner are appended the order of this list says it all.
    if (this.turns.latest !== this) {
      this.turns.latest = this
      this.turns.turn++
    }
    entry.list = this
    entry.turn = this.turns.turn
    const before = this.newest
    entry.older = before
    if (before === undefined) this.oldest = entry
    else before.newer = entry
    this.newest = entry
    this.#size++
  }

  unlink(entry: MemoryEntry): void {
    const { older, newer } = entry
    if (older === undefined) this.oldest = newer
    else older.newer = newer
    if (newer === undefined) this.newest = older
    else newer.older = older
    entry.older = undefined
    entry.newer = undefined
    this.#size--
  }

  /** Nothing is to hold what is dropped as a whole. */
  drop(): void {
    if (this.turns.latest === this) this.turns.latest = undefined
  }
}

/**
 * The entries that caches with one key prefix wrote, by key, by deadline and in the order that the
 * policy keeps. They are cleared by being dropped as a whole: nothing else refers to them.
 */
export class OwnedEntries {
  #byKey = new KeyTable<MemoryEntry>()
  #deadlines = new DeadlineHeap<MemoryEntry>()
  #size = 0
  #bytes = 0
  #countsBytes = false

  /** Those that the policy knows to be worth keeping. */
  proven: EntryList
  /** Those of which it does not know that yet. */
  untried: EntryList

  /** @param owner - The key prefix. */
  constructor(
    readonly owner: string,
    private readonly turns: Turns,
  ) {
    this.proven = new EntryList(this, turns)
    this.untried = new EntryList(this, turns)
  }

  get size(): number {
    return this.#size
  }

  /** Bytes of keys and values, if they are counted. */
  get bytes(): number {
    return this.#bytes
  }

  /** As {@link DeadlineHeap.expired}. */
  expired(nowMs: number): MemoryEntry | undefined {
    return this.#deadlines.expired(nowMs)
  }

  /** As {@link KeyTable.parts}. */
  keyParts(): Generator<readonly string[]> {
    return this.#byKey.parts()
  }

  get(key: string): MemoryEntry | undefined {
    return this.#byKey.get(key)
  }

  /** Adds an entry at the end of one of the two lists. There must be none of its key. */
  add(list: EntryList, key: string, payload: MemoryPayload, expiresAtMs: Deadline): void {
    const entry = new MemoryEntry(list, key, payload, expiresAtMs)
    this.#byKey.set(key, entry)
    this.#deadlines.put(entry)
    this.#size++
    if (this.#countsBytes) this.#bytes += sizeOf(key, payload)
    list.append(entry)
  }

  /** Gives an entry another value and another deadline. */
  rewrite(entry: MemoryEntry, payload: MemoryPayload, expiresAtMs: Deadline): void {
    const { key, payload: before } = entry
    if (this.#countsBytes) this.#bytes += sizeOf(key, payload) - sizeOf(key, before)
    entry.payload = payload
    this.expireAt(entry, expiresAtMs)
  }

  remove(entry: MemoryEntry): void {
    this.#byKey.delete(entry.key)
    this.#deadlines.remove(entry)
    this.#size--
    if (this.#countsBytes) this.#bytes -= sizeOf(entry.key, entry.payload)
    entry.list.unlink(entry)
  }

  expireAt(entry: MemoryEntry, expiresAtMs: Deadline): void {
    entry.expiresAtMs = expiresAtMs
    this.#deadlines.put(entry)
  }

  /** @param countsBytes - Whether sizes are added up from now on. */
  clear(countsBytes: boolean): void {
    this.#byKey = new KeyTable()
    this.#deadlines = new DeadlineHeap()
    this.#size = 0
    this.#bytes = 0
    this.#countsBytes = countsBytes
    this.proven.drop()
    this.untried.drop()
    this.proven = new EntryList(this, this.turns)
    this.untried = new EntryList(this, this.turns)
  }
}
