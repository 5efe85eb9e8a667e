import { composed } from '../backend/core.js'
import { Cache } from '../cache.js'
import { InvalidCacheBackendError, show } from '../errors.js'
import { resolveCount, type CacheSettings } from '../settings.js'
import { LIMIT_OPTIONS, resolveLimits } from './limits.js'
import { MemoryEntries } from './locmem/entries.js'
import { MemoryStore } from './locmem/memory-store.js'
import { MemoryPrimitives } from './locmem/primitives.js'

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
export class LocMemCache extends Cache {
  override readonly answersAtOnce = true
  override readonly isShared = false

  /** @throws InvalidCacheBackendError: a setting is unknown or of the wrong kind. */
  constructor(settings: LocMemSettings = {}) {
    super(
      settings,
      { options: [...LIMIT_OPTIONS, 'maxBytes'] },
      composed((core) => {
        const { location, options = {} } = settings
        if (location !== undefined && typeof location !== 'string') {
          throw new InvalidCacheBackendError(
            `LocMemCache: location: ${show(location)} is no name; give a text, or leave it out for a store of its own`,
          )
        }
        const limits = {
          ...resolveLimits('LocMemCache', options),
          maxBytes: resolveCount('LocMemCache', 'maxBytes', options.maxBytes, Infinity, 1),
        }
        const store = new MemoryPrimitives(openStore(location), core.settings.keyPrefix, limits)
        return { store, entries: new MemoryEntries(core, store) }
      }),
    )
  }
}

/** One process may load two copies of this package; a name means the same store in both. */
const REGISTRY = Symbol.for('fragcache.locmem.stores.4')

function openStore(location: string | undefined): MemoryStore {
  if (location === undefined) return new MemoryStore()
  const holder = globalThis as { [REGISTRY]?: Map<string, MemoryStore> }
  const stores = (holder[REGISTRY] ??= new Map())
  const store = stores.get(location) ?? new MemoryStore()
  stores.set(location, store)
  return store
}
