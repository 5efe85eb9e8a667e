import { composed } from '../backend/core.js'
import { Cache } from '../cache.js'
import { InvalidCacheBackendError, show } from '../errors.js'
import { resolveCount, type CacheSettings } from '../settings.js'
import type { ValueOptions } from '../value-types.js'
import { LIMIT_OPTIONS, resolveLimits } from './limits.js'
import { MemoryEntries } from './locmem/entries.js'
import { POLICIES, type EvictionPolicy } from './locmem/eviction.js'
import { MemoryStore } from './locmem/memory-store.js'
import { MemoryPrimitives } from './locmem/primitives.js'

/** Options of {@link LocMemCache}. */
export interface LocMemOptions extends ValueOptions {
  /** Maximum number of entries, never exceeded. Default 300. */
  readonly maxEntries?: number | undefined
  /**
   * Which live entries are removed first when the cache is full and nothing has expired. `'lru'`: those that
   * have not been used for the longest time. `'s3-fifo'`: those that were not used again while they were new,
   * so that keys requested once do not displace keys requested often. Caches of one location have one policy.
   * Default `'s3-fifo'`; with `cullFrequency`, `'lru'`.
   */
  readonly policy?: EvictionPolicy | undefined
  /**
   * When the cache is full and nothing has expired, one in this many entries is removed, the least recently
   * used first, as in Django. 0: all of them. Default: one is removed for each new one.
   */
  readonly cullFrequency?: number | undefined
  /**
   * Maximum size of keys and values together, in bytes. `policy` decides what is removed first. Default: no
   * limit.
   */
  readonly maxBytes?: number | undefined
}

/** Settings of {@link LocMemCache}. */
export interface LocMemSettings extends CacheSettings {
  /**
   * A name: caches with the same name in a process share their entries. Default: a store of its own.
   */
  readonly location?: string | undefined
  readonly options?: LocMemOptions | undefined
}

/**
 * A cache in this process's memory. It answers at once, so that templates over it can be rendered
 * synchronously.
 *
 * @remarks Strings, numbers and other immutable values are stored by reference, anything else as a serialized
 *   copy. Each process has its own memory; other processes do not see the entries.
 * @see Django, "Local-memory caching"
 */
export class LocMemCache extends Cache {
  /** Written out, because minifiers shorten the names of classes. */
  static override readonly name: string = 'LocMemCache'
  override readonly answersAtOnce = true
  override readonly isShared = false

  /** @throws InvalidCacheBackendError: a setting is unknown or of the wrong kind. */
  constructor(settings: LocMemSettings = {}) {
    super(
      settings,
      { options: [...LIMIT_OPTIONS, 'maxBytes', 'policy'] },
      composed((core) => {
        const { location, options = {} } = settings
        if (location !== undefined && typeof location !== 'string') {
          throw new InvalidCacheBackendError(
            `LocMemCache: location: ${show(location)} is not a name; give a string, or leave it out for a store of its own`,
          )
        }
        const { maxEntries, cullFrequency } = resolveLimits('LocMemCache', options)
        const limits = {
          maxEntries,
          cullFrequency: options.cullFrequency === undefined ? undefined : cullFrequency,
          maxBytes: resolveCount('LocMemCache', 'maxBytes', options.maxBytes, Infinity, 1),
        }
        const memory = openStore(location, resolvePolicy(options))
        const store = new MemoryPrimitives(memory, core, limits)
        return { store, entries: new MemoryEntries(core, store) }
      }),
    )
  }
}

/**
 * @returns `undefined`: any will do.
 * @throws InvalidCacheBackendError: it is unknown, or does not go with the other options.
 */
function resolvePolicy({ policy, cullFrequency }: LocMemOptions): EvictionPolicy | undefined {
  if (policy !== undefined && !POLICIES.includes(policy)) {
    const known = POLICIES.map((name) => show(name)).join(' or ')
    throw new InvalidCacheBackendError(
      `LocMemCache: policy: ${show(policy)} is not a policy; give ${known}, or leave it out`,
    )
  }
  if (cullFrequency === undefined) return policy
  if (policy === 's3-fifo') {
    throw new InvalidCacheBackendError(
      "LocMemCache: cullFrequency: it culls the least recently used, and the policy 's3-fifo' lets one go for one that comes; leave cullFrequency out, or give the policy 'lru'",
    )
  }
  return 'lru'
}

/** One process may load two copies of this package; a name means the same store in both. */
const REGISTRY = Symbol.for('fragcache.locmem.stores.5')

/** @throws InvalidCacheBackendError: the location has another policy. */
function openStore(location: string | undefined, policy: EvictionPolicy | undefined): MemoryStore {
  if (location === undefined) return new MemoryStore(policy ?? POLICIES[0])
  const holder = globalThis as { [REGISTRY]?: Map<string, MemoryStore> }
  const stores = (holder[REGISTRY] ??= new Map())
  const store = stores.get(location) ?? new MemoryStore(policy ?? POLICIES[0])
  if (policy !== undefined && policy !== store.policy) {
    throw new InvalidCacheBackendError(
      `LocMemCache: policy: the location ${show(location)} has the policy ${show(store.policy)} already, and not ${show(policy)}; give the same policy, and cullFrequency, to all caches of one location`,
    )
  }
  stores.set(location, store)
  return store
}
