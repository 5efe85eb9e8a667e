import { randomUUID } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createCaches, LocMemCache, type LocMemOptions, type ServerStats } from '../../src/index.js'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] })
})
afterEach(() => {
  vi.useRealTimers()
})

const pass = (seconds: number) => vi.setSystemTime(Date.now() + seconds * 1000)
const keysOf = (count: number, prefix = 'k') => Array.from({ length: count }, (_, i) => prefix + i)
const pairs = (keys: readonly string[]) => keys.map((key) => [key, 'value'] as const)

async function filled(count: number, options: LocMemOptions = {}): Promise<LocMemCache> {
  const cache = new LocMemCache({ options: { maxEntries: count, ...options } })
  await cache.setMany(pairs(keysOf(count)))
  return cache
}

/** How many of some keys are there. Reading them does not change the order they are in. */
const count = async (cache: LocMemCache, keys: readonly string[]) =>
  (await cache.getMany(keys)).size

/** How many entries are kept, dead ones included. */
const kept = async (cache: LocMemCache) => Number((await figuresOf(cache))?.entries)

async function figuresOf(cache: LocMemCache): Promise<ServerStats | undefined> {
  return (await createCaches({ cache }).serverStats())['cache']
}

describe('LocMemCache with very many entries', () => {
  it('lets few of them go in one call, and a third of them by and by', async () => {
    const cache = await filled(6000, { cullFrequency: 3 })
    const sizes = [6000]
    for (let i = 0; i < 1000; i++) {
      await cache.set(`new${i}`, 1)
      sizes.push(await kept(cache))
    }
    expect(Math.max(...sizes)).toBe(6000)
    const steps = sizes.slice(1).map((size, i) => (sizes[i] as number) - size)
    expect(Math.max(...steps)).toBeLessThanOrEqual(300)
    // Meanwhile entries came.
    expect(Math.min(...sizes)).toBeGreaterThanOrEqual(4000)
    expect(Math.min(...sizes)).toBeLessThan(4300)
    expect(sizes.at(-1)).toBeGreaterThan(Math.min(...sizes))
  })

  it('lets the least recently used go first, call by call', async () => {
    const cache = await filled(6000, { cullFrequency: 3 })
    await cache.getMany(keysOf(1000))
    for (let i = 0; i < 150; i++) await cache.set(`new${i}`, 1)
    expect(await count(cache, keysOf(1000))).toBe(1000)
    expect(await count(cache, keysOf(150, 'new'))).toBe(150)
  })

  it('looks at few of them in one call, also where all are used', async () => {
    const cache = await filled(20_000, { policy: 's3-fifo' })
    for (let i = 0; i < 3; i++) await cache.getMany(keysOf(20_000))
    for (let i = 0; i < 5; i++) {
      await cache.set(`new${i}`, 1)
      // What is looked at stays; who stands behind it goes, though it is used.
      expect(await cache.has(`k${1000 + 1001 * i}`)).toBe(false)
      expect(await count(cache, keysOf(1001 * (i + 1)))).toBe(1000 * (i + 1))
    }
  })

  it('counts what was deleted towards what should go', async () => {
    const cache = await filled(6000, { cullFrequency: 3 })
    await cache.set('another', 1)
    const left = await kept(cache)
    await cache.deleteMany(keysOf(6000).slice(2500, 5000))
    for (let i = 0; i < 100; i++) await cache.set(`new${i}`, 1)
    expect(await kept(cache)).toBe(left - 2500 + 100)
  })

  it('lets what has expired go before what is live, in small steps', async () => {
    const cache = new LocMemCache({ options: { maxEntries: 6000 } })
    await cache.setMany(pairs(keysOf(2000, 'live')), { timeout: 100 })
    await cache.setMany(pairs(keysOf(4000, 'dead')), { timeout: 10 })
    pass(10)
    for (let i = 0; i < 4000; i++) {
      const before = await kept(cache)
      await cache.set(`new${i}`, 1)
      expect(before - (await kept(cache))).toBeLessThanOrEqual(300)
    }
    expect(await count(cache, keysOf(2000, 'live'))).toBe(2000)
    expect(await count(cache, keysOf(4000, 'new'))).toBe(4000)
  })

  it('never serves what was cleared, and keeps what came after', async () => {
    const cache = await filled(20_000)
    await cache.clear()
    expect(await count(cache, keysOf(20_000))).toBe(0)
    expect(await kept(cache)).toBe(0)
    await cache.setMany(pairs(keysOf(100)))
    expect(await count(cache, keysOf(20_000))).toBe(100)
    expect(await kept(cache)).toBe(100)
  })

  it('gives the memory back of what was cleared, though nothing is called any more', async () => {
    setFlagsFromString('--expose-gc')
    const collectGarbage = runInNewContext('gc') as () => void
    const used = () => {
      collectGarbage()
      return process.memoryUsage().heapUsed
    }
    const location = randomUUID()
    const [cache, neighbour] = ['', 'neighbour'].map(
      (keyPrefix) => new LocMemCache({ location, keyPrefix, options: { maxEntries: 50_000 } }),
    ) as [LocMemCache, LocMemCache]
    await neighbour.set('k', 1)
    const before = used()
    for (const key of keysOf(20_000)) await cache.set(key, key.padEnd(500, 'x'))
    expect(used() - before).toBeGreaterThan(8e6)
    await cache.clear()
    expect(used() - before).toBeLessThan(1e6)
    expect(await neighbour.get('k')).toBe(1)
  })

  it('finds each of them by its key, whatever the keys look like', async () => {
    const shapes = [
      (i: number) => `${i}`,
      (i: number) => `user:${i}:profile-settings-of-a-very-long-kind-that-is-the-same-for-all`,
      (i: number) => 'é'.repeat(i % 50) + i,
    ]
    const keys = keysOf(5000).flatMap((_, i) => shapes.map((shape) => shape(i)))
    const unique = [...new Set(keys)]
    const cache = new LocMemCache({ options: { maxEntries: 20_000 } })
    await cache.setMany(unique.map((key) => [key, key] as const))
    expect([...(await cache.getMany(unique)).entries()].every(([k, v]) => k === v)).toBe(true)
    expect(await count(cache, unique)).toBe(unique.length)
    expect(await cache.deleteMany(unique.slice(0, 7000))).toBeUndefined()
    expect(await count(cache, unique)).toBe(unique.length - 7000)
  })
})

describe('LocMemCache beside neighbours in one location', () => {
  const neighbours = (...options: LocMemOptions[]) => {
    const location = randomUUID()
    return options.map(
      (one, i) => new LocMemCache({ location, keyPrefix: `p${i}`, options: one }),
    ) as [LocMemCache, LocMemCache]
  }

  it('lets the least recently used of all go first, whoever wrote them', async () => {
    const options = { maxEntries: 6, cullFrequency: 3 }
    const [a, b] = neighbours(options, options)
    for (const key of ['1', '2', '3']) {
      await a.set(key, 1)
      await b.set(key, 1)
    }
    await a.get('1')
    await b.set('4', 1)
    expect([...(await a.getMany(['1', '2', '3'])).keys()]).toEqual(['1', '3'])
    expect([...(await b.getMany(['1', '2', '3', '4'])).keys()]).toEqual(['2', '3', '4'])
  })

  it('lets a neighbour’s expired entries go before its own live ones', async () => {
    const [a, b] = neighbours({ maxEntries: 4 }, { maxEntries: 4 })
    await a.setMany({ live: 1, too: 1 })
    await b.setMany({ dead: 1, gone: 1 }, { timeout: 5 })
    pass(5)
    await a.set('new', 1)
    await a.set('newer', 1)
    expect(await count(a, ['live', 'too', 'new', 'newer'])).toBe(4)
  })

  it('has one entry where two key prefixes come to one stored key', async () => {
    const location = randomUUID()
    const [a, b] = ['a', 'b'].map(
      (keyPrefix) => new LocMemCache({ location, keyPrefix, keyFunction: (key) => key }),
    ) as [LocMemCache, LocMemCache]
    await a.set('k', 'of a')
    expect(await b.get('k')).toBe('of a')
    await b.set('k', 'of b')
    expect(await a.get('k')).toBe('of b')
    expect(await kept(a)).toBe(1)
    await a.clear()
    expect(await a.get('k')).toBe('of b')
    await b.clear()
    expect(await a.get('k')).toBeUndefined()
  })

  it('keeps the most recently used where one that counts bytes joins many entries', async () => {
    const location = randomUUID()
    const options = { maxBytes: 10_000, maxEntries: 10_000, policy: 'lru' } as const
    const many = new LocMemCache({ location, options: { ...options, maxBytes: undefined } })
    await many.setMany(pairs(keysOf(5000)))
    await many.get('k7')
    const counting = new LocMemCache({ location, keyPrefix: 'counting', options })
    await counting.set('k', 'x'.repeat(9000))
    expect(await counting.has('k')).toBe(true)
    expect(await many.get('k7')).toBe('value')
    expect(await many.get('k4999')).toBe('value')
    const { bytes, entries } = (await figuresOf(counting)) ?? {}
    expect(bytes).toBeLessThanOrEqual(10_000)
    expect(entries).toBeLessThan(200)
  })
})
