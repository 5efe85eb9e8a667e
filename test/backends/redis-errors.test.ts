import { inspect } from 'node:util'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { RedisCache } from '../../src/backends/redis.js'
import { TieredCache } from '../../src/backends/tiered.js'
import { LocMemCache } from '../../src/index.js'
import { sharedServer } from '../support/servers.js'
import { startRedis, type RedisServer } from '../support/servers/redis.js'

const isThere = (await sharedServer('redis')) !== undefined

beforeAll(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
})

describe.skipIf(!isThere)('what a Redis server refuses', () => {
  let server: RedisServer
  let control: Redis
  beforeAll(async () => {
    server = await startRedis(['--requirepass', 'right-password'])
    control = new Redis(server.url, { password: 'right-password' })
  })
  afterAll(async () => {
    control.disconnect()
    await server.stop()
  })

  it('shows no password in any error, however deep one looks', async () => {
    const location = server.url.replace('//', '//:wrong-password@')
    const cache = new RedisCache({ location })
    for (let i = 0; i < 5; i++) {
      const error: unknown = await cache.get('k').catch((reason: unknown) => reason)
      expect(String(error)).toContain('failed')
      expect(inspect(error, { depth: 20, showHidden: true })).not.toContain('wrong-password')
    }
    await cache.close()
  })

  it('lets reads go on while writes are refused by a server that is a replica', async () => {
    const location = server.url.replace('//', '//:right-password@')
    const cache = new RedisCache({ location })
    await cache.set('k', 1)
    await control.replicaof('127.0.0.1', 1)
    try {
      await cache.set('k', 2).catch(() => undefined)
      await vi.waitFor(() => cache.get('k'), { timeout: 2000, interval: 10 })
      const failures: unknown[] = []
      for (let i = 0; i < 20; i++) {
        const reads = Array.from({ length: 5 }, () =>
          cache.get('k').catch((error: unknown) => failures.push(error)),
        )
        await expect(cache.set('k', 2)).rejects.toMatchObject({ operation: 'set' })
        await Promise.all(reads)
      }
      expect(failures).toEqual([])
    } finally {
      await control.replicaof('NO', 'ONE')
      await cache.close()
    }
  })
})

describe.skipIf(!isThere)('memory in front of a client that was given', () => {
  it('is told of changes also where the client has a key prefix of its own', async () => {
    const server = await startRedis()
    const open = () => {
      const client = new Redis(server.url, { keyPrefix: 'app:' })
      return {
        client,
        cache: new TieredCache({ local: new LocMemCache(), remote: new RedisCache({ client }) }),
      }
    }
    const [a, b] = [open(), open()]
    try {
      for (const value of ['one', 'two', 'three', 'four', 'five', 'six']) {
        await b.cache.set('k', value, { tags: ['t'], timeout: null })
        await expect.poll(() => a.cache.get('k'), { timeout: 1000, interval: 5 }).toBe(value)
      }
      await b.cache.invalidateTags(['t'])
      await expect.poll(() => a.cache.get('k'), { timeout: 1000, interval: 5 }).toBeUndefined()
    } finally {
      for (const { client, cache } of [a, b]) {
        await cache.close()
        client.disconnect()
      }
      await server.stop()
    }
  })
})

it.skipIf(!isThere)('clear refuses to take every key of a server for its own', async () => {
  const server = await startRedis()
  const control = new Redis(server.url)
  const cache = new RedisCache({ location: server.url, keyFunction: (key) => key })
  try {
    await control.set('session:1', 'somebody else’s')
    await cache.set('k', 1)
    await expect(cache.clear()).rejects.toThrow(/set options\.flushOnClear if that is meant/)
    expect(await control.get('session:1')).toBe('somebody else’s')
  } finally {
    await cache.close()
    control.disconnect()
    await server.stop()
  }
})
