import type { CacheCore } from '../../backend/core.js'
import type { OwnStore, WriteEntry, WriteOutcome } from '../../backend/store.js'
import { currentMs } from '../../current-time.js'
import { addIntegers, binaryFormat, type BinaryFormat, type Unpacked } from '../../serializer.js'
import type { ServerFigures } from '../../server-stats.js'
import type { TagVersions } from '../../tags.js'
import { isExpired, type Deadline } from '../../timeout.js'
import type { ValueTypes } from '../../value-types.js'
import type { MemoryLimits, MemoryStore } from './memory-store.js'
import type { MemoryEntry, OwnedEntries } from './owned-entries.js'
import {
  hitOf,
  isSerialized,
  sizeOfPayload,
  toPayload,
  untaggedOf,
  type MemoryPayload,
} from './payload.js'

/** What a making begins with: what lay under its key, and how much had been removed by then. */
export class MemoryClaim {
  constructor(
    readonly count: number,
    readonly lying: MemoryPayload | undefined,
  ) {}
}

function isMemoryClaim(replacing: unknown): replacing is MemoryClaim {
  return typeof replacing === 'object' && replacing !== null && 'lying' in replacing
}

/** The entries that caches of one location and key prefix share, within the limits of one of them. */
export class MemoryPrimitives implements OwnStore<MemoryPayload> {
  readonly memory: MemoryStore
  readonly #limits: MemoryLimits
  readonly #owner: OwnedEntries
  #values: BinaryFormat

  constructor(
    memory: MemoryStore,
    { settings, types }: Pick<CacheCore, 'settings' | 'types'>,
    limits: MemoryLimits,
  ) {
    this.memory = memory
    this.#limits = limits
    this.#owner = memory.ownerOf(settings.keyPrefix)
    memory.caches++
    this.#values = binaryFormat(types)
    if (limits.maxBytes !== Infinity) memory.countBytes()
  }

  /** How values that could be changed from outside are kept. */
  get values(): BinaryFormat {
    return this.#values
  }

  /** Takes the types of the cache whose copies are kept here. */
  takeTypes(types: ValueTypes): void {
    this.#values = binaryFormat(types)
  }

  /** The live entry of a key, which counts as used. */
  find(key: string): MemoryEntry | undefined {
    return this.memory.get(this.#owner, key)
  }

  /** Whether a key has a live entry, without using it. */
  has(key: string): boolean {
    const entry = this.memory.find(this.#owner, key)
    return (
      entry !== undefined &&
      !isExpired(entry.expiresAtMs, currentMs()) &&
      this.memory.isCurrent(entry)
    )
  }

  readEntries(keys: readonly string[]): (MemoryPayload | undefined)[] {
    return keys.map((key) => this.find(key)?.payload)
  }

  writeEntries(entries: readonly WriteEntry<MemoryPayload>[]): WriteOutcome[] {
    return entries.map((entry) => this.writeEntry(entry))
  }

  writeEntry(entry: WriteEntry<MemoryPayload>): WriteOutcome {
    const { key, ifAbsent = false, replacing } = entry
    let before = this.memory.find(this.#owner, key)
    if (ifAbsent || replacing !== undefined) {
      if (before !== undefined && !this.memory.isLive(before)) before = undefined
      if (!this.#isAllowed(key, before?.payload, ifAbsent, replacing)) return 'refused'
    }
    return this.memory.set(this.#owner, entry, before, this.#limits) ? 'stored' : 'too_large'
  }

  #isAllowed(
    key: string,
    kept: MemoryPayload | undefined,
    ifAbsent: boolean,
    replacing: unknown,
  ): boolean {
    const { removals } = this.memory
    if (isMemoryClaim(replacing)) {
      const isFree = kept === undefined && !removals.wasRemovedSince(key, replacing.count)
      return isFree || (kept !== undefined && kept === replacing.lying)
    }
    const isAllowed = kept === undefined ? ifAbsent : Object.is(kept, replacing)
    // Also once it has gone again, what was begun before it was changed must not take its place.
    if (isAllowed && kept !== undefined) removals.note(key)
    return isAllowed
  }

  removeEntries(keys: readonly string[]): boolean[] {
    return keys.map((key) => this.memory.remove(this.#owner, key))
  }

  touchEntry(key: string, expiresAtMs: Deadline): boolean {
    const entry = this.find(key)
    if (entry !== undefined) this.memory.expireAt(entry, expiresAtMs)
    return entry !== undefined
  }

  incrementEntry(key: string, delta: number): number | null | undefined {
    const entry = this.find(key)
    if (entry === undefined) return undefined
    if (!Number.isSafeInteger(entry.payload)) return null
    const sum = addIntegers(entry.payload as number, delta)
    entry.payload = sum
    return sum
  }

  readDeadline(key: string): Deadline | undefined {
    return this.find(key)?.expiresAtMs
  }

  async *listKeys(): AsyncGenerator<readonly string[]> {
    yield* this.#owner.keyParts()
  }

  removeAll(): void {
    this.memory.clear(this.#owner)
  }

  packValue(value: unknown, labels: TagVersions | undefined): MemoryPayload {
    return toPayload(value, labels, this.#values)
  }

  unpackPayload(payload: MemoryPayload): Unpacked {
    return hitOf(payload, this.#values)
  }

  sizeOfPayload(payload: MemoryPayload): number {
    return sizeOfPayload(payload)
  }

  knownSizeOf(payload: MemoryPayload): number | undefined {
    const kept = untaggedOf(payload)
    return isSerialized(kept) ? kept.bytes.byteLength : undefined
  }

  readServerStats(): ServerFigures {
    const { maxEntries, maxBytes } = this.#limits
    const { size, bytes } = this.memory
    return {
      scope: 'process',
      entries: size,
      maxEntries,
      ...(bytes === undefined ? undefined : { bytes }),
      ...(maxBytes === Infinity ? undefined : { maxBytes }),
    }
  }
}
