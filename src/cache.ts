import {
  Backend,
  type Beginning,
  type Claim,
  type Hit,
  type Lookup,
  type LookupOptions,
  type StoreRequest,
  type WriteOutcome,
} from './backend.js'
import { coreOf, type NumberWrite } from './backend/core.js'
import { CacheBackendError, CacheKeyNotFoundError, MisuseError, show } from './errors.js'
import type { Version } from './keys.js'
import { toDescription, type EntryDescription } from './describe.js'
import { currentFrame, mayWantExpiry } from './making/frame.js'
import { GetOrSet } from './get-or-set.js'
import { dependOnHit, dependOnLanded } from './making/landed.js'
import { chain, isPromise, type MaybePromise } from './maybe-promise.js'
import {
  isToldOfOperations,
  operationChannel,
  operationSumChannel,
  type OperationMessage,
  type Sum,
} from './observe.js'
import { HITS_OF_SUM } from './stats/at-once.js'
import type { Counting, Counts } from './stats/counts.js'
import { addIntegers, checkValue } from './serializer.js'
import { noteInvalidation } from './invalidations.js'
import { releasesOver } from './making/lease.js'
import type { ServerStats } from './server-stats.js'
import { withStamp, type Stamp } from './stamp.js'
import {
  isDueEarly,
  toAgeing,
  toBeta,
  toGrace,
  toLock,
  toProducerTimeout,
  type LockOptions,
  type StaleOptions,
} from './staleness.js'
import { checkEntryTags, checkTags, type SeenVersions, type TagVersions } from './tags.js'
import { withinLimit } from './time-limit.js'
import { checkTimeout, toDeadline, type Deadline, type Timeout } from './timeout.js'

/** Options of calls that name one or more keys. */
export interface KeyOptions {
  /** Default: the cache's version. */
  readonly version?: Version | undefined
}

/** Options of {@link Cache.get}. */
export interface GetOptions<T = unknown> extends KeyOptions {
  /** What a miss gives. Default `undefined`. */
  readonly default?: T | undefined
}

/** Options of {@link Cache.touch}. */
export interface TouchOptions extends KeyOptions {
  /** Seconds. Omitted: the cache's default. `null`: never expires. Zero or less: not kept. */
  readonly timeout?: Timeout | undefined
}

/**
 * Options of calls that store. With `staleWhileRevalidate` or `staleIfError` the entry is kept that
 * much longer than its timeout, for a `getOrSet` with these options; to all other calls it is gone.
 */
export interface SetOptions extends TouchOptions, StaleOptions {
  /** `invalidateTags` with any of them makes the entry a miss. */
  readonly tags?: readonly string[] | undefined
}

/** Options of {@link Cache.getOrSet}. */
export interface GetOrSetOptions extends SetOptions {
  /**
   * One producer at a time in all processes that share the store; the others wait up to `wait` seconds
   * (5) and then make it themselves. The lease of one who died ends after `lease` seconds (10). Default:
   * the cache's setting, else `false`.
   */
  readonly lock?: boolean | LockOptions | undefined
  /**
   * Entries remember what they cost and are made again a little ahead of their time, by chance, so that
   * they never end under load. `true` is 1; more is earlier. Default: the cache's setting, else `false`.
   *
   * @see Vattani, Chierichetti, Lowenstein, "Optimal Probabilistic Cache Stampede Prevention" (2015)
   */
  readonly earlyRefresh?: boolean | number | undefined
  /**
   * For how many milliseconds it waits for another caller's producer in this process; then it looks again
   * and, if need be, makes it itself. `null`: without end. Default: the cache's setting, else 30,000.
   */
  readonly producerTimeoutMs?: number | null | undefined
  /** Whether it lives no longer than anything it was made from. Default `false`. */
  readonly bubbleTimeout?: boolean | undefined
}

/** Options of {@link Cache.invalidateTags}. */
export interface InvalidateOptions {
  /** Makes entries stale instead of gone: who allows it is served them once more. Default `false`. */
  readonly soft?: boolean | undefined
}

const NO_TAGS: readonly string[] = []

const KEY_OPTIONS = ['version']
const GET_OPTIONS = ['version', 'default']
const TOUCH_OPTIONS = ['version', 'timeout']
const SET_OPTIONS = ['version', 'timeout', 'tags', 'staleWhileRevalidate', 'staleIfError']
const GET_OR_SET_OPTIONS = [
  ...SET_OPTIONS,
  'lock',
  'earlyRefresh',
  'bubbleTimeout',
  'producerTimeoutMs',
]

/** How often a counter with tags is tried again when another writer was faster. */
const MAX_CONFLICTS = 10_000

/**
 * A cache: Django's low-level API over one backend.
 *
 * Every method rejects with `CacheBackendError` when the store fails, unless `ignoreErrors` is set:
 * then it answers as for an empty cache. Keys that are empty or no text, timeouts that are neither
 * a finite number nor `null`, and unknown options are a `TypeError`.
 *
 * @see Django, "The low-level cache API"
 */
export abstract class Cache<Payload = unknown> extends Backend<Payload> {
  readonly #made = new GetOrSet({
    read: ({ key, storedKey, tags }, options) =>
      this.#call(
        'getOrSet',
        [key],
        () => this.lookup([storedKey], tags, { ...options, toMake: true }),
        undefined,
        ALL_OF_LOOKUP,
      ),
    deadline: (timeout) => this.#deadline({ timeout }),
    keep: async ({ key }, request, operation) => {
      const store = () => this.store([request])
      const [outcome] = await this.#call(operation, [key], store, [], IF_STORED)
      if (outcome === 'too_large') throw this.#tooLarge('getOrSet', key)
      return outcome === 'stored'
    },
    reread: async ({ key, storedKey }) =>
      this.#call('get', [key], () => this.lookupOne(storedKey, true), undefined),
  })

  /** @internal Called with the stored key of an entry that is being removed; without: all are. */
  readonly removalListeners: ((storedKey?: string) => void)[] = []

  /**
   * Reads a value.
   *
   * @returns The value, or `default` (else `undefined`) if there is no live entry. What type it has
   *   is the caller's claim; it is not checked. It is never the object that was stored.
   */
  async get<T = unknown>(key: string, options?: GetOptions<T>): Promise<T | undefined> {
    if (options !== undefined) checkOptions(options, GET_OPTIONS)
    const storedKey = this.checkedKey(key, options?.version)
    const { counts } = this
    let hit: Hit | undefined
    const isWatched = operationChannel.hasSubscribers || this.isFailing
    const mayAnswerAtOnce = this.answersAtOnce || this.mayAnswerAtOnce
    if (mayAnswerAtOnce && !isWatched && !this.settings.ignoreErrors) {
      // The hot path: nothing to report, and mostly nothing to await.
      const isTimed = counts.isTimed()
      const startedMs = isTimed ? performance.now() : 0
      let found: MaybePromise<Hit | undefined>
      try {
        found = this.lookupOne(storedKey)
      } catch (error) {
        throw this.#failedAtOnce('get', key, error)
      }
      if (isPromise(found)) {
        const answer = found
        hit = await this.#observed('get', [key], () => answer, IF_FOUND)
      } else {
        hit = found
        if (hit === undefined) counts.misses++
        else counts.hits++
        if (isTimed) this.timedAtOnce(key, hit !== undefined, performance.now() - startedMs)
        else if (hit === undefined) this.tellOfMiss(key)
      }
    } else {
      const lookup = () => this.lookupOne(storedKey)
      hit = await this.#call('get', [key], lookup, undefined, IF_FOUND)
    }
    if (hit === undefined) return options?.default
    if (hit.tags !== undefined || mayWantExpiry()) {
      const noted = this.#dependOn(storedKey, hit)
      if (isPromise(noted)) await noted
    }
    return hit.value as T
  }

  /** What is being made around the caller is made from this. */
  #dependOn(storedKey: string, hit: Hit): MaybePromise<void> {
    const frame = currentFrame()
    if (frame === undefined) return undefined
    return dependOnHit(coreOf(this), storedKey, hit, frame)
  }

  /** The same for what the caller stores: it is at hand there, and is not read. */
  #dependOnStored(tags: TagVersions): void {
    if (tags.size > 0) currentFrame()?.depend(coreOf(this), tags)
  }

  /** The versions for what is about to be stored. @throws Error: a counter cannot be written. */
  #versionsFor(tags: readonly string[]): MaybePromise<TagVersions> {
    return chain(this.currentVersions(tags, true), (versions) => {
      if (versions === undefined) throw new Error('the counter of a tag could not be written')
      this.#dependOnStored(versions)
      return versions
    })
  }

  /**
   * Stores a value, replacing what was there.
   *
   * @throws TypeError: the value is `undefined` or holds a function, a symbol, a promise or a class
   *   instance.
   * @throws CacheBackendError `FRAGCACHE_VALUE_TOO_LARGE`: the old value is gone.
   * @remarks The tag versions are read before the value is written.
   */
  async set(key: string, value: unknown, options: SetOptions = {}): Promise<void> {
    const request = this.#request(key, value, options)
    const { storedKey } = request
    const tags = this.#tags(options)
    const store = (versions?: TagVersions) =>
      chain(this.store([{ ...request, tags: versions }]), ([outcome]) => {
        this.#checkStored(outcome, 'set', key)
      })
    const action = () => (tags.length === 0 ? store() : chain(this.#versionsFor(tags), store))
    await this.#call('set', [key], action, undefined, ONE_SET)
    // Who asks from now on gets this, and not what a look-up found before.
    this.#made.detach(storedKey)
  }

  /**
   * Stores a value if there is no live entry under the key.
   *
   * @returns `true` if it was absent and is now stored. With a timeout of zero or less: whether it
   *   was absent.
   * @remarks Atomic: of any number of callers, in any number of processes, one is told `true`.
   */
  async add(key: string, value: unknown, options: SetOptions = {}): Promise<boolean> {
    const request = this.#request(key, value, options)
    const tags = this.#tags(options)
    return this.#call(
      'add',
      [key],
      async () => {
        return this.#add(key, { ...request, tags: await this.#versionsFor(tags) })
      },
      false,
      IF_ADDED,
    )
  }

  async #add(key: string, request: StoreRequest): Promise<boolean> {
    if (request.expiresAtMs !== null && request.expiresAtMs <= 0) {
      return (await this.lookupOne(request.storedKey, true)) === undefined
    }
    const [outcome] = await this.store([{ ...request, ifAbsent: true }])
    if (outcome === 'too_large') throw this.#tooLarge('add', key)
    if (outcome !== 'refused') return outcome === 'stored'
    return this.#addOverInvalidated(request)
  }

  /** An entry that its tags made a miss still lies in the store: replace exactly that one. */
  async #addOverInvalidated(request: StoreRequest): Promise<boolean> {
    const [payload] = await this.readEntries([request.storedKey])
    if (payload === undefined) {
      const [outcome] = await this.store([{ ...request, ifAbsent: true }])
      return outcome === 'stored'
    }
    if (!(await this.#isInvalidated(request.storedKey, payload))) return false
    const [outcome] = await this.store([{ ...request, ifAbsent: true, replacing: payload }])
    return outcome === 'stored'
  }

  async #isInvalidated(storedKey: string, payload: Payload): Promise<boolean> {
    try {
      const { tags, stamp } = this.unpackPayload(payload)
      if (tags === undefined && stamp === undefined) return false
    } catch {
      return true
    }
    return (await this.lookupOne(storedKey, true)) === undefined
  }

  /**
   * Gives a live entry a new deadline.
   *
   * @param options.timeout - Seconds from now. Omitted: the cache's default. Zero or less: the entry
   *   goes.
   * @returns `true` if a live entry was found.
   */
  async touch(key: string, options: TouchOptions = {}): Promise<boolean> {
    checkOptions(options, TOUCH_OPTIONS)
    const storedKey = this.checkedKey(key, options.version)
    const expiresAtMs = this.#deadline(options)
    return this.#call(
      'touch',
      [key],
      async () => {
        if (expiresAtMs !== null && expiresAtMs <= 0) return this.#delete(storedKey)
        // Both at once: an invalidated entry that lives on by this stays a miss.
        const [hit, touched] = await Promise.all([
          this.lookupOne(storedKey, true, true),
          this.touchEntry(storedKey, expiresAtMs),
        ])
        if (hit?.staleSinceMs !== undefined) {
          await this.#untouch(storedKey, hit)
          return false
        }
        if (hit?.stamp === undefined) return hit !== undefined && touched
        return this.#restamp('touch', storedKey, ({ graceMs, costMs }) => {
          const ageing = toAgeing(expiresAtMs, graceMs / 1000, costMs)
          return ageing.stamp === undefined ? undefined : { ...ageing, stamp: ageing.stamp }
        })
      },
      false,
    )
  }

  /** What is past its time is kept no longer, and no shorter, than it was to be. */
  async #untouch(storedKey: string, { stamp }: Hit): Promise<void> {
    if (stamp === undefined) return
    const endMs = stamp.freshUntilMs + stamp.graceMs
    if (endMs > Date.now() && endMs < Infinity) await this.touchEntry(storedKey, endMs)
    else if (endMs <= Date.now()) await this.removeEntries([storedKey])
  }

  /**
   * Makes an entry stale from now on: a `getOrSet` with `staleWhileRevalidate` or `staleIfError` may
   * still be served it, within these times and no longer than it would have lived; to all other calls it
   * is gone. What is being made for the key is not kept.
   *
   * @returns `true` if it was there and fresh.
   * @see Cache.delete, after which nobody is served it.
   */
  async expire(key: string, options: KeyOptions = {}): Promise<boolean> {
    checkOptions(options, KEY_OPTIONS)
    const storedKey = this.checkedKey(key, options.version)
    this.#removing(storedKey)
    const expire = async () => {
      const wasFresh = await this.#expire(storedKey)
      await this.confirmInvalidation('expire')
      return wasFresh
    }
    const expired = await this.#call('expire', [key], expire, false)
    this.#removing(storedKey)
    return expired
  }

  async #expire(storedKey: string): Promise<boolean> {
    const wasFresh = await this.#restamp('expire', storedKey, (stamp, expiresAtMs) => ({
      stamp: { ...stamp, freshUntilMs: Date.now(), isExpired: true },
      expiresAtMs,
    }))
    if (wasFresh) return true
    // What is about to be written in place of what lies there was begun before.
    const lies = await this.lookupOne(storedKey, true, true)
    if (lies?.stamp === undefined || lies.stamp.isExpired === true) {
      await this.removeEntries([storedKey])
      return false
    }
    const [payload] = await this.readEntries([storedKey])
    const expiresAtMs = await this.readDeadline(storedKey)
    if (payload === undefined || expiresAtMs === undefined) return false
    const stamp = { ...lies.stamp, isExpired: true }
    const value = this.packValue(lies.value, withStamp(lies.tags, stamp))
    const entry = { key: storedKey, payload: value, expiresAtMs, replacing: payload }
    const [outcome] = await this.writeEntries([entry])
    // What has taken its place since may have been begun before, too.
    if (outcome !== 'stored') await this.removeEntries([storedKey])
    return false
  }

  /**
   * Gives a fresh entry another stamp, and another deadline with it.
   *
   * @param change - `undefined`: the entry stays as it is.
   * @returns Whether it was there.
   */
  async #restamp(
    operation: string,
    storedKey: string,
    change: (
      stamp: Stamp,
      expiresAtMs: Deadline,
    ) => { readonly stamp: Stamp; readonly expiresAtMs: Deadline } | undefined,
  ): Promise<boolean> {
    return this.#rewrite(operation, storedKey, ({ value, tags, stamp }, deadline) => {
      const changed = change(stamp ?? UNSTAMPED, deadline)
      if (changed === undefined) return undefined
      const payload = this.packValue(value, withStamp(tags, changed.stamp))
      return { payload, expiresAtMs: changed.expiresAtMs }
    })
  }

  /**
   * Changes a fresh entry by compare and set.
   *
   * @returns `false` if there is none.
   */
  async #rewrite(
    operation: string,
    storedKey: string,
    change: (
      hit: Hit,
      expiresAtMs: Deadline,
    ) => { readonly payload: Payload; readonly expiresAtMs: Deadline } | undefined,
  ): Promise<boolean> {
    for (let i = 0; i < MAX_CONFLICTS; i++) {
      const [payload] = await this.readEntries([storedKey])
      const expiresAtMs = await this.readDeadline(storedKey)
      const hit = await this.lookupOne(storedKey, true)
      if (payload === undefined || hit === undefined || expiresAtMs === undefined) return false
      const changed = change(hit, expiresAtMs)
      if (changed === undefined) return true
      const entry = { key: storedKey, ...changed, replacing: payload }
      const [outcome] = await this.writeEntries([entry])
      if (outcome === 'stored') return true
    }
    throw new Error(`${operation}: other writers were always faster`)
  }

  /** Removes an entry. @returns `true` if it was there, for one caller only. */
  async delete(key: string, options: KeyOptions = {}): Promise<boolean> {
    checkOptions(options, KEY_OPTIONS)
    const storedKey = this.checkedKey(key, options.version)
    return this.#call('delete', [key], () => this.#delete(storedKey), false, IF_DELETED)
  }

  async #delete(storedKey: string): Promise<boolean> {
    this.#removing(storedKey)
    const hit = await this.lookupOne(storedKey, true)
    const [removed] = await this.removeEntries([storedKey])
    // Who asks from now on must not be given what was found in between.
    this.#removing(storedKey)
    return hit !== undefined && removed === true
  }

  /** Whether there is a live entry; `null` is a value like any other. */
  async has(key: string, options: KeyOptions = {}): Promise<boolean> {
    checkOptions(options, KEY_OPTIONS)
    const storedKey = this.checkedKey(key, options.version)
    const lookup = () => this.lookupOne(storedKey)
    return (await this.#call('has', [key], lookup, undefined, IF_FOUND)) !== undefined
  }

  /** Reads several values in one round trip. @returns The live ones, in the order asked. */
  async getMany<T = unknown>(
    keys: Iterable<string>,
    options: KeyOptions = {},
  ): Promise<Map<string, T>> {
    checkOptions(options, KEY_OPTIONS)
    const asked = [...new Set(checkKeys(keys))]
    const storedKeys = asked.map((key) => this.checkedKey(key, options.version))
    const found = new Map<string, T>()
    if (asked.length === 0) return found
    const lookup = await this.#call(
      'getMany',
      asked,
      () => this.lookup(storedKeys, []),
      undefined,
      ALL_OF_LOOKUP,
    )
    for (const [i, key] of asked.entries()) {
      const hit = lookup?.hits[i]
      if (hit === undefined) continue
      found.set(key, hit.value as T)
      if (hit.tags === undefined && !mayWantExpiry()) continue
      const noted = this.#dependOn(storedKeys[i] as string, hit)
      if (isPromise(noted)) await noted
    }
    return found
  }

  /**
   * Stores several values in one round trip.
   *
   * @param entries - A record, a `Map`, or pairs.
   * @returns The keys that could not be stored; their old values are gone where the new ones were
   *   too large.
   */
  async setMany(
    entries: Iterable<readonly [string, unknown]> | Readonly<Record<string, unknown>>,
    options: SetOptions = {},
  ): Promise<string[]> {
    checkOptions(options, SET_OPTIONS)
    const pairs = toPairs(entries)
    const requests = pairs.map(([key, value]) => this.#request(key, value, options))
    const tags = this.#tags(options)
    const keys = pairs.map(([key]) => key)
    if (keys.length === 0) return []
    return this.#call(
      'setMany',
      keys,
      async () => {
        const versions = await this.#versionsFor(tags)
        const outcomes = await this.store(requests.map((one) => ({ ...one, tags: versions })))
        for (const { storedKey } of requests) this.#made.detach(storedKey)
        return keys.filter((_, i) => outcomes[i] !== 'stored')
      },
      keys,
      { sets: (failed) => keys.length - failed.length },
    )
  }

  /** Removes several entries in one round trip. */
  async deleteMany(keys: Iterable<string>, options: KeyOptions = {}): Promise<void> {
    checkOptions(options, KEY_OPTIONS)
    const asked = [...new Set(checkKeys(keys))]
    const storedKeys = asked.map((key) => this.checkedKey(key, options.version))
    if (asked.length === 0) return
    for (const storedKey of storedKeys) this.#removing(storedKey)
    const remove = () => this.removeEntries(storedKeys)
    await this.#call('deleteMany', asked, remove, [], IF_REMOVED)
    for (const storedKey of storedKeys) this.#removing(storedKey)
  }

  /**
   * Reads a value, or makes and stores it.
   *
   * @param valueOrProducer - The value, or a function that makes it, by promise or at once.
   * @throws What the producer throws, to all who waited for it; then nothing is stored, and the next call
   *   tries again. With `staleIfError` the old value is served instead, and the error reported on the
   *   channel `fragcache:refresh`.
   * @remarks One producer at a time per stored key in this process, and with `lock` in all; the others get
   *   its value, each its own copy. Tag versions are read before the producer runs, so an invalidation
   *   meanwhile wins. What the producer reads from caches, and `dependOn`, adds its tags to the entry's.
   *   With `staleWhileRevalidate` and `earlyRefresh` the producer may run when nobody waits for it any
   *   more: it must not use what ends with a request.
   */
  async getOrSet<T = unknown>(
    key: string,
    valueOrProducer: T | (() => T | Promise<T>),
    options: GetOrSetOptions = {},
  ): Promise<T> {
    checkOptions(options, GET_OR_SET_OPTIONS)
    const storedKey = this.checkedKey(key, options.version)
    if (options.timeout !== undefined) checkTimeout(options.timeout)
    const { lock, earlyRefresh, bubbleTimeout = false, producerTimeoutMs } = options
    if (typeof bubbleTimeout !== 'boolean') {
      throw new TypeError(`bubbleTimeout: ${show(bubbleTimeout)} is neither true nor false`)
    }
    const ageing = {
      lock: lock === undefined ? this.settings.lock : toLock(lock),
      beta: earlyRefresh === undefined ? this.settings.earlyRefresh : toBeta(earlyRefresh),
      staleWhileRevalidate: toGrace('staleWhileRevalidate', options.staleWhileRevalidate),
      staleIfError: toGrace('staleIfError', options.staleIfError),
    }
    const wanted = {
      key,
      storedKey,
      tags: this.#tags(options),
      timeout: options.timeout,
      isLimited: bubbleTimeout,
      producerTimeoutMs:
        producerTimeoutMs === undefined
          ? this.settings.producerTimeoutMs
          : toProducerTimeout(producerTimeoutMs),
    }
    const isTold = operationChannel.hasSubscribers
    const startedMs = isTold ? performance.now() : 0
    const hit = this.#hitAtOnce(key, storedKey)
    const isDue = isDueEarly(hit?.stamp, ageing.beta)
    if (hit !== undefined && !isDue) {
      this.counts.hits++
      this.counts.valueHits++
      if (isTold) {
        const durationMs = performance.now() - startedMs
        this.tellOfLookup(key, true, durationMs, { operation: 'getOrSet' })
      } else this.counts.valuesAtOnce++
      if (hit.tags !== undefined || mayWantExpiry()) {
        const noted = this.#dependOn(storedKey, hit)
        if (isPromise(noted)) await noted
      }
      return hit.value as T
    }
    const frame = currentFrame()
    frame?.announce(wanted.tags)
    const timed = new TimedSource(valueOrProducer, this.counts)
    const got = await this.#made.run({
      ...wanted,
      cache: coreOf(this),
      source: timed.source,
      ageing: isDue ? { ...ageing, isDue } : ageing,
    })
    if (!timed.hasRun) this.counts.valueHits++
    if (frame !== undefined) await dependOnLanded(coreOf(this), storedKey, got, frame)
    return this.#copy(got.value) as T
  }

  /** A hit that needs nobody to be waited for, nothing to be reported and nothing to be decided. */
  #hitAtOnce(key: string, storedKey: string): Hit | undefined {
    if (!this.answersAtOnce || this.isFailing || this.settings.ignoreErrors) return undefined
    const { counts } = this
    const isTimed = counts.isTimed()
    const startedMs = isTimed ? performance.now() : 0
    let hit: MaybePromise<Hit | undefined>
    try {
      hit = this.lookupOne(storedKey)
    } catch (error) {
      throw this.#failedAtOnce('getOrSet', key, error)
    }
    if (isPromise(hit)) return undefined
    // One that is not there is looked up once more, and told of then.
    if (isTimed && hit !== undefined) this.timedAtOnce(key, true, performance.now() - startedMs)
    return hit
  }

  /** Callers that share one flight must not share one object. */
  #copy(value: unknown): unknown {
    if (typeof value !== 'object' || value === null) return value
    return this.unpackPayload(this.packValue(value, undefined)).value
  }

  /**
   * Adds to a whole number.
   *
   * @returns The new number. The entry keeps its remaining time.
   * @throws CacheKeyNotFoundError: no live entry.
   * @throws TypeError: the entry, or `delta`, is no whole number.
   * @throws RangeError: the sum is beyond 2^53 - 1; the entry is unchanged.
   * @remarks Atomic.
   */
  async incr(key: string, delta = 1, options: KeyOptions = {}): Promise<number> {
    return this.#incr('incr', key, delta, options)
  }

  /** Subtracts from a whole number; otherwise as {@link incr}. */
  async decr(key: string, delta = 1, options: KeyOptions = {}): Promise<number> {
    checkDelta(delta)
    return this.#incr('decr', key, -delta, options)
  }

  async #incr(operation: string, key: string, delta: number, options: KeyOptions): Promise<number> {
    checkDelta(delta)
    checkOptions(options, KEY_OPTIONS)
    const storedKey = this.checkedKey(key, options.version)
    const action = async () => {
      const sum = await this.incrementEntry(storedKey, delta)
      return sum === null ? this.#incrOther(operation, storedKey, delta) : sum
    }
    const sum = await this.#call(operation, [key], action, undefined)
    if (sum === undefined) throw new CacheKeyNotFoundError(key, operation)
    this.#made.detach(storedKey)
    return sum
  }

  /** What is no raw whole number may still be one stored with tags: compare and set. */
  async #incrOther(
    operation: string,
    storedKey: string,
    delta: number,
  ): Promise<number | undefined> {
    let sum = 0
    const found = await this.#rewrite(operation, storedKey, (hit, expiresAtMs) => {
      if (!Number.isSafeInteger(hit.value)) {
        throw new MisuseError(`${operation}: the entry ${show(storedKey)} is no whole number`)
      }
      sum = addIntegers(hit.value as number, delta)
      return { payload: this.packValue(sum, withStamp(hit.tags, hit.stamp)), expiresAtMs }
    })
    return found ? sum : undefined
  }

  /**
   * Moves an entry to a higher version, keeping its remaining time and tags.
   *
   * @returns The new version.
   * @throws CacheKeyNotFoundError: no live entry.
   * @throws TypeError: the version or `delta` is no whole number.
   */
  async incrVersion(key: string, delta = 1, options: KeyOptions = {}): Promise<number> {
    return this.#incrVersion('incrVersion', key, delta, options)
  }

  /** Moves an entry to a lower version; otherwise as {@link incrVersion}. */
  async decrVersion(key: string, delta = 1, options: KeyOptions = {}): Promise<number> {
    checkDelta(delta)
    return this.#incrVersion('decrVersion', key, -delta, options)
  }

  async #incrVersion(
    operation: string,
    key: string,
    delta: number,
    options: KeyOptions,
  ): Promise<number> {
    checkDelta(delta)
    checkOptions(options, KEY_OPTIONS)
    const { version = this.settings.version } = options
    const target = Number.isSafeInteger(version) ? (version as number) + delta : NaN
    if (!Number.isSafeInteger(target)) {
      throw new TypeError(
        `version: ${show(version)} cannot be counted by ${delta}; use set with the new version`,
      )
    }
    const from = this.checkedKey(key, version)
    const to = this.checkedKey(key, target)
    const move = () => this.#move(operation, key, from, to)
    const moved = await this.#call(operation, [key], move, false)
    if (!moved) throw new CacheKeyNotFoundError(key, operation)
    return target
  }

  async #move(operation: string, key: string, from: string, to: string): Promise<boolean> {
    const hit = await this.lookupOne(from, true)
    const expiresAtMs = await this.readDeadline(from)
    if (hit === undefined || expiresAtMs === undefined) return false
    if (from === to) return true
    this.#removing(from)
    const { value, tags, stamp } = hit
    const [outcome] = await this.store([{ storedKey: to, value, expiresAtMs, tags, stamp }])
    this.#checkStored(outcome, operation, key)
    await this.removeEntries([from])
    this.#removing(from)
    this.#made.detach(to)
    return true
  }

  /**
   * Removes everything this cache could have written. Entries with another key prefix survive.
   *
   * @see The documentation of each backend for how it tells its own entries from others'.
   */
  async clear(): Promise<void> {
    this.#removing()
    await this.#call('clear', [], () => this.removeAll(), undefined)
    this.forgetClock()
    this.#removing()
  }

  /**
   * Makes every entry stored with any of the tags a miss, also one whose producer is running.
   *
   * @param options.soft - Makes them stale from now on instead: who asks with `staleWhileRevalidate` or
   *   `staleIfError` may be served them, within these times and no longer than they would have lived.
   * @remarks Whatever the number of entries: over a shared store two round trips.
   */
  async invalidateTags(tags: readonly string[], options: InvalidateOptions = {}): Promise<void> {
    await this.invalidateStoredTags(checkTags(tags), isSoft(options))
  }

  /** @internal */
  async invalidateStoredTags(tags: readonly string[], soft = false): Promise<void> {
    // Who asks from now on must not be given what a producer began to make before.
    noteInvalidation(tags, soft)
    await this.#call('invalidateTags', [], () => this.bumpTags(tags, soft), undefined)
    noteInvalidation(tags, soft)
  }

  /**
   * Invalidates what was made since {@link invalidateStoredTags} from what lies in another cache.
   *
   * @internal
   */
  async invalidateAgain(tags: readonly string[], soft: boolean): Promise<void> {
    try {
      await this.guarded('invalidateTags', () => withinLimit(this.bumpTags(tags, soft, true)))
    } catch (error) {
      if (!this.settings.ignoreErrors) throw error
    }
    noteInvalidation(tags, soft)
  }

  /**
   * Tells what is known of an entry, for who looks at the cache: what it is, what it depends on, how long
   * it lives. Also of what may only be served stale.
   *
   * @param key - As for `get`; the keys of fragments and pages are keys like any other.
   * @returns `undefined`: there is no such entry, or it was invalidated.
   * @remarks Neither a hit nor a miss. Of an entry that is written meanwhile it may tell some things as
   *   they were before and others as they are after.
   */
  async describe(key: string, options: KeyOptions = {}): Promise<EntryDescription | undefined> {
    checkOptions(options, KEY_OPTIONS)
    const { version = this.settings.version } = options
    const storedKey = this.checkedKey(key, version)
    const read = async () => {
      const [hit, expiresAtMs, [payload]] = await Promise.all([
        this.lookupOne(storedKey, true, true),
        this.readDeadline(storedKey),
        this.readEntries([storedKey]),
      ])
      if (hit === undefined || expiresAtMs === undefined) return undefined
      const bytes = payload === undefined ? undefined : this.sizeOfPayload(payload)
      const { alias } = this
      return toDescription({ key, storedKey, version, alias, hit, expiresAtMs, bytes })
    }
    return this.#call('describe', [key], read, undefined)
  }

  /** @internal What the store tells of itself; a store that fails rejects, whatever `ignoreErrors` says. */
  async readOwnServerStats(): Promise<ServerStats | undefined> {
    const figures = await this.guarded('serverStats', () => this.readServerStats())
    return figures === undefined ? undefined : { backend: this.backendName, ...figures }
  }

  /** @internal */
  async writeNumber(
    operation: string,
    { storedKey: key, value, replacing, expiresAtMs, ifAbsent = false }: NumberWrite,
  ): Promise<boolean> {
    const outcomes = await this.guarded(operation, () =>
      withinLimit(
        this.writeEntries([
          {
            key,
            payload: this.packValue(value, undefined),
            expiresAtMs,
            ifAbsent,
            replacing: this.packValue(replacing, undefined),
          },
        ]),
      ),
    )
    return outcomes[0] === 'stored'
  }

  /** Lets go of connections and timers. A later call opens the cache again. */
  async close(): Promise<void> {
    // A write after it would open the connection again.
    await releasesOver(coreOf(this))
    this.forgetOutage()
    await this.disconnect()
  }

  /** What is being made for a key that is removed meanwhile is older than the removal. */
  #removing(storedKey?: string): void {
    this.#made.forget(storedKey)
    for (const listener of this.removalListeners) listener(storedKey)
  }

  #request(key: string, value: unknown, options: SetOptions) {
    checkOptions(options, SET_OPTIONS)
    const storedKey = this.checkedKey(key, options.version)
    checkValue(value)
    const grace = Math.max(
      toGrace('staleWhileRevalidate', options.staleWhileRevalidate),
      toGrace('staleIfError', options.staleIfError),
    )
    return { storedKey, value, ...toAgeing(this.#deadline(options), grace, undefined) }
  }

  #deadline({ timeout = this.settings.timeout }: TouchOptions): Deadline {
    checkTimeout(timeout)
    return toDeadline(timeout, Date.now())
  }

  #tags({ tags }: SetOptions): readonly string[] {
    return tags === undefined ? NO_TAGS : checkEntryTags(tags)
  }

  #checkStored(outcome: WriteOutcome | undefined, operation: string, key: string): void {
    if (outcome === 'too_large') throw this.#tooLarge(operation, key)
    if (outcome !== 'stored') throw new Error('the entry could not be written')
  }

  #tooLarge(operation: string, key: string): CacheBackendError {
    return new CacheBackendError(
      `${operation}: the value for ${show(key)} is larger than ${this.backendName} takes; it was not stored and no older value is left`,
      { code: 'FRAGCACHE_VALUE_TOO_LARGE', backend: this.backendName, operation, key },
    )
  }

  /**
   * Reads for a fragment or a page: a store that fails is reported and gives `undefined`.
   *
   * @internal
   */
  tryLookup(
    keys: readonly string[],
    storedKeys: readonly string[],
    expected: readonly string[],
    options: LookupOptions = {},
  ): MaybePromise<Lookup | undefined> {
    return orUndefined(() =>
      this.#observed(
        keys.length === 1 ? 'get' : 'getMany',
        keys,
        () => withinLimit(this.lookup(storedKeys, expected, options)),
        ALL_OF_LOOKUP,
      ),
    )
  }

  /**
   * What lies under a key, of whatever worth, as the store itself says: not a copy of it.
   *
   * @returns `undefined`: the store failed, which is reported.
   * @internal
   */
  tryLying(storedKey: string): MaybePromise<{ readonly payload: unknown } | undefined> {
    const read = this.tryRead(() => this.readEntries([storedKey]))
    return chain(read, (payloads) => payloads && { payload: payloads[0] })
  }

  /**
   * Begins what is about to be made: see {@link Backend.begin}.
   *
   * @param found - By the look-up before it.
   * @returns `undefined`: the store failed, which is reported; nothing can be kept.
   * @internal
   */
  tryBegin(
    storedKeys: readonly string[],
    { lying, seen, withClock = false }: Pick<Lookup, 'lying' | 'seen' | 'withClock'>,
    tags: readonly string[],
  ): MaybePromise<Beginning | undefined> {
    const wanted = new Map(tags.map((tag) => [tag, seen.get(tag)]))
    // What it did not ask for it did not find missing.
    const isWhole = withClock && tags.every((tag) => seen.has(tag))
    return orUndefined(() =>
      this.guarded('set', () => withinLimit(this.begin(storedKeys, lying, wanted, isWhole))),
    )
  }

  /**
   * Gives up a claim of which nothing came. A store that fails is reported.
   *
   * @param tookMs - What it took to make.
   * @internal
   */
  tryGiveUp(storedKey: string, claim: Claim, tookMs: number): MaybePromise<void> {
    if (claim === undefined) return undefined
    const giveUp = () => withinLimit(this.giveUp(storedKey, claim, tookMs))
    return orUndefined(() => this.guarded('set', giveUp))
  }

  /**
   * Reads for what is being made.
   *
   * @param read - One of the calls of {@link Backend}.
   * @returns `undefined` also where the store failed, which is reported.
   * @internal
   */
  tryRead<T>(read: () => MaybePromise<T>): MaybePromise<T | undefined> {
    return orUndefined(() => this.guarded('get', () => withinLimit(read())))
  }

  /**
   * What there is now of something that was made while others waited for it: it may have been invalidated
   * before they asked, by another process, or before it was known that it depends on that.
   *
   * @param claim - What it was begun with.
   * @param made - The versions that it depends on.
   * @returns What is stored by now; `true`: nothing yet, and what was made is current (or the store fails and
   *   cannot tell); `false`: they have to look for themselves.
   * @internal
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
      if (this.isShared && !this.isStillClaimed(claim, found.lying[0])) return false
      return tags.every((tag) => this.isCurrentVersion(tag, made.get(tag), found.seen.get(tag)))
    })
  }

  /**
   * Until when an entry lives: no longer than now if it is gone meanwhile, or the store fails.
   *
   * @internal
   */
  readLifetime(storedKey: string): MaybePromise<Deadline> {
    const read = this.tryRead(() => this.readDeadline(storedKey))
    return chain(read, (deadline) => (deadline === undefined ? Date.now() : deadline))
  }

  /**
   * Writes for fragments or pages: a store that fails is reported and gives `undefined`.
   *
   * @internal
   */
  tryStore(
    keys: readonly string[],
    requests: readonly StoreRequest[],
  ): MaybePromise<readonly WriteOutcome[] | undefined> {
    return orUndefined(() =>
      this.#observed(
        keys.length === 1 ? 'set' : 'setMany',
        keys,
        () => withinLimit(this.store(requests)),
        IF_STORED,
      ),
    )
  }

  /**
   * Runs a call that a backend has besides these: observed and limited like them.
   *
   * @param fallback - What `ignoreErrors` answers for a store that fails.
   */
  protected async callStore<T>(
    operation: string,
    keys: readonly string[],
    action: () => MaybePromise<T>,
    fallback: T,
  ): Promise<T> {
    return this.#call(operation, keys, action, fallback)
  }

  /** Like {@link #observed}, with what `ignoreErrors` answers for a store that fails. */
  #call<T>(
    operation: string,
    keys: readonly string[],
    action: () => MaybePromise<T>,
    fallback: T,
    counting?: Counting<T>,
  ): MaybePromise<T> {
    return this.settings.ignoreErrors
      ? this.#callOrMiss(operation, keys, action, fallback, counting)
      : this.#observed(operation, keys, action, counting)
  }

  async #callOrMiss<T>(
    operation: string,
    keys: readonly string[],
    action: () => MaybePromise<T>,
    fallback: T,
    counting?: Counting<T>,
  ): Promise<T> {
    try {
      return await this.#observed(operation, keys, action, counting)
    } catch (error) {
      if (isStoreFailure(error)) return fallback
      throw error
    }
  }

  #observed<T>(
    operation: string,
    keys: readonly string[],
    action: () => MaybePromise<T>,
    counting?: Counting<T>,
  ): MaybePromise<T> {
    const isTold = isToldOfOperations()
    const isRead = counting?.hits !== undefined && keys.length > 0
    const isTimed = isRead && (!this.answersAtOnce || this.counts.isTimed())
    const startedMs = isTold || isTimed ? performance.now() : 0
    const succeeded = (result: T) => {
      const durationMs = isTold || isTimed ? performance.now() - startedMs : 0
      if (isTimed) this.counts.reads.add(durationMs)
      const hits = counting === undefined ? 0 : this.#count(keys, result, counting)
      const misses = counting?.hits === undefined ? 0 : keys.length - hits
      if (isTold) this.#publish(operation, keys, { hits, misses, durationMs })
      return result
    }
    const failed = (error: unknown) => {
      const durationMs = performance.now() - startedMs
      if (isTold) this.#publish(operation, keys, { hits: 0, misses: 0, durationMs, error })
      throw error
    }
    let result: MaybePromise<T>
    try {
      result = this.guarded(operation, action)
    } catch (error) {
      return failed(error)
    }
    return isPromise(result) ? result.then(succeeded, failed) : succeeded(result)
  }

  /** @returns The number of hits. */
  #count<T>(keys: readonly string[], result: T, { sets, deletes, hits }: Counting<T>): number {
    const { counts } = this
    if (sets !== undefined) counts.sets += sets(result)
    if (deletes !== undefined) counts.deletes += deletes(result)
    if (hits === undefined) return 0
    const found = hits(result)
    counts.hits += found
    counts.atOnce.told(found)
    counts.misses += keys.length - found
    return found
  }

  /**
   * Of a look-up that was answered at once, timed and counted: who adds up is told of it, of hits once they
   * are many.
   *
   * @internal
   */
  timedAtOnce(key: string, isFound: boolean, durationMs: number): void {
    const { reads, atOnce } = this.counts
    reads.add(durationMs)
    atOnce.timed(key, durationMs)
    if (isFound) this.tellHits(HITS_OF_SUM)
    else this.tellOfMiss(key)
  }

  /**
   * Tells who adds up of the hits that were answered at once, by the last of them that was timed.
   *
   * @param atLeast - Of fewer it is told later.
   * @internal
   */
  tellHits(atLeast = 1): void {
    const { counts } = this
    const count = counts.atOnce.takeUntold(counts.hits, atLeast)
    if (count === 0) return
    const values = counts.takeValues()
    if (!operationSumChannel.hasSubscribers) return
    if (values > 0) this.#tellSum('getOrSet', values)
    if (count > values) this.#tellSum('get', count - values)
  }

  #tellSum(operation: string, count: number): void {
    const { alias, backendName: backend } = this
    const { lastKey, lastMs: durationMs } = this.counts.atOnce
    const keys = lastKey === undefined ? [] : [lastKey]
    const message = { alias, backend, operation, keys, hits: count, misses: 0, durationMs }
    operationSumChannel.publish({ message, count } satisfies Sum<OperationMessage>)
  }

  /**
   * Tells who adds up of a look-up that was answered at once, and found nothing.
   *
   * @internal
   */
  tellOfMiss(key: string): void {
    if (!operationSumChannel.hasSubscribers) return
    this.tellOfLookup(key, false, this.counts.atOnce.lastMs)
  }

  #failedAtOnce(operation: string, key: string, error: unknown): Error {
    const failure = this.toFailure(operation, error)
    if (isToldOfOperations()) {
      this.tellOfLookup(key, false, 0, { operation, error: failure })
    }
    return failure
  }

  /**
   * Tells of a look-up that was made without {@link tryLookup}, to who listens.
   *
   * @internal
   */
  tellOfLookup(
    key: string,
    isFound: boolean,
    durationMs: number,
    {
      operation = 'get',
      ...failure
    }: { readonly operation?: string; readonly error?: unknown } = {},
  ): void {
    const hits = isFound ? 1 : 0
    const misses = isFound || failure.error !== undefined ? 0 : 1
    this.counts.atOnce.told(hits)
    this.#publish(operation, [key], { hits, misses, durationMs, ...failure })
  }

  #publish(
    operation: string,
    keys: readonly string[],
    outcome: Pick<OperationMessage, 'hits' | 'misses' | 'durationMs' | 'error'>,
  ): void {
    const { alias, backendName: backend } = this
    const { hits, misses, durationMs, error } = outcome
    const about = { alias, backend, operation, keys, hits, misses, durationMs }
    const message: OperationMessage = error === undefined ? about : { ...about, error }
    if (operationChannel.hasSubscribers) operationChannel.publish(message)
    if (operationSumChannel.hasSubscribers) {
      operationSumChannel.publish({ message, count: 1 } satisfies Sum<OperationMessage>)
    }
  }
}

const IF_FOUND: Counting<Hit | undefined> = { hits: (hit) => (hit === undefined ? 0 : 1) }
const ALL_OF_LOOKUP: Counting<Lookup | undefined> = {
  hits: (found) => found?.hits.filter((hit) => hit !== undefined).length ?? 0,
}
const ONE_SET: Counting<unknown> = { sets: () => 1 }
const IF_ADDED: Counting<boolean> = { sets: (added) => (added ? 1 : 0) }
const IF_STORED: Counting<readonly WriteOutcome[]> = {
  sets: (outcomes) => outcomes.filter((outcome) => outcome === 'stored').length,
}
const IF_REMOVED: Counting<readonly boolean[]> = {
  deletes: (removed) => removed.filter((isRemoved) => isRemoved).length,
}
const IF_DELETED: Counting<boolean> = { deletes: (deleted) => (deleted ? 1 : 0) }

/** Where the value comes from; if a producer makes it, its time counts. */
class TimedSource {
  readonly source: unknown
  hasRun = false

  constructor(source: unknown, counts: Counts) {
    if (typeof source !== 'function') {
      this.source = source
      return
    }
    const produce = source as () => unknown
    this.source = () => {
      this.hasRun = true
      const startedMs = performance.now()
      return chain(produce(), (value) => {
        counts.producerRuns++
        counts.producerMs += performance.now() - startedMs
        return value
      })
    }
  }
}

/** Of an entry without stamp: fresh while it is there, kept no longer, of unknown cost. */
const UNSTAMPED: Stamp = { freshUntilMs: Infinity, graceMs: 0, costMs: 0 }

/** @throws TypeError: an option is unknown or no boolean. */
export function isSoft(options: InvalidateOptions): boolean {
  checkOptions(options, ['soft'])
  const { soft = false } = options
  if (typeof soft === 'boolean') return soft
  throw new TypeError(`soft: ${show(soft)} is neither true nor false`)
}

/** A failure of the store becomes `undefined`; what the caller did wrong stays an error. */
function orUndefined<T>(action: () => MaybePromise<T>): MaybePromise<T | undefined> {
  const failed = (error: unknown) => {
    if (error instanceof CacheBackendError) return undefined
    throw error
  }
  try {
    const result = action()
    return isPromise(result) ? result.catch(failed) : result
  } catch (error) {
    return failed(error)
  }
}

/** Whether an error says that the store failed, rather than that the call was wrong. */
export function isStoreFailure(error: unknown): boolean {
  return error instanceof CacheBackendError && error.code === 'FRAGCACHE_BACKEND_FAILED'
}

function checkOptions(options: unknown, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`options: ${show(options)} is no object; write for example { timeout: 60 }`)
  }
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue
    throw new TypeError(`options: unknown option ${show(name)}; known are ${known.join(', ')}`)
  }
}

function checkDelta(delta: unknown): asserts delta is number {
  if (Number.isSafeInteger(delta)) return
  throw new TypeError(`delta: ${show(delta)} is no whole number`)
}

function checkKeys(keys: unknown): Iterable<string> {
  if (typeof keys === 'object' && keys !== null && Symbol.iterator in keys) {
    return keys as Iterable<string>
  }
  throw new TypeError(`keys: ${show(keys)} is no list of keys; give an array of texts`)
}

function toPairs(entries: unknown): (readonly [string, unknown])[] {
  if (typeof entries !== 'object' || entries === null) {
    throw new TypeError(`entries: ${show(entries)} is neither a record nor pairs of key and value`)
  }
  // A key given twice counts once, with its last value, as in a record.
  return Symbol.iterator in entries
    ? [...new Map(entries as Iterable<readonly [string, unknown]>)]
    : Object.entries(entries)
}
