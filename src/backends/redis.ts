import { composed, coreOf } from '../backend/core.js'
import { Cache } from '../cache.js'
import type { KeyOptions } from '../cache-options.js'
import { currentMs } from '../current-time.js'
import { checkVersion } from '../keys.js'
import { LEASE_KEY_PREFIX } from '../making/lease.js'
import { CLOCK_KEY, TAG_KEY_PREFIX } from '../tags.js'
import { escapeGlob, surroundings } from './redis/key-space.js'
import { RedisPrimitives } from './redis/primitives.js'
import { SERVER_KEY_PREFIX } from './redis/same-server.js'
import type { Scanner } from './redis/scanner.js'
import { OWN_SETTINGS, type RedisSettings } from './redis/settings.js'

export type { CompressSettings, FormatSettings, ValueSerializer } from '../payload-format.js'
export { RedisBus, type RedisBusSettings } from './redis/bus.js'
export type { RedisClient } from './redis/client.js'
export type {
  GlideClient,
  NodeRedisClient,
  RedisCommand,
  RedisPort,
  RedisReply,
} from './redis/port.js'
export type { DurableInvalidations } from './redis/durable.js'
export type { RedisOptions, RedisSettings } from './redis/settings.js'

/** What the keys of entries begin with that are nobody's values. */
const OWN_KEYS = [CLOCK_KEY, TAG_KEY_PREFIX, LEASE_KEY_PREFIX, SERVER_KEY_PREFIX]

const NO_MORE: IteratorResult<readonly string[], void> = { done: true, value: undefined }

/**
 * A cache on a Redis server, on a leader with replicas, on a Cluster or behind Sentinels.
 *
 * @remarks There is one connection per location, opened on first use. Concurrent calls share its round trips.
 *   It does not keep the process alive. The server enforces deadlines, to the millisecond; `add` and `incr`
 *   are atomic. Entries are read from a replica if there is one, and may lag; tags always take effect at
 *   once.
 * @see Django, "Redis"
 */
export class RedisCache extends Cache {
  /** Written out, because minifiers shorten the names of classes. */
  static override readonly name: string = 'RedisCache'
  readonly #scanner: Scanner

  /** @throws InvalidCacheBackendError: a setting is missing, unknown or contradicts another. */
  constructor(settings: RedisSettings = {}) {
    const known = { settings: OWN_SETTINGS, server: true }
    let store!: RedisPrimitives
    super(
      settings,
      known,
      composed((core) => ({ store: (store = new RedisPrimitives(settings, core)) })),
    )
    this.#scanner = store.scanner
  }

  /**
   * Returns the remaining time of an entry.
   *
   * @returns Seconds, to the millisecond; `null` if it never expires; `undefined` if there is no live entry.
   */
  async ttl(key: string, options: KeyOptions = {}): Promise<number | null | undefined> {
    const core = coreOf(this)
    const storedKey = core.checkedKey(key, options.version)
    const read = async () => {
      const [hit, expiresAtMs] = await Promise.all([
        core.entries.lookupOne(storedKey, true),
        core.store.readDeadline(storedKey),
      ])
      if (hit === undefined || expiresAtMs === undefined) return undefined
      // It may be kept for longer than it is fresh.
      const endMs = Math.min(expiresAtMs ?? Infinity, hit.stamp?.freshUntilMs ?? Infinity)
      return endMs === Infinity ? null : Math.max(0, endMs - currentMs()) / 1000
    }
    return core.calls.run('ttl', [key], read, undefined)
  }

  /**
   * Iterates over the keys of one version, as callers pass them.
   *
   * @param pattern - A pattern in the server's notation: `*`, `?`, `[a-z]`, and `\` before a literal
   *   character. Default: all keys.
   * @remarks Not a snapshot: a key may appear twice. A key that is stored meanwhile, or that was invalidated
   *   by a tag, may or may not appear. The server looks at every key it has, in steps between which it does
   *   other work.
   */
  async *iterateKeys(
    pattern = '*',
    { version = this.settings.version }: KeyOptions = {},
  ): AsyncGenerator<string, void, void> {
    if (typeof pattern !== 'string') throw new TypeError('pattern: give a string such as "user:*"')
    checkVersion(version)
    const { keyFunction, keyPrefix } = this.settings
    const around = surroundings(keyFunction, keyPrefix, version)
    if (around === undefined) {
      throw new TypeError('iterateKeys: keyFunction hides the keys; they cannot be read back')
    }
    const [before, after] = around
    const { calls } = coreOf(this)
    const steps = this.#scanner.scan(escapeGlob(before) + pattern + escapeGlob(after))
    for (;;) {
      const step = await calls.run('iterateKeys', [], () => steps.next(), NO_MORE)
      if (step.done === true) return
      for (const storedKey of step.value) {
        const key = storedKey.slice(before.length, storedKey.length - after.length)
        if (!OWN_KEYS.some((prefix) => key.startsWith(prefix))) yield key
      }
    }
  }
}
