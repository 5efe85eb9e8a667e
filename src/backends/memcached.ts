import { composed } from '../backend/core.js'
import { Cache } from '../cache.js'
import { InvalidCacheBackendError, show } from '../errors.js'
import { FORMAT_SETTINGS, PayloadFormat, type FormatSettings } from '../payload-format.js'
import { resolveCount, type CacheSettings, type ServerOptions } from '../settings.js'
import type { ValueOptions } from '../value-types.js'
import { MemcachedEntries } from './memcached/entries.js'
import { handshakeFor, type Credentials, type Speech } from './memcached/handshake.js'
import { Items } from './memcached/items.js'
import { parseLocations } from './memcached/location.js'
import { MemcachedPrimitives } from './memcached/primitives.js'
import { Servers } from './memcached/servers.js'

export type { CompressSettings, FormatSettings, ValueSerializer } from '../payload-format.js'

/** Options of {@link MemcachedCache}. */
export interface MemcachedOptions extends ServerOptions, ValueOptions {
  /**
   * Milliseconds a call may take before it fails. A connection is given up if no byte arrives for this long
   * while replies are due. Default 1000.
   */
  readonly timeLimitMs?: number | undefined
  /**
   * Maximum number of connections per server. Each carries any number of calls at a time; another is opened
   * only while the others are busy. Default 2.
   */
  readonly poolSize?: number | undefined
  /**
   * While a server is down, its keys move to the next server of the ring. When it is back, what it still has
   * counts as gone. Cannot be combined with `flushOnClear`. Default `false`: calls for its keys fail.
   */
  readonly failover?: boolean | undefined
  /** The servers' shares of the keys, in the order of the locations. Default: equal. */
  readonly weights?: readonly number[] | undefined
  /** The user name for SASL (PLAIN), over the binary protocol. Requires `password`. */
  readonly username?: string | undefined
  readonly password?: string | undefined
  /**
   * `clear` empties the servers altogether, including entries of other programs. Reads are a little cheaper,
   * since there are no generations to compare. Only without `keyPrefix` and `failover`. Default `false`.
   */
  readonly flushOnClear?: boolean | undefined
  /**
   * The commands to use. `auto`: meta commands if every reply names its command (Memcached 1.6.18), else the
   * classic ones, and the binary protocol with `username`. A proxy may need `classic`. Default `auto`.
   */
  readonly protocol?: 'auto' | 'meta' | 'classic' | 'binary' | undefined
}

/** Settings of {@link MemcachedCache}. */
export interface MemcachedSettings extends CacheSettings, FormatSettings {
  /**
   * `host:port` or `unix:/path`. Several, as a list or separated by `,` or `;`, form one ring, over which the
   * keys are spread as libmemcached does it.
   */
  readonly location: string | readonly string[]
  readonly options?: MemcachedOptions | undefined
}

const OPTIONS = [
  'poolSize',
  'failover',
  'weights',
  'username',
  'password',
  'flushOnClear',
  'protocol',
]

const DEFAULT_POOL_SIZE = 2

/**
 * A cache on one or several Memcached servers.
 *
 * @remarks Connections are opened on first use, send all calls of one turn of the event loop in one write,
 *   and do not keep the process alive. `add`, `incr` and everything else that depends on what is stored are
 *   atomic. Deadlines are exact to 4 ms up to 4 seconds, to 0.4 percent up to 17 minutes and to 2 seconds
 *   above; no entry outlives its deadline. The clocks of machines that share a server must be right to the
 *   second.
 * @see Django, "Memcached"
 */
export class MemcachedCache extends Cache {
  /** Written out, because minifiers shorten the names of classes. */
  static override readonly name: string = 'MemcachedCache'
  /** @throws InvalidCacheBackendError: a setting is missing, unknown or of the wrong kind. */
  constructor(settings: MemcachedSettings) {
    super(
      settings,
      { settings: FORMAT_SETTINGS, options: OPTIONS, server: true },
      composed((core) => {
        // Nothing at all has no location either.
        const { location, options = {}, ...others }: Partial<MemcachedSettings> = { ...settings }
        const format = new PayloadFormat('MemcachedCache', others, core.types)
        const locations = parseLocations(location)
        const flushOnClear = checkFlag('flushOnClear', options.flushOnClear)
        if (flushOnClear && core.settings.keyPrefix !== '') {
          throw fault(
            `options.flushOnClear: clear would empty the servers of other key prefixes, too; leave it out, or keyPrefix ${show(core.settings.keyPrefix)}`,
          )
        }
        const failover = checkFlag('failover', options.failover)
        if (failover && flushOnClear) {
          throw fault(
            'options.failover: with options.flushOnClear there are no generations by which a server that returns could be told from one that is up to date, and it would serve outdated values; leave one of the two out',
          )
        }
        const credentials = checkCredentials(options)
        const servers = new Servers({
          locations,
          weights: checkWeights(options.weights, locations.length),
          keyPrefix: core.settings.keyPrefix,
          poolSize: resolveCount(
            'MemcachedCache',
            'options.poolSize',
            options.poolSize,
            DEFAULT_POOL_SIZE,
            1,
          ),
          failover,
          timeLimitMs: core.settings.timeLimitMs,
          handshake: handshakeFor(checkProtocol(options.protocol, credentials), credentials),
        })
        const entries = new MemcachedEntries(servers, new Items(flushOnClear))
        return { store: new MemcachedPrimitives(servers, entries, format, core.settings.timeout) }
      }),
    )
  }
}

function fault(message: string): InvalidCacheBackendError {
  return new InvalidCacheBackendError(`MemcachedCache: ${message}`)
}

function checkFlag(name: string, value: unknown): boolean {
  if (value === undefined) return false
  if (typeof value === 'boolean') return value
  throw fault(`options.${name}: ${show(value)} is not a boolean`)
}

function checkWeights(weights: unknown, count: number): readonly number[] {
  if (weights === undefined) return new Array<number>(count).fill(1)
  const isWeight = (one: unknown) => Number.isSafeInteger(one) && (one as number) > 0
  if (Array.isArray(weights) && weights.length === count && weights.every(isWeight)) {
    return weights as number[]
  }
  throw fault(
    `options.weights: give one whole number of at least 1 for each of the ${count} locations, such as [${new Array(count).fill(1).join(', ')}]`,
  )
}

function checkCredentials({ username, password }: MemcachedOptions): Credentials | undefined {
  if (username === undefined && password === undefined) return undefined
  for (const [name, value] of Object.entries({ username, password }) as [string, unknown][]) {
    if (typeof value === 'string' && value !== '' && !value.includes('\0')) continue
    // A password does not belong into a message, not even a wrong one.
    throw fault(
      `options.${name}: it is ${value === undefined ? 'missing' : 'not a string of at least one character without NUL'}; SASL needs options.username and options.password`,
    )
  }
  return { username: username ?? '', password: password ?? '' }
}

function checkProtocol(protocol: unknown, credentials: Credentials | undefined): Speech {
  const known: readonly unknown[] = ['auto', 'meta', 'classic', 'binary']
  const speech = protocol ?? 'auto'
  if (!known.includes(speech)) {
    throw fault(`options.protocol: ${show(protocol)} is none of auto, meta, classic and binary`)
  }
  if (credentials !== undefined && speech !== 'auto' && speech !== 'binary') {
    throw fault(
      `options.protocol: ${show(protocol)} knows no SASL; leave it out, or options.username and options.password`,
    )
  }
  return speech as Speech
}
