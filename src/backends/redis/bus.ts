import { didYouMean } from '../../did-you-mean.js'
import type { Bus, BusListener } from '../../bus.js'
import { InvalidCacheBackendError, show } from '../../errors.js'
import { checkIsSettings } from '../../settings.js'
import { isRefusal } from './changes.js'
import { isIoClient, type IoClient } from './client.js'
import { Link, type ClientSource } from './link.js'
import { OWN_OPTIONS, resolveTarget, type RedisSettings } from './settings.js'
import { commandSources, listeningSource, type SourceSettings } from './sources.js'

function warnOfRefusal(channel: string, error: Error): void {
  process.emitWarning(
    `RedisBus: the server does not let this user listen to ${show(channel)} (${error.message}), so nothing is kept in local memory; give the user the channel (ACL SETUSER … &${channel})`,
    { type: 'CacheOutageWarning', code: 'FRAGCACHE_NO_CHANNEL' },
  )
}

/** Settings of {@link RedisBus}. */
export interface RedisBusSettings extends Pick<RedisSettings, 'location' | 'client' | 'options'> {
  /** The channel. Caches that share entries share a channel. Default `fragcache`. */
  readonly channel?: string | undefined
}

const KNOWN = ['location', 'client', 'options', 'channel']
const LIMIT_MS = 1000

/** Milliseconds between two signs of life: a connection that only listens would not notice its end. */
const HEARTBEAT_MS = 500

interface PublishingClient extends IoClient {
  publish(channel: string, message: string): Promise<unknown>
}

interface SubscribingClient extends IoClient {
  subscribe(channel: string): Promise<unknown>
  unsubscribe(channel: string): Promise<unknown>
  ping(): Promise<unknown>
}

/**
 * A bus for `TieredCache` over Redis' publish and subscribe: for a Cluster, or for a shared cache that does
 * not use Redis. A `TieredCache` in front of a `RedisCache` on one server does not need it.
 *
 * @remarks It uses a connection to publish and one to listen, opened on first use. If you pass a client, that
 *   client publishes, and a copy of it listens.
 * @see Redis, "Pub/sub"
 */
export class RedisBus implements Bus {
  readonly #channel: string
  readonly #publisher: ClientSource
  readonly #link: Link
  readonly #listen: (() => ClientSource) | undefined

  /** @throws InvalidCacheBackendError: a setting is missing, unknown or contradicts another. */
  constructor(settings: RedisBusSettings = {}) {
    checkIsSettings('RedisBus', settings, "{ location: 'redis://127.0.0.1:6379' }")
    const { channel = 'fragcache' } = settings
    for (const name of Object.keys(settings)) {
      if (KNOWN.includes(name)) continue
      throw new InvalidCacheBackendError(
        `RedisBus: unknown setting ${show(name)}; known settings are ${KNOWN.join(', ')}${didYouMean(name, KNOWN)}`,
      )
    }
    if (typeof channel !== 'string' || channel === '') {
      throw new InvalidCacheBackendError(
        `RedisBus: channel: ${show(channel)} is not a channel name`,
      )
    }
    for (const name of OWN_OPTIONS) {
      if (!(name in (settings.options ?? {}))) continue
      throw new InvalidCacheBackendError(`RedisBus: options.${name}: it belongs to a RedisCache`)
    }
    const target = resolveTarget(settings)
    if ('client' in target && !isIoClient(settings.client)) {
      throw new InvalidCacheBackendError(
        `RedisBus: client: ${show(settings.client)} is not a client of ioredis, and cannot listen; give a location`,
      )
    }
    const sources: SourceSettings = {
      owner: 'RedisBus',
      limitMs: LIMIT_MS,
      connectionName: () => `fragcache:bus:${channel}`,
    }
    this.#channel = channel
    this.#publisher = commandSources(target, sources)[0] as ClientSource
    this.#link = new Link(this.#publisher)
    this.#listen = listeningSource(target, sources)
  }

  /** @throws Error: there is no connection. */
  async publish(text: string): Promise<void> {
    const client = (await this.#link.ready()) as PublishingClient
    await client.publish(this.#channel, text)
  }

  async subscribe(listener: BusListener): Promise<() => Promise<void>> {
    const channel = this.#channel
    const source = this.#listen?.() ?? this.#publisher
    const client = (await source.open()) as SubscribingClient
    const listen = () => {
      client.subscribe(channel).then(
        () => listener.up(),
        (error: unknown) => {
          if (isRefusal(error)) warnOfRefusal(channel, error)
        },
      )
    }
    const message = (from: string, text: string) => {
      if (from === channel) listener.message(text)
    }
    const down = () => listener.down()
    client.on('ready', listen)
    client.on('close', down)
    client.on('message', message)
    const heartbeat = setInterval(() => {
      if (client.status === 'ready') client.ping().catch(() => undefined)
    }, HEARTBEAT_MS).unref()
    if (client.status === 'ready') listen()
    else if (client.status === 'wait') client.connect().catch(() => undefined)
    return async () => {
      clearInterval(heartbeat)
      client.off('ready', listen)
      client.off('close', down)
      client.off('message', message)
      if (source === this.#publisher) await client.unsubscribe(channel).catch(() => undefined)
      else await source.close()
    }
  }

  /** Closes the connection that publishes; the next message opens it again. */
  async close(): Promise<void> {
    await this.#publisher.close()
  }
}
