import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { MemcachedCache } from '../../src/backends/memcached.js'
import { RedisCache } from '../../src/backends/redis.js'
import { createCaches, dependOn, FragmentCache } from '../../src/index.js'
import { sharedServer } from '../support/servers.js'

const [redis, memcached] = await Promise.all([sharedServer('redis'), sharedServer('memcached')])

const opened: { close(): Promise<void> }[] = []
let keyPrefix: string

beforeEach(() => {
  keyPrefix = `leases-${randomUUID()}`
  // A lease may still be on its way back when the cache is closed.
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
})

afterEach(async () => {
  for (const cache of opened.splice(0)) await cache.close()
})

function keep<T extends { close(): Promise<void> }>(cache: T): T {
  opened.push(cache)
  return cache
}

// What takes long on a busy machine is no failure here.
const options = { timeLimitMs: 10_000 }

/** Writes the same value differently each time, as one that encrypts does. */
const salted = {
  serialize: (value: unknown) => JSON.stringify({ salt: randomUUID(), value }),
  deserialize: (bytes: Uint8Array) => {
    const { value } = JSON.parse(Buffer.from(bytes).toString()) as { value: unknown }
    return value
  },
}

describe.each([
  [
    'Redis',
    redis,
    (location: string) => new RedisCache({ location, keyPrefix, serializer: salted, options }),
  ],
  [
    'Memcached',
    memcached,
    (location: string) => new MemcachedCache({ location, keyPrefix, serializer: salted, options }),
  ],
] as const)('a lease in %s', (_, server, create) => {
  it.skipIf(server === undefined)(
    'is given up at once, also if the serializer never writes the same bytes twice',
    async () => {
      if (server === undefined) return
      const [here, there] = [keep(create(server.url)), keep(create(server.url))]
      // So long that the test is ended by its own time limit, if it has to wait.
      const lock = { wait: 1000, lease: 1000 }
      const failing = () => {
        throw new Error('the producer failed')
      }
      await expect(here.getOrSet('k', failing, { lock })).rejects.toThrow('the producer failed')
      expect(await there.getOrSet('k', () => 1, { lock })).toBe(1)
    },
  )
})

describe.skipIf(redis === undefined)('in Redis', () => {
  const settings = () => ({ location: redis?.url ?? '', keyPrefix, options })

  it('leases are not among the keys', async () => {
    const cache = keep(new RedisCache(settings()))
    await cache.getOrSet('k', () => 1, { lock: true })
    const keys: string[] = []
    for await (const key of cache.iterateKeys()) keys.push(key)
    expect(keys).toEqual(['k'])
  })

  it('what dependOn names is invalidated by another process while a value or fragment is made', async () => {
    const here = keep(new RedisCache(settings()))
    const fragments = new FragmentCache(createCaches({ default: here }))
    vi.resetModules()
    // With modules of its own it knows no more of this one than another process does.
    const elsewhere = await import('../../src/backends/redis.js')
    const there = keep(new elsewhere.RedisCache(settings()))
    await here.invalidateTags(['t'])
    let end = (): void => undefined
    const ended = new Promise<void>((resolve) => {
      end = resolve
    })
    let data = 'old'
    const make = async () => {
      const made = data
      dependOn(['t'])
      await ended
      return made
    }
    const asked = [
      here.getOrSet('v', make),
      fragments.render({ name: 'n', timeout: 100 }, make),
    ] as const
    // By the time of an answer to a later question, what dependOn asked for has been answered.
    for (let i = 0; i < 20; i++) await here.get('another')
    data = 'new'
    await there.invalidateTags(['t'])
    end()
    await Promise.all(asked)
    expect(await here.getOrSet('v', () => data)).toBe('new')
    expect(await fragments.render({ name: 'n', timeout: 100 }, () => data)).toBe('new')
  })
})
