import type { WriteEntry, WriteOutcome } from '../backend.js'
import { Cache } from '../cache.js'
import { CacheBackendError, InvalidCacheBackendError, show } from '../errors.js'
import { refuseKey, type KeyFault } from '../keys.js'
import { FORMAT_SETTINGS, PayloadFormat, type FormatSettings } from '../payload-format.js'
import type { Unpacked } from '../serializer.js'
import { resolveCount, type CacheSettings } from '../settings.js'
import { askEach, together, type ServerFigures } from '../server-stats.js'
import type { TagVersions } from '../tags.js'
import { toDeadline, type Deadline } from '../timeout.js'
import { Entries, toBytes } from './memcached/entries.js'
import { MemcachedReplyError } from './memcached/faults.js'
import { handshakeFor, type Credentials, type Speech } from './memcached/handshake.js'
import { parseLocations } from './memcached/location.js'
import type { Payload } from './memcached/request.js'
import { Servers } from './memcached/servers.js'

export type { FormatSettings, ValueSerializer } from '../payload-format.js'

/** Options of {@link MemcachedCache}. */
export interface MemcachedOptions {
  /**
   * Milliseconds a call may take before it fails. A connection without a byte for so long, while
   * answers are due, is given up. Default 1000.
   */
  readonly timeLimitMs?: number | undefined
  /**
   * Most connections per server. Each carries any number of calls at a time; another is opened only
   * while the others are busy. Default 2.
   */
  readonly poolSize?: number | undefined
  /**
   * While a server is down, its keys live on the next one of the ring. What it still has when it is
   * back counts as gone. Not with `flushOnClear`. Default `false`: calls for its keys fail.
   */
  readonly failover?: boolean | undefined
  /** The servers' shares of the keys, in the order of the locations. Default: equal. */
  readonly weights?: readonly number[] | undefined
  /** For SASL (PLAIN), over the binary protocol. Goes with `password`. */
  readonly username?: string | undefined
  readonly password?: string | undefined
  /**
   * `clear` empties the servers altogether, whoever wrote the entries. Reads are a little cheaper,
   * since there are no generations to compare. Only without `keyPrefix` and `failover`. Default
   * `false`.
   */
  readonly flushOnClear?: boolean | undefined
  /**
   * The commands to speak. `auto`: meta commands where every answer names its command (Memcached
   * 1.6.18), else the classic ones, and the binary protocol with `username`. A proxy may need
   * `classic`. Default `auto`.
   */
  readonly protocol?: 'auto' | 'meta' | 'classic' | 'binary' | undefined
}

/** Settings of {@link MemcachedCache}. */
export interface MemcachedSettings extends CacheSettings, FormatSettings {
  /**
   * `host:port` or `unix:/path`; several, as a list or split by `,` or `;`, are one ring, over which
   * the keys are spread as libmemcached does it.
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
 * A cache on one Memcached server or several.
 *
 * @remarks Connections are opened on first use, carry all calls of one turn of the event loop in one
 *   write, and do not keep the process alive. `add`, `incr` and everything else that depends on what
 *   is there is atomic. Deadlines are kept to 4 ms up to 4 seconds, to 0.4 percent up to
 *   17 minutes and to 2 seconds above; no entry outlives its deadline. Machines that share a server
 *   must have their clocks right to the second.
 * @see Django, "Memcached"
 */
export class MemcachedCache extends Cache<Payload> {
  readonly #format: PayloadFormat
  readonly #servers: Servers
  readonly #entries: Entries

  /** @throws InvalidCacheBackendError: a setting is missing, unknown or of the wrong kind. */
  constructor(settings: MemcachedSettings) {
    super(settings, { settings: FORMAT_SETTINGS, options: OPTIONS, server: true })
    this.#format = new PayloadFormat('MemcachedCache', settings)
    const { location, options = {} } = settings
    const locations = parseLocations(location)
    const flushOnClear = checkFlag('flushOnClear', options.flushOnClear)
    if (flushOnClear && this.settings.keyPrefix !== '') {
      throw fault(
        `options.flushOnClear: clear would empty the servers of other key prefixes, too; leave it out, or keyPrefix ${show(this.settings.keyPrefix)}`,
      )
    }
    const failover = checkFlag('failover', options.failover)
    if (failover && flushOnClear) {
      throw fault(
        'options.failover: with options.flushOnClear there are no generations by which a server that returns could be told from one that is up to date, and it would serve outdated values; leave one of the two out',
      )
    }
    const credentials = checkCredentials(options)
    this.#servers = new Servers({
      locations,
      weights: checkWeights(options.weights, locations.length),
      keyPrefix: this.settings.keyPrefix,
      poolSize: resolveCount(
        'MemcachedCache',
        'options.poolSize',
        options.poolSize,
        DEFAULT_POOL_SIZE,
        1,
      ),
      failover,
      timeLimitMs: this.settings.timeLimitMs,
      handshake: handshakeFor(checkProtocol(options.protocol, credentials), credentials),
    })
    this.#entries = new Entries(this.#servers, flushOnClear)
  }

  protected override packValue(value: unknown, tags: TagVersions | undefined): Payload {
    const text = this.#format.packText(value, tags)
    if (text === undefined) return this.#format.pack(value, tags)
    return Buffer.byteLength(text) === text.length ? text : Buffer.from(text)
  }

  protected override unpackPayload(payload: Payload): Unpacked {
    return this.#format.unpack(toBytes(payload))
  }

  protected override onKeyFaults(storedKey: string, faults: readonly KeyFault[]): void {
    refuseKey(storedKey, faults)
  }

  /** An answer of a server that is alive is no outage; nor is one server of several that is down. */
  protected override isOutage(error: unknown): boolean {
    if (error instanceof CacheBackendError || error instanceof MemcachedReplyError) return false
    const { all } = this.#servers
    return all.length === 1 || all.every(({ isDown }) => isDown)
  }

  protected override readEntries(keys: readonly string[]): Promise<(Uint8Array | undefined)[]> {
    const [only] = keys
    if (only !== undefined && keys.length === 1) {
      return new Promise((resolve, reject) => {
        this.#entries.read(only, (error, payload) => {
          if (error === undefined) resolve([payload])
          else reject(error)
        })
      })
    }
    return new Promise((resolve, reject) => {
      const payloads = new Array<Uint8Array | undefined>(keys.length)
      let left = keys.length
      if (left === 0) resolve(payloads)
      keys.forEach((key, i) => {
        this.#entries.read(key, (error, payload) => {
          if (error !== undefined) {
            reject(error)
            return
          }
          payloads[i] = payload
          if (--left === 0) resolve(payloads)
        })
      })
    })
  }

  protected override writeEntries(
    entries: readonly WriteEntry<Payload>[],
  ): Promise<WriteOutcome[]> {
    return new Promise((resolve, reject) => {
      const outcomes = new Array<WriteOutcome>(entries.length)
      const failures: Error[] = []
      let left = entries.length
      if (left === 0) resolve(outcomes)
      entries.forEach((entry, i) => {
        this.#entries.write(entry, (error, outcome) => {
          if (error !== undefined) failures.push(error)
          outcomes[i] = outcome
          if (--left > 0) return
          const [failure] = failures
          if (failure !== undefined && failures.length === entries.length) reject(failure)
          else resolve(outcomes)
        })
      })
    })
  }

  protected override async removeEntries(keys: readonly string[]): Promise<boolean[]> {
    return Promise.all(keys.map((key) => this.#entries.remove(key)))
  }

  protected override async touchEntry(key: string, expiresAtMs: Deadline): Promise<boolean> {
    return this.#entries.touch(key, expiresAtMs)
  }

  protected override async incrementEntry(
    key: string,
    delta: number,
  ): Promise<number | null | undefined> {
    return this.#entries.increment(key, delta)
  }

  protected override async readDeadline(key: string): Promise<Deadline | undefined> {
    return this.#entries.deadline(key, toDeadline(this.settings.timeout, Date.now()))
  }

  protected override async removeAll(): Promise<void> {
    await this.#entries.clear()
  }

  protected override async readServerStats(): Promise<ServerFigures> {
    const asked = this.#servers.all.map((server) => ({
      name: server.name,
      ask: () => server.stats(),
    }))
    return together(await askEach(asked))
  }

  protected override disconnect(): void {
    this.#servers.close()
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
      `options.${name}: it is ${value === undefined ? 'missing' : 'no text'}; SASL needs options.username and options.password`,
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
