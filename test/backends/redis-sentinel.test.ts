import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { RedisCache } from '../../src/backends/redis.js'
import { isForTime, Load } from '../support/load.js'
import { ownTime } from '../support/own-time.js'
import { canStartRedis } from '../support/redis.js'
import type { RedisServer } from '../support/servers/redis.js'
import { startReplicated, startSentinels, type Sentinels } from '../support/servers/redis-groups.js'

const isThere = await canStartRedis()

describe.skipIf(!isThere)('RedisCache behind Sentinels', { timeout: 60_000 }, () => {
  let servers: readonly RedisServer[] = []
  let sentinels: Sentinels

  beforeAll(async () => {
    servers = await startReplicated(1)
    sentinels = await startSentinels(servers[0] as RedisServer, { count: 3, replicas: 1 })
  }, 60_000)
  afterAll(async () => {
    await sentinels.stop()
    for (const server of servers) await server.stop()
  })
  beforeEach(() => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  })
  afterEach(() => {
    vi.restoreAllMocks()
  })

  /** The port of the leader, as the first Sentinel knows it. */
  async function leaderPort(): Promise<number> {
    const { port } = sentinels.addresses[0] ?? { port: 0 }
    const control = new Redis(port)
    const [, answer] = (await control.call(
      'SENTINEL',
      'GET-MASTER-ADDR-BY-NAME',
      'main',
    )) as string[]
    control.disconnect()
    return Number(answer)
  }

  /** What failed later than it may, on however busy a machine. */
  const lateFaults = (load: Load, untilMs: number) =>
    load.failures.filter(({ endMs, error }) => endMs > untilMs && !isForTime(error))

  const open = () =>
    new RedisCache({ options: { sentinels: sentinels.addresses, name: 'main' }, keyPrefix: 's' })

  it('asks them who leads', async () => {
    const cache = open()
    await cache.set('k', 1)
    expect(await cache.get('k')).toBe(1)
    const leader = new Redis(await leaderPort())
    expect(await leader.get('s:1:k')).toBe('1')
    expect(String(await leader.client('LIST')).match(/name=fragcache:/g)).toHaveLength(1)
    leader.disconnect()
    await cache.close()
  })

  it('follows a leader that steps down under load, as soon as it does', async () => {
    const cache = open()
    const before = await leaderPort()
    const load = new Load(cache)
    await load.settle(300)
    expect(load.failures.filter(({ error }) => !isForTime(error))).toEqual([])
    load.reset()
    const sentinel = new Redis(sentinels.addresses[0]?.port ?? 0)
    await sentinel.call('SENTINEL', 'FAILOVER', 'main')
    sentinel.disconnect()
    // The Sentinels let the old leader go on for some seconds after they have chosen the new one.
    const old = new Redis(before, { retryStrategy: () => 50 })
    const isDemoted = async () => {
      expect(await old.info('replication')).toContain('role:slave')
      return ownTime.now()
    }
    const demotedMs = await load.runUntil(vi.waitFor(isDemoted, { timeout: 30_000, interval: 20 }))
    await load.settle(500)
    expect(load.firstSuccessAfter(demotedMs)).toBeLessThan(1000)
    expect(lateFaults(load, demotedMs + 1500)).toEqual([])
    expect(load.mixedUp).toEqual([])
    expect(load.longestMs).toBeLessThan(1400)
    old.disconnect()
    const leader = new Redis(await leaderPort())
    await cache.set('k', 2)
    expect(await leader.get('s:1:k')).toBe('2')
    leader.disconnect()
    await cache.close()
  })

  it.each([
    ['by its options', () => ({ cache: open(), end: () => undefined })],
    [
      'by a client that was given',
      () => {
        const client = new Redis({
          sentinels: [...sentinels.addresses],
          name: 'main',
          maxRetriesPerRequest: 0,
          socketTimeout: 1000,
          retryStrategy: () => 100,
          sentinelRetryStrategy: () => 100,
        })
        client.on('error', () => undefined)
        return {
          cache: new RedisCache({ client, keyPrefix: 's' }),
          end: () => client.disconnect(),
        }
      },
    ],
  ])('goes over to the new leader when the old one dies under load: %s', async (_, make) => {
    const { cache, end } = make()
    const load = new Load(cache)
    await load.settle(300)
    load.reset()
    const before = await leaderPort()
    const dying = servers.find(({ port }) => port === before) as RedisServer
    await dying.kill()
    const isSwitched = async () => {
      expect(await leaderPort()).not.toBe(before)
      return ownTime.now()
    }
    const switchedMs = await load.runUntil(
      vi.waitFor(isSwitched, { timeout: 30_000, interval: 50 }),
    )
    await load.settle(500)
    expect(load.failures.length).toBeGreaterThan(0)
    for (const { error } of load.failures) {
      expect(error).toMatchObject({ code: 'FRAGCACHE_BACKEND_FAILED' })
    }
    expect(load.firstSuccessAfter(switchedMs)).toBeLessThan(1500)
    expect(lateFaults(load, switchedMs + 3000)).toEqual([])
    expect(load.mixedUp).toEqual([])
    expect(load.longestMs).toBeLessThan(1400)
    await cache.close()
    end()

    await dying.restart()
    const back = new Redis(dying.url).on('error', () => undefined)
    await vi.waitFor(
      async () => expect(await back.info('replication')).toContain('master_link_status:up'),
      { timeout: 20_000, interval: 100 },
    )
    back.disconnect()
  })
})
