import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { LocMemCache } from '../../src/index.js'
import { fc } from '../support/random.js'

const MAX_BYTES = 100

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] })
})
afterEach(() => {
  vi.useRealTimers()
})

/** Bytes of keys and texts that are in the cache, found without making an entry more recent. */
async function bytesIn(cache: LocMemCache, keys: readonly string[]): Promise<number> {
  let bytes = 0
  for (const [key, value] of await cache.getMany<string>(keys)) {
    bytes += Buffer.byteLength(cache.makeKey(key)) + Buffer.byteLength(value)
  }
  return bytes
}

describe('LocMemCache with maxBytes', () => {
  it.each([{ policy: 's3-fifo' }, { policy: 'lru' }, { cullFrequency: 3 }] as const)(
    'never holds more bytes of keys and values, whatever happens: %j',
    async (options) => {
      const keys = ['a', 'b', 'c', 'd']
      const command = fc.record({
        key: fc.constantFrom(...keys),
        length: fc.integer({ min: 0, max: 60 }),
        timeout: fc.constantFrom(1, 5, null),
        passes: fc.constantFrom(0, 0, 1, 2),
      })
      await fc.assert(
        fc.asyncProperty(fc.array(command, { maxLength: 30 }), async (commands) => {
          const cache = new LocMemCache({ options: { maxBytes: MAX_BYTES, ...options } })
          for (const { key, length, timeout, passes } of commands) {
            vi.setSystemTime(Date.now() + passes * 1000)
            await cache.set(key, 'x'.repeat(length), { timeout })
            expect(await cache.get(key)).toBe('x'.repeat(length))
            expect(await bytesIn(cache, keys)).toBeLessThanOrEqual(MAX_BYTES)
          }
        }),
        { numRuns: 300 },
      )
    },
  )

  it('lets the least recently used go first, and no more of them than it must', async () => {
    const cache = new LocMemCache({ options: { maxBytes: 40 } })
    for (const key of ['a', 'b', 'c', 'd']) await cache.set(key, 'x'.repeat(6))
    await cache.get('a')
    await cache.set('e', 'x'.repeat(6))
    expect([...(await cache.getMany(['a', 'b', 'c', 'd', 'e'])).keys()]).toEqual([
      'a',
      'c',
      'd',
      'e',
    ])
  })

  it('lets expired entries go before live ones', async () => {
    const cache = new LocMemCache({ options: { maxBytes: 40 } })
    await cache.set('a', 'x'.repeat(6))
    await cache.set('b', 'x'.repeat(6), { timeout: 1 })
    await cache.set('c', 'x'.repeat(6))
    await cache.set('d', 'x'.repeat(6))
    vi.setSystemTime(Date.now() + 1000)
    await cache.set('e', 'x'.repeat(6))
    expect([...(await cache.getMany(['a', 'c', 'd', 'e'])).keys()]).toEqual(['a', 'c', 'd', 'e'])
  })

  it('refuses a value larger than everything may be, and leaves no older one', async () => {
    const cache = new LocMemCache({ options: { maxBytes: 40 } })
    await cache.set('a', 'old')
    await cache.set('b', 'stays')
    await expect(cache.set('a', 'x'.repeat(50))).rejects.toMatchObject({
      code: 'FRAGCACHE_VALUE_TOO_LARGE',
      key: 'a',
    })
    expect(await cache.has('a')).toBe(false)
    expect(await cache.setMany({ a: 'x'.repeat(50), c: 'y' })).toEqual(['a'])
    await expect(cache.add('d', 'x'.repeat(50))).rejects.toMatchObject({
      code: 'FRAGCACHE_VALUE_TOO_LARGE',
    })
    expect([...(await cache.getMany(['a', 'b', 'c', 'd'])).keys()]).toEqual(['b', 'c'])
  })

  it('counts what a value takes, in bytes of UTF-8 or of its serialized form', async () => {
    const cache = new LocMemCache({ options: { maxBytes: 104 } })
    await cache.set('a', 'é'.repeat(50))
    await expect(cache.set('a', 'é'.repeat(51))).rejects.toThrow(/larger than LocMemCache takes/)
    await cache.set('a', Buffer.alloc(99))
    await expect(cache.set('a', Buffer.alloc(100))).rejects.toThrow(/larger/)
  })

  it('counts what other caches of the same name stored, also before it was there', async () => {
    const location = 'locmem-bytes'
    const wide = new LocMemCache({ location })
    await wide.set('a', 'x'.repeat(60))
    const narrow = new LocMemCache({ location, options: { maxBytes: 70 } })
    await narrow.set('b', 'x'.repeat(20))
    expect(await wide.has('a')).toBe(false)
    await wide.set('c', 'x'.repeat(60))
    await narrow.set('d', 'x'.repeat(10))
    expect([...(await narrow.getMany(['b', 'c', 'd'])).keys()]).toEqual(['d'])
  })

  it('keeps counting after deletions, clear and culling', async () => {
    const cache = new LocMemCache({ options: { maxBytes: 100, maxEntries: 4 } })
    for (let round = 0; round < 50; round++) {
      await cache.set(`k${round % 7}`, 'x'.repeat(16))
      if (round % 5 === 0) await cache.delete(`k${round % 7}`)
      if (round % 11 === 0) await cache.clear()
    }
    await cache.clear()
    for (const key of ['a', 'b', 'c', 'd']) await cache.set(key, 'x'.repeat(20))
    expect((await cache.getMany(['a', 'b', 'c', 'd'])).size).toBe(4)
  })
})
