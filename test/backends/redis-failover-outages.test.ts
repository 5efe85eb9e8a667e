import { Cluster, Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { RedisCache } from '../../src/backends/redis.js'
import { canStartRedis } from '../support/redis.js'
import type { RedisServer } from '../support/servers/redis.js'
import {
  addReplica,
  startCluster,
  startReplicated,
  startSentinels,
} from '../support/servers/redis-groups.js'

const isThere = await canStartRedis()

/** More than the kernel holds of what is on its way to a replica that does not read. */
const BACKLOG_BYTES = 48 * 1024 * 1024

/**
 * Lets a replica fall behind: what its leader is told from now on it will never hear.
 *
 * @param key - Of the leader's own.
 */
async function leaveBehind(replica: RedisServer, leader: Redis, key: string): Promise<void> {
  replica.pause()
  await leader.set(key, Buffer.alloc(BACKLOG_BYTES, 'x'))
  await leader.del(key)
}

/** Waits until the replica has everything: WAIT is about what the same connection has written. */
async function replicated(leader: Redis, key: string): Promise<void> {
  await leader.set(key, 1)
  await leader.wait(1, 5000)
}

describe.skipIf(!isThere)(
  'a replica that lagged and takes its leader’s place',
  { timeout: 90_000 },
  () => {
    const ends: (() => unknown)[] = []
    const tagged = Array.from({ length: 50 }, (_, i) => `tagged-${i}`)
    const plain = Array.from({ length: 50 }, (_, i) => `plain-${i}`)

    beforeEach(() => {
      vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    })
    afterEach(async () => {
      for (const end of ends.splice(0).reverse()) await end()
      vi.restoreAllMocks()
    })

    function control(url: string): Redis {
      const client = new Redis(url, { maxRetriesPerRequest: null }).on('error', () => undefined)
      ends.push(() => client.disconnect())
      return client
    }

    /** Stores what is invalidated once the replica no longer hears of it. */
    async function invalidateUnheard(
      cache: RedisCache,
      leader: { readonly client: Redis; readonly junk: string },
      replica: RedisServer,
    ): Promise<void> {
      await cache.setMany(Object.fromEntries(tagged.map((key) => [key, 'old'])), { tags: ['t'] })
      await cache.setMany(Object.fromEntries(plain.map((key) => [key, 'old'])))
      await replicated(leader.client, leader.junk)
      await leaveBehind(replica, leader.client, leader.junk)
      await cache.invalidateTags(['t'])
      await cache.deleteMany(plain)
    }

    /** What readers get from before until after the failover. */
    async function readThrough(
      readers: readonly RedisCache[],
      failover: () => Promise<unknown>,
    ): Promise<unknown[]> {
      const seen: unknown[] = []
      const answers = readers.map(() => 0)
      let isOver = false
      const reading = readers.map(async (reader, i) => {
        while (!isOver) {
          const found = await reader.getMany([...tagged, ...plain]).catch(() => undefined)
          if (found !== undefined) answers[i] = (answers[i] ?? 0) + 1
          seen.push(...(found ?? []))
          await new Promise((resolve) => setTimeout(resolve, 2))
        }
      })
      await failover()
      const before = [...answers]
      await vi.waitFor(
        () => answers.forEach((count, i) => expect(count).toBeGreaterThan((before[i] ?? 0) + 20)),
        { timeout: 30_000, interval: 50 },
      )
      isOver = true
      await Promise.all(reading)
      return seen
    }

    it('by Sentinels brings nothing back that was invalidated', async () => {
      const [leader, replica] = (await startReplicated(1)) as [RedisServer, RedisServer]
      ends.push(leader.stop, replica.stop)
      const sentinels = await startSentinels(leader, { count: 3, replicas: 1 })
      ends.push(() => sentinels.stop())
      const options = { sentinels: sentinels.addresses, name: 'main' }
      const caches = [1, 2, 3].map(() => {
        const cache = new RedisCache({ options, keyPrefix: 's' })
        ends.push(() => cache.close())
        return cache
      })
      const client = control(leader.url)
      await invalidateUnheard(caches[0] as RedisCache, { client, junk: 'junk' }, replica)
      const follower = control(replica.url)
      const seen = await readThrough(caches, async () => {
        await leader.kill()
        replica.resume()
        await vi.waitFor(
          async () => expect(await follower.info('replication')).toContain('role:master'),
          { timeout: 30_000, interval: 50 },
        )
      })
      expect(seen).toEqual([])
    })

    it('or follows it back into the past is not read from', async () => {
      const [leader, replica] = (await startReplicated(1)) as [RedisServer, RedisServer]
      ends.push(leader.stop, replica.stop)
      const location = [leader.url, replica.url]
      const [writer, reader] = [1, 2].map(() => {
        const cache = new RedisCache({ location, keyPrefix: 's' })
        ends.push(() => cache.close())
        return cache
      }) as [RedisCache, RedisCache]
      const [client, follower] = [control(leader.url), control(replica.url)]
      await writer.set('k', 'old')
      await replicated(client, 'junk')
      expect(await reader.get('k')).toBe('old')
      await client.save()
      await writer.delete('k')
      await replicated(client, 'junk')
      expect(await reader.get('k')).toBe(undefined)
      await writer.close()
      await leader.kill()
      await leader.restart()
      await vi.waitFor(
        async () => expect(await follower.info('replication')).toContain('master_link_status:up'),
        { timeout: 30_000, interval: 20 },
      )
      // For a second it may show what its leader has forgotten, as when it lags.
      await vi.waitFor(async () => expect(await reader.get('k')).toBe(undefined), 5000)
      for (let i = 0; i < 100; i++) expect(await reader.get('k')).toBe(undefined)
      await vi.waitFor(async () => expect(await follower.exists('s:1:k')).toBe(0))
    })

    it('in a Cluster brings nothing back that was invalidated', async () => {
      const nodes = await startCluster(3)
      for (const node of nodes) ends.push(node.stop)
      const [leader] = nodes as [RedisServer]
      const replica = await addReplica(leader, nodes)
      ends.push(replica.stop)
      const startup = nodes.map(({ port }) => ({ host: '127.0.0.1', port }))
      const caches = [1, 2, 3].map(() => {
        const client = new Cluster(startup, { clusterRetryStrategy: () => 50 })
        client.on('error', () => undefined)
        ends.push(() => client.disconnect())
        return new RedisCache({ client, keyPrefix: 'c' })
      })
      const client = control(leader.url)
      const follower = control(replica.url)
      // A key of one of the first 5462 slots, which are this leader's.
      const junk = '{bar}'
      await invalidateUnheard(caches[0] as RedisCache, { client, junk }, replica)
      const seen = await readThrough(caches, async () => {
        await leader.kill()
        replica.resume()
        await follower.call('CLUSTER', 'FAILOVER', 'TAKEOVER')
        await vi.waitFor(
          async () => {
            expect(String(await follower.info('replication'))).toContain('role:master')
            expect(String(await follower.call('CLUSTER', 'INFO'))).toContain('cluster_state:ok')
          },
          { timeout: 30_000, interval: 50 },
        )
      })
      expect(seen).toEqual([])
    })
  },
)
