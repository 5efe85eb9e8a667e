import type { ClockTime } from '../clock.js'
import { currentMs } from '../current-time.js'
import { noteInvalidation } from '../invalidations.js'
import type { Version } from '../keys.js'
import { chain, type MaybePromise } from '../maybe-promise.js'
import type { ServerStats } from '../server-stats.js'
import type { ResolvedSettings } from '../settings.js'
import type { LastingOutage } from '../observe/channels.js'
import { Counts } from '../observe/counts.js'
import { RememberedEntries } from '../observe/remembered.js'
import { NO_VERSIONS, type SeenVersions } from '../tags.js'
import { LIMIT_MS, withinLimit } from '../time-limit.js'
import type { Deadline } from '../timeout.js'
import { ValueTypes } from '../value-types.js'
import { ALL_OF_LOOKUP, Calls, IF_STORED } from './calls.js'
import { Changes } from './changes.js'
import { checkPacking, checkStore, CompleteStore } from './complete-store.js'
import type {
  Beginning,
  Claim,
  Entries,
  Hit,
  Lookup,
  LookupOptions,
  StoreRequest,
} from './entries.js'
import { Guard } from './guard.js'
import { LateInvalidations, unsentTags, type Invalidating } from './late-invalidations.js'
import { orUndefined, refusalBy, unlessFailed, type CacheRefusal } from './refusal.js'
import type { CacheStore, OwnStore, WriteOutcome } from './store.js'
import { StoredEntries } from './stored-entries.js'
import { StoredKeys } from './stored-keys.js'

/** A whole number that is written under a condition, whatever serializer the values have. */
export interface NumberWrite {
  readonly storedKey: string
  readonly value: number
  readonly expiresAtMs: Deadline
  /** Write if nothing is there. */
  readonly ifAbsent?: boolean
  /** Write if exactly this number is there. */
  readonly replacing: number
}

/** What a core asks its cache. */
export interface CacheFace {
  readonly alias: string
  readonly answersAtOnce: boolean
  readonly isShared: boolean
  readonly settings: ResolvedSettings
}

/** What a cache of this package stands on. */
export interface Foundation {
  readonly store: OwnStore<unknown>
  /** Default: as a store that knows nothing of tags has them. */
  readonly entries?: Entries
  /** Whether a failure is one that was reported where it happened. Default: none is. */
  readonly isReported?: (error: unknown) => boolean
  /** The caches that it asks. Default: none. */
  readonly standsOn?: readonly CacheCore[]
  /** The outage, if one lasts, of what it has beside its store. Default: it has nothing. */
  readonly outageBeside?: () => LastingOutage | undefined
  /** How instances are stored. Default: as the options of the cache say. */
  readonly types?: ValueTypes
}

/** Makes what a cache stands on, for its core. */
type Build = (core: CacheCore) => Foundation

/** What a cache of this package passes instead of a store. */
export interface Composition {
  readonly isComposition: true
}

/** Kept apart, so that the types of a cache tell nothing of its parts. */
const builds = new WeakMap<object, Build>()

/** A cache that has tags, or a copy of entries, in a way of its own. */
export function composed(build: Build): Composition {
  const composition = { isComposition: true } as const
  builds.set(composition, build)
  return composition
}

/** Called with the stored key of an entry that is being removed; without: all are. */
export type RemovalListener = (storedKey?: string) => void

/** What is asked for to find out whether a store answers, and written to find out whether it takes anything. */
const PROBE_KEY = 'fragcache.probe'

/** How long what is written there lives. */
const PROBE_LIFE_MS = 1000

/**
 * A cache as the parts of this package know it: with stored keys, tags and claims, and without the checks of
 * what a user passes. It is had by {@link coreOf}, and no member of a cache, so that nothing in a subclass can
 * take its place by accident.
 *
 * The calls that begin with `try` are limited in time. A store that fails is reported, and gives `undefined`.
 */
export class CacheCore {
  readonly settings: ResolvedSettings
  /** How instances are stored. */
  readonly types: ValueTypes
  readonly counts = new Counts()
  /** What was stored and removed through this cache. */
  readonly remembered = new RememberedEntries(() => this.store.keepsNothing)
  readonly keys: StoredKeys
  readonly store: CompleteStore
  readonly entries: Entries
  readonly guard: Guard
  readonly calls: Calls<CacheCore>
  readonly changes: Changes
  readonly removalListeners: RemovalListener[] = []
  /** How many entries were removed, or all of them, through this cache so far. */
  removals = 0
  readonly isReported: (error: unknown) => boolean
  /** The caches that this one asks, whose outages are its own. */
  readonly standsOn: readonly CacheCore[]
  /** As {@link Foundation.outageBeside}. */
  readonly outageBeside: () => LastingOutage | undefined
  readonly late: LateInvalidations
  readonly #face: CacheFace
  /** Whether calls to the store are given up before a page would give up waiting. */
  readonly #isLimited: boolean

  /**
   * @param options - Those of the cache, as far as all caches have them.
   * @param isServer - Whether calls have a time limit, and fail at once while the store is down.
   * @param given - Left out: the cache is its own store.
   * @throws InvalidCacheBackendError: the store has not all that a store must have, or an option is wrong.
   */
  constructor(face: CacheFace, options: object, isServer: boolean, given: unknown = face) {
    const { settings } = face
    this.#face = face
    this.#isLimited = isServer && settings.timeLimitMs <= LIMIT_MS
    this.settings = settings
    this.keys = new StoredKeys(settings, (...fault) => this.store.onKeyFaults(...fault))
    this.types = new ValueTypes(this.backendName, options)
    const build = builds.get(given as object)
    if (build === undefined) checkStore(this.backendName, given)
    const foundation: Partial<Foundation> = build?.(this) ?? {}
    const { store, entries, isReported = () => false, standsOn = [] } = foundation
    this.types = foundation.types ?? this.types
    if (store === undefined) checkPacking(this.backendName, given, this.types)
    this.store = new CompleteStore(store ?? (given as CacheStore<unknown>), store, this.types)
    this.isReported = isReported
    this.standsOn = standsOn
    this.outageBeside = foundation.outageBeside ?? (() => undefined)
    this.guard = new Guard(this, isServer ? settings.timeLimitMs : undefined)
    this.entries = entries ?? new StoredEntries(this)
    this.calls = new Calls<CacheCore>(this)
    this.changes = new Changes(this)
    this.late = new LateInvalidations(this)
  }

  /** The name the cache has in its `Caches`; empty for a cache in none. */
  get alias(): string {
    return this.#face.alias
  }

  /** The class name of the cache. */
  get backendName(): string {
    return this.#face.constructor.name
  }

  get answersAtOnce(): boolean {
    return this.#face.answersAtOnce
  }

  get isShared(): boolean {
    return this.#face.isShared
  }

  /** What the store's clock of invalidations showed when it was last heard of. */
  get clockTime(): ClockTime | undefined {
    return this.entries.clockTime
  }

  /**
   * The stored key of a key, checked for what the store can take.
   *
   * @throws TypeError: the key is no text or empty, or the version is none.
   */
  checkedKey(key: string, version?: Version): string {
    return this.keys.checked(key, version)
  }

  /** Reads anything, to see whether the store answers, or writes something that nobody reads. */
  probe(isWrite: boolean): MaybePromise<unknown> {
    const key = this.checkedKey(PROBE_KEY)
    if (!isWrite) return this.store.readEntries([key])
    const payload = this.store.packValue(0, undefined)
    return this.store.writeEntry({ key, payload, expiresAtMs: currentMs() + PROBE_LIFE_MS })
  }

  /** Looks up for a fragment or a page. */
  tryLookup(
    keys: readonly string[],
    storedKeys: readonly string[],
    expected: readonly string[],
    options: LookupOptions = {},
  ): MaybePromise<Lookup | undefined> {
    return orUndefined(() =>
      this.calls.observed(
        keys.length === 1 ? 'get' : 'getMany',
        keys,
        () => {
          const found = this.entries.lookup(storedKeys, expected, options)
          // A timer of its own for each look-up costs more than its round trip.
          return this.#isLimited ? found : withinLimit(found)
        },
        ALL_OF_LOOKUP,
      ),
    )
  }

  /** What lies under a key, of whatever worth, as the store itself says: not a copy of it. */
  tryLying(storedKey: string): MaybePromise<{ readonly payload: unknown } | undefined> {
    const read = this.tryRead(() => this.store.readEntries([storedKey]))
    return chain(read, (payloads) => payloads && { payload: payloads[0] })
  }

  /**
   * Claims the keys of what is about to be made, and begins the counters of its tags.
   *
   * @param found - By the look-up before it.
   * @throws CacheBackendError: the store failed; nothing can be kept.
   * @see Entries.begin
   */
  begin(
    storedKeys: readonly string[],
    { lying, seen, withClock = false }: Pick<Lookup, 'lying' | 'seen' | 'withClock'>,
    tags: readonly string[],
  ): MaybePromise<Beginning> {
    const wanted = new Map(tags.map((tag) => [tag, seen.get(tag)]))
    // What it did not ask for it did not find missing.
    const isWhole = withClock && tags.every((tag) => seen.has(tag))
    return this.guard.run('set', () =>
      withinLimit(this.entries.begin(storedKeys, lying, wanted, isWhole)),
    )
  }

  /** As {@link begin}. @returns `undefined`: the store failed. */
  tryBegin(...about: Parameters<CacheCore['begin']>): MaybePromise<Beginning | undefined> {
    return orUndefined(() => this.begin(...about))
  }

  /**
   * Gives up a claim of which nothing came.
   *
   * @param tookMs - What it took to make.
   */
  tryGiveUp(storedKey: string, claim: Claim, tookMs: number): MaybePromise<void> {
    if (claim === undefined) return undefined
    const giveUp = () => withinLimit(this.entries.giveUp(storedKey, claim, tookMs))
    return orUndefined(() => this.guard.run('set', giveUp))
  }

  /**
   * Reads for what is being made, by a call of {@link entries}.
   *
   * @param operation - `dependOn`: it may begin what is not there, and so write.
   */
  tryRead<T>(
    read: () => MaybePromise<T>,
    operation: 'get' | 'dependOn' = 'get',
  ): MaybePromise<T | undefined> {
    return orUndefined(() => this.guard.run(operation, () => withinLimit(read())))
  }

  /**
   * What there is now of something that was made while others waited for it: it may have been invalidated
   * before they asked, by another process, or before it was known that it depends on that.
   *
   * @param claim - What it was begun with.
   * @param made - The versions that it depends on.
   * @returns What is stored by now; `true`: nothing yet, and what was made is current (or the store fails and
   *   cannot tell); `false`: they have to look for themselves.
   */
  tryRecheck(
    key: string,
    storedKey: string,
    claim: Claim,
    made: SeenVersions,
  ): MaybePromise<Hit | boolean> {
    const tags = [...made.keys()]
    return chain(this.tryLookup([key], [storedKey], tags, { isCurrent: true }), (found) => {
      if (found === undefined) return true
      const [hit] = found.hits
      if (hit !== undefined) return hit
      // Whatever happens to the entry in this process, nobody joins what was begun before.
      if (this.isShared && !this.entries.isStillClaimed(claim, found.lying[0])) return false
      return tags.every((tag) =>
        this.entries.isCurrentVersion(tag, made.get(tag), found.seen.get(tag)),
      )
    })
  }

  /** Writes for a fragment or a page. @returns In the order of the requests. */
  tryStore(
    keys: readonly string[],
    requests: readonly StoreRequest[],
  ): MaybePromise<readonly (WriteOutcome | CacheRefusal)[]> {
    return unlessFailed<readonly (WriteOutcome | CacheRefusal)[]>(
      () =>
        this.calls.observed(
          keys.length === 1 ? 'set' : 'setMany',
          keys,
          () => withinLimit(this.storeEntries(requests)),
          IF_STORED,
        ),
      (failure) => requests.map(() => refusalBy(failure)),
    )
  }

  /** As {@link Entries.storeOne}, and remembers what the request says it is of. */
  storeEntry(request: StoreRequest): MaybePromise<WriteOutcome> {
    const stored = this.entries.storeOne(request)
    return this.remembered.concerns(request)
      ? chain(stored, (outcome) => this.#remember(request, outcome))
      : stored
  }

  /** As {@link Entries.store}, and remembers what the requests say they are of. */
  storeEntries(requests: readonly StoreRequest[]): MaybePromise<readonly WriteOutcome[]> {
    const stored = this.entries.store(requests)
    if (!requests.some((request) => this.remembered.concerns(request))) return stored
    return chain(stored, (outcomes) => {
      requests.forEach((request, i) => this.#remember(request, outcomes[i] ?? 'failed'))
      return outcomes
    })
  }

  #remember(request: StoreRequest, outcome: WriteOutcome): WriteOutcome {
    const { subject, storedKey, tags = NO_VERSIONS, stamp, expiresAtMs } = request
    if (outcome !== 'stored' || this.store.keepsNothing) return outcome
    if (subject === undefined) this.remembered.removed(storedKey)
    else {
      const { freshUntilMs = stamp?.freshUntilMs ?? expiresAtMs } = subject
      this.remembered.stored(subject, storedKey, tags, freshUntilMs)
    }
    return outcome
  }

  /** Until when an entry lives: no longer than now if it is gone meanwhile, or the store fails. */
  readLifetime(storedKey: string): MaybePromise<Deadline> {
    const read = this.tryRead(() => this.store.readDeadline(storedKey))
    return chain(read, (deadline) => (deadline === undefined ? currentMs() : deadline))
  }

  /**
   * Writes a number under its condition.
   *
   * @returns Whether it was written.
   * @throws CacheBackendError: the store failed.
   */
  async writeNumber(
    operation: string,
    { storedKey: key, value, replacing, expiresAtMs, ifAbsent = false }: NumberWrite,
  ): Promise<boolean> {
    const entry = {
      key,
      payload: this.store.packValue(value, undefined),
      expiresAtMs,
      ifAbsent,
      replacing: this.store.packValue(replacing, undefined),
    }
    const write = () =>
      chain(withinLimit(this.store.writeEntry(entry)), (outcome) => {
        // That nobody could write it must not look as if another had: who waits for that one waits in vain.
        if (outcome !== 'stored' && outcome !== 'refused') {
          throw new Error('the entry could not be written')
        }
        return outcome === 'stored'
      })
    return this.guard.run(operation, write)
  }

  /** Makes entries stored with any of these stored tags a miss, or stale. */
  async invalidateStoredTags(tags: readonly string[], how: Invalidating = {}): Promise<void> {
    const { soft = false } = how
    const ending = this.remembered.invalidated(tags)
    // Who asks from now on must not be given what a producer began to make before.
    noteInvalidation(tags, soft)
    const bump = () =>
      chain(this.entries.bumpTags(tags, soft), () => {
        ending.clockTime = this.clockTime
      })
    await this.late.orLater(unsentTags(tags, soft), how, () =>
      this.calls.observed('invalidateTags', [], bump),
    )
    noteInvalidation(tags, soft)
  }

  /**
   * Invalidates what was made since {@link invalidateStoredTags} from what lies in another cache.
   */
  async invalidateAgain(tags: readonly string[], how: Invalidating): Promise<void> {
    const { soft = false } = how
    const bump = () => withinLimit(this.entries.bumpTags(tags, soft, true))
    await this.late.orLater(unsentTags(tags, soft), how, () =>
      this.guard.run('invalidateTags', bump),
    )
    noteInvalidation(tags, soft)
  }

  /** The store that all processes share, where this one is in front of it. */
  get shared(): CacheCore {
    return this.standsOn.find(({ isShared }) => isShared) ?? this
  }

  /** What the store tells of itself; a store that fails rejects, whatever `ignoreErrors` says. */
  async readOwnServerStats(): Promise<ServerStats | undefined> {
    const figures = await this.guard.run('serverStats', () => this.store.readServerStats())
    return figures === undefined ? undefined : { backend: this.backendName, ...figures }
  }

  /** What is being made for a key that is removed meanwhile is older than the removal. */
  removing(storedKey?: string): void {
    this.removals++
    this.remembered.removed(storedKey)
    for (const listener of this.removalListeners) listener(storedKey)
  }
}

/** One process may load two copies of this package. */
const CORE = Symbol.for('fragcache.cache.core.1')

/** Makes a cache's core known to {@link coreOf}. */
export function exposeCore(cache: object, core: CacheCore): void {
  Object.defineProperty(cache, CORE, { value: core })
}

/** The core of a cache. */
export function coreOf(cache: object): CacheCore {
  return (cache as { readonly [CORE]: CacheCore })[CORE]
}

/** Whether something is a cache, of this copy of the package or another. */
export function hasCore(value: unknown): value is object {
  return typeof value === 'object' && value !== null && CORE in value
}
