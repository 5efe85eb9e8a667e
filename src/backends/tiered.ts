import type {
  Beginning,
  ChangeListener,
  Claim,
  Hit,
  Lookup,
  LookupOptions,
  Primitives,
  StoreRequest,
  WriteEntry,
  WriteOutcome,
} from '../backend.js'
import type { Bus } from '../bus.js'
import { Cache } from '../cache.js'
import { CacheBackendError, InvalidCacheBackendError, show } from '../errors.js'
import { defaultKeyFunction, type KeyFault } from '../keys.js'
import { chain, isPromise, type MaybePromise } from '../maybe-promise.js'
import { primitivesOf } from '../primitives.js'
import type { Unpacked } from '../serializer.js'
import type { ServerFigures } from '../server-stats.js'
import type { CacheSettings } from '../settings.js'
import { NO_VERSIONS, TAG_KEY_PREFIX, type SeenVersions, type TagVersions } from '../tags.js'
import type { Deadline } from '../timeout.js'
import type { LocMemCache } from './locmem.js'
import { BusEnd } from './tiered/bus.js'

export type { Bus, BusListener } from '../bus.js'

/** Settings of {@link TieredCache}. Keys are made as `remote` makes them. */
export interface TieredSettings extends Omit<CacheSettings, 'location' | 'options'> {
  /** The memory of this process. Give it a `LocMemCache` that nothing else uses. */
  readonly local: LocMemCache
  /** The cache that all processes share. */
  readonly remote: Cache
  /**
   * How processes tell each other what changed. Default: what the remote cache brings along, as
   * `RedisCache` does; otherwise none.
   */
  readonly bus?: Bus | undefined
  /**
   * Most seconds an entry is served from local memory. Default: as long as it lives where changes are
   * told, otherwise 1: so long another process's change may go unseen.
   */
  readonly localTimeout?: number | undefined
}

const DEFAULT_LOCAL_TIMEOUT = 1

/**
 * Local memory in front of a shared cache: a hit costs no round trip, and what one process writes,
 * removes or invalidates leaves the memory of the others.
 *
 * Reads ask local memory, then the remote cache; what is found there is kept locally for no longer
 * than it lives. Writes go to the remote cache first, and count once it has them: `add`, `incr` and
 * every other condition is decided there.
 *
 * @remarks While the connection that tells of changes is lost, nothing is served from local memory.
 *   A remote cache that fails leaves hits in local memory as they are.
 */
export class TieredCache extends Cache {
  override readonly mayAnswerAtOnce = true
  readonly #local: LocMemCache
  readonly #remote: Cache
  readonly #below: Primitives<unknown>
  readonly #memory: Primitives<unknown>
  readonly #busEnd: BusEnd | undefined
  readonly #localTimeoutMs: number | undefined
  /** What the keys of tags' counters begin with; `undefined` where that cannot be told. */
  readonly #counterPrefix: string | undefined
  readonly #readings = new Set<Reading>()
  /** Whether the bus or the remote cache can tell of changes at all. */
  readonly #canBeTold: boolean
  /** Whether changes are told just now, or nobody ever tells them. */
  #isTold: boolean
  #stop: (() => MaybePromise<void>) | undefined
  /** Of changes that failed: to tell of them again. */
  readonly #doubts = new Set<NodeJS.Timeout>()
  #doubtfulUntilMs = 0

  /** @throws InvalidCacheBackendError: a setting is unknown, of the wrong kind or contradicts `remote`. */
  constructor(settings: TieredSettings) {
    const { local, remote, bus, localTimeout } = checkSettings(settings)
    const below = primitivesOf(remote)
    const { keyPrefix, keyFunction, ...defaults } = below.settings
    const { version, timeout, ignoreErrors, lock, earlyRefresh } = defaults
    const { producerTimeoutMs } = defaults
    const inherited = { version, timeout, ignoreErrors, lock, earlyRefresh }
    const own = withoutUndefined(settings)
    super(
      {
        ...inherited,
        producerTimeoutMs: producerTimeoutMs === Infinity ? null : producerTimeoutMs,
        ...own,
        keyPrefix,
        keyFunction,
      },
      { settings: ['local', 'remote', 'bus', 'localTimeout'], options: [] },
    )
    this.#local = local
    this.#remote = remote
    this.#below = below
    this.#memory = primitivesOf<unknown>(local)
    this.#busEnd = bus === undefined ? undefined : new BusEnd(bus, () => this.alias)
    this.#canBeTold = bus !== undefined || remote.tellsOfChanges
    this.#isTold = !this.#canBeTold
    const seconds = localTimeout ?? (this.#canBeTold ? undefined : DEFAULT_LOCAL_TIMEOUT)
    this.#localTimeoutMs = seconds === undefined ? undefined : seconds * 1000
    if (keyFunction === defaultKeyFunction) this.#counterPrefix = this.makeKey(TAG_KEY_PREFIX, 1)
  }

  /* Reading. */

  override lookupOne(
    storedKey: string,
    toWrite = false,
    stale = false,
  ): MaybePromise<Hit | undefined> {
    if (toWrite) return this.#ask('get', () => this.#remote.lookupOne(storedKey, true, stale))
    const hit = this.#isLocalUsable() ? this.#local.lookupOne(storedKey) : undefined
    return hit ?? chain(this.#read([storedKey], [], { stale }), ({ hits }) => hits[0])
  }

  override lookup(
    storedKeys: readonly string[],
    expected: readonly string[],
    options: LookupOptions = {},
  ): MaybePromise<Lookup> {
    if (options.isCurrent === true) {
      return this.#ask('get', () => this.#remote.lookup(storedKeys, expected, options))
    }
    if (!this.#isLocalUsable()) return this.#read(storedKeys, expected, options)
    const found = storedKeys.map((key) => this.#local.lookupOne(key))
    const missing = storedKeys.filter((_, i) => found[i] === undefined)
    if (missing.length === 0 && storedKeys.length > 0) {
      // Nobody asks for versions where everything was found.
      return { hits: found, lying: [], seen: NOT_SEEN }
    }
    return chain(this.#read(missing, expected, options), ({ hits, lying, seen, withClock }) => {
      let next = 0
      const at = found.map((hit) => (hit === undefined ? next++ : -1))
      return {
        hits: found.map((hit, i) => hit ?? hits[at[i] as number]),
        lying: at.map((i) => lying[i]),
        seen,
        withClock: withClock === true,
      }
    })
  }

  /** @internal */
  override currentVersions(
    tags: readonly string[],
    isMade = false,
  ): MaybePromise<TagVersions | undefined> {
    return this.#ask('get', () => this.#remote.currentVersions(tags, isMade))
  }

  /** @internal */
  override get clockTime(): number | undefined {
    return this.#remote.clockTime
  }

  /** @internal */
  override forgetClock(): void {
    this.#remote.forgetClock()
  }

  /** @internal */
  override versionsSince(
    tags: readonly string[],
    time: number | undefined,
  ): MaybePromise<TagVersions | undefined> {
    return this.#ask('get', () => this.#remote.versionsSince(tags, time))
  }

  /** @internal */
  override declaredVersions(
    tags: readonly string[],
    time: number | undefined,
  ): MaybePromise<TagVersions | undefined> {
    return this.#ask('get', () => this.#remote.declaredVersions(tags, time))
  }

  /** @internal */
  override confirmInvalidation(operation: string): MaybePromise<void> {
    return this.#ask(operation, () => this.#remote.confirmInvalidation(operation))
  }

  /** @internal */
  override isCurrentVersion(
    tag: string,
    made: string | undefined,
    now: string | undefined,
  ): boolean {
    return this.#remote.isCurrentVersion(tag, made, now)
  }

  /** @internal */
  override isStillClaimed(claim: Claim, lying: unknown): boolean {
    return this.#remote.isStillClaimed(claim, lying)
  }

  /** @internal Nobody's copy changes by it, and so nobody is told. */
  override begin(
    storedKeys: readonly string[],
    lying: readonly unknown[],
    seen: SeenVersions,
    withClock = false,
  ): MaybePromise<Beginning> {
    return this.#ask('set', () => this.#remote.begin(storedKeys, lying, seen, withClock))
  }

  /** @internal */
  override giveUp(storedKey: string, claim: Claim, tookMs: number): MaybePromise<void> {
    return this.#ask('set', () => this.#remote.giveUp(storedKey, claim, tookMs))
  }

  /** Reads from the remote cache, and keeps what it finds unless it changes meanwhile. */
  #read(
    storedKeys: readonly string[],
    expected: readonly string[],
    options: LookupOptions,
  ): MaybePromise<Lookup> {
    if (!this.#isLocalUsable() || storedKeys.length === 0) {
      return this.#ask('get', () => this.#remote.lookup(storedKeys, expected, options))
    }
    const reading = new Reading(this.#local.invalidationCount)
    this.#readings.add(reading)
    const answer = this.#whatever(
      () =>
        this.#ask('get', () => {
          // Sent together. The other way round, a deadline could be that of an entry not read.
          const deadlines = this.#below.readDeadlines(storedKeys)
          // Where it fails at once nobody waits for what was sent before.
          if (isPromise(deadlines)) deadlines.catch(() => undefined)
          const lookup = this.#remote.lookup(storedKeys, expected, options)
          return both(lookup, deadlines)
        }),
      () => this.#readings.delete(reading),
    )
    return chain(answer, ([lookup, deadlines]) => {
      storedKeys.forEach((key, i) => {
        const hit = lookup.hits[i]
        const expiresAtMs = deadlines[i]
        if (hit === undefined || expiresAtMs === undefined || reading.hasLost(key)) return
        // What is stale is about to be made again.
        if (hit.staleSinceMs !== undefined) return
        this.#keep(key, hit, expiresAtMs, reading.count)
      })
      return lookup
    })
  }

  #keep(storedKey: string, hit: Hit, expiresAtMs: Deadline, count: number): void {
    if (!this.#isTold || this.#doubtfulUntilMs > performance.now()) return
    const counters =
      hit.tags === undefined ? [] : [...hit.tags.keys()].map((tag) => this.#remote.counterKey(tag))
    this.#local.keepCopy(storedKey, hit, this.#localDeadline(expiresAtMs), counters, count)
  }

  #localDeadline(expiresAtMs: Deadline): Deadline {
    // What lags may show the old entry once more after the change was told.
    const limitMs =
      this.#localTimeoutMs ?? (this.#remote.readsMayLag ? DEFAULT_LOCAL_TIMEOUT * 1000 : undefined)
    if (limitMs === undefined) return expiresAtMs
    return Math.min(expiresAtMs ?? Infinity, Date.now() + limitMs)
  }

  /* Writing. */

  override store(requests: readonly StoreRequest[]): MaybePromise<readonly WriteOutcome[]> {
    const keys = requests.map(({ storedKey }) => storedKey)
    return this.#change(
      keys,
      () => this.#ask('set', () => this.#remote.store(requests)),
      (outcomes, reading) => {
        requests.forEach((request, i) => {
          const { storedKey, value, expiresAtMs, tags = NO_VERSIONS, stamp } = request
          if (outcomes[i] !== 'stored' || tags.size > 0 || reading.hasLost(storedKey)) return
          // With tags it has to be read first: whether they are still current, the store decides.
          if (expiresAtMs !== null && expiresAtMs <= 0) return
          this.#keep(storedKey, { value, tags: undefined, stamp }, expiresAtMs, reading.count)
        })
      },
    )
  }

  protected override writeEntries(
    entries: readonly WriteEntry<unknown>[],
  ): MaybePromise<readonly WriteOutcome[]> {
    const keys = entries.map(({ key }) => key)
    return this.#change(keys, () => this.#ask('set', () => this.#below.writeEntries(entries)))
  }

  protected override removeEntries(keys: readonly string[]): MaybePromise<readonly boolean[]> {
    return this.#change(keys, () => this.#ask('delete', () => this.#below.removeEntries(keys)))
  }

  protected override touchEntry(key: string, expiresAtMs: Deadline): MaybePromise<boolean> {
    return this.#change([key], () =>
      this.#ask('touch', () => this.#below.touchEntry(key, expiresAtMs)),
    )
  }

  protected override incrementEntry(
    key: string,
    delta: number,
  ): MaybePromise<number | null | undefined> {
    return this.#change([key], () =>
      this.#ask('incr', () => this.#below.incrementEntry(key, delta)),
    )
  }

  override bumpTags(tags: readonly string[], soft = false, isAgain = false): MaybePromise<void> {
    const counters = tags.map((tag) => this.#remote.counterKey(tag))
    return this.#change(counters, () =>
      this.#ask('invalidateTags', () => this.#remote.bumpTags(tags, soft, isAgain)),
    )
  }

  protected override removeAll(): MaybePromise<void> {
    return this.#change(null, () => this.#ask('clear', () => this.#below.removeAll()))
  }

  /**
   * Changes entries in the remote cache. Local memory gives them up afterwards, and so does what is
   * being read meanwhile; also where it failed, since it may have been carried out all the same.
   *
   * @param keys - `null`: all.
   */
  #change<T>(
    keys: readonly string[] | null,
    action: () => MaybePromise<T>,
    succeeded?: (result: T, reading: Reading) => void,
  ): MaybePromise<T> {
    this.#start()
    const reading = new Reading(this.#local.invalidationCount)
    this.#readings.add(reading)
    const finish = (): void => {
      // First, since what this change itself makes others lose is not lost to it.
      this.#readings.delete(reading)
      this.#lose(keys)
    }
    const done = (value: T): Promise<void> | undefined => {
      finish()
      // Before others are told, since from here on what they change is lost as usual.
      succeeded?.(value, reading)
      return this.#busEnd?.tell(keys)
    }
    const failed = (error: unknown): never => {
      finish()
      this.#doubt(keys)
      throw error
    }
    let result: MaybePromise<T>
    try {
      result = action()
    } catch (error) {
      return failed(error)
    }
    if (!isPromise(result)) {
      void done(result)
      return result
    }
    return result.then(async (value) => {
      await done(value)
      return value
    }, failed)
  }

  /** A change that failed may still be carried out: until then, and once more after it, all is lost. */
  #doubt(keys: readonly string[] | null): void {
    if (this.#busEnd === undefined) return
    void this.#busEnd.tell(keys)
    const ms = 2 * this.#below.settings.timeLimitMs
    this.#doubtfulUntilMs = performance.now() + ms
    const again = setTimeout(() => {
      this.#doubts.delete(again)
      this.#lose(keys)
      void this.#busEnd?.tell(keys)
    }, ms).unref()
    this.#doubts.add(again)
  }

  /** Runs something to its end, good or bad, and then something else. */
  #whatever<T>(action: () => MaybePromise<T>, then: () => unknown): MaybePromise<T> {
    let result: MaybePromise<T>
    try {
      result = action()
    } catch (error) {
      then()
      throw error
    }
    if (!isPromise(result)) {
      then()
      return result
    }
    return result.finally(then)
  }

  /* What the remote cache does. */

  protected override readEntries(keys: readonly string[]): MaybePromise<readonly unknown[]> {
    return this.#ask('get', () => this.#below.readEntries(keys))
  }

  protected override readDeadline(key: string): MaybePromise<Deadline | undefined> {
    return this.#ask('get', () => this.#below.readDeadline(key))
  }

  protected override packValue(value: unknown, labels: TagVersions | undefined): unknown {
    return this.#below.packValue(value, labels)
  }

  protected override unpackPayload(payload: unknown): Unpacked {
    return this.#below.unpackPayload(payload)
  }

  protected override readServerStats(): MaybePromise<ServerFigures | undefined> {
    return this.#ask('serverStats', () => this.#below.readServerStats())
  }

  protected override sizeOfPayload(payload: unknown): number | undefined {
    return this.#below.sizeOfPayload(payload)
  }

  protected override onKeyFaults(storedKey: string, faults: readonly KeyFault[]): void {
    this.#below.onKeyFaults(storedKey, faults)
  }

  /** The remote cache's own time limit, circuit and reports of outages apply. */
  #ask<T>(operation: string, action: () => MaybePromise<T>): MaybePromise<T> {
    this.#nameRemote()
    return this.#remote.guarded(operation, action)
  }

  /** In messages and at the server it goes by the name that this cache has. */
  #nameRemote(): void {
    if (this.#remote.alias !== '' || this.alias === '') return
    ;(this.#remote as { alias: string }).alias = this.alias
  }

  /** What the remote cache said of its failure, and has reported. */
  protected override toFailure(operation: string, error: unknown): Error {
    return error instanceof CacheBackendError ? error : super.toFailure(operation, error)
  }

  protected override async disconnect(): Promise<void> {
    const stop = this.#stop
    this.#stop = undefined
    this.#busEnd?.close()
    for (const doubt of this.#doubts) clearTimeout(doubt)
    this.#doubts.clear()
    if (stop !== undefined) {
      this.#lost()
      await stop()
    } else {
      this.#loseAll()
    }
    await this.#remote.close()
    await this.#local.close()
  }

  /* What others change. */

  #isLocalUsable(): boolean {
    if (this.#stop === undefined) this.#start()
    return this.#isTold
  }

  #start(): void {
    if (this.#stop !== undefined || !this.#canBeTold) return
    this.#nameRemote()
    const listener: ChangeListener = {
      up: () => {
        this.#loseAll()
        this.#isTold = true
      },
      down: () => this.#lost(),
      changed: (keys) => this.#lose(keys),
      changedAll: () => this.#loseAll(),
    }
    this.#stop = this.#busEnd?.listen(listener) ?? this.#remote.watchChanges(listener)
  }

  #lost(): void {
    this.#isTold = false
    this.#loseAll()
  }

  #lose(keys: readonly string[] | null): void {
    if (keys === null) {
      this.#loseAll()
      return
    }
    for (const reading of this.#readings) reading.lose(keys)
    void this.#memory.removeEntries(keys)
    const counters = keys.filter((key) => this.#mayBeCounter(key))
    if (counters.length > 0) this.#local.bumpTags(counters)
  }

  #loseAll(): void {
    for (const reading of this.#readings) reading.loseAll()
    void this.#memory.removeAll()
  }

  #mayBeCounter(storedKey: string): boolean {
    return this.#counterPrefix === undefined || storedKey.startsWith(this.#counterPrefix)
  }
}

/** Entries that are on their way here, and which of them changed meanwhile. */
class Reading {
  readonly #lost = new Set<string>()
  #hasLostAll = false

  /** @param count - How often tags had been invalidated when it began. */
  constructor(readonly count: number) {}

  lose(keys: readonly string[]): void {
    for (const key of keys) this.#lost.add(key)
  }

  loseAll(): void {
    this.#hasLostAll = true
  }

  hasLost(key: string): boolean {
    return this.#hasLostAll || this.#lost.has(key)
  }
}

function both<A, B>(a: MaybePromise<A>, b: MaybePromise<B>): MaybePromise<[A, B]> {
  return isPromise(a) || isPromise(b) ? Promise.all([a, b]) : [a, b]
}

const NOT_SEEN: SeenVersions = new Map()

function withoutUndefined(settings: TieredSettings): TieredSettings {
  const given = Object.entries(settings).filter(([, value]) => value !== undefined)
  return Object.fromEntries(given) as unknown as TieredSettings
}

function checkSettings(settings: unknown): TieredSettings {
  if (typeof settings !== 'object' || settings === null) {
    throw new InvalidCacheBackendError(
      `TieredCache: ${show(settings)} are no settings; give { local: new LocMemCache(), remote: new RedisCache(…) }`,
    )
  }
  const given = settings as TieredSettings
  const { local, remote, bus, localTimeout, keyPrefix, keyFunction } = given
  if (!isCache(local) || !('keepCopy' in local)) {
    throw new InvalidCacheBackendError(
      `TieredCache: local: ${show(local)} is no local memory; give a LocMemCache of its own`,
    )
  }
  if (!isCache(remote) || remote === local) {
    throw new InvalidCacheBackendError(
      `TieredCache: remote: ${show(remote)} is no shared cache; give for example a RedisCache`,
    )
  }
  if (bus !== undefined && !isBus(bus)) {
    throw new InvalidCacheBackendError(
      `TieredCache: bus: ${show(bus)} is no bus; give an object with the methods publish and subscribe`,
    )
  }
  if (
    localTimeout !== undefined &&
    !(typeof localTimeout === 'number' && Number.isFinite(localTimeout) && localTimeout > 0)
  ) {
    throw new InvalidCacheBackendError(
      `TieredCache: localTimeout: ${show(localTimeout)} is not a number of seconds above 0`,
    )
  }
  const below = primitivesOf(remote).settings
  if (
    (keyPrefix !== undefined && keyPrefix !== below.keyPrefix) ||
    (keyFunction !== undefined && keyFunction !== below.keyFunction)
  ) {
    throw new InvalidCacheBackendError(
      'TieredCache: keyPrefix and keyFunction are those of remote; set them there',
    )
  }
  return given
}

function isCache(value: unknown): value is Cache {
  return typeof value === 'object' && value !== null && 'lookupOne' in value && 'guarded' in value
}

function isBus(value: unknown): value is Bus {
  if (typeof value !== 'object' || value === null) return false
  const { publish, subscribe } = value as Partial<Bus>
  return typeof publish === 'function' && typeof subscribe === 'function'
}
