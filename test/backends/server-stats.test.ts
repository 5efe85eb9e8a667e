import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Cluster } from 'ioredis'
import { beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { createCacheTable, DatabaseCache } from '../../src/backends/database.js'
import { FileBasedCache } from '../../src/backends/file.js'
import { MemcachedCache } from '../../src/backends/memcached.js'
import { RedisCache } from '../../src/backends/redis.js'
import { TieredCache } from '../../src/backends/tiered.js'
import {
  createCaches,
  DummyCache,
  LocMemCache,
  type Cache,
  type ServerStats,
} from '../../src/index.js'
import { newTable, openBetterSqlite3, openMysql, openPostgres } from '../support/databases.js'
import { canStartRedis } from '../support/redis.js'
import { freePort, sharedServer } from '../support/servers.js'
import { startMemcached } from '../support/servers/memcached.js'
import { startProxy } from '../support/servers/proxy.js'
import { startCluster } from '../support/servers/redis-groups.js'
import { startRedis } from '../support/servers/redis.js'

// Outages are reported as warnings; what they say is tested where it is written.
beforeAll(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
})

async function statsOf(cache: Cache): Promise<ServerStats> {
  const caches = createCaches({ one: cache })
  onTestFinished(() => caches.close())
  const { one } = await caches.serverStats()
  if (one === undefined) throw new Error('it tells nothing')
  return one
}

describe('caches.serverStats', () => {
  it('tells of local memory what it holds and may hold, and that it is this process’s', async () => {
    const cache = new LocMemCache({ options: { maxEntries: 50 } })
    await cache.setMany({ a: 1, b: 2 })
    expect(await statsOf(cache)).toEqual({
      backend: 'LocMemCache',
      scope: 'process',
      entries: 2,
      maxEntries: 50,
    })
  })

  it('tells the bytes of local memory where they are limited', async () => {
    const cache = new LocMemCache({ options: { maxBytes: 1000 } })
    await cache.set('k', 'x'.repeat(100))
    // The value, and the stored key ":1:k".
    expect(await statsOf(cache)).toMatchObject({ bytes: 104, maxBytes: 1000 })
  })

  it('leaves out what tells nothing, and asks one cache under two aliases once', async () => {
    const twice = new LocMemCache()
    const caches = createCaches({ dummy: new DummyCache(), a: twice, b: twice })
    const stats = await caches.serverStats()
    expect(Object.keys(stats)).toEqual(['a', 'b'])
    expect(stats['a']).toBe(stats['b'])
  })

  it('tells the files of a directory and their bytes', async () => {
    const location = await mkdtemp(join(tmpdir(), 'fragcache-stats-'))
    onTestFinished(() => rm(location, { recursive: true }))
    const cache = new FileBasedCache({ location, options: { maxEntries: 70 } })
    expect(await statsOf(cache)).toMatchObject({ entries: 0, bytes: 0 })
    await cache.setMany(Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`k${i}`, 'x'])))
    const small = await statsOf(cache)
    expect(small).toMatchObject({ backend: 'FileBasedCache', scope: 'machine', entries: 40 })
    expect(small.maxEntries).toBe(70)
    await cache.set('k0', 'x'.repeat(5001))
    expect((await statsOf(cache)).bytes).toBe((small.bytes ?? 0) + 5000)
  })

  it('tells of a tiered cache what the remote one tells', async () => {
    const remote = new LocMemCache({ options: { maxEntries: 9 } })
    const cache = new TieredCache({ local: new LocMemCache(), remote })
    await cache.set('k', 1)
    expect(await statsOf(cache)).toEqual({
      backend: 'TieredCache',
      scope: 'process',
      entries: 1,
      maxEntries: 9,
    })
  })

  it('tells the rows of a table and their bytes', async () => {
    const { database } = openBetterSqlite3()
    const cache = new DatabaseCache({ location: 'entries', database, options: { maxEntries: 99 } })
    await createCacheTable(cache)
    expect(await statsOf(cache)).toMatchObject({ table: 'entries', entries: 0, bytes: 0 })
    await cache.setMany({ a: 'x'.repeat(100), b: 12 })
    const stats = await statsOf(cache)
    expect(stats).toMatchObject({ backend: 'DatabaseCache', scope: 'machine', entries: 2 })
    expect(stats.maxEntries).toBe(99)
    // Keys of four bytes; a text with its mark; a number.
    expect(stats.bytes).toBe(4 + 101 + 4 + 8)
    expect(stats.version).toMatch(/^3\./)
  })

  it('says why a table tells nothing, with the remedy', async () => {
    const { database } = openBetterSqlite3()
    const stats = await statsOf(new DatabaseCache({ location: 'entries', database }))
    expect(stats.backend).toBe('DatabaseCache')
    expect(stats.error).toMatch(/fragcache createcachetable/)
  })
})

const [postgres, mysql, memcached] = [
  await sharedServer('postgres'),
  await sharedServer('mysql'),
  await sharedServer('memcached'),
]
const redis = await canStartRedis()

describe('caches.serverStats of SQL servers', () => {
  it.each([
    ['PostgreSQL', postgres && (() => openPostgres(postgres.url))],
    ['MySQL or MariaDB', mysql && (() => openMysql(mysql.url))],
  ] as const)('tells rows, bytes, version and clock: %s', async (_, open) => {
    if (open === undefined) return
    const { database, ask, end } = open()
    const location = newTable()
    const cache = new DatabaseCache({ location, database })
    await createCacheTable(cache)
    await cache.setMany({ a: 'x'.repeat(100), b: 12 })
    const stats = await statsOf(cache)
    await ask(`DROP TABLE ${location}`)
    await end()
    expect(stats).toMatchObject({ scope: 'shared', table: location, entries: 2 })
    expect(stats.bytes).toBe(4 + 101 + 4 + 8)
    expect(stats.version).toMatch(/^\d+/)
    // The same machine's clock.
    expect(Math.abs(stats.clockAheadMs ?? NaN)).toBeLessThan(1000)
  })
})

it.skipIf(postgres === undefined)(
  'a replica of a database that hangs is named, beside the figures of the primary',
  async () => {
    const url = postgres?.url ?? ''
    const proxy = await startProxy({ port: Number(new URL(url).port) })
    const near = openPostgres(url)
    const far = openPostgres(url.replace(/:\d+\//, `:${proxy.port}/`))
    const location = newTable()
    const database = { write: near.database, read: far.database }
    const cache = new DatabaseCache({ location, database, options: { timeLimitMs: 1000 } })
    await createCacheTable(cache)
    onTestFinished(async () => {
      await near.ask(`DROP TABLE ${location}`)
      await proxy.close()
      await Promise.all([near.end(), far.end()])
    })
    await cache.set('a', 1)
    const caches = createCaches({ default: cache })
    const stats = async () => (await caches.serverStats())['default']
    await vi.waitFor(async () => {
      expect(await stats()).toMatchObject({
        entries: 1,
        servers: [
          { name: 'primary', entries: 1 },
          { name: 'replica', entries: 1 },
        ],
      })
    })
    proxy.silence()
    const hanging = await stats()
    expect(hanging).toMatchObject({ entries: 1, servers: [{ name: 'primary', entries: 1 }, {}] })
    expect(hanging?.error).toBe('replica: no answer within 800 ms')
    // The primary answers in its place.
    expect(await cache.get('a')).toBe(1)
    await proxy.restore()
    await vi.waitFor(async () => expect(await stats()).not.toHaveProperty('error'))
  },
)

describe.skipIf(memcached === undefined)('caches.serverStats of Memcached', () => {
  it('tells what a server counts and how it was set up', async () => {
    const server = await startMemcached(['-m', '32', '-I', '2m'])
    onTestFinished(() => server.stop())
    const cache = new MemcachedCache({ location: server.location })
    await cache.set('k', 1)
    await cache.get('k')
    const stats = await statsOf(cache)
    expect(stats).toMatchObject({
      backend: 'MemcachedCache',
      scope: 'shared',
      maxBytes: 32 * 1024 * 1024,
      maxEntryBytes: 2 * 1024 * 1024,
      evictions: 0,
    })
    // Besides the entry, the record of generations.
    expect(stats.entries).toBe(2)
    expect(stats.hits).toBeGreaterThan(0)
    expect(stats.version).toMatch(/^1\./)
    expect(Math.abs(stats.clockAheadMs ?? NaN)).toBeLessThan(3000)
    expect(stats).not.toHaveProperty('servers')
  })

  it('tells the same over the binary protocol', async () => {
    const server = await startMemcached()
    onTestFinished(() => server.stop())
    const speaking = (protocol: 'auto' | 'binary') =>
      new MemcachedCache({ location: server.location, options: { protocol } })
    const [text, binary] = [speaking('auto'), speaking('binary')]
    await text.set('k', 1)
    const comparable = ({ entries, maxBytes, maxEntryBytes, version }: ServerStats) => ({
      entries,
      maxBytes,
      maxEntryBytes,
      version,
    })
    expect(comparable(await statsOf(binary))).toEqual(comparable(await statsOf(text)))
    expect(await binary.get('k')).toBe(1)
  })

  it('adds up the servers of a ring, names each, and says which one is down', async () => {
    const servers = await Promise.all([startMemcached(), startMemcached()])
    onTestFinished(async () => void (await Promise.all(servers.map((one) => one.stop()))))
    const locations = servers.map(({ location }) => location)
    const cache = new MemcachedCache({ location: locations })
    await cache.setMany(Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`k${i}`, i])))
    const both = await statsOf(cache)
    expect(both.servers?.map(({ name }) => name)).toEqual(locations)
    expect(both.entries).toBe(52)
    expect(both.maxBytes).toBe(2 * 64 * 1024 * 1024)
    expect(both).not.toHaveProperty('error')
    await servers[1]?.stop()
    const one = await statsOf(cache)
    expect(one.entries).toBe(both.servers?.[0]?.entries)
    expect(one.error).toContain(locations[1])
    expect(one.servers?.[1]).toMatchObject({ name: locations[1] })
    expect(one.servers?.[1]?.error).toBeTypeOf('string')
  })

  it('a server that is down is an error, not a rejection', async () => {
    const location = `127.0.0.1:${await freePort()}`
    const cache = new MemcachedCache({ location, options: { timeLimitMs: 300 } })
    const stats = await statsOf(cache)
    expect(stats.backend).toBe('MemcachedCache')
    expect(stats.error).toContain(location)
  })
})

describe.skipIf(!redis)('caches.serverStats of Redis', () => {
  it('tells what a server counts and how it makes room', async () => {
    const server = await startRedis(['--maxmemory', '50mb', '--maxmemory-policy', 'allkeys-lru'])
    onTestFinished(() => server.stop())
    const cache = new RedisCache({ location: `${server.url}/3` })
    await cache.set('k', 1)
    await cache.get('k')
    await cache.get('none')
    const stats = await statsOf(cache)
    expect(stats).toMatchObject({
      backend: 'RedisCache',
      scope: 'shared',
      // One of them says which server it is, and was looked for when there was none yet.
      entries: 2,
      maxBytes: 50 * 1024 * 1024,
      evictionPolicy: 'allkeys-lru',
      evictions: 0,
      hits: 1,
      misses: 2,
    })
    expect(stats.bytes).toBeGreaterThan(100_000)
    expect(stats.version).toMatch(/^\d+\.\d+/)
    expect(Math.abs(stats.clockAheadMs ?? NaN)).toBeLessThan(1000)
    expect(stats).not.toHaveProperty('servers')
  })

  it('leaves out a limit that there is not', async () => {
    const server = await startRedis()
    onTestFinished(() => server.stop())
    const stats = await statsOf(new RedisCache({ location: server.url }))
    expect(stats).not.toHaveProperty('maxBytes')
    expect(stats.evictionPolicy).toBe('noeviction')
  })

  it('tells the leader’s figures, each server’s beside them, and which replica is down', async () => {
    const [leader, replica] = [await startRedis(), await startRedis()]
    onTestFinished(async () => void (await Promise.all([leader.stop(), replica.stop()])))
    const cache = new RedisCache({ location: [leader.url, replica.url] })
    await cache.setMany({ a: 1, b: 2 })
    const stats = await statsOf(cache)
    expect(stats.entries).toBe(3)
    expect(stats.servers).toMatchObject([{ entries: 3 }, { entries: 0 }])
    await replica.stop()
    await vi.waitFor(async () => {
      const later = await statsOf(cache)
      expect(later.entries).toBe(3)
      expect(later.error).toContain(String(replica.port))
    })
  })

  it('adds up the masters of a Cluster', async () => {
    const nodes = await startCluster(3)
    const client = new Cluster(nodes.map(({ port }) => ({ host: '127.0.0.1', port })))
    onTestFinished(async () => {
      client.disconnect()
      for (const node of nodes) await node.stop()
    })
    const cache = new RedisCache({ client })
    await cache.setMany(Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`k${i}`, i])))
    const stats = await statsOf(cache)
    expect(stats.entries).toBe(31)
    expect(stats.servers).toHaveLength(3)
    expect(stats.servers?.map(({ name }) => name).sort()).toEqual(
      nodes.map(({ port }) => `127.0.0.1:${port}`).sort(),
    )
  })

  it('servers that are down are errors beside the figures of the others', async () => {
    const server = await startRedis()
    onTestFinished(() => server.stop())
    const options = { timeLimitMs: 300 }
    const caches = createCaches({
      down: new RedisCache({
        location: `redis://user:secret@127.0.0.1:${await freePort()}`,
        options,
      }),
      ignored: new RedisCache({
        location: `redis://127.0.0.1:${await freePort()}`,
        ignoreErrors: true,
        options,
      }),
      up: new RedisCache({ location: server.url }),
    })
    onTestFinished(() => caches.close())
    const { down, ignored, up } = await caches.serverStats()
    expect(up).toMatchObject({ backend: 'RedisCache', entries: 1 })
    expect(down?.error).toMatch(/^RedisCache: serverStats failed: no connection to /)
    expect(down?.error).not.toContain('secret')
    expect(ignored?.error).toBeTypeOf('string')
  })
})
