import { createCaches, FragmentCache, LocMemCache } from 'fragcache'
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { talliesOf } from '../../src/caches.js'
import { Distinct } from '../../src/observe/distinct.js'
import { Latencies } from '../../src/observe/latencies.js'
import { MAX_NAMES, OTHERS } from '../../src/observe/tally.js'

const kinds = [
  ['a cache that answers at once', () => new LocMemCache()],
  ['a cache that answers asynchronously', () => new AsyncTestCache()],
] as const

describe.each(kinds)('statistics of %s', (_, newCache) => {
  it('count keys that are found and not, stored and deleted', async () => {
    const caches = createCaches({ default: newCache() })
    const cache = caches.default
    await cache.get('a')
    await cache.set('a', 1)
    await cache.get('a')
    await cache.has('a')
    await cache.add('a', 2)
    await cache.add('b', 2)
    await cache.setMany({ c: 3, d: 4 })
    await cache.getMany(['a', 'b', 'x', 'y'])
    await cache.delete('a')
    await cache.delete('a')
    await cache.deleteMany(['c', 'd', 'not there'])
    expect(caches.stats().aliases.default).toMatchObject({
      alias: 'default',
      backend: cache.constructor.name,
      hits: 4,
      misses: 3,
      sets: 4,
      deletes: 3,
      errors: 0,
    })
  })

  it('count each look-up of a value that is made once', async () => {
    const caches = createCaches({ default: newCache() })
    for (let i = 0; i < 5; i++) await caches.default.getOrSet('a', () => 'made')
    const { hits, misses, sets } = caches.stats().aliases.default ?? {}
    expect({ hits, sets }).toEqual({ hits: 4, sets: 1 })
    // It is looked up before anything is done about it, and by who makes it.
    expect(misses).toBeGreaterThan(0)
  })

  it('tell of fragments what became of them, by name', async () => {
    const caches = createCaches({ default: newCache() })
    const fragments = new FragmentCache(caches)
    const card = (code: string, body = () => 'four') =>
      fragments.render({ name: 'card', timeout: 60, varyOn: [code] }, body)
    await card('fr')
    await card('fr')
    await card('de')
    await fragments.render({ name: 'list', timeout: 0 }, () => 'not kept')
    await expect(
      card('it', () => {
        throw new Error('no')
      }),
    ).rejects.toThrow('no')
    const { fragments: told } = caches.stats()
    expect(told.map(({ name }) => name).sort()).toEqual(['card', 'list'])
    expect(told.find(({ name }) => name === 'card')).toMatchObject({
      alias: 'default',
      hits: 1,
      misses: 2,
      bypasses: 0,
      errors: 1,
      variants: 2,
      meanBytes: 4,
    })
    expect(told.find(({ name }) => name === 'list')).toMatchObject({ misses: 0, bypasses: 1 })
  })

  it('can be set back, and go on', async () => {
    const caches = createCaches({ default: newCache() })
    const fragments = new FragmentCache(caches)
    const render = () => fragments.render({ name: 'card', timeout: 60 }, () => 'text')
    await render()
    caches.resetStats()
    const stats = caches.stats()
    expect(stats.fragments).toEqual([])
    expect(stats.aliases.default).toMatchObject({ hits: 0, misses: 0, sets: 0, timeSavedMs: 0 })
    expect(stats.aliases.default?.reads).toEqual({ count: 0, meanMs: 0, p99Ms: 0 })
    await render()
    expect(caches.stats().fragments).toMatchObject([{ name: 'card', hits: 1, misses: 0 }])
  })
})

describe('statistics of time', () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })

  afterEach(() => {
    vi.useRealTimers()
  })

  it('tell what those who found it would have waited', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const fragments = new FragmentCache(caches)
    const slow = (ms: number) => () => {
      vi.advanceTimersByTime(ms)
      return 'text'
    }
    const render = (name: string, ms: number) =>
      fragments.renderSync({ name, timeout: 60 }, slow(ms))
    for (let i = 0; i < 4; i++) render('card', 30)
    for (let i = 0; i < 3; i++) await caches.default.getOrSet('value', slow(100))
    expect(caches.stats().fragments).toMatchObject([{ name: 'card', bodyMs: 30, timeSavedMs: 90 }])
    expect(caches.stats().aliases.default?.timeSavedMs).toBeCloseTo(90 + 200)
  })

  it('count why a fragment was missing, twenty tags at most by name', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const fragments = new FragmentCache(caches)
    const tags = Array.from({ length: 25 }, (_, i) => `tag-${i}`)
    // As an inspector of them does.
    talliesOf(caches).fragments.countsCauses = true
    const render = () => fragments.render({ name: 'card', timeout: 60, tags }, () => 'text')
    const causes = () => caches.stats().fragments[0]?.causes
    await render()
    for (let i = 0; i < 2; i++) {
      vi.advanceTimersByTime(61_000)
      await render()
    }
    await caches.invalidateTags(['tag-3'])
    vi.advanceTimersByTime(10)
    await render()
    await render()
    expect(causes()).toEqual({ 'not-stored': 1, expired: 2, 'tag:tag-3': 1 })
    caches.resetStats()
    expect(causes()).toBe(undefined)
    for (const tag of tags) {
      await caches.invalidateTags([tag])
      vi.advanceTimersByTime(10)
      await render()
    }
    expect(causes()).toMatchObject({ 'tag:tag-3': 1, 'tag:tag-17': 1, dropped: 7 })
    expect(Object.keys(causes() ?? {})).toHaveLength(19)
  })

  it('time every read of a store that answers asynchronously', async () => {
    const cache = new AsyncTestCache()
    const caches = createCaches({ default: cache })
    await cache.set('a', 1)
    for (let i = 0; i < 10; i++) await cache.get('a')
    expect(caches.stats().aliases.default?.reads.count).toBe(10)
  })

  it('time a sample of the reads of one that answers at once', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const random = vi.spyOn(Math, 'random').mockReturnValue(0.49)
    onTestFinished(() => random.mockRestore())
    for (let i = 0; i < 640; i++) await caches.default.get('a')
    expect(caches.stats().aliases.default?.reads.count).toBe(10)
  })
})

describe('statistics of reads of several keys', () => {
  it('time a sample of these too, however many each is of', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const random = vi.spyOn(Math, 'random').mockReturnValue(0.49)
    onTestFinished(() => random.mockRestore())
    for (let i = 0; i < 320; i++) await caches.default.getMany(['a', 'b'])
    expect(caches.stats().aliases.default?.reads.count).toBe(10)
  })
})

describe('statistics of failures', () => {
  it('count calls that failed, and those that were not asked any more', async () => {
    const cache = new AsyncTestCache()
    const caches = createCaches({ default: cache })
    cache.failing = true
    for (let i = 0; i < 3; i++) await expect(cache.get('a')).rejects.toThrow()
    expect(caches.stats().aliases.default).toMatchObject({ hits: 0, misses: 0, errors: 3 })
  })

  it('do not count what the caller did wrong', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    await caches.default.set('a', 'text')
    await expect(caches.default.incr('a')).rejects.toThrow(TypeError)
    expect(caches.stats().aliases.default?.errors).toBe(0)
  })
})

describe('statistics of many names', () => {
  it('are bounded: what comes late counts together', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const fragments = new FragmentCache(caches)
    for (let i = 0; i < MAX_NAMES + 50; i++) {
      fragments.renderSync({ name: `made-up-${i}`, timeout: 60 }, () => 'x')
    }
    const { fragments: told } = caches.stats()
    expect(told).toHaveLength(MAX_NAMES + 1)
    expect(told.find(({ name }) => name === OTHERS)).toMatchObject({ misses: 50 })
  })
})

describe('the number of variants', () => {
  it.each([1, 10, 100, 1000, 5000])('of %i is told within a tenth', (count) => {
    const distinct = new Distinct()
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < count; i++) distinct.add(`template.cache.card.${i}`)
    }
    expect(distinct.estimate).toBeGreaterThanOrEqual(count * 0.9 - 1)
    expect(distinct.estimate).toBeLessThanOrEqual(count * 1.1 + 1)
  })
})

describe('latencies', () => {
  it('tell a quantile at most 19 % above the true one', () => {
    const latencies = new Latencies()
    const values = Array.from({ length: 1000 }, (_, i) => (i + 1) / 10)
    for (const value of values) latencies.add(value)
    for (const share of [0.5, 0.9, 0.99, 1]) {
      const exact = values[Math.ceil(values.length * share) - 1] as number
      expect(latencies.quantileMs(share)).toBeGreaterThanOrEqual(exact)
      expect(latencies.quantileMs(share)).toBeLessThanOrEqual(exact * 1.19)
    }
    expect(latencies.meanMs).toBeCloseTo(50.05)
  })

  it('tell of those since a copy alone, and of all where they were set back', () => {
    const latencies = new Latencies()
    for (let i = 0; i < 100; i++) latencies.add(500)
    const before = latencies.copy()
    for (let i = 0; i < 10; i++) latencies.add(1)
    const since = latencies.since(before)
    expect(since.count).toBe(10)
    expect(since.meanMs).toBeCloseTo(1)
    expect(since.quantileMs(0.99)).toBeLessThan(1.2)
    expect(before.count).toBe(100)
    latencies.reset()
    latencies.add(2)
    expect(latencies.since(before).count).toBe(1)
    for (let i = 0; i < 200; i++) latencies.add(2)
    expect(latencies.since(before).quantileMs(0.99)).toBeCloseTo(2, 0)
    expect(latencies.since(before).count).toBe(201)
  })

  it('take the shortest and the longest', () => {
    const latencies = new Latencies()
    for (const ms of [0, 1e-9, 1e12]) latencies.add(ms)
    expect(latencies.count).toBe(3)
    expect(latencies.quantileMs(1)).toBeGreaterThan(60_000)
  })
})
