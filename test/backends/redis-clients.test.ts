import { GlideClient } from '@valkey/valkey-glide'
import { Redis } from 'ioredis'
import { createClient, createSentinel } from 'redis'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import {
  RedisBus,
  RedisCache,
  type RedisCommand,
  type RedisPort,
  type RedisSettings,
} from '../../src/backends/redis.js'
import { coreOf } from '../../src/backend/core.js'
import { testBackend } from '../conformance/backend-suite.js'
import { ageKeys } from '../support/redis-aging.js'
import { canStartRedis } from '../support/redis.js'
import { startRedis } from '../support/servers/redis.js'

beforeAll(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
})

const isThere = await canStartRedis()
const server = isThere ? await startRedis() : undefined
const { url = 'redis://127.0.0.1:1' } = server ?? {}
const { hostname: host, port } = new URL(url)
const control = new Redis(url, { lazyConnect: true })
const ends: (() => unknown)[] = [() => control.disconnect(), () => server?.stop()]
afterAll(async () => {
  for (const end of ends) await end()
})

const openNodeRedis = async () => {
  const client = createClient({ url })
  client.on('error', () => undefined)
  await client.connect()
  ends.unshift(() => client.close())
  return client
}

const openGlide = async () => {
  const client = await GlideClient.createClient({
    addresses: [{ host, port: Number(port) }],
    // Its default of 250 ms is little for large values on a busy machine.
    requestTimeout: 10_000,
  })
  ends.unshift(() => client.close())
  return client
}

/** As somebody would write it for a client that this package does not know. */
const openPort = async (): Promise<RedisPort> => {
  const client = new Redis(url)
  ends.unshift(() => client.disconnect())
  return {
    send: (command: RedisCommand, args) => client.callBuffer(command, ...args.map(asBuffer)),
  }
}

const asBuffer = (argument: string | Uint8Array): Buffer => Buffer.from(argument as string)

const clients: [string, () => Promise<RedisSettings['client']>][] = isThere
  ? [
      ['redis', openNodeRedis],
      ['@valkey/valkey-glide', openGlide],
      ['a port of one’s own', openPort],
    ]
  : []

describe.each(clients)('RedisCache over a client of %s', (name, open) => {
  let client: RedisSettings['client']
  beforeAll(async () => {
    client = await open()
  })

  testBackend(
    name,
    {
      reset: async () => void (await control.flushall()),
      damage: async (storedKey, bytes) => {
        await control.set(storedKey, Buffer.from(bytes))
      },
      create: (settings) =>
        // Some clients do their work on threads of their own, which a busy machine makes wait.
        new RedisCache({ ...settings, client, options: { timeLimitMs: 10_000 } }),
      advance: (seconds) => ageKeys(control, seconds),
      differences: { wholeSecondClock: 'its time really passes, besides what the test lets pass' },
      variants: ['prefix'],
    },
    { describe, it },
  )

  it('goes through its keys, and tells what the server tells', async () => {
    const cache = new RedisCache({ client, keyPrefix: 'shop' })
    await cache.setMany({ 'user:1': 'one', 'user:2': Buffer.from([0, 255]), other: 3 })
    const found: string[] = []
    for await (const key of cache.iterateKeys('user:*')) found.push(key)
    expect(found.sort()).toEqual(['user:1', 'user:2'])
    expect(await cache.ttl('user:1')).toBeGreaterThan(290)
    const figures = await coreOf(cache).readOwnServerStats()
    expect(figures).toMatchObject({ scope: 'shared', version: expect.any(String) as string })
  })

  it('writes many entries under conditions, each with an outcome of its own', async () => {
    const { store } = coreOf(new RedisCache({ client, keyPrefix: 'conditions' }))
    const bytes = Buffer.from([0, 255, 13, 10, 128])
    await control.del('one', 'two', 'list')
    await control.lpush('list', 'a')
    const claimed = await store.writeEntries([
      { key: 'one', payload: bytes, expiresAtMs: null, ifAbsent: true },
      { key: 'list', payload: 'x', expiresAtMs: null, ifAbsent: true },
      { key: 'two', payload: 'größe', expiresAtMs: null, ifAbsent: true },
      { key: 'one', payload: 'x', expiresAtMs: null, ifAbsent: true },
    ])
    expect(claimed).toEqual(['stored', 'refused', 'stored', 'refused'])
    const replaced = await store.writeEntries([
      { key: 'one', payload: 'x', expiresAtMs: null, replacing: 'other' },
      { key: 'one', payload: 'text', expiresAtMs: Date.now() + 60_000, replacing: bytes },
      { key: 'list', payload: 'x', expiresAtMs: null, replacing: 'y' },
      { key: 'two', payload: bytes, expiresAtMs: null, replacing: 'größe' },
    ])
    expect(replaced).toEqual(['refused', 'stored', 'not_taken', 'stored'])
    expect(await control.get('one')).toBe('text')
    expect(await control.pttl('one')).toBeGreaterThan(59_000)
    expect(await control.getBuffer('two')).toEqual(bytes)
  })

  it('drops what was stored on a server that another took the place of', async () => {
    const cache = new RedisCache({ client, keyPrefix: 'replaced' })
    await cache.set('k', 'old')
    await control.set(cache.makeKey('fragcache.server', 1), 'the run_id of another')
    // As another process that comes new to the server.
    const fresh = await open()
    await vi.waitFor(
      async () =>
        expect(await new RedisCache({ client: fresh, keyPrefix: 'replaced' }).get('k')).toBe(
          undefined,
        ),
      { timeout: 2000 },
    )
  })

  it('cannot listen, and a bus says so', () => {
    expect(() => new RedisBus({ client })).toThrow(/RedisBus: client: .* cannot listen/)
  })
})

it.each([
  ['nothing that is known', { get: () => 1 }],
  [
    'a cluster of glide',
    new (class GlideClusterClient {
      customCommand() {
        return undefined
      }
    })(),
  ],
  [
    'of Sentinels',
    createSentinel({ name: 'main', sentinelRootNodes: [{ host: '127.0.0.1', port: 1 }] }),
  ],
])('a client that is %s is refused with what fits', (_, client) => {
  expect(() => new RedisCache({ client } as never)).toThrow(
    /client: .* is not a known client; give a Redis or a Cluster of ioredis, the result of createClient/,
  )
})

it.runIf(isThere)('leaves nothing behind on a client of redis whose server is away', async () => {
  const own = await startRedis()
  const client = createClient({ url: own.url, socket: { reconnectStrategy: 20 } })
  client.on('error', () => undefined)
  await client.connect()
  ends.unshift(() => client.destroy())
  const cache = new RedisCache({ client, options: { timeLimitMs: 100 } })
  await vi.waitFor(() => cache.set('k', 1))
  const listeners = () => client.listenerCount('ready') + client.listenerCount('error')
  const before = listeners()
  await own.stop()
  for (let i = 0; i < 20; i++) {
    await expect(cache.get('k')).rejects.toMatchObject({ code: 'FRAGCACHE_BACKEND_FAILED' })
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  expect(listeners()).toBe(before)
})
