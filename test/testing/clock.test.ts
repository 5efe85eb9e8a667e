import Database from 'better-sqlite3'
import { createCaches, LocMemCache, type Cache } from 'fragcache'
import { createCacheTable, DatabaseCache } from 'fragcache/database'
import { MemcachedCache } from 'fragcache/memcached'
import { expectHit, expectMiss, useTestClock, type TestClock } from 'fragcache/testing'
import { TieredCache } from 'fragcache/tiered'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { MapCache } from '../../examples/custom-backend/map-cache.js'
import { Site } from '../support/express.js'
import { sharedServer } from '../support/servers.js'
import { openShop } from './shop.js'
import { isRedisThere, openCaches } from './stores.js'

const memcached = await sharedServer('memcached')
const { open, redis, stores: shared } = openCaches('clock')

let clock: TestClock | undefined

afterEach(async () => {
  vi.useRealTimers()
  await clock?.restore()
})

const use = (cache: Parameters<typeof useTestClock>[0]) => (clock = useTestClock(cache))
const stores: readonly (readonly [string, boolean, () => Cache | Promise<Cache>])[] = [
  ...shared,
  [
    'a database',
    true,
    async () => {
      const cache = open(new DatabaseCache({ location: 'c', database: new Database(':memory:') }))
      await createCacheTable([cache])
      return cache
    },
  ],
  ['a store of one’s own', true, () => open(new MapCache({ options: { store: new Map() } }))],
  [
    'Memcached',
    memcached !== undefined,
    () => open(new MemcachedCache({ location: memcached?.url ?? '', keyPrefix: 'clock' })),
  ],
]

describe.each(stores)('the clock of tests over %s', (_name, canRun, newCache) => {
  const test = it.skipIf(!canRun)

  test('ends what is over, and nothing else', async () => {
    const cache = await newCache()
    const { advance } = use(cache)
    await cache.setMany({ minute: 1, text: 'a' }, { timeout: 60 })
    await cache.set('hour', 2, { timeout: 3600 })
    await cache.set('month', 3, { timeout: 40 * 86_400 })
    await cache.set('ever', 4, { timeout: null })
    await advance(58)
    expect([...(await cache.getMany(['minute', 'text'])).values()]).toEqual([1, 'a'])
    await advance(2)
    expect(await cache.get('minute')).toBeUndefined()
    expect(await cache.has('text')).toBe(false)
    expect(await cache.add('minute', 'again', { timeout: 60 })).toBe(true)
    expect(await cache.get('hour')).toBe(2)
    await advance(3600)
    expect(await cache.get('hour')).toBeUndefined()
    expect(await cache.get('minute')).toBeUndefined()
    await advance(39 * 86_400)
    expect(await cache.get('month')).toBe(3)
    await advance(86_400)
    expect(await cache.get('month')).toBeUndefined()
    expect(await cache.get('ever')).toBe(4)
  })

  test('moves what was touched, counted and moved', async () => {
    const cache = await newCache()
    const { advance } = use(cache)
    await cache.setMany({ touched: 1, counted: 1, moved: 1 }, { timeout: 60 })
    await cache.touch('touched', { timeout: 600 })
    await advance(30)
    expect(await cache.incr('counted')).toBe(2)
    await cache.incrVersion('moved')
    await advance(29)
    expect(await cache.get('counted')).toBe(2)
    expect(await cache.get('moved', { version: 2 })).toBe(1)
    await advance(2)
    expect(await cache.get('counted')).toBeUndefined()
    expect(await cache.get('moved', { version: 2 })).toBeUndefined()
    expect(await cache.get('touched')).toBe(1)
  })

  test('ages what may be stale, and what is invalidated softly', async () => {
    const cache = await newCache()
    const { advance } = use(cache)
    const options = { timeout: 60, staleIfError: 60, tags: ['news'] }
    const broken = () => Promise.reject(new Error('no news'))
    await cache.getOrSet('news', () => 'old', options)
    await advance(90)
    expect(await cache.get('news')).toBeUndefined()
    expect(await cache.getOrSet('news', broken, options)).toBe('old')
    await advance(31)
    await expect(cache.getOrSet('news', broken, options)).rejects.toThrow('no news')
    await cache.getOrSet('news', () => 'new', options)
    await cache.invalidateTags(['news'], { soft: true })
    expect(await cache.getOrSet('news', broken, options)).toBe('new')
    await advance(61)
    await expect(cache.getOrSet('news', broken, options)).rejects.toThrow('no news')
  })

  test('keeps tags', async () => {
    const cache = await newCache()
    const { advance } = use(cache)
    await cache.set('a', 1, { timeout: 3600, tags: ['t'] })
    await advance(1800)
    expect(await cache.get('a')).toBe(1)
    await cache.invalidateTags(['t'])
    expect(await cache.get('a')).toBeUndefined()
    await cache.set('a', 2, { timeout: 3600, tags: ['t'] })
    await advance(1800)
    expect(await cache.get('a')).toBe(2)
  })

  test('puts the time back, and takes away what was stored meanwhile', async () => {
    const cache = await newCache()
    await cache.set('before', 1, { timeout: 10_000 })
    const { advance, restore } = use(cache)
    await advance(3600)
    await cache.set('meanwhile', 2, { timeout: 60 })
    expect(await cache.get('meanwhile')).toBe(2)
    await restore()
    expect(await cache.get('meanwhile')).toBeUndefined()
    expect(await cache.get('before')).toBe(1)
    await cache.set('after', 3, { timeout: 60 })
    const { advance: again } = use(cache)
    await again(0)
    expect(await cache.get('after')).toBe(3)
  })

  test('ages pages, and the fragments in them', async () => {
    const cache = await newCache()
    const { app } = openShop(cache)
    const site = await Site.open(app)
    const { advance } = use(cache)
    expectMiss(await site.get('/public'))
    await vi.waitFor(async () => expectHit(await site.get('/public')))
    const { text } = await site.get('/sharedTime')
    await advance(30)
    const aged = await site.get('/public')
    expectHit(aged)
    expect(Number(aged.headers.age)).toBeGreaterThanOrEqual(30)
    expect(Number(aged.headers.age)).toBeLessThan(40)
    expect((await site.get('/sharedTime')).text).toBe(text)
    await advance(31)
    expectMiss(await site.get('/public'))
    expect((await site.get('/sharedTime')).text).not.toBe(text)
    // What is made now is as fresh as ever.
    await vi.waitFor(async () => expectHit(await site.get('/public')))
    expect(Number((await site.get('/public')).headers.age)).toBeLessThan(10)
  })

  test('adds up with the fake dates of a test runner', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const cache = await newCache()
    const { advance } = use(cache)
    await cache.setMany({ a: 1, b: 2 }, { timeout: 60 })
    vi.setSystemTime(Date.now() + 30_000)
    await advance(29)
    expect(await cache.get('a')).toBe(1)
    vi.setSystemTime(Date.now() + 1_000)
    await advance(0)
    expect(await cache.get('b')).toBeUndefined()
  })
})

describe('the clock of tests', () => {
  it('moves the caches alone', async () => {
    const { advance } = use(new LocMemCache())
    const beforeMs = Date.now()
    await advance(3600)
    expect(Date.now() - beforeMs).toBeLessThan(60_000)
    expect((clock as TestClock).nowMs - beforeMs).toBeGreaterThanOrEqual(3_600_000)
  })

  it('moves all of them', async () => {
    const caches = createCaches({ default: new LocMemCache(), other: new LocMemCache() })
    const { advance } = use(caches)
    await caches.other.set('a', 1, { timeout: 60 })
    await advance(60)
    expect(await caches.other.get('a')).toBeUndefined()
  })

  it('works under fake timers that came first or come later', async () => {
    const cache = new LocMemCache()
    vi.useFakeTimers()
    const { advance } = use(cache)
    await cache.set('a', 1, { timeout: 60 })
    await advance(59)
    expect(await cache.get('a')).toBe(1)
    vi.useRealTimers()
    vi.useFakeTimers()
    await vi.advanceTimersByTimeAsync(1_000)
    expect(await cache.get('a')).toBeUndefined()
  })

  it('is one at a time', async () => {
    const cache = new LocMemCache()
    use(cache)
    expect(() => useTestClock(cache)).toThrow('an earlier clock was not restored')
    await clock?.restore()
    await clock?.restore()
    const old = clock as TestClock
    use(cache)
    await expect(old.advance(1)).rejects.toThrow('this clock was restored')
  })

  it.skipIf(!isRedisThere)('leaves caches that stand on each other as they were', async () => {
    const remote = redis()
    const caches = createCaches({
      default: open(new TieredCache({ local: new LocMemCache(), remote })),
      remote,
    })
    const { advance, restore } = use(caches)
    await caches.default.set('a', 1, { timeout: 60 })
    await advance(59)
    expect(await caches.remote.get('a')).toBe(1)
    await advance(1)
    expect(await caches.remote.get('a')).toBeUndefined()
    await restore()
    const later = use(caches)
    await caches.remote.set('a', 1, { timeout: 60 })
    await later.advance(61)
    expect(await caches.default.get('a')).toBeUndefined()
  })

  it('says what is not a duration', async () => {
    const { advance } = use(new LocMemCache())
    for (const wrong of [-1, NaN, Infinity, '60', undefined]) {
      await expect(advance(wrong as number)).rejects.toThrow(
        /is not a duration; give a number of seconds/,
      )
    }
    expect(() => useTestClock({} as never)).toThrow('is not a set of caches')
  })
})
