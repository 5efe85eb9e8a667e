import { CacheCore, exposeCore, type Composition } from './backend/core.js'
import { IF_DELETED, IF_FOUND, IF_REMOVED } from './backend/calls.js'
import type { Hit } from './backend/entries.js'
import type { CacheStore } from './backend/store.js'
import {
  checkDelta,
  checkKeys,
  checkOptions,
  deadlineOf,
  GET_OPTIONS,
  toInvalidating,
  KEY_OPTIONS,
  NO_OPTIONS,
  TOUCH_OPTIONS,
  type GetOptions,
  type GetOrSetOptions,
  type InvalidateOptions,
  type KeyOptions,
  type SetOptions,
  type TouchOptions,
} from './cache-options.js'
import { readDescription, type EntryDescription } from './describe.js'
import { CacheKeyNotFoundError, show } from './errors.js'
import type { Version } from './keys.js'
import { releasesOver } from './making/lease.js'
import { getMany, setMany } from './many.js'
import type { ProducerContext } from './making/production.js'
import { isPromise } from './maybe-promise.js'
import {
  resolveSettings,
  type CacheSettings,
  type KnownSettings,
  type ResolvedSettings,
} from './settings.js'
import type { GivenEntries, Storable, StorableEntries } from './storable.js'
import { checkTags } from './tags.js'
import type { TypedCache } from './typed-cache.js'
import { checkStored, dependOnFound, isOfInterest, lookUpUnguarded, Values } from './values.js'

/**
 * A cache: Django's low-level API over one store.
 *
 * Every method but {@link getOrSet} rejects with `CacheBackendError` when the store fails. With
 * `ignoreErrors` it answers as for an empty cache instead. A `TypeError` reports keys that are empty or not
 * text, timeouts that are neither a finite number nor `null`, and unknown options.
 *
 * Your own backend extends this class, and implements {@link CacheStore} or passes one to the constructor. It
 * may have any other members: none is taken for a part of the cache.
 *
 * @see Django, "The low-level cache API"
 */
export abstract class Cache {
  /** The name of this cache in its `Caches`; empty if it is in none. */
  readonly alias: string = ''

  /** Whether the store answers synchronously, so that templates can be rendered synchronously. */
  readonly answersAtOnce: boolean = false

  /**
   * Whether other processes read and write the same entries. If so, there may be changes that this process
   * does not know of.
   */
  readonly isShared: boolean = true

  /** The settings, including defaults. */
  readonly settings: ResolvedSettings

  readonly #core: CacheCore
  readonly #values: Values

  /**
   * @param known - The names of settings and options that the backend accepts besides the common ones.
   * @param store - The store of the entries. Default: the cache itself, by methods of its class.
   * @throws InvalidCacheBackendError: a setting is unknown or of the wrong kind, or a method is missing.
   */
  protected constructor(
    settings: CacheSettings = {},
    known: KnownSettings = {},
    store?: CacheStore<unknown> | Composition,
  ) {
    this.settings = resolveSettings(new.target.name, settings, known)
    this.#core = new CacheCore(this, settings.options ?? {}, known.server === true, store)
    exposeCore(this, this.#core)
    this.#values = new Values(this.#core)
  }

  /**
   * Returns the stored key of a key.
   *
   * @throws TypeError: the key is not text or is empty, or the version is invalid.
   */
  makeKey(key: string, version?: Version): string {
    return this.#core.keys.make(key, version)
  }

  /**
   * Reads a value.
   *
   * @returns The value, or `default` (else `undefined`) if there is no live entry. The caller declares the
   *   type; it is not checked. It is never the object that was stored.
   */
  get<T = unknown>(
    key: string,
    options?: KeyOptions & { readonly default?: undefined },
  ): Promise<T | undefined>
  get<T>(key: string, options: KeyOptions & { readonly default: T }): Promise<T>
  get<T>(key: string, options?: GetOptions<T>): Promise<T | undefined>
  async get<T>(key: string, options?: GetOptions<T>): Promise<T | undefined> {
    if (options !== undefined) checkOptions(options, GET_OPTIONS)
    const core = this.#core
    const storedKey = core.keys.checked(key, options?.version)
    const { entries, calls } = core
    let hit: Hit | undefined
    const mayAnswerAtOnce = this.answersAtOnce || entries.mayAnswerAtOnce
    if (mayAnswerAtOnce && !core.guard.isFailing && !this.settings.ignoreErrors) {
      // The hot path: nothing to report, and mostly nothing to await.
      const startedMs = calls.startLookup()
      const found = lookUpUnguarded(core, 'get', key, storedKey)
      if (isPromise(found)) {
        hit = await calls.observed('get', [key], () => found, IF_FOUND)
      } else {
        hit = found
        calls.lookedUp('get', key, hit !== undefined, startedMs)
      }
    } else {
      const lookup = () => entries.lookupOne(storedKey)
      hit = await calls.run('get', [key], lookup, undefined, IF_FOUND)
    }
    if (hit === undefined) return options?.default
    if (isOfInterest(hit)) await dependOnFound(core, storedKey, hit)
    return hit.value as T
  }

  /**
   * Stores a value and replaces the old one.
   *
   * @throws TypeError: the value is `undefined` or contains a function, a symbol, a promise, or an instance
   *   of a class that none of `options.types` stores.
   * @throws CacheBackendError `FRAGCACHE_VALUE_TOO_LARGE`: the old value is gone.
   * @remarks The tag versions are read before the value is written.
   */
  async set<V>(
    key: string,
    value: V & Storable<V>,
    options: SetOptions = NO_OPTIONS,
  ): Promise<void> {
    const stored = this.#values.set(key, value, options)
    if (isPromise(stored)) await stored
  }

  /**
   * Stores a value if there is no live entry under the key.
   *
   * @returns `true` if there was none and the value is now stored. With a timeout of zero or less: whether
   *   there was none.
   * @remarks Atomic: of any number of callers, in any number of processes, one gets `true`.
   */
  async add<V>(
    key: string,
    value: V & Storable<V>,
    options: SetOptions = NO_OPTIONS,
  ): Promise<boolean> {
    const added = this.#values.add(key, value, options)
    return isPromise(added) ? await added : added
  }

  /**
   * Gives a live entry a new deadline.
   *
   * @param options.timeout - Seconds from now. Default: the cache's timeout. Zero or less: the entry is
   *   removed.
   * @returns `true` if there was a live entry.
   */
  async touch(key: string, options: TouchOptions = {}): Promise<boolean> {
    checkOptions(options, TOUCH_OPTIONS)
    const storedKey = this.#core.checkedKey(key, options.version)
    const expiresAtMs = deadlineOf(this.#core, options)
    const touch = () => this.#core.changes.touch(storedKey, expiresAtMs)
    return this.#core.calls.run('touch', [key], touch, false)
  }

  /**
   * Makes an entry stale from now on. A `getOrSet` with `staleWhileRevalidate` or `staleIfError` may still
   * return it, within these times and no longer than it would have lived. For all other calls it is gone. The
   * result of a producer that is running for the key is not stored.
   *
   * @returns `true` if the entry was there and fresh.
   * @see Cache.delete, after which no call returns it.
   */
  async expire(key: string, options: KeyOptions = {}): Promise<boolean> {
    checkOptions(options, KEY_OPTIONS)
    const core = this.#core
    const storedKey = core.checkedKey(key, options.version)
    core.removing(storedKey)
    const expire = async () => {
      const wasFresh = await this.#core.changes.expire(storedKey)
      await core.store.confirmInvalidation('expire')
      return wasFresh
    }
    const expired = await core.calls.run('expire', [key], expire, false)
    core.removing(storedKey)
    return expired
  }

  /** Removes an entry. @returns `true` if it was there, for one caller only. */
  async delete(key: string, options: KeyOptions = {}): Promise<boolean> {
    checkOptions(options, KEY_OPTIONS)
    const storedKey = this.#core.checkedKey(key, options.version)
    const remove = () => this.#core.changes.delete(storedKey)
    return this.#core.calls.run('delete', [key], remove, false, IF_DELETED)
  }

  /** Whether there is a live entry. `null` is a value like any other. */
  async has(key: string, options: KeyOptions = {}): Promise<boolean> {
    checkOptions(options, KEY_OPTIONS)
    const storedKey = this.#core.checkedKey(key, options.version)
    const lookup = () => this.#core.entries.lookupOne(storedKey)
    return (await this.#core.calls.run('has', [key], lookup, undefined, IF_FOUND)) !== undefined
  }

  /** Reads several values in one round trip. @returns The live ones, in the order of the keys. */
  async getMany<T = unknown>(
    keys: Iterable<string>,
    options: KeyOptions = {},
  ): Promise<Map<string, T>> {
    return (await getMany(this.#core, keys, options)) as Map<string, T>
  }

  /**
   * Stores several values in one round trip.
   *
   * @param entries - A record, a `Map`, or pairs.
   * @returns The keys that could not be stored. If a new value was too large, the old value is gone.
   */
  async setMany<E extends GivenEntries<unknown>>(
    entries: E & StorableEntries<E>,
    options: SetOptions = {},
  ): Promise<string[]> {
    return setMany(this.#core, this.#values, entries, options)
  }

  /** Removes several entries in one round trip. */
  async deleteMany(keys: Iterable<string>, options: KeyOptions = {}): Promise<void> {
    const asked = [...new Set(checkKeys(keys))]
    checkOptions(options, KEY_OPTIONS)
    const core = this.#core
    const storedKeys = asked.map((key) => core.checkedKey(key, options.version))
    if (asked.length === 0) return
    for (const storedKey of storedKeys) core.removing(storedKey)
    const remove = () => core.store.removeEntries(storedKeys)
    await core.calls.run('deleteMany', asked, remove, [], IF_REMOVED)
    for (const storedKey of storedKeys) core.removing(storedKey)
  }

  /**
   * Reads a value, or produces and stores it.
   *
   * @param valueOrProducer - The value, or a function that produces it and may decide how it is stored.
   * @throws What the producer throws, for all callers that waited for it. Then nothing is stored, and the
   *   next call tries again. With `staleIfError` the old value is returned instead, and the error is
   *   published on `fragcache:refresh`.
   * @throws ProducerTimeoutError: `producerTimeoutMs` has passed, and there is no old value.
   * @throws CacheBackendError: with `strict`, the store failed, or does not take so large a value. Otherwise
   *   the value is then produced, and not stored.
   * @remarks One producer runs at a time per stored key in this process, and with `lock` in all processes.
   *   Each caller gets its own copy. Tag versions are read before the producer runs, so an invalidation
   *   meanwhile wins. What the producer reads from caches, and `dependOn`, add their tags to the entry's.
   *   With `staleWhileRevalidate` and `earlyRefresh` the producer may run when nobody waits for it any more:
   *   it must not use what ends with a request.
   */
  getOrSet<T = unknown>(
    key: string,
    valueOrProducer: (context: ProducerContext) => T | Promise<T>,
    options?: GetOrSetOptions,
  ): Promise<T>
  // Where the type of `old` is named, as in `getOrSet<Row>(…)`. It cannot be inferred from what the producer returns.
  getOrSet<T>(
    key: string,
    valueOrProducer: (context: ProducerContext<T>) => T | Promise<T>,
    options?: GetOrSetOptions,
  ): Promise<T>
  getOrSet<T = unknown>(
    key: string,
    valueOrProducer: T | ((context: ProducerContext<T>) => T | Promise<T>),
    options?: GetOrSetOptions,
  ): Promise<T>
  getOrSet<T = unknown>(
    key: string,
    valueOrProducer: T | ((context: ProducerContext<T>) => T | Promise<T>),
    options: GetOrSetOptions = {},
  ): Promise<T> {
    return this.#values.get(key, valueOrProducer, options) as Promise<T>
  }

  /**
   * Adds to a whole number.
   *
   * @returns The new number. The entry keeps its remaining time.
   * @throws CacheKeyNotFoundError: there is no live entry.
   * @throws TypeError: the entry, or `delta`, is not a whole number.
   * @throws RangeError: the sum is beyond 2^53 - 1; the entry is unchanged.
   * @remarks Atomic.
   */
  async incr(key: string, delta = 1, options: KeyOptions = NO_OPTIONS): Promise<number> {
    checkDelta(delta)
    const counted = this.#values.count('incr', key, delta, options)
    const sum = isPromise(counted) ? await counted : counted
    if (sum === undefined) throw new CacheKeyNotFoundError(key, 'incr')
    return sum
  }

  /** Subtracts from a whole number. Otherwise works like {@link incr}. */
  async decr(key: string, delta = 1, options: KeyOptions = NO_OPTIONS): Promise<number> {
    checkDelta(delta)
    const counted = this.#values.count('decr', key, -delta, options)
    const sum = isPromise(counted) ? await counted : counted
    if (sum === undefined) throw new CacheKeyNotFoundError(key, 'decr')
    return sum
  }

  /**
   * Moves an entry to a higher version. The entry keeps its remaining time and tags.
   *
   * @returns The new version.
   * @throws CacheKeyNotFoundError: there is no live entry.
   * @throws TypeError: the version or `delta` is not a whole number.
   */
  async incrVersion(key: string, delta = 1, options: KeyOptions = {}): Promise<number> {
    return this.#move('incrVersion', key, delta, options)
  }

  /** Moves an entry to a lower version. Otherwise works like {@link incrVersion}. */
  async decrVersion(key: string, delta = 1, options: KeyOptions = {}): Promise<number> {
    checkDelta(delta)
    return this.#move('decrVersion', key, -delta, options)
  }

  async #move(operation: string, key: string, delta: number, options: KeyOptions): Promise<number> {
    checkDelta(delta)
    checkOptions(options, KEY_OPTIONS)
    const core = this.#core
    const { version = this.settings.version } = options
    const target = Number.isSafeInteger(version) ? (version as number) + delta : NaN
    if (!Number.isSafeInteger(target)) {
      throw new TypeError(
        `version: ${show(version)} cannot be counted by ${delta}; use set with the new version`,
      )
    }
    const from = core.checkedKey(key, version)
    const to = core.checkedKey(key, target)
    const move = async () => {
      const outcome = await this.#core.changes.move(from, to)
      if (outcome === undefined) return false
      checkStored(core, outcome, operation, key)
      if (from !== to) this.#values.detach(to)
      return true
    }
    if (await core.calls.run(operation, [key], move, false)) return target
    throw new CacheKeyNotFoundError(key, operation)
  }

  /**
   * Removes everything this cache could have written. Entries with another key prefix stay.
   *
   * @throws TypeError: it is given something, as if it removed that alone. Nothing is removed.
   * @see The documentation of each backend for how it distinguishes its own entries from others.
   */
  async clear(): Promise<void>
  async clear(...given: readonly unknown[]): Promise<void> {
    if (given[0] !== undefined) {
      throw new TypeError(
        `clear: ${show(given[0])} was given, and clear removes everything; remove one entry by delete(key), several by deleteMany(keys), and what depends on a tag by invalidateTags(tags)`,
      )
    }
    const core = this.#core
    core.removing()
    await core.calls.run('clear', [], () => core.store.removeAll(), undefined)
    core.entries.forgetClock()
    core.removing()
  }

  /**
   * Makes every entry stored with any of the tags a miss, including one whose producer is running.
   *
   * @param options.soft - Makes the entries stale instead: calls with `staleWhileRevalidate` or
   *   `staleIfError` may get them, within these times and no longer than the entries would have lived.
   * @remarks It takes two round trips over a shared store, whatever the number of entries.
   */
  async invalidateTags(tags: readonly string[], options: InvalidateOptions = {}): Promise<void> {
    await this.#core.invalidateStoredTags(checkTags(tags), toInvalidating(options))
  }

  /**
   * Describes an entry for inspection: what it is, what it depends on, and how long it lives. It also
   * describes entries that may only be served stale.
   *
   * @param key - A key as for `get`. The keys of fragments and pages are keys like any other.
   * @returns `undefined`: there is no such entry, or it was invalidated.
   * @remarks It counts as neither a hit nor a miss. If the entry is written meanwhile, some fields may
   *   describe it before and others after that.
   */
  async describe(key: string, options: KeyOptions = {}): Promise<EntryDescription | undefined> {
    checkOptions(options, KEY_OPTIONS)
    const core = this.#core
    const { version = this.settings.version } = options
    const storedKey = core.checkedKey(key, version)
    const read = () => readDescription(core, { key, storedKey, version })
    return core.calls.run('describe', [key], read, undefined)
  }

  /**
   * Returns the same cache, with declared types of keys and values: `cache.typed<{ visits: number }>()`.
   *
   * @typeParam S - An interface of keys and the types of their values.
   */
  typed<S extends object>(): TypedCache<S> {
    return this as unknown as TypedCache<S>
  }

  /** Closes connections and stops timers. A later call opens the cache again. */
  async close(): Promise<void> {
    // A write after it would open the connection again.
    await releasesOver(this.#core)
    this.#core.guard.forgetOutage()
    await this.#core.store.disconnect()
  }
}
