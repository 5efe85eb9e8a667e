import type { ChangeListener } from '../../backend/store.js'
import type { Argument, IoClient, Reply } from './client.js'
import type { ClientSource } from './link.js'
import { isReplyError } from './reply-error.js'

/** Where a server tells a connection of changes. @see Redis, "Client-side caching" */
const CHANNEL = '__redis__:invalidate'

/** Milliseconds between two signs of life: a connection that only listens would not notice its end. */
const HEARTBEAT_MS = 500

/** A connection that receives changes, as ioredis creates it. */
interface ListeningClient extends IoClient {
  call(name: string, ...args: readonly Argument[]): Promise<Reply>
  subscribe(channel: string): Promise<unknown>
  ping(): Promise<unknown>
}

/**
 * Has the server tell of every change of a key, by whichever client, for as long as the connection
 * stands, and again once it is back.
 *
 * @param source - Makes the connection, which then connects again by itself.
 * @param prefix - What the keys begin with.
 * @returns Ends it.
 */
export function watchKeys(
  source: Pick<ClientSource, 'open' | 'close'>,
  prefix: string,
  listener: ChangeListener,
): () => Promise<void> {
  let isStopped = false
  let heartbeat: NodeJS.Timeout | undefined

  const listen = async (client: ListeningClient) => {
    const id = Number(await client.call('CLIENT', 'ID'))
    // To itself: a second connection could be lost without this one being told.
    const mode = prefix === '' ? ['BCAST'] : ['BCAST', 'PREFIX', prefix]
    await client.call('CLIENT', 'TRACKING', 'ON', 'REDIRECT', id, ...mode)
    await client.subscribe(CHANNEL)
    if (!isStopped && client.status === 'ready') listener.up()
  }
  const start = async () => {
    const client = (await source.open()) as ListeningClient
    if (isStopped) return
    client.on('ready', () => {
      listen(client).catch((error: unknown) => {
        if (isRefusal(error)) warnOfRefusal(error)
        else client.disconnect(true)
      })
    })
    client.on('messageBuffer', (_channel: Buffer, keys: readonly Buffer[] | null) => {
      if (isStopped) return
      if (keys === null) listener.changedAll()
      else listener.changed(keys.map(String))
    })
    client.on('close', () => {
      if (!isStopped) listener.down()
    })
    heartbeat = setInterval(() => {
      if (client.status === 'ready') client.ping().catch(() => undefined)
    }, HEARTBEAT_MS).unref()
    await client.connect()
  }
  // Callers of the cache hear about problems of the connection.
  const started = start().catch(() => undefined)
  return async () => {
    isStopped = true
    await started
    clearInterval(heartbeat)
    await source.close()
  }
}

/** Trying again would not help: too old a server, or a user who may not. */
export function isRefusal(error: unknown): error is Error {
  return isReplyError(error) && /^(?:ERR|NOPERM)\b/.test(error.message)
}

function warnOfRefusal(error: Error): void {
  process.emitWarning(
    `RedisCache: the server does not tell of changes (${error.message}), so nothing is kept in local memory; it takes Redis 6 and the right to CLIENT TRACKING, or else give TieredCache a bus`,
    { type: 'CacheOutageWarning', code: 'FRAGCACHE_NO_TRACKING' },
  )
}
