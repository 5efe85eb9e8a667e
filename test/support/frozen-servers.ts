import mysql from 'mysql2'
import pg from 'pg'
import { createCacheTable, DatabaseCache } from '../../src/backends/database.js'
import { MemcachedCache } from '../../src/backends/memcached.js'
import { RedisCache } from '../../src/backends/redis.js'
import { TieredCache } from '../../src/backends/tiered.js'
import { LocMemCache, type Cache } from '../../src/index.js'
import { sharedServer, type TestServer } from './servers.js'
import { startMemcached } from './servers/memcached.js'
import { startMysql } from './servers/mysql.js'
import { startPostgres } from './servers/postgres.js'
import { startRedis } from './servers/redis.js'

/** A server of a test's own, which it may freeze. */
export interface Freezable {
  readonly server: TestServer
  /** Opens a cache over it whose calls end soon, unless another limit is given. */
  readonly open: (options?: {
    readonly retryInvalidations?: boolean
    readonly timeLimitMs?: number
  }) => Cache
  /** Lets it go on, and stops it. */
  readonly stop: () => Promise<void>
}

type Start = (timeLimit: { readonly timeLimitMs: number }) => Promise<
  Omit<Freezable, 'stop'> & {
    /** Called before the server stops. */
    readonly close?: () => Promise<unknown>
  }
>

const starts: Readonly<Record<'redis' | 'memcached' | 'postgres' | 'mysql', Start>> = {
  redis: async (time) => {
    const server = await startRedis()
    const open: Freezable['open'] = (own) =>
      new RedisCache({ location: server.url, options: { ...time, ...own } })
    return { server, open }
  },
  memcached: async (time) => {
    const server = await startMemcached()
    const location = `127.0.0.1:${server.port}`
    return { server, open: (own) => new MemcachedCache({ location, options: { ...time, ...own } }) }
  },
  postgres: async (time) => {
    const server = await startPostgres()
    const database = new pg.Pool({ connectionString: server.url, max: 20 })
    database.on('error', () => undefined)
    const open: Freezable['open'] = (own) =>
      new DatabaseCache({ location: 'frozen', database, options: { ...time, ...own } })
    await createCacheTable(open())
    return { server, open, close: () => database.end() }
  },
  mysql: async (time) => {
    const server = await startMysql()
    const database = mysql.createPool({ uri: server.url, connectionLimit: 20 })
    const open: Freezable['open'] = (own) =>
      new DatabaseCache({ location: 'frozen', database, options: { ...time, ...own } })
    await createCacheTable(open())
    // A connection that was given up while the server hung cannot say goodbye.
    const close = () =>
      database
        .promise()
        .end()
        .catch(() => undefined)
    return { server, open, close }
  },
}

/** Milliseconds a call may take. */
const time = { timeLimitMs: 500 }

/** The servers, and how each is started; `undefined`: it is not installed. */
export const freezableServers = await Promise.all(
  (Object.keys(starts) as (keyof typeof starts)[]).map(async (name) => {
    const start = starts[name]
    const isThere = (await sharedServer(name)) !== undefined
    const startFrozen = async (): Promise<Freezable> => {
      const { server, open, close } = await start(time)
      const stop = async () => {
        server.resume()
        await close?.()
        await server.stop()
      }
      return { server, open, stop }
    }
    return [name, isThere ? startFrozen : undefined] as const
  }),
)

/** What a cache over a server may be part of. */
export const compositions: readonly (readonly [string, (remote: Cache) => Cache])[] = [
  ['alone', (remote) => remote],
  ['behind a TieredCache', (remote) => new TieredCache({ local: new LocMemCache(), remote })],
]
