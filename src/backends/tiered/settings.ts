import { coreOf, hasCore } from '../../backend/core.js'
import type { Bus } from '../../bus.js'
import type { Cache } from '../../cache.js'
import { didYouMean } from '../../did-you-mean.js'
import { InvalidCacheBackendError, show } from '../../errors.js'
import {
  besideOptions,
  checkSettingNames,
  type CacheSettings,
  type KnownSettings,
  type ResolvedSettings,
} from '../../settings.js'
import type { LocMemCache } from '../locmem.js'

/** Settings of {@link TieredCache}. Its keys are made as those of `remote`. */
export interface TieredSettings extends Omit<CacheSettings, 'location' | 'options'> {
  /** The memory of this process. Use a `LocMemCache` that nothing else uses. */
  readonly local: LocMemCache
  /** The cache that all processes share. */
  readonly remote: Cache
  /**
   * How processes notify each other of changes. Default: the bus of the remote cache if it has one, as
   * `RedisCache` does; otherwise none.
   */
  readonly bus?: Bus | undefined
  /**
   * Maximum number of seconds an entry is served from local memory. Default: as long as it lives if there is
   * a bus; otherwise 1. For this long another process's change may go unnoticed.
   */
  readonly localTimeout?: number | undefined
}

/** The settings besides those that every backend has. */
const TIERED_SETTINGS = ['local', 'remote', 'bus', 'localTimeout']

export const TIERED_KNOWN: KnownSettings = { settings: TIERED_SETTINGS, options: [] }

/** The settings that a tiered cache has in common with others: its own, else those of the remote cache. */
export function commonSettings(settings: TieredSettings, remote: ResolvedSettings): CacheSettings {
  const { version, timeout, ignoreErrors, lock, earlyRefresh, producerTimeoutMs } = remote
  const given = Object.entries(settings).filter(([, value]) => value !== undefined)
  return {
    ...{ version, timeout, ignoreErrors, lock, earlyRefresh },
    producerTimeoutMs: producerTimeoutMs === Infinity ? null : producerTimeoutMs,
    ...(Object.fromEntries(given) as CacheSettings),
    keyPrefix: remote.keyPrefix,
    keyFunction: remote.keyFunction,
  }
}

/** @throws InvalidCacheBackendError: a setting is of the wrong kind, or contradicts the remote cache. */
export function checkSettings(settings: unknown): TieredSettings {
  const example = '{ local: new LocMemCache(), remote: new RedisCache(…) }'
  const given = checkSettingNames<TieredSettings>('TieredCache', settings, TIERED_KNOWN, example)
  const { local, remote, bus, localTimeout, keyPrefix, keyFunction } = given
  if (!hasCore(local) || !('keepCopy' in coreOf(local).entries)) {
    throw new InvalidCacheBackendError(
      `TieredCache: local: ${show(local)} is not a local memory; give a separate LocMemCache`,
    )
  }
  if (!hasCore(remote) || remote === local) {
    throw new InvalidCacheBackendError(
      `TieredCache: remote: ${show(remote)} is not a shared cache; give for example a RedisCache`,
    )
  }
  const [option] = Object.keys((given as CacheSettings).options ?? {})
  if (option !== undefined) {
    throw new InvalidCacheBackendError(
      `TieredCache: unknown option ${show(option)}; it has none of its own: give it to remote, or to local${didYouMean(option, [], besideOptions(TIERED_SETTINGS))}`,
    )
  }
  if (!coreOf(local).types.isEmpty) {
    throw new InvalidCacheBackendError(
      'TieredCache: local: options.types: the types of remote are for both; give them there',
    )
  }
  if (bus !== undefined && !isBus(bus)) {
    throw new InvalidCacheBackendError(
      `TieredCache: bus: ${show(bus)} is not a bus; give an object with the methods publish and subscribe`,
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
  const below = coreOf(remote).settings
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

function isBus(value: unknown): value is Bus {
  if (typeof value !== 'object' || value === null) return false
  const { publish, subscribe } = value as Partial<Bus>
  return typeof publish === 'function' && typeof subscribe === 'function'
}
