import { Cluster, Redis } from 'ioredis'
import { Cluster as Cluster5 } from 'ioredis5'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { coreOf } from '../../src/backend/core.js'
import { RedisCache } from '../../src/backends/redis.js'
import { testBackend } from '../conformance/backend-suite.js'
import { Load } from '../support/load.js'
import { ageKeys } from '../support/redis-aging.js'
import { canStartRedis } from '../support/redis.js'
import type { RedisServer } from '../support/servers/redis.js'
import { startCluster } from '../support/servers/redis-groups.js'

beforeAll(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
})

const isThere = await canStartRedis()
const nodes = isThere ? await startCluster(3) : []
const controls = nodes.map(({ url }) => new Redis(url).on('error', () => undefined))
afterAll(async () => {
  for (const control of controls) control.disconnect()
  for (const node of nodes) await node.stop()
})

const startup = nodes.map(({ port }: RedisServer) => ({ host: '127.0.0.1', port }))

/** How often each node ran a command since the last call. */
async function ran(name: string): Promise<number[]> {
  return Promise.all(
    controls.map(async (control) => {
      const stats = await control.info('commandstats')
      await control.config('RESETSTAT')
      return Number(new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(stats)?.[1] ?? 0)
    }),
  )
}

describe.skipIf(!isThere)('RedisCache over a Cluster of three nodes', () => {
  const reset = async () => {
    for (const control of controls) await control.flushall()
  }
  let client: Cluster
  testBackend(
    'ioredis 6, auto-pipelining',
    {
      reset: async () => {
        await reset()
        client = new Cluster(startup, { enableAutoPipelining: true })
      },
      create: (settings) => new RedisCache({ ...settings, client }),
      release: () => client.disconnect(),
      advance: async (seconds) => {
        for (const control of controls) await ageKeys(control, seconds)
      },
      differences: {
        wholeSecondClock: 'its time really passes, besides what the test lets pass',
      },
      variants: ['prefix'],
    },
    { describe, it },
  )

  describe('the nodes', () => {
    let client: Cluster
    let cache: RedisCache
    beforeEach(async () => {
      await reset()
      client = new Cluster(startup, {
        enableAutoPipelining: true,
        clusterRetryStrategy: () => 50,
        redisOptions: { maxRetriesPerRequest: 0, connectTimeout: 500 },
      })
      cache = new RedisCache({ client, keyPrefix: 'c' })
      return async () => {
        await cache.close()
        client.disconnect()
      }
    })
    const keys = Array.from({ length: 300 }, (_, i) => `k${i}`)

    it('share the keys of one call, and clear removes them from all', async () => {
      const other = new RedisCache({ client, keyPrefix: 'other' })
      await other.set('k', 'stays')
      await cache.setMany(Object.fromEntries(keys.map((key) => [key, key])))
      expect((await cache.getMany(keys)).size).toBe(300)
      for (const control of controls) expect(await control.dbsize()).toBeGreaterThan(50)
      const found: string[] = []
      for await (const key of cache.iterateKeys('k1*')) found.push(key)
      expect(found.sort()).toEqual(keys.filter((key) => key.startsWith('k1')).sort())
      await ran('flushdb')
      await cache.clear()
      expect((await cache.getMany(keys)).size).toBe(0)
      expect(await other.get('k')).toBe('stays')
      expect(await ran('flushdb')).toEqual([0, 0, 0])
    })

    it('write each entry with a condition where it lives', async () => {
      const { store } = coreOf(cache)
      await cache.get('k')
      const claims = keys.map((key) => ({
        key,
        payload: `claim of ${key}`,
        expiresAtMs: null,
        ifAbsent: true,
      }))
      expect(new Set(await store.writeEntries(claims))).toEqual(new Set(['stored']))
      expect(new Set(await store.writeEntries(claims))).toEqual(new Set(['refused']))
      const made = claims.map(({ key, payload }, i) => ({
        key,
        payload: key,
        expiresAtMs: null,
        replacing: i % 2 === 0 ? payload : 'other',
      }))
      const outcomes = await store.writeEntries(made)
      expect(outcomes).toEqual(made.map((_, i) => (i % 2 === 0 ? 'stored' : 'refused')))
      const texts = (await store.readEntries(keys)).map(String)
      expect(texts).toEqual(keys.map((key, i) => (i % 2 === 0 ? key : `claim of ${key}`)))
      for (const control of controls) expect(await control.dbsize()).toBeGreaterThan(50)
    })

    // What its commands answer is tested over one server, by redis-conformance.test.ts.
    it('are found by ioredis 5 too', async () => {
      const client5 = new Cluster5(startup)
      const older = new RedisCache({ client: client5, keyPrefix: 'c' })
      await older.setMany(Object.fromEntries(keys.map((key) => [key, key])), { tags: ['t'] })
      expect((await cache.getMany(keys)).size).toBe(300)
      for (const control of controls) expect(await control.dbsize()).toBeGreaterThan(50)
      expect(await older.add('k0', 'again')).toBe(false)
      await older.set('n', 1)
      expect([await older.incr('n'), await cache.incr('n')]).toEqual([2, 3])
      await cache.invalidateTags(['t'])
      expect((await older.getMany([...keys, 'n'])).size).toBe(1)
      await older.clear()
      expect(await cache.get('n')).toBe(undefined)
      client5.disconnect()
    })

    it('are all emptied where the options say so', async () => {
      const plain = new RedisCache({ client, options: { flushOnClear: true } })
      await plain.setMany(Object.fromEntries(keys.map((key) => [key, key])))
      await plain.clear()
      for (const control of controls) expect(await control.dbsize()).toBe(0)
    })

    it('are asked in one round trip each', async () => {
      await cache.setMany(Object.fromEntries(keys.map((key) => [key, key])))
      const reads = async () =>
        Promise.all(
          controls.map(async (control) =>
            Number(/total_reads_processed:(\d+)/.exec(await control.info('stats'))?.[1]),
          ),
        )
      await ran('mget')
      const before = await reads()
      await cache.getMany(keys)
      const after = await reads()
      // One of the two is that of the second INFO.
      after.forEach((count, i) => expect(count - (before[i] ?? 0)).toBe(2))
      const counts = await ran('mget')
      expect(counts.reduce((sum, count) => sum + count, 0)).toBe(300)
      for (const count of counts) expect(count).toBeGreaterThan(50)
    })

    it('may hand slots to each other under load', async () => {
      const load = new Load(cache)
      const running = load.run(1500)
      const ids = await Promise.all(
        controls.map(async (one) => String(await one.call('CLUSTER', 'MYID'))),
      )
      const [from, to] = controls as [Redis, Redis, Redis]
      for (let slot = 0; slot < 200; slot++) {
        await to.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', ids[0] ?? '')
        await from.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', ids[1] ?? '')
        const moved = (await from.call('CLUSTER', 'GETKEYSINSLOT', slot, 100)) as string[]
        const port = nodes[1]?.port ?? 0
        if (moved.length > 0) {
          await from.call('MIGRATE', '127.0.0.1', port, '', 0, 1000, 'REPLACE', 'KEYS', ...moved)
        }
        for (const control of [to, from]) {
          await control.call('CLUSTER', 'SETSLOT', slot, 'NODE', ids[1] ?? '')
        }
      }
      await running
      expect(load.failures).toEqual([])
      expect(load.mixedUp).toEqual([])
    })
  })
})
