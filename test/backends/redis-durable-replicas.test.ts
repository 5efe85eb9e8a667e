import { Redis } from 'ioredis'
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  it,
  onTestFinished,
  vi,
} from 'vitest'
import { LocMemCache } from '../../src/backends/locmem.js'
import { RedisCache } from '../../src/backends/redis.js'
import { TieredCache } from '../../src/backends/tiered.js'
import type { Cache } from '../../src/cache.js'
import { canStartRedis } from '../support/redis.js'
import type { RedisServer } from '../support/servers/redis.js'
import { startReplicated } from '../support/servers/redis-groups.js'

const isThere = await canStartRedis()

describe.skipIf(!isThere)('invalidations that are to be durable', () => {
  let servers: readonly RedisServer[] = []
  let cache: RedisCache
  let client: Redis

  beforeAll(async () => {
    servers = await startReplicated(1)
    // A leader counts a new replica from its first answer on.
    const control = new Redis(servers[0]?.url ?? '')
    await control.set('first', 1)
    await control.wait(1, 10_000)
    control.disconnect()
  })
  afterAll(async () => {
    for (const server of servers) await server.stop()
  })
  beforeEach(() => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    client = new Redis(servers[0]?.url ?? '')
    cache = new RedisCache({
      location: servers[0]?.url,
      keyPrefix: 'd',
      durableInvalidations: { waitReplicas: 1, timeoutMs: 300 },
    })
  })
  afterEach(async () => {
    servers[1]?.resume()
    await cache.close()
    client.disconnect()
    vi.restoreAllMocks()
  })

  const calls: [string, (one: Cache) => Promise<unknown>][] = [
    ['delete', (one) => one.delete('k')],
    ['deleteMany', (one) => one.deleteMany(['k', 'other'])],
    ['invalidateTags', (one) => one.invalidateTags(['t'])],
    ['soft invalidateTags', (one) => one.invalidateTags(['t'], { soft: true })],
    ['clear', (one) => one.clear()],
  ]
  const store = (one: Cache) => one.set('k', 'old', { tags: ['t'] })

  it.each([...calls, ['expire', (one: Cache) => one.expire('k')] as const])(
    '%s resolves once replicas have it, and rejects if they do not take it',
    async (_, invalidate) => {
      await store(cache)
      await invalidate(cache)
      await store(cache)
      servers[1]?.pause()
      await expect(invalidate(cache)).rejects.toMatchObject({
        code: 'FRAGCACHE_BACKEND_FAILED',
        message: expect.stringContaining('0 instead of 1 replicas confirmed it within 300 ms'),
      })
      // The leader has carried it out, and reads are not held up.
      expect(await cache.get('k')).toBe(undefined)
    },
  )

  it.each(calls)('%s of a tiered cache does as well', async (_, invalidate) => {
    const tiered = new TieredCache({ local: new LocMemCache(), remote: cache })
    await store(tiered)
    await invalidate(tiered)
    await store(tiered)
    servers[1]?.pause()
    await expect(invalidate(tiered)).rejects.toMatchObject({ code: 'FRAGCACHE_BACKEND_FAILED' })
    await tiered.close()
  })

  it('are confirmed also while this or another cache is cleared', async () => {
    const settings = { location: servers[0]?.url, keyPrefix: 'd', options: { timeLimitMs: 20_000 } }
    const durableInvalidations = { waitReplicas: 1, timeoutMs: 10_000 }
    const patient = new RedisCache({ ...settings, durableInvalidations })
    const other = new RedisCache(settings)
    let isOver = false
    const clearing = [patient, other].map(async (one) => {
      while (!isOver) await one.clear()
    })
    for (let i = 0; i < 100; i++) await patient.invalidateTags(['t'])
    isOver = true
    await Promise.all(clearing)
    await Promise.all([patient.close(), other.close()])
  })

  it('reject for want of replicas, and not for want of an answer, while another one waits', async () => {
    const patient = new RedisCache({
      location: servers[0]?.url,
      keyPrefix: 'd',
      durableInvalidations: { waitReplicas: 1, timeoutMs: 1500 },
      options: { timeLimitMs: 2800 },
    })
    onTestFinished(() => patient.close())
    await patient.delete('k')
    servers[1]?.pause()
    const first = expect(patient.delete('k')).rejects.toThrow('0 instead of 1 replicas confirmed')
    await vi.waitFor(async () => {
      expect(await client.client('LIST')).toContain('cmd=wait')
    })
    await expect(patient.delete('k')).rejects.toThrow('0 instead of 1 replicas confirmed')
    await first
    const outage = expect.objectContaining({ code: 'FRAGCACHE_OUTAGE' })
    expect(process.emitWarning).not.toHaveBeenCalledWith(expect.anything(), outage)
  })

  it('hold up no reads while they wait', async () => {
    await store(cache)
    await cache.delete('k')
    servers[1]?.pause()
    let isOver = false
    const deleted = expect(cache.delete('k')).rejects.toThrow('confirmed')
    void deleted.then(() => (isOver = true))
    for (let i = 0; i < 20; i++) await cache.get('k')
    expect(isOver).toBe(false)
    await deleted
  })
})

describe.skipIf(!isThere)('a durable invalidation while there are two leaders', () => {
  it('is not confirmed by the replicas of the one that it did not reach', async () => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    const [[old], [leader, replica]] = await Promise.all([startReplicated(0), startReplicated(1)])
    const client = new Redis(old?.url ?? '')
    // As Sentinels answer once they know another leader, while a connection to the old one still stands.
    client.duplicate = ((options: object) =>
      new Redis({ ...options, port: leader?.port ?? 0 })) as typeof client.duplicate
    const durableInvalidations = { waitReplicas: 1, timeoutMs: 300 }
    const behind = new RedisCache({ client, keyPrefix: 'd', durableInvalidations })
    const ahead = new RedisCache({ location: leader?.url, keyPrefix: 'd', durableInvalidations })
    onTestFinished(async () => {
      await Promise.all([behind.close(), ahead.close()])
      client.disconnect()
      for (const server of [old, replica, leader]) await server?.stop()
      vi.restoreAllMocks()
    })
    await ahead.set('k', 'v', { tags: ['t'] })
    await expect(behind.invalidateTags(['t'])).rejects.toThrow('0 instead of 1 replicas')
    expect(await ahead.get('k')).toBe('v')
    await vi.waitFor(() => ahead.invalidateTags(['t']), 10_000)
    expect(await ahead.get('k')).toBe(undefined)
  })
})

describe('the setting durableInvalidations', () => {
  const location = 'redis://127.0.0.1:1'

  it.each([
    [true, /durableInvalidations: true is not an object/],
    [{ waitReplicas: 1 }, /durableInvalidations\.timeoutMs: null/],
    [{ waitReplicas: 0, timeoutMs: 10 }, /durableInvalidations\.waitReplicas: 0/],
    [{ waitReplicas: 1.5, timeoutMs: 10 }, /durableInvalidations\.waitReplicas: 1\.5/],
    [{ waitReplicas: 1, timeoutMs: 10, wait: 1 }, /unknown name "wait"/],
    [{ waitReplicas: 1, timeoutMs: 1000 }, /timeoutMs: 1000 is not less than options\.timeLimitMs/],
  ])('is checked: %j', (durableInvalidations, message) => {
    const settings = { location, durableInvalidations: durableInvalidations as never }
    expect(() => new RedisCache(settings)).toThrow(message)
  })
})
