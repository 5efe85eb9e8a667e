import { randomUUID } from 'node:crypto'
import { Cluster, Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { RedisBus } from '../../src/backends/redis.js'
import { TieredCache } from '../../src/backends/tiered.js'
import { InvalidCacheBackendError, LocMemCache } from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { sharedServer, startProxy, type Proxy } from '../support/servers.js'
import { startRedis, type RedisServer } from '../support/servers/redis.js'

const isThere = (await sharedServer('redis')) !== undefined

let location: string
const opened: { close(): Promise<void> }[] = []

afterEach(async () => {
  for (const one of opened.splice(0)) await one.close()
})

const stores = new WeakMap<TieredCache, AsyncTestCache>()

/** One process, whose store is no Redis. */
function open(bus: RedisBus): TieredCache {
  const remote = new AsyncTestCache({ location })
  const cache = new TieredCache({ local: new LocMemCache(), remote, bus })
  stores.set(cache, remote)
  opened.push(cache, bus)
  return cache
}

const becomes = (cache: TieredCache, value: unknown) =>
  expect.poll(() => cache.get('k'), { timeout: 5000, interval: 2 }).toBe(value)

/** Whether an entry comes from memory. */
async function isKept(cache: TieredCache): Promise<boolean> {
  const before = stores.get(cache)?.reads
  await cache.get('k')
  return stores.get(cache)?.reads === before
}

async function keeps(cache: TieredCache): Promise<void> {
  await expect.poll(() => isKept(cache), { timeout: 5000, interval: 20 }).toBe(true)
}

describe.skipIf(!isThere)('a bus over Redis', () => {
  let server: RedisServer
  let proxy: Proxy
  beforeAll(async () => {
    server = await startRedis()
    proxy = await startProxy(server)
  })
  afterAll(async () => {
    await proxy.close()
    await server.stop()
  })

  const ways: [string, () => RedisBus][] = [
    ['by its location', () => new RedisBus({ location: server.url, channel: location })],
    [
      'over a client that was given',
      () => {
        const client = new Redis(server.url)
        opened.push({ close: async () => void (await client.quit()) })
        return new RedisBus({ client, channel: location })
      },
    ],
  ]
  it.each(ways)('carries changes to other processes: %s', async (_, make) => {
    location = randomUUID()
    const [a, b] = [open(make()), open(make())]
    await a.set('k', 'old')
    await becomes(b, 'old')
    await keeps(b)
    await a.set('k', 'new')
    await becomes(b, 'new')
    await keeps(a)
    await b.delete('k')
    await becomes(a, undefined)
  })

  it('says when it is cut and when it is back', async () => {
    location = randomUUID()
    const a = open(new RedisBus({ location: server.url, channel: location }))
    const behindProxy = `redis://127.0.0.1:${proxy.port}`
    const b = open(new RedisBus({ location: behindProxy, channel: location }))
    await a.set('k', 'old')
    await becomes(b, 'old')
    await keeps(b)
    proxy.cut()
    await a.set('k', 'new')
    await becomes(b, 'new')
    expect(await isKept(b)).toBe(false)
    await proxy.restore()
    await keeps(b)
    await a.set('k', 'newer')
    await becomes(b, 'newer')
  })

  it('keeps channels apart', async () => {
    location = randomUUID()
    const a = open(new RedisBus({ location: server.url, channel: 'one' }))
    const b = open(new RedisBus({ location: server.url, channel: 'two' }))
    await a.set('k', 'old')
    await becomes(b, 'old')
    await keeps(b)
    await a.set('k', 'new')
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(await b.get('k')).toBe('old')
  })
})

describe.skipIf(!isThere)('a bus over a Cluster', () => {
  let server: RedisServer
  beforeAll(async () => {
    server = await startRedis([
      ...['--cluster-enabled', 'yes', '--databases', '1'],
      ...['--cluster-announce-ip', '127.0.0.1'],
    ])
    const control = new Redis(server.url)
    await control.cluster('ADDSLOTSRANGE', 0, 16_383)
    await vi.waitFor(
      async () => expect(await control.cluster('INFO')).toContain('cluster_state:ok'),
      5000,
    )
    await control.quit()
  })
  afterAll(() => server.stop())

  it('carries changes to other processes', async () => {
    location = randomUUID()
    const make = () => {
      const client = new Cluster([{ host: '127.0.0.1', port: server.port }])
      opened.push({ close: async () => client.disconnect() })
      return new RedisBus({ client, channel: location })
    }
    const [a, b] = [open(make()), open(make())]
    await a.set('k', 'old')
    await becomes(b, 'old')
    await keeps(b)
    await a.set('k', 'new')
    await becomes(b, 'new')
  })
})

describe('settings of a bus', () => {
  const wrong: [string, object, RegExp][] = [
    ['no location', {}, /location: it is missing/],
    [
      'a string',
      'redis://u:s@h' as unknown as object,
      /: "redis:\/\/\*\*\*@h" is not an object of settings/,
    ],
    ['an unknown setting', { location: 'redis://h', chanel: 'x' }, /unknown setting "chanel"/],
    [
      'an option of caches',
      { location: 'redis://h', options: { timeLimitMs: 5 } },
      /options\.timeLimitMs: it belongs to a RedisCache/,
    ],
    [
      'an empty channel',
      { location: 'redis://h', channel: '' },
      /channel: "" is not a channel name/,
    ],
  ]
  it.each(wrong)('refuse %s', (_, settings, message) => {
    expect(() => new RedisBus(settings)).toThrow(InvalidCacheBackendError)
    expect(() => new RedisBus(settings)).toThrow(message)
  })
})
