import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { RedisCache } from '../../src/backends/redis.js'
import { TieredCache } from '../../src/backends/tiered.js'
import { CacheBackendError, LocMemCache, type Cache } from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { canStartRedis } from '../support/redis.js'
import { startRedis, type RedisServer } from '../support/servers/redis.js'

const WAITING = { timeout: 10_000, interval: 20 }

beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
})
afterEach(() => {
  vi.restoreAllMocks()
})

describe('getOrSet while the store fails', () => {
  it.each([
    ['without options', {}],
    ['with tags', { tags: ['t'] }],
    ['with a lease', { lock: true }],
    ['with old values allowed', { staleWhileRevalidate: 60, staleIfError: 60 }],
  ])('makes the value %s, and stores it once the store is back', async (_, options) => {
    const cache = new AsyncTestCache()
    cache.failing = true
    const produce = vi.fn(() => ({ made: produce.mock.calls.length }))
    expect(await cache.getOrSet('k', produce, options)).toEqual({ made: 1 })
    expect(await cache.getOrSet('k', produce, options)).toEqual({ made: 2 })
    cache.failing = false
    expect(await cache.getOrSet('k', produce, options)).toEqual({ made: 3 })
    expect(await cache.getOrSet('k', produce, options)).toEqual({ made: 3 })
  })

  it('runs one producer for all who ask at once', async () => {
    const cache = new AsyncTestCache()
    cache.failing = true
    const produce = vi.fn(() => Promise.resolve('made'))
    const all = await Promise.all(Array.from({ length: 20 }, () => cache.getOrSet('k', produce)))
    expect(new Set(all)).toEqual(new Set(['made']))
    expect(produce).toHaveBeenCalledTimes(1)
  })

  it('gives the value where the store fails while it is made, or while it is stored', async () => {
    const cache = new AsyncTestCache()
    const failWhileMade = () => {
      cache.failing = true
      return 'made'
    }
    expect(await cache.getOrSet('k', failWhileMade, { tags: ['t'] })).toBe('made')
    cache.failing = false
    expect(await cache.has('k')).toBe(false)
  })

  it.each([
    ['without options', {}],
    ['with tags', { tags: ['t'] }],
    ['with a lease', { lock: true }],
    ['with old values allowed', { staleWhileRevalidate: 60, staleIfError: 60 }],
  ])('gives the value %s where it is too large for the store, and warns', async (_, options) => {
    const cache = new AsyncTestCache()
    cache.maxPayloadBytes = 200
    const large = 'x'.repeat(500)
    const asked = Array.from({ length: 3 }, () => cache.getOrSet('k', () => large, options))
    expect(await Promise.all(asked)).toEqual([large, large, large])
    expect(await cache.getOrSet('k', () => large, options)).toBe(large)
    expect(vi.mocked(process.emitWarning).mock.calls).toEqual([
      [
        expect.stringMatching(
          /some of its calls fail: CacheBackendError: getOrSet: the value for "k" is larger/,
        ),
        { type: 'CacheRefusalWarning', code: 'FRAGCACHE_REFUSED' },
      ],
    ])
    await expect(
      cache.getOrSet('k', () => large, { ...options, strict: true }),
    ).rejects.toMatchObject({ code: 'FRAGCACHE_VALUE_TOO_LARGE' })
    expect(await cache.getOrSet('k', () => 'small', options)).toBe('small')
    expect(await cache.get('k')).toBe('small')
  })

  it('serves nothing old any more once what should replace it was too large', async () => {
    const cache = new AsyncTestCache()
    cache.maxPayloadBytes = 200
    const large = 'x'.repeat(500)
    const options = { tags: ['t'], staleWhileRevalidate: 60 }
    await cache.set('k', 'old', options)
    await cache.invalidateTags(['t'], { soft: true })
    expect(await cache.getOrSet('k', () => large, options)).toBe('old')
    await vi.waitFor(() => expect(cache.storedKeys).not.toContain(':1:k'), WAITING)
    expect(await cache.getOrSet('k', () => large, options)).toBe(large)
  })

  it('gives the producer’s own error', async () => {
    const cache = new AsyncTestCache()
    cache.failing = true
    const boom = new Error('boom')
    await expect(cache.getOrSet('k', () => Promise.reject(boom))).rejects.toBe(boom)
  })

  it('rejects with strict, beside those who are given the value', async () => {
    const cache = new AsyncTestCache()
    cache.failing = true
    const [lenient, strict] = await Promise.allSettled([
      cache.getOrSet('k', () => 'made'),
      cache.getOrSet('k', () => 'made', { strict: true }),
    ])
    expect(lenient).toEqual({ status: 'fulfilled', value: 'made' })
    expect(strict).toMatchObject({
      status: 'rejected',
      reason: { code: 'FRAGCACHE_BACKEND_FAILED' },
    })
    cache.failing = false
    expect(await cache.getOrSet('k', () => 'stored', { strict: true })).toBe('stored')
    expect(await cache.get('k')).toBe('stored')
  })

  it.each([
    ['of this process', {}],
    ['of all processes', { lock: true }],
  ])('rejects with strict where the store answers and takes nothing: %s', async (_who, options) => {
    class Full extends AsyncTestCache {
      isFull = true
      override async writeEntries(entries: Parameters<AsyncTestCache['writeEntries']>[0]) {
        if (this.isFull) throw new Error('the disk is full')
        return super.writeEntries(entries)
      }
    }
    const cache = new Full()
    const produce = vi.fn(() => 'made')
    const asked = () => cache.getOrSet('k', produce, { ...options, strict: true })
    for (const got of await Promise.allSettled([asked(), asked()])) {
      expect(got).toMatchObject({ reason: { code: 'FRAGCACHE_BACKEND_FAILED' } })
    }
    expect(produce).not.toHaveBeenCalled()
    expect(await cache.getOrSet('k', produce, options)).toBe('made')
    cache.isFull = false
    expect(await asked()).toBe('made')
    expect(await cache.get('k')).toBe('made')
  })

  it('still refuses wrong calls, and tells of the outage', async () => {
    const cache = new AsyncTestCache({}, true)
    cache.failing = true
    await expect(cache.getOrSet('k', 1, { strict: 'yes' } as never)).rejects.toThrow(
      /^strict: "yes"/,
    )
    await expect(cache.getOrSet('', 1)).rejects.toThrow(TypeError)
    await cache.getOrSet('k', 1)
    expect(process.emitWarning).toHaveBeenCalledWith(
      expect.stringContaining('fails'),
      expect.anything(),
    )
  })

  it('makes the value over a store that answers at once', async () => {
    class AtOnce extends AsyncTestCache {
      override readonly answersAtOnce = true
      override readEntries(): never {
        throw new Error('the disk is full')
      }
    }
    expect(await new AtOnce().getOrSet('k', () => 'made')).toBe('made')
    const strict = new AtOnce().getOrSet('k', () => 'made', { strict: true })
    await expect(strict).rejects.toThrow(CacheBackendError)
  })
})

describe.skipIf(!(await canStartRedis()))('getOrSet over a server that hangs', () => {
  let server: RedisServer
  const caches: Cache[] = []
  beforeAll(async () => {
    server = await startRedis()
  })
  afterAll(async () => {
    server.resume()
    await Promise.all(caches.map((cache) => cache.close()))
    await server.stop()
  })

  it.each([
    ['RedisCache', () => new RedisCache({ location: server.url, options: { timeLimitMs: 100 } })],
    [
      'TieredCache',
      () =>
        new TieredCache({
          local: new LocMemCache(),
          remote: new RedisCache({ location: server.url, options: { timeLimitMs: 100 } }),
        }),
    ],
  ])('gives the value in time: %s', async (name, make) => {
    const cache = make()
    caches.push(cache)
    // A busy machine may need longer than the limit for the first call, which connects.
    await vi.waitFor(() => cache.set(`${name} warm`, 1), WAITING)
    server.pause()
    try {
      expect(await cache.getOrSet(name, () => 'made', { tags: ['t'] })).toBe('made')
      const strict = cache.getOrSet(name, () => 'made', { tags: ['t'], strict: true })
      await expect(strict).rejects.toThrow(CacheBackendError)
    } finally {
      server.resume()
    }
    await vi.waitFor(async () => {
      await cache.getOrSet(name, () => 'again', { strict: true, tags: ['t'] })
    }, WAITING)
    expect(await vi.waitFor(() => cache.get(name), WAITING)).toBe('again')
  })
})
