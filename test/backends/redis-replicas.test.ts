import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { RedisCache, type RedisSettings } from '../../src/backends/redis.js'
import { Load } from '../support/load.js'
import { ownTime } from '../support/own-time.js'
import { canStartRedis } from '../support/redis.js'
import type { RedisServer } from '../support/servers/redis.js'
import { startReplicated } from '../support/servers/redis-groups.js'

const isThere = await canStartRedis()

describe.skipIf(!isThere)('RedisCache over a leader and two replicas', () => {
  let servers: readonly RedisServer[] = []
  let controls: Redis[] = []
  let cache: RedisCache

  beforeAll(async () => {
    servers = await startReplicated(2)
    controls = servers.map(({ url }) => {
      const control = new Redis(url, { retryStrategy: () => 50, maxRetriesPerRequest: null })
      return control.on('error', () => undefined)
    })
  })
  afterAll(async () => {
    for (const control of controls) control.disconnect()
    for (const server of servers) await server.stop()
  })

  const locations = () => servers.map(({ url }) => url)
  const open = (settings: RedisSettings = {}) =>
    new RedisCache({ location: locations().join(','), ...settings })

  beforeEach(async () => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    await controls[0]?.flushall()
    await controls[0]?.wait(2, 1000)
    cache = open()
  })
  afterEach(async () => {
    await cache.close()
    vi.restoreAllMocks()
  })

  /** What clients asked each server since the last call, in the order leader, replica, replica. */
  async function asked(): Promise<Record<string, number>[]> {
    return Promise.all(
      controls.map(async (control) => {
        const stats = await control.info('commandstats')
        await control.config('RESETSTAT')
        const found = stats.matchAll(/cmdstat_(mget|set|unlink|pexpire|evalsha|info):calls=(\d+)/g)
        const counts = new Map<string, number>()
        for (const [, name = '', calls] of found) counts.set(name, Number(calls))
        // Once a second a replica is asked by INFO, with one MGET, whether it follows its leader.
        counts.set('mget', (counts.get('mget') ?? 0) - (counts.get('info') ?? 0))
        counts.delete('info')
        return Object.fromEntries([...counts].filter(([, calls]) => calls !== 0))
      }),
    )
  }

  /** Waits until the replicas have what was written. */
  const settle = async () => void (await controls[0]?.wait(2, 1000))

  it('writes to the leader and reads from the replicas, by chance', async () => {
    for (let i = 0; i < 10; i++) await cache.set(`k${i}`, i)
    await settle()
    // A replica is asked from when its connection is open.
    await vi.waitFor(async () => {
      for (let i = 0; i < 10; i++) await cache.get('k0')
      const [, one, other] = await asked()
      expect(one?.['mget']).toBeGreaterThan(0)
      expect(other?.['mget']).toBeGreaterThan(0)
    })
    for (let i = 0; i < 100; i++) expect(await cache.get(`k${i % 10}`)).toBe(i % 10)
    expect((await cache.getMany(['k1', 'k2'])).size).toBe(2)
    expect(await cache.has('k3')).toBe(true)
    const [leader, one, other] = await asked()
    expect(leader).toEqual({})
    expect((one?.['mget'] ?? 0) + (other?.['mget'] ?? 0)).toBe(102)
    // Of a hundred throws of a coin, fewer than twenty heads come up once in a billion times.
    expect(one?.['mget']).toBeGreaterThan(20)
    expect(other?.['mget']).toBeGreaterThan(20)

    await cache.set('k', 1)
    await cache.add('new', 1)
    await cache.touch('k')
    await cache.incr('k')
    await cache.delete('k')
    const [writer, ...readers] = await asked()
    expect(writer).toMatchObject({ set: 2, pexpire: 1, evalsha: 1, unlink: 1 })
    // Replication passes writes on, and reads nothing.
    for (const reader of readers) expect(reader).not.toHaveProperty('mget')
  })

  it('sees at once what decides about a write, and whether a tag was invalidated', async () => {
    // Replicas that lag by as long as this test takes.
    for (const replica of controls.slice(1)) await replica.call('REPLICAOF', 'NO', 'ONE')
    try {
      await cache.set('k', 'old', { tags: ['t'] })
      expect(await cache.get('k')).toBe(undefined)
      // As if they had followed up to here.
      const payload = await controls[0]?.getBuffer(':1:k')
      for (const replica of controls.slice(1)) await replica.set(':1:k', payload ?? '')
      expect(await cache.get('k')).toBe('old')
      expect((await cache.getMany(['k'])).get('k')).toBe('old')

      await cache.invalidateTags(['t'])
      expect(await cache.get('k')).toBe(undefined)
      expect((await cache.getMany(['k'])).size).toBe(0)
      expect(await cache.getOrSet('k', 'new', { tags: ['t'] })).toBe('new')
      await cache.set('other', 1, { tags: ['t'] })

      expect(await cache.add('k', 'x')).toBe(false)
      expect(await cache.touch('other')).toBe(true)
      expect(await cache.incr('other')).toBe(2)
      expect(await cache.incrVersion('other')).toBe(2)
      expect(await cache.delete('other', { version: 2 })).toBe(true)
      expect(await cache.ttl('k')).toBeGreaterThan(290)
    } finally {
      for (const replica of controls.slice(1)) {
        await replica.call('REPLICAOF', '127.0.0.1', servers[0]?.port ?? 0)
      }
      for (const replica of controls.slice(1)) {
        await vi.waitFor(
          async () => expect(await replica.info('replication')).toContain('master_link_status:up'),
          { timeout: 10_000, interval: 50 },
        )
      }
    }
  }, 30_000)

  it('reads from the other one while a replica is down, and from the leader while both are', async () => {
    const load = new Load(cache)
    await load.run(200)
    await servers[1]?.kill()
    await load.run(500)
    expect(await countReads(2)).toBeGreaterThan(0)
    await servers[2]?.kill()
    await countReads(0)
    await load.run(500)
    expect(await countReads(0)).toBeGreaterThan(0)
    expect(load.failures).toEqual([])
    expect(load.mixedUp).toEqual([])

    await servers[1]?.restart()
    await servers[2]?.restart()
    for (const which of [1, 2]) {
      await vi.waitFor(
        async () => {
          for (let i = 0; i < 5; i++) await cache.get('k')
          expect(await countReads(which)).toBeGreaterThan(0)
        },
        { timeout: 5000, interval: 20 },
      )
    }
  }, 30_000)

  /** How often a server was asked for entries since the last call. */
  async function countReads(which: number): Promise<number> {
    const stats = String(await controls[which]?.info('commandstats'))
    await controls[which]?.config('RESETSTAT')
    return Number(/cmdstat_mget:calls=(\d+)/.exec(stats)?.[1] ?? 0)
  }

  it('answers in time while a replica hangs, and stops asking it', async () => {
    await cache.set('k', 1)
    await settle()
    for (let i = 0; i < 20; i++) await cache.get('k')
    servers[1]?.pause()
    try {
      const found = await Promise.all(Array.from({ length: 20 }, () => cache.get('k')))
      expect(found).toEqual(Array.from({ length: 20 }, () => 1))
      await new Promise((resolve) => setTimeout(resolve, 600))
      const startMs = ownTime.now()
      for (let i = 0; i < 50; i++) expect(await cache.get('k')).toBe(1)
      expect(ownTime.now() - startMs).toBeLessThan(500)
    } finally {
      servers[1]?.resume()
    }
  })

  it('opens one connection per location', async () => {
    await cache.set('k', 1)
    await vi.waitFor(async () => {
      await Promise.all(Array.from({ length: 10 }, () => cache.get('k')))
      for (const control of controls) {
        const list = String(await control.client('LIST'))
        expect(list.match(/name=fragcache:/g)).toHaveLength(1)
      }
    })
    await cache.close()
    await vi.waitFor(async () => {
      for (const control of controls) {
        expect(String(await control.client('LIST'))).not.toContain('name=fragcache:')
      }
    })
    // And again after close.
    await vi.waitFor(async () => {
      await Promise.all(Array.from({ length: 10 }, () => cache.get('k')))
      await cache.set('k', 1)
      for (const control of controls) {
        expect(String(await control.client('LIST')).match(/name=fragcache:/g)).toHaveLength(1)
      }
    })
  })
})
