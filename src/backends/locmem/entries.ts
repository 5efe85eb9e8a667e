import type { CacheCore } from '../../backend/core.js'
import type {
  Beginning,
  Entries,
  Hit,
  Lookup,
  LookupOptions,
  StoredTags,
  StoreRequest,
} from '../../backend/entries.js'
import { judgeAge } from '../../backend/judge.js'
import type { WriteOutcome } from '../../backend/store.js'
import { writeRequest, writeRequests } from '../../backend/write-requests.js'
import type { MaybePromise } from '../../maybe-promise.js'
import { NO_VERSIONS, type SeenVersions, type TagVersions } from '../../tags.js'
import { reportDamage } from '../../observe/channels.js'
import type { Deadline } from '../../timeout.js'
import { isSameList } from '../../same-list.js'
import type { ValueTypes } from '../../value-types.js'
import type { MemoryStore } from './memory-store.js'
import type { MemoryEntry } from './owned-entries.js'
import {
  hitOf,
  isTagged,
  Tagged,
  toUntagged,
  type MemoryPayload,
  type Untagged,
} from './payload.js'
import { MemoryClaim, type MemoryPrimitives } from './primitives.js'

/** Entries of local memory: neither tags nor claims are written for them, they are remembered. */
export class MemoryEntries implements Entries {
  readonly mayAnswerAtOnce = true
  readonly #core: CacheCore
  readonly #primitives: MemoryPrimitives
  readonly #memory: MemoryStore
  readonly #keyPrefix: string
  #versions = NO_VERSIONS
  #versionsOf: readonly string[] = []
  #versionsCount = -1

  constructor(core: CacheCore, primitives: MemoryPrimitives) {
    this.#core = core
    this.#primitives = primitives
    this.#memory = primitives.memory
    this.#keyPrefix = core.settings.keyPrefix
  }

  get isAlone(): boolean {
    return this.#memory.caches === 1
  }

  /** How often tags were invalidated. */
  get clockTime(): number {
    return this.#memory.invalidations.count
  }

  forgetClock(): void {
    // It counts on whatever is removed.
  }

  findAtOnce(storedKey: string): Hit | undefined {
    return this.lookupOne(storedKey)
  }

  lookupOne(storedKey: string, _toWrite = false, stale = false): Hit | undefined {
    const entry = this.#primitives.find(storedKey)
    return entry === undefined ? undefined : this.#toHit(entry, stale)
  }

  lookup(
    storedKeys: readonly string[],
    expected: readonly string[],
    { stale = false }: LookupOptions = {},
  ): Lookup {
    const entries = storedKeys.map((key) => this.#primitives.find(key))
    return {
      hits: entries.map((entry) => entry && this.#toHit(entry, stale)),
      lying: entries.map((entry) => entry?.payload),
      seen: this.currentVersions(expected),
    }
  }

  begin(storedKeys: readonly string[], _lying: readonly unknown[], seen: SeenVersions): Beginning {
    const { count } = this.#memory.removals
    return {
      claims: storedKeys.map((key) => new MemoryClaim(count, this.#primitives.find(key)?.payload)),
      versions: this.currentVersions([...seen.keys()]),
    }
  }

  giveUp(): void {
    // It takes no room.
  }

  isStillClaimed(): boolean {
    // What it was begun with does not lie there.
    return false
  }

  storeOne(request: StoreRequest): MaybePromise<WriteOutcome> {
    return writeRequest(request, this.#core.store, this.#core.counts)
  }

  store(requests: readonly StoreRequest[]): MaybePromise<readonly WriteOutcome[]> {
    return writeRequests(requests, this.#core.store, this.#core.counts)
  }

  /** All variants of a fragment share their versions for as long as nothing is invalidated. */
  currentVersions(tags: readonly string[]): TagVersions {
    if (tags.length === 0) return NO_VERSIONS
    const { count } = this.#memory.invalidations
    const isKnown = this.#versionsCount === count && isSameList(this.#versionsOf, tags)
    if (!isKnown) {
      this.#versions = this.versionsSince(tags, count)
      this.#versionsOf = tags
      this.#versionsCount = count
    }
    return this.#versions
  }

  declaredVersions(tags: readonly string[], time: number): TagVersions {
    return this.versionsSince(tags, time)
  }

  /** What was invalidated since then is found out when the entry is read. */
  versionsSince(tags: readonly string[], time: number): TagVersions {
    const version = String(time)
    return new Map(tags.map((tag) => [tag, version]))
  }

  forgetCopies(): void {
    // There are none.
  }

  isCurrentVersion(tag: string, made: string | undefined): boolean {
    const { invalidations } = this.#memory
    return made !== undefined && !invalidations.happenedSince(this.#keyPrefix, tag, Number(made))
  }

  areThere(stored: readonly StoredTags[]): boolean[] {
    return stored.map(({ storedKey }) => this.#primitives.has(storedKey))
  }

  bumpTags(tags: readonly string[], soft = false, isAgain = false): void {
    this.#memory.invalidations.note(this.#keyPrefix, tags, soft, isAgain)
  }

  /** What cannot be read is a miss that is reported: its type may be unknown here, or fail. */
  #toHit(entry: MemoryEntry, stale: boolean): Hit | undefined {
    const { payload } = entry
    if (typeof payload === 'string') {
      return { value: payload, tags: undefined, stamp: undefined, entry }
    }
    let hit: Hit
    try {
      hit = hitOf(payload, this.#primitives.values, entry)
    } catch (error) {
      reportDamage(this.#core, this.#core.backendName, entry.key, error)
      return undefined
    }
    if (!isTagged(payload) || (payload.softMs === Infinity && payload.stamp === undefined)) {
      return hit
    }
    return judgeAge(hit, stale, payload.softMs)
  }

  /** Takes the types of the cache that copies are kept of. */
  takeTypes(types: ValueTypes): void {
    this.#primitives.takeTypes(types)
  }

  /**
   * Keeps a copy of an entry of another store, with the tag versions it has there.
   *
   * @param counters - What {@link bumpTags} is called with when one of its tags is invalidated.
   * @param count - The {@link clockTime} before the entry was read.
   */
  keepCopy(
    key: string,
    { value, tags, stamp }: Hit,
    expiresAtMs: Deadline,
    counters: readonly string[],
    count: number,
  ): void {
    let kept: Untagged
    try {
      kept = toUntagged(value, this.#primitives.values)
    } catch (error) {
      // The value itself is at hand: only the copy is missing.
      reportDamage(this.#core, this.#core.backendName, key, error)
      return
    }
    let payload: MemoryPayload = kept
    if (tags !== undefined || stamp !== undefined) {
      payload = new Tagged(kept, this.versionsSince(counters, count), tags, stamp)
    }
    this.#primitives.writeEntry({ key, payload, expiresAtMs })
  }
}
