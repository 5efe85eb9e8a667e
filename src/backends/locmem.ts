import type { Beginning, Hit, Lookup, LookupOptions, WriteEntry, WriteOutcome } from '../backend.js'
import { judgeAge } from '../backend.js'
import { Cache } from '../cache.js'
import { InvalidCacheBackendError, show } from '../errors.js'
import { addIntegers, pack, unpack, type Unpacked } from '../serializer.js'
import { resolveCount, type CacheSettings } from '../settings.js'
import { splitLabels } from '../stamp.js'
import { NO_VERSIONS, type SeenVersions, type TagVersions } from '../tags.js'
import type { Deadline } from '../timeout.js'
import type { ServerFigures } from '../server-stats.js'
import {
  isSerialized,
  isTagged,
  Serialized,
  sizeOfPayload,
  Tagged,
  type MemoryEntry,
  type MemoryPayload,
  type Untagged,
} from './memory-entry.js'
import { MemoryStore, type Limits, type Owner } from './memory-store.js'

/** Options of {@link LocMemCache}. */
export interface LocMemOptions {
  /** Most entries it holds, never exceeded. Default 300. */
  readonly maxEntries?: number | undefined
  /**
   * When it is full and nothing has expired, one in so many entries goes, the least recently used
   * first. 0: all of them. Default 3.
   */
  readonly cullFrequency?: number | undefined
  /** Most bytes of keys and values together; the least recently used go. Default: no limit. */
  readonly maxBytes?: number | undefined
}

/** Settings of {@link LocMemCache}. */
export interface LocMemSettings extends CacheSettings {
  /** A name: caches of one name in a process share their entries. Default: a store of its own. */
  readonly location?: string | undefined
  readonly options?: LocMemOptions | undefined
}

/**
 * A cache in this process's memory. It answers at once, so that templates over it can be rendered
 * synchronously.
 *
 * @remarks Strings, numbers and other immutable values are kept by reference, anything else as a
 *   serialized copy. Each process has its own; other processes see nothing of it.
 * @see Django, "Local-memory caching"
 */
export class LocMemCache extends Cache<MemoryPayload> {
  override readonly answersAtOnce = true
  override readonly isShared = false
  readonly #store: MemoryStore
  readonly #limits: Limits
  readonly #owner: Owner
  #versions = NO_VERSIONS
  #versionsOf: readonly string[] = []
  #versionsCount = -1

  /** @throws InvalidCacheBackendError: a setting is unknown or of the wrong kind. */
  constructor(settings: LocMemSettings = {}) {
    super(settings, { options: ['maxEntries', 'cullFrequency', 'maxBytes'] })
    const { location, options = {} } = settings
    if (location !== undefined && typeof location !== 'string') {
      throw new InvalidCacheBackendError(
        `LocMemCache: location: ${show(location)} is no name; give a text, or leave it out for a store of its own`,
      )
    }
    const { maxEntries, cullFrequency, maxBytes } = options
    this.#limits = {
      maxEntries: resolveCount('LocMemCache', 'maxEntries', maxEntries, 300, 1),
      cullFrequency: resolveCount('LocMemCache', 'cullFrequency', cullFrequency, 3, 0),
      maxBytes: resolveCount('LocMemCache', 'maxBytes', maxBytes, Infinity, 1),
    }
    this.#store = openStore(location)
    this.#owner = this.#store.ownerOf(this.settings.keyPrefix)
    if (this.#limits.maxBytes !== Infinity) this.#store.countBytes()
  }

  override lookupOne(storedKey: string, _toWrite = false, stale = false): Hit | undefined {
    const entry = this.#store.get(this.#owner, storedKey)
    return entry === undefined ? undefined : this.#toHit(entry, stale)
  }

  #toHit(entry: MemoryEntry, stale: boolean): Hit | undefined {
    const { payload } = entry
    if (typeof payload === 'string') {
      return { value: payload, tags: undefined, stamp: undefined, entry }
    }
    const hit = hitOf(payload, entry)
    if (!isTagged(payload) || (payload.softMs === Infinity && payload.stamp === undefined)) {
      return hit
    }
    return judgeAge(hit, stale, payload.softMs)
  }

  protected override readEntries(keys: readonly string[]): (MemoryPayload | undefined)[] {
    return keys.map((key) => this.#store.get(this.#owner, key)?.payload)
  }

  protected override writeEntries(entries: readonly WriteEntry<MemoryPayload>[]): WriteOutcome[] {
    return entries.map((entry) => this.#write(entry))
  }

  #write({
    key,
    payload,
    expiresAtMs,
    ifAbsent,
    replacing,
  }: WriteEntry<MemoryPayload>): WriteOutcome {
    if (ifAbsent === true || replacing !== undefined) {
      const kept = this.#store.get(this.#owner, key)?.payload
      if (isMemoryClaim(replacing)) {
        const isFree = kept === undefined && !this.#store.wasRemovedSince(key, replacing.count)
        if (!isFree && (kept === undefined || kept !== replacing.lying)) return 'refused'
        return this.#store.set(this.#owner, key, payload, expiresAtMs, this.#limits)
          ? 'stored'
          : 'too_large'
      }
      const allowed = kept === undefined ? ifAbsent === true : Object.is(kept, replacing)
      if (!allowed) return 'refused'
      // Also once it has gone again, what was begun before it was changed must not take its place.
      if (kept !== undefined) this.#store.noteRemoval(key)
    }
    const isStored = this.#store.set(this.#owner, key, payload, expiresAtMs, this.#limits)
    return isStored ? 'stored' : 'too_large'
  }

  protected override removeEntries(keys: readonly string[]): boolean[] {
    return keys.map((key) => this.#store.remove(this.#owner, key))
  }

  protected override touchEntry(key: string, expiresAtMs: Deadline): boolean {
    const entry = this.#store.get(this.#owner, key)
    if (entry !== undefined) this.#store.expireAt(entry, expiresAtMs)
    return entry !== undefined
  }

  protected override incrementEntry(key: string, delta: number): number | null | undefined {
    const entry = this.#store.get(this.#owner, key)
    if (entry === undefined) return undefined
    if (!Number.isSafeInteger(entry.payload)) return null
    const sum = addIntegers(entry.payload as number, delta)
    entry.payload = sum
    return sum
  }

  protected override readDeadline(key: string): Deadline | undefined {
    return this.#store.get(this.#owner, key)?.expiresAtMs
  }

  protected override removeAll(): void {
    this.#store.clear(this.#owner)
  }

  protected override packValue(value: unknown, labels: TagVersions | undefined): MemoryPayload {
    const kept = isImmutable(value) ? value : new Serialized(pack(value))
    if (labels === undefined) return kept
    const { tags = NO_VERSIONS, stamp } = splitLabels(labels)
    return new Tagged(kept, tags, undefined, stamp)
  }

  protected override unpackPayload(payload: MemoryPayload): Unpacked {
    return hitOf(payload)
  }

  protected override readServerStats(): ServerFigures {
    const { maxEntries, maxBytes } = this.#limits
    const { size, bytes } = this.#store
    return {
      scope: 'process',
      entries: size,
      maxEntries,
      ...(bytes === undefined ? undefined : { bytes }),
      ...(maxBytes === Infinity ? undefined : { maxBytes }),
    }
  }

  protected override sizeOfPayload(payload: MemoryPayload): number {
    return sizeOfPayload(payload)
  }

  /** @internal All variants of a fragment share their versions for as long as nothing is invalidated. */
  override currentVersions(tags: readonly string[]): TagVersions {
    if (tags.length === 0) return NO_VERSIONS
    const count = this.#store.invalidationCount
    const known = this.#versionsCount === count && sameTags(this.#versionsOf, tags)
    if (!known) {
      this.#versions = this.versionsSince(tags, count)
      this.#versionsOf = tags
      this.#versionsCount = count
    }
    return this.#versions
  }

  /** @internal */
  override get clockTime(): number {
    return this.#store.invalidationCount
  }

  /** @internal What was invalidated since then is found out when the entry is read. */
  override versionsSince(tags: readonly string[], time: number): TagVersions {
    const version = String(time)
    return new Map(tags.map((tag) => [tag, version]))
  }

  /** @internal */
  override declaredVersions(tags: readonly string[], time: number): TagVersions {
    return this.versionsSince(tags, time)
  }

  /** @internal */
  override isCurrentVersion(tag: string, made: string | undefined): boolean {
    const { keyPrefix } = this.settings
    return made !== undefined && !this.#store.wasInvalidatedSince(keyPrefix, tag, Number(made))
  }

  /** @internal Nothing is written for it: what is removed is remembered instead, and takes no room. */
  override begin(
    storedKeys: readonly string[],
    _lying: readonly unknown[],
    seen: SeenVersions,
  ): Beginning {
    const { removalCount } = this.#store
    return {
      claims: storedKeys.map(
        (key) => new MemoryClaim(removalCount, this.#store.get(this.#owner, key)?.payload),
      ),
      versions: this.currentVersions([...seen.keys()]),
    }
  }

  /** @internal */
  override giveUp(): void {
    // It takes no room.
  }

  /** @internal */
  override lookup(
    storedKeys: readonly string[],
    expected: readonly string[],
    { stale = false }: LookupOptions = {},
  ): Lookup {
    const entries = storedKeys.map((key) => this.#store.get(this.#owner, key))
    return {
      hits: entries.map((entry) => entry && this.#toHit(entry, stale)),
      lying: entries.map((entry) => entry?.payload),
      seen: this.currentVersions(expected),
    }
  }

  /**
   * Keeps a copy of an entry of another store, with the tag versions it has there.
   *
   * @param counters - What {@link bumpTags} is called with when one of its tags is invalidated.
   * @param count - The {@link invalidationCount} before the entry was read.
   * @internal
   */
  keepCopy(
    storedKey: string,
    { value, tags, stamp }: Hit,
    expiresAtMs: Deadline,
    counters: readonly string[],
    count: number,
  ): void {
    const kept = this.packValue(value, undefined) as Untagged
    let payload: MemoryPayload = kept
    if (tags !== undefined || stamp !== undefined) {
      const version = String(count)
      const versions = new Map(counters.map((counter) => [counter, version]))
      payload = new Tagged(kept, versions, tags, stamp)
    }
    this.#write({ key: storedKey, payload, expiresAtMs })
  }

  /** @internal How often tags were invalidated. */
  get invalidationCount(): number {
    return this.#store.invalidationCount
  }

  /** @internal */
  override bumpTags(tags: readonly string[], soft = false, isAgain = false): void {
    this.#store.invalidate(this.settings.keyPrefix, tags, soft, isAgain)
  }
}

/** What a making begins with: what lay under its key, and how much had been removed by then. */
class MemoryClaim {
  constructor(
    readonly count: number,
    readonly lying: MemoryPayload | undefined,
  ) {}
}

function isMemoryClaim(replacing: unknown): replacing is MemoryClaim {
  return typeof replacing === 'object' && replacing !== null && 'lying' in replacing
}

function hitOf(payload: MemoryPayload, entry?: MemoryEntry): Hit {
  const tagged = isTagged(payload)
  const kept = tagged ? payload.value : payload
  const tags = tagged ? (payload.origin ?? payload.tags) : undefined
  return {
    value: isSerialized(kept) ? unpack(kept.bytes).value : kept,
    tags: tags?.size === 0 ? undefined : tags,
    stamp: tagged ? payload.stamp : undefined,
    entry,
  }
}

function sameTags(a: readonly string[], b: readonly string[]): boolean {
  return a === b || (a.length === b.length && a.every((tag, i) => tag === b[i]))
}

function isImmutable(value: unknown): value is string | number | boolean | bigint | null {
  return typeof value !== 'object' || value === null
}

/** One process may load two copies of this package; a name means the same store in both. */
const REGISTRY = Symbol.for('fragcache.locmem.stores.3')

function openStore(location: string | undefined): MemoryStore {
  if (location === undefined) return new MemoryStore()
  const holder = globalThis as { [REGISTRY]?: Map<string, MemoryStore> }
  const stores = (holder[REGISTRY] ??= new Map())
  const store = stores.get(location) ?? new MemoryStore()
  stores.set(location, store)
  return store
}
