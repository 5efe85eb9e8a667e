import { didYouMean } from '../../did-you-mean.js'
import { InvalidCacheBackendError, show } from '../../errors.js'
import { FORMAT_SETTINGS, type FormatSettings } from '../../payload-format.js'
import {
  besideOptions,
  SERVER_OPTIONS,
  type CacheSettings,
  type ServerOptions,
} from '../../settings.js'
import type { ValueOptions } from '../../value-types.js'
import { CLIENT_OPTIONS } from './client-options.js'
import type { DurableInvalidations } from './durable.js'
import { isIoClient, type IoClient, type RedisClient } from './client.js'
import { PortClient } from './port-client.js'
import { isPort, portOf, type GlideClient, type NodeRedisClient, type RedisPort } from './port.js'
import { parseLocation, type Endpoint } from './location.js'

/**
 * Options of {@link RedisCache}: those below, and any of ioredis' own, which are passed on: `tls`,
 * `username`, `password`, `db`, `sentinels`, `family` …
 */
export interface RedisOptions extends ServerOptions, ValueOptions {
  /** Milliseconds that connecting may take. Default: half of `timeLimitMs`, at least 500. */
  readonly connectTimeout?: number | undefined
  /**
   * `clear` empties the whole db (`FLUSHDB`), including what other programs keep in it. Only without key
   * prefix. Default `false`.
   */
  readonly flushOnClear?: boolean | undefined
  readonly [option: string]: unknown
}

/** Settings of {@link RedisCache}. */
export interface RedisSettings extends CacheSettings, FormatSettings {
  /**
   * `redis://user:password@host:port/db`, `rediss://…` for TLS, `unix:///path?db=1` or the path of a socket.
   * Several, in a list or separated by `,` or `;`: the first is the leader, which receives writes; the others
   * are its replicas. Each read goes to a random replica.
   */
  readonly location?: string | readonly string[] | undefined
  /**
   * A client instead of a location. From ioredis: a `Redis`, a `Cluster`, or a `Redis` that asks Sentinels.
   * From `redis` (node-redis): what `createClient` returns. From `@valkey/valkey-glide`: a `GlideClient`. Or
   * your own {@link RedisPort}. The cache does not change its settings. You open and close it.
   */
  readonly client?: RedisClient | NodeRedisClient | GlideClient | RedisPort | undefined
  /**
   * Invalidations (`delete`, `expire`, `clear`, tags, and with them fragments and pages) resolve only once
   * this many replicas have them (`WAIT`). Otherwise they reject with `CacheBackendError`, although the
   * leader has carried them out. Default: they resolve once the leader has them.
   */
  readonly durableInvalidations?: DurableInvalidations | undefined
  readonly options?: RedisOptions | undefined
}

/** Where the servers are. */
export type Target =
  | { readonly client: IoClient }
  | { readonly endpoints: readonly Endpoint[]; readonly clientOptions: object }

/** The settings besides those that every backend has. */
export const OWN_SETTINGS = ['client', 'durableInvalidations', ...FORMAT_SETTINGS]

export const OWN_OPTIONS = [...SERVER_OPTIONS, 'types', 'flushOnClear']

/** Options of the client that mean something else here, and what to do instead. */
const REFUSED: Readonly<Record<string, string>> = {
  host: 'name the host in the location',
  port: 'name the port in the location',
  path: 'name the socket in the location, such as "unix:///run/redis.sock"',
  keyPrefix: 'use the setting keyPrefix',
  lazyConnect: 'connections always open on first use',
  maxEntries: 'the server makes room by itself; set its maxmemory and maxmemory-policy',
  cullFrequency: 'the server makes room by itself; set its maxmemory-policy',
  monitor: 'a connection that monitors takes no other commands',
}

const ELSEWHERE = {
  ...besideOptions(OWN_SETTINGS),
  maxEntries: 'which it does not have: set maxmemory and maxmemory-policy of the server',
}

/**
 * Finds out from the settings where the servers are.
 *
 * @throws InvalidCacheBackendError: a setting is missing, contradicts another or is of the wrong kind.
 */
export function resolveTarget({ location, client, options = {} }: RedisSettings): Target {
  const clientOptions = Object.fromEntries(
    Object.entries(options).filter(([name]) => !OWN_OPTIONS.includes(name)),
  )
  for (const name of Object.keys(clientOptions)) {
    const remedy = REFUSED[name]
    if (remedy !== undefined) throw refusal(`options.${name}: it is not taken here; ${remedy}`)
    checkClientOption(name)
  }
  if (client !== undefined) return resolveClient(client, location, Object.keys(clientOptions))
  if ('sentinels' in clientOptions) {
    if (location !== undefined) {
      throw refusal('options.sentinels: a location is given too; leave one of them out')
    }
    return { endpoints: [{}], clientOptions }
  }
  if (location === undefined) {
    throw refusal(
      'location: it is missing; give a URL such as "redis://127.0.0.1:6379", or a client of ioredis',
    )
  }
  const endpoints = parseLocation(location)
  for (const name of ['username', 'password', 'db'] as const) {
    if (!(name in clientOptions) || endpoints.every((one) => one[name] === undefined)) continue
    throw refusal(`options.${name}: the location says it too; leave it out of one of them`)
  }
  return { endpoints, clientOptions }
}

function checkClientOption(name: string): void {
  const known: readonly string[] = [...OWN_OPTIONS, ...CLIENT_OPTIONS]
  if (known.includes(name)) return
  const hint = didYouMean(name, known, ELSEWHERE)
  const remedy = hint || '; where a newer ioredis has it, give a client of your own'
  throw refusal(
    `unknown option ${show(name)}; known are ${OWN_OPTIONS.join(', ')} and those of ioredis 5 and 6${remedy}`,
  )
}

function resolveClient(client: unknown, location: unknown, optionNames: readonly string[]): Target {
  const port = isPort(client) ? client : isIoClient(client) ? undefined : portOf(client)
  if (port === undefined && !isIoClient(client)) {
    throw refusal(
      `client: ${show(client)} is not a known client; give a Redis or a Cluster of ioredis, the result of createClient of redis, a GlideClient, or a RedisPort; for Sentinels, give options.sentinels instead`,
    )
  }
  if (location !== undefined) {
    throw refusal('client: a location is given too; leave one of them out')
  }
  const [name] = optionNames
  if (name !== undefined) {
    throw refusal(`options.${name}: the client that was given has its own; set it there`)
  }
  return { client: port === undefined ? (client as IoClient) : clientOf(port) }
}

/** Caches over one client share what is known of its connection. */
const clients = new WeakMap<RedisPort, PortClient>()

function clientOf(port: RedisPort): PortClient {
  const known = clients.get(port) ?? new PortClient(port)
  clients.set(port, known)
  return known
}

/** Whether `clear` is to empty the db. */
export function resolveFlush({ keyPrefix = '', options = {} }: RedisSettings): boolean {
  const { flushOnClear = false } = options
  if (typeof flushOnClear !== 'boolean') {
    throw refusal(`options.flushOnClear: ${show(flushOnClear)} is not a boolean`)
  }
  if (flushOnClear && keyPrefix !== '') {
    throw refusal(
      `options.flushOnClear: entries of other key prefixes than ${show(keyPrefix)} would go too; leave out one of flushOnClear and keyPrefix`,
    )
  }
  return flushOnClear
}

function refusal(fault: string): InvalidCacheBackendError {
  return new InvalidCacheBackendError(`RedisCache: ${fault}`)
}
