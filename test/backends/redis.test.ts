import { inspect } from 'node:util'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { RedisCache, type RedisSettings } from '../../src/backends/redis.js'
import { ownTime } from '../support/own-time.js'
import { canStartRedis } from '../support/redis.js'
import { startRedis, type RedisServer } from '../support/servers/redis.js'

const isThere = await canStartRedis()

describe.skipIf(!isThere)('RedisCache', () => {
  let server: RedisServer
  let control: Redis
  const caches: RedisCache[] = []

  beforeAll(async () => {
    server = await startRedis()
    control = new Redis(server.url).on('error', () => undefined)
  })
  afterAll(async () => {
    control.disconnect()
    await server.stop()
  })
  beforeEach(async () => {
    await control.flushall()
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  })
  afterEach(async () => {
    for (const cache of caches.splice(0)) await cache.close()
    vi.restoreAllMocks()
  })

  function open(settings: RedisSettings = {}): RedisCache {
    const cache = new RedisCache({
      location: server.url,
      ...settings,
      // What takes long on a busy machine is no failure here.
      options: {
        ...(settings.client === undefined && { timeLimitMs: 10_000 }),
        ...settings.options,
      },
    })
    caches.push(cache)
    return cache
  }

  async function collect<T>(some: AsyncIterable<T>): Promise<T[]> {
    const all: T[] = []
    for await (const one of some) all.push(one)
    return all
  }

  describe('shares its entries with other programs', () => {
    it('whole numbers are decimals, which the server counts', async () => {
      const cache = open({ keyPrefix: 'p' })
      await cache.set('n', 41)
      expect(await control.get('p:1:n')).toBe('41')
      await control.incr('p:1:n')
      expect(await cache.get('n')).toBe(42)
      await control.set('p:1:theirs', '7')
      expect(await cache.incr('theirs')).toBe(8)
      expect(await control.get('p:1:theirs')).toBe('8')
    })

    it('deadlines are those of the server, to the millisecond', async () => {
      const cache = open()
      await cache.set('k', 1, { timeout: 1.5 })
      const left = await control.pttl(':1:k')
      expect(left).toBeGreaterThan(1300)
      expect(left).toBeLessThanOrEqual(1500)
      await cache.touch('k', { timeout: null })
      expect(await control.pttl(':1:k')).toBe(-1)
    })

    it('with the JSON serializer entries are JSON for all languages', async () => {
      const cache = open({ serializer: 'json' })
      await cache.set('k', { name: 'größe', list: [1, null] })
      expect(await control.get(':1:k')).toBe('{"name":"größe","list":[1,null]}')
      await control.set(':1:theirs', '{"from": "Python"}')
      expect(await cache.get('theirs')).toEqual({ from: 'Python' })
    })

    it('with a serializer of one’s own they are whatever it makes', async () => {
      const cache = open({
        serializer: {
          serialize: (value) => [...String(value)].reverse().join(''),
          deserialize: (bytes) => [...Buffer.from(bytes).toString()].reverse().join(''),
        },
      })
      await cache.set('k', 'abc')
      expect(await control.get(':1:k')).toBe('cba')
      expect(await cache.get('k')).toBe('abc')
      await cache.set('tagged', 'abc', { tags: ['t'] })
      expect(await cache.get('tagged')).toBe('abc')
      await cache.invalidateTags(['t'])
      expect(await cache.get('tagged')).toBe(undefined)
    })

    it('and may be any bytes, in any kind of array', async () => {
      const bytes = (text: string) => new TextEncoder().encode(`\0\xff${text}`)
      const cache = open({
        serializer: {
          serialize: (value) => bytes(String(value)),
          deserialize: (found) => new TextDecoder().decode(found).slice(2),
        },
      })
      await cache.set('k', 'größe')
      expect(await control.getBuffer(':1:k')).toEqual(Buffer.from(bytes('größe')))
      expect(await cache.get('k')).toBe('größe')
    })

    it('a serializer that throws is the caller’s mistake, no outage', async () => {
      const cache = open({
        serializer: {
          serialize: (value) => JSON.stringify({ value }),
          deserialize: JSON.parse as never,
        },
      })
      const cycle: unknown[] = []
      cycle.push(cycle)
      await expect(cache.set('k', cycle)).rejects.toThrow(TypeError)
      expect(process.emitWarning).not.toHaveBeenCalled()
    })

    it('what is there and no text is a miss, and can be replaced', async () => {
      const cache = open()
      await control.lpush(':1:list', 'a')
      expect(await cache.get('list')).toBe(undefined)
      expect((await cache.getMany(['list', 'other'])).size).toBe(0)
      await cache.set('list', 1)
      expect(await cache.get('list')).toBe(1)
    })

    it('what is there and no text is not claimed again and again', async () => {
      const cache = open()
      await control.lpush(':1:list', 'a')
      await control.config('RESETSTAT')
      expect(await cache.getOrSet('list', () => 'made')).toBe('made')
      const stats = await control.info('commandstats')
      expect(Number(/cmdstat_mget:calls=(\d+)/.exec(stats)?.[1])).toBeLessThan(5)
      expect(await cache.add('list', 1)).toBe(false)
      expect(await control.lrange(':1:list', 0, -1)).toEqual(['a'])
    })
  })

  describe('ttl', () => {
    it('gives seconds, null for ever and undefined for what is not there', async () => {
      const cache = open()
      await cache.set('short', 1, { timeout: 10.5 })
      await cache.set('eternal', 1, { timeout: null })
      await cache.set('other', 1, { timeout: 50, version: 2 })
      const left = await cache.ttl('short')
      expect(left).toBeGreaterThan(10)
      expect(left).toBeLessThanOrEqual(10.5)
      expect(await cache.ttl('eternal')).toBe(null)
      expect(await cache.ttl('missing')).toBe(undefined)
      expect(await cache.ttl('other')).toBe(undefined)
      expect(await cache.ttl('other', { version: 2 })).toBeGreaterThan(49)
    })

    it('of what was invalidated by a tag is undefined', async () => {
      const cache = open()
      await cache.set('k', 1, { tags: ['t'] })
      expect(await cache.ttl('k')).toBeGreaterThan(299)
      await cache.invalidateTags(['t'])
      expect(await cache.ttl('k')).toBe(undefined)
    })

    it('takes the keys that get takes', async () => {
      await expect(open().ttl('')).rejects.toThrow(TypeError)
      await expect(open().ttl('k', { version: NaN })).rejects.toThrow(TypeError)
    })
  })

  describe('iterateKeys', () => {
    it('gives the keys of this prefix and version as they were passed', async () => {
      const cache = open({ keyPrefix: 'p[*]' })
      const keys = ['a', 'user:1', 'user:22', 'with space', 'ünï', '*', 'p[*]:1:a']
      await cache.setMany(Object.fromEntries(keys.map((key) => [key, 1])))
      await cache.set('second', 1, { version: 2 })
      await open({ keyPrefix: 'other' }).set('theirs', 1)
      await cache.set('tagged', 1, { tags: ['t'] })
      expect((await collect(cache.iterateKeys())).sort()).toEqual([...keys, 'tagged'].sort())
      expect(await collect(cache.iterateKeys('*', { version: 2 }))).toEqual(['second'])
      expect((await collect(cache.iterateKeys('user:*'))).sort()).toEqual(['user:1', 'user:22'])
      expect(await collect(cache.iterateKeys('user:?'))).toEqual(['user:1'])
      expect(await collect(cache.iterateKeys('\\*'))).toEqual(['*'])
      expect(await collect(cache.iterateKeys('none*'))).toEqual([])
    })

    it('gives all of thousands, in steps, and may be left early', async () => {
      const cache = open({ keyPrefix: 'p' })
      const keys = Array.from({ length: 5000 }, (_, i) => `k${i}`)
      await cache.setMany(Object.fromEntries(keys.map((key) => [key, 1])))
      expect(new Set(await collect(cache.iterateKeys())).size).toBe(5000)
      let seen = 0
      for await (const key of cache.iterateKeys()) {
        expect(keys).toContain(key)
        if (++seen === 10) break
      }
      expect(await cache.get('k1')).toBe(1)
    })

    it('undoes a key function that leaves the key as it is, and refuses one that does not', async () => {
      const cache = open({
        keyPrefix: 'p',
        keyFunction: (key, prefix, v) => `<${prefix}|${v}|${key}>`,
      })
      await cache.setMany({ a: 1, b: 2 })
      expect((await collect(cache.iterateKeys())).sort()).toEqual(['a', 'b'])
      const hidden = open({ keyFunction: (key) => Buffer.from(key).toString('hex') })
      await expect(collect(hidden.iterateKeys())).rejects.toThrow(/keyFunction hides the keys/)
      await expect(collect(cache.iterateKeys(7 as never))).rejects.toThrow(/pattern/)
    })
  })

  describe('clear', () => {
    it('spares what other programs keep in the same db', async () => {
      const cache = open({ keyPrefix: 'p' })
      await control.mset('session:1', 'x', 'p', 'x', 'px:1:k', 'x', 'p:eu:1:k', 'x')
      await cache.setMany({ a: 1, b: 2 })
      await cache.set('c', 1, { version: 'v2' })
      await cache.clear()
      const left = ['p', 'p:1:fragcache.server', 'p:eu:1:k', 'px:1:k', 'session:1']
      expect((await control.keys('*')).sort()).toEqual(left)
    })

    it('never empties the db, unless the options say so', async () => {
      await control.set('theirs', 1)
      await control.config('RESETSTAT')
      const cache = open()
      await cache.set('k', 1)
      await cache.clear()
      expect(await control.get('theirs')).toBe('1')
      expect(await control.info('commandstats')).not.toContain('flush')
      const flushing = open({ options: { flushOnClear: true } })
      await flushing.set('k', 1)
      await flushing.clear()
      expect(await control.dbsize()).toBe(0)
    })

    it('goes through many keys without one long command', async () => {
      const cache = open({ keyPrefix: 'p' })
      for (let i = 0; i < 10; i++) {
        const keys = Array.from({ length: 2000 }, (_, j) => `k${i}-${j}`)
        await cache.setMany(Object.fromEntries(keys.map((key) => [key, 1])))
      }
      await control.set('theirs', 1)
      await control.config('RESETSTAT')
      await cache.clear()
      expect((await control.keys('*')).sort()).toEqual(['p:1:fragcache.server', 'theirs'])
      const stats = await control.info('commandstats')
      expect(Number(/cmdstat_scan:calls=(\d+)/.exec(stats)?.[1])).toBeGreaterThan(10)
      expect(Number(/cmdstat_unlink:calls=(\d+)/.exec(stats)?.[1])).toBeLessThan(40)
    })

    it('refuses a key function that hides which keys are whose', async () => {
      const cache = open({
        keyPrefix: 'p',
        keyFunction: (key, prefix) => Buffer.from(prefix + key).toString('hex'),
      })
      await cache.set('k', 1)
      await expect(cache.clear()).rejects.toThrow(/keyFunction makes keys that cannot be told/)
      expect(await cache.get('k')).toBe(1)
    })
  })

  describe('when the server refuses', () => {
    it('because its memory is full, nothing outdated is left, and reads go on', async () => {
      const cache = open({ keyPrefix: 'p' })
      await cache.setMany({ a: 'old', b: 'old', n: 1 })
      await control.config('SET', 'maxmemory', '1')
      try {
        for (let i = 0; i < 5; i++) {
          await expect(cache.set('a', 'new')).rejects.toMatchObject({
            code: 'FRAGCACHE_BACKEND_FAILED',
            message: /OOM/,
          })
        }
        expect(await cache.get('a')).toBe(undefined)
        expect(await cache.get('b')).toBe('old')
        await expect(cache.setMany({ b: 1, c: 2 })).rejects.toThrow('OOM')
        await expect(cache.incr('n')).rejects.toThrow('OOM')
        // No outage: the server answers.
        expect(await cache.get('n')).toBe(1)
      } finally {
        await control.config('SET', 'maxmemory', '0')
      }
      await cache.set('a', 'new')
      expect(await cache.get('a')).toBe('new')
    })

    it('the error keeps what it said, and shows no values', async () => {
      const cache = open()
      await control.config('SET', 'maxmemory', '1')
      const error = await cache.set('k', 'very secret').catch((reason: unknown) => reason as Error)
      await control.config('SET', 'maxmemory', '0')
      expect((error as Error).cause).toMatchObject({ name: 'ReplyError' })
      expect(inspect(error, { depth: 10 })).not.toContain('very secret')
    })

    it('because the user may not, that is said, and is not an outage', async () => {
      await control.call('ACL', 'SETUSER', 'reader', 'on', '>pw', '~*', '+@all', '-@write')
      const cache = open({ location: `redis://reader:pw@127.0.0.1:${server.port}` })
      for (let i = 0; i < 5; i++) {
        await expect(cache.set('k', 1)).rejects.toThrow('NOPERM')
      }
      expect(await cache.get('k')).toBe(undefined)
    })

    it('because it is a replica, it is asked again who it is', async () => {
      const cache = open()
      await cache.set('k', 1)
      await control.call('REPLICAOF', '127.0.0.1', '1')
      await expect(cache.set('k', 2)).rejects.toThrow('READONLY')
      // It has just been left, for a reason.
      await expect(cache.set('k', 2)).rejects.toThrow(/no connection to .*READONLY/)
      await control.call('REPLICAOF', 'NO', 'ONE')
      await vi.waitFor(() => cache.set('k', 3), { timeout: 1000, interval: 20 })
      expect(await cache.get('k')).toBe(3)
    })
  })

  describe('with a client of ioredis that waits and tries again, as by default', () => {
    it('calls fail in time, and what failed is not done later', async () => {
      const own = await startRedis()
      const client = new Redis(own.url, { autoResendUnfulfilledCommands: false })
      client.on('error', () => undefined)
      const cache = new RedisCache({ client, options: { timeLimitMs: 300 } })
      try {
        await cache.set('k', 'before')
        await own.kill()
        const startMs = ownTime.now()
        for (let i = 0; i < 10; i++) {
          await expect(cache.set('k', 'late')).rejects.toMatchObject({
            code: 'FRAGCACHE_BACKEND_FAILED',
          })
        }
        expect(ownTime.now() - startMs).toBeLessThan(3 * 300 + 500)
        await own.restart()
        await vi.waitFor(() => cache.get('k'), { timeout: 10_000, interval: 20 })
        expect(await cache.get('k')).toBe(undefined)
        await cache.set('k', 'after')
        expect(await cache.get('k')).toBe('after')
      } finally {
        client.disconnect()
        await own.stop()
      }
    }, 30_000)
  })

  it('may be read from while entries of megabytes are on their way', async () => {
    const cache = open()
    const large = Buffer.alloc(20_000_000, 'x')
    await cache.set('large', large)
    await cache.set('small', 1)
    const found = await Promise.all([cache.get('large'), cache.get('small'), cache.get('large')])
    expect(found[1]).toBe(1)
    expect((found[0] as Buffer).equals(large)).toBe(true)
    expect(Object.is(found[0], found[2])).toBe(false)
  })
})
