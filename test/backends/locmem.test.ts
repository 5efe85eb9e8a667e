import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { InvalidCacheBackendError, LocMemCache, type LocMemOptions } from '../../src/index.js'
import { fc } from '../support/random.js'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] })
})
afterEach(() => {
  vi.useRealTimers()
})

const pass = (seconds: number) => vi.setSystemTime(Date.now() + seconds * 1000)
const make = (options: LocMemOptions) => new LocMemCache({ options })
const ALPHABET = 'abcdefghijklmnopqrstuvwxyz'.split('')

/** The keys that are there, without the lookup changing what is least recently used next. */
async function present(cache: LocMemCache, keys: readonly string[]): Promise<string> {
  return [...(await cache.getMany(keys)).keys()].join('')
}

describe('LocMemCache when it is full', () => {
  it('lets a third of its entries go with cullFrequency 3, the least recently used first', async () => {
    const cache = make({ maxEntries: 9, cullFrequency: 3 })
    for (const key of ALPHABET.slice(0, 9)) await cache.set(key, 1)
    await cache.get('a')
    await cache.set('j', 1)
    expect(await present(cache, ALPHABET)).toBe('aefghij')
  })

  it.each([
    ['get', (cache: LocMemCache) => cache.get('a')],
    ['has', (cache: LocMemCache) => cache.has('a')],
    ['getMany', (cache: LocMemCache) => cache.getMany(['a'])],
    ['getOrSet', (cache: LocMemCache) => cache.getOrSet('a', 2)],
    ['set', (cache: LocMemCache) => cache.set('a', 2)],
    ['touch', (cache: LocMemCache) => cache.touch('a')],
    ['incr', (cache: LocMemCache) => cache.incr('a')],
    ['an add that is refused', (cache: LocMemCache) => cache.add('a', 2)],
  ])('counts %s as use', async (_, use) => {
    const cache = make({ maxEntries: 4, cullFrequency: 2 })
    for (const key of ['a', 'b', 'c', 'd']) await cache.set(key, 1)
    await use(cache)
    await cache.set('e', 1)
    expect(await present(cache, ALPHABET)).toBe('ade')
  })

  it('empties itself with cullFrequency 0', async () => {
    const cache = make({ maxEntries: 3, cullFrequency: 0 })
    for (const key of ['a', 'b', 'c', 'd']) await cache.set(key, 1)
    expect(await present(cache, ALPHABET)).toBe('d')
  })

  it('lets one go where cullFrequency would let none', async () => {
    const cache = make({ maxEntries: 3, cullFrequency: 100 })
    for (const key of ['a', 'b', 'c', 'd']) await cache.set(key, 1)
    expect(await present(cache, ALPHABET)).toBe('bcd')
  })

  it('lets all go with cullFrequency 1', async () => {
    const cache = make({ maxEntries: 3, cullFrequency: 1 })
    for (const key of ['a', 'b', 'c', 'd']) await cache.set(key, 1)
    expect(await present(cache, ALPHABET)).toBe('d')
  })

  it('holds a single entry with maxEntries 1', async () => {
    const cache = make({ maxEntries: 1 })
    for (const key of ['a', 'b', 'b']) await cache.set(key, 1)
    expect(await present(cache, ALPHABET)).toBe('b')
  })

  it('lets expired entries go instead of live ones', async () => {
    const cache = make({ maxEntries: 4 })
    await cache.set('a', 1)
    await cache.set('b', 1, { timeout: 5 })
    await cache.set('c', 1)
    await cache.set('d', 1, { timeout: 5 })
    pass(5)
    await cache.set('e', 1)
    await cache.set('f', 1)
    expect(await present(cache, ALPHABET)).toBe('acef')
  })

  it('does not take for expired what got a later deadline, by touch or by another set', async () => {
    const cache = make({ maxEntries: 3 })
    await cache.set('a', 1, { timeout: 5 })
    await cache.set('b', 1, { timeout: 5 })
    await cache.set('c', 1, { timeout: 5 })
    await cache.touch('a', { timeout: 60 })
    await cache.set('b', 1, { timeout: null })
    pass(10)
    await cache.set('d', 1)
    expect(await present(cache, ALPHABET)).toBe('abd')
  })

  it('takes for expired what got an earlier deadline', async () => {
    const cache = make({ maxEntries: 3 })
    await cache.set('a', 1)
    await cache.set('b', 1, { timeout: null })
    await cache.set('c', 1)
    await cache.touch('b', { timeout: 5 })
    pass(5)
    await cache.set('d', 1)
    expect(await present(cache, ALPHABET)).toBe('acd')
  })

  it('never culls for replacing an entry', async () => {
    const cache = make({ maxEntries: 3 })
    for (const key of ['a', 'b', 'c']) await cache.set(key, 1)
    for (let i = 0; i < 10; i++) await cache.set('b', i)
    await cache.setMany({ a: 2, c: 2 })
    expect(await present(cache, ALPHABET)).toBe('abc')
  })

  it('makes no room for what is not kept', async () => {
    const cache = make({ maxEntries: 3 })
    for (const key of ['a', 'b', 'c']) await cache.set(key, 1)
    await cache.set('d', 1, { timeout: 0 })
    await cache.add('e', 1, { timeout: -1 })
    expect(await present(cache, ALPHABET)).toBe('abc')
  })

  it('never holds more than maxEntries, in whatever order things happen', async () => {
    const command = fc.record({
      what: fc.constantFrom('set', 'set', 'set', 'add', 'delete', 'touch', 'pass', 'clear', 'incr'),
      key: fc.constantFrom(...ALPHABET.slice(0, 12)),
      timeout: fc.constantFrom(1, 3, 9, null),
    })
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 8 }),
        fc.oneof(
          fc.record({ cullFrequency: fc.integer({ min: 0, max: 5 }) }),
          fc.record({ policy: fc.constantFrom('lru', 's3-fifo') }),
        ),
        fc.array(command, { maxLength: 60 }),
        async (maxEntries, options, commands) => {
          const cache = make({ maxEntries, ...options })
          for (const { what, key, timeout } of commands) {
            if (what === 'set') await cache.set(key, 1, { timeout })
            else if (what === 'add') await cache.add(key, 1, { timeout })
            else if (what === 'delete') await cache.delete(key)
            else if (what === 'touch') await cache.touch(key, { timeout })
            else if (what === 'clear') await cache.clear()
            else if (what === 'pass') pass(2)
            else await cache.incr(key).catch(() => undefined)
            if (what === 'set') expect(await cache.has(key)).toBe(true)
            const live = await present(cache, ALPHABET)
            expect(live.length).toBeLessThanOrEqual(maxEntries)
          }
        },
      ),
      { numRuns: 200 },
    )
  })

  it('does not cost more the more has expired: twenty thousand sets over a small cache', async () => {
    const cache = make({ maxEntries: 50 })
    for (let i = 0; i < 20_000; i++) {
      await cache.set(`k${i}`, i, { timeout: 1 })
      if (i % 10 === 0) pass(0.5)
    }
    expect(await cache.get('k19999')).toBe(19999)
  })
})

describe('LocMemCache and its options', () => {
  it.each([
    [{ maxEntries: 0 }, 'maxEntries'],
    [{ maxEntries: -1 }, 'maxEntries'],
    [{ maxEntries: 1.5 }, 'maxEntries'],
    [{ maxEntries: '10' }, 'maxEntries'],
    [{ maxEntries: null }, 'maxEntries'],
    [{ maxEntries: Infinity }, 'maxEntries'],
    [{ cullFrequency: -1 }, 'cullFrequency'],
    [{ cullFrequency: 'x' }, 'cullFrequency'],
    [{ cullFrequency: 0.5 }, 'cullFrequency'],
    [{ policy: 'lfu' }, 'policy: "lfu" is not a policy; give "s3-fifo" or "lru"'],
    [{ policy: null }, 'policy'],
    [{ policy: 's3-fifo', cullFrequency: 0 }, 'cullFrequency: .*; leave cullFrequency out'],
    [{ maxBytes: 0 }, 'maxBytes'],
    [{ maxBytes: '1mb' }, 'maxBytes'],
    [{ max_entries: 10 }, 'max_entries'],
    [{ ttl: 10 }, 'ttl'],
  ])('refuses %j by name', (options, name) => {
    const construct = () => new LocMemCache({ options: options as LocMemOptions })
    expect(construct).toThrow(InvalidCacheBackendError)
    expect(construct).toThrow(new RegExp(`^LocMemCache: .*${name}`))
  })

  it('takes undefined for an option left out', async () => {
    const cache = make({ maxEntries: undefined, cullFrequency: undefined, maxBytes: undefined })
    for (let i = 0; i < 301; i++) await cache.set(`k${i}`, i)
    const keys = Array.from({ length: 301 }, (_, i) => `k${i}`)
    expect((await cache.getMany(keys)).size).toBe(300)
  })

  it('takes no memory for entries it may hold one day', () => {
    const before = process.memoryUsage().arrayBuffers
    const caches = [1e6, 1e8, Number.MAX_SAFE_INTEGER].map((maxEntries) => make({ maxEntries }))
    expect(caches).toHaveLength(3)
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1e6)
  })
})
