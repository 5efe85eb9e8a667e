import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { createCaches, FragmentCache, LocMemCache, type Caches } from 'fragcache'
import { openTelemetry, prometheusMetrics, type PrometheusOptions } from 'fragcache/metrics'
import { Registry } from 'prom-client'
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { coreOf } from '../../src/backend/core.js'
import { listenToSamples, Watched } from '../../src/observe/watch.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { metering } from '../support/open-telemetry.js'
import { Scrape } from '../support/scrape.js'

beforeEach(() => {
  const spy = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  onTestFinished(() => spy.mockRestore())
})

function listen(channel: string): () => void {
  const listener = () => undefined
  subscribe(channel, listener)
  const end = () => void unsubscribe(channel, listener)
  onTestFinished(end)
  return end
}

const LOCAL = 'alias=default,backend=LocMemCache'
const DURATIONS = 'fragcache_operation_duration_seconds'

/** Metrics in a register of their own, from now to the end of the test. */
function measure(caches: Caches, options: PrometheusOptions = {}) {
  const register = new Registry()
  const metrics = prometheusMetrics(caches, { ...options, register })
  onTestFinished(() => metrics.close())
  return async () => new Scrape(await register.metrics())
}

/** What a scrape says, in the names of {@link countedBy}. */
function toldBy(scrape: Scrape): Record<string, number> {
  const told: Record<string, number> = {}
  for (const kind of ['hits', 'misses']) {
    for (const [series, count] of Object.entries(scrape.values(`fragcache_${kind}_total`))) {
      told[`${/alias=(\w+)/.exec(series)?.[1]} ${kind}`] = count
    }
  }
  for (const [series, count] of Object.entries(scrape.values('fragcache_fragments_total'))) {
    const [, alias, name, outcome] = /alias=(\w+),fragment=(\w+),outcome=(\w+)/.exec(series) ?? []
    told[`${alias} ${name} ${outcome}`] = count
  }
  return sorted(told)
}

function countedBy(caches: Caches): Record<string, number> {
  const { aliases, fragments } = caches.stats()
  const counted: Record<string, number> = {}
  for (const [alias, { hits, misses }] of Object.entries(aliases)) {
    counted[`${alias} hits`] = hits
    counted[`${alias} misses`] = misses
  }
  for (const { alias, name, hits, misses, bypasses } of fragments) {
    counted[`${alias} ${name} hit`] = hits
    counted[`${alias} ${name} miss`] = misses
    counted[`${alias} ${name} bypass`] = bypasses
  }
  return sorted(counted)
}

function sorted(counts: Record<string, number>): Record<string, number> {
  const counted = Object.entries(counts).filter(([, count]) => count > 0)
  return Object.fromEntries(counted.sort(([a], [b]) => (a < b ? -1 : 1)))
}

class Shaky extends LocMemCache {
  failing = false
  constructor() {
    super()
    const { entries } = coreOf(this)
    const lookupOne = entries.lookupOne.bind(entries)
    entries.lookupOne = (...asked) => {
      if (this.failing) throw new Error('gone')
      return lookupOne(...asked)
    }
  }
}

describe('metrics that are scraped', () => {
  it('have each hit once, however often they are, and whatever asks for it', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const fragments = new FragmentCache(caches)
    await caches.default.set('a', 1)
    const render = () => fragments.renderSync({ name: 'menu' }, () => 'menu')
    render()
    const scrape = measure(caches)
    for (let times = 1; times <= 3; times++) {
      for (let i = 0; i < 1000; i++) {
        await caches.default.get('a')
        await caches.default.getOrSet('a', 2)
        render()
      }
      for (const seen of [await scrape(), await scrape()]) {
        expect(toldBy(seen)).toEqual({
          'default hits': 3000 * times,
          'default menu hit': 1000 * times,
        })
        expect(seen.values('fragcache_operations_total')).toEqual({
          [`${LOCAL},operation=get,result=hit`]: 2000 * times,
          [`${LOCAL},operation=getOrSet,result=hit`]: 1000 * times,
        })
        const { count, buckets } = seen.histogram(DURATIONS, `${LOCAL},operation=get`)
        expect([count, buckets['+Inf']]).toEqual([2000 * times, 2000 * times])
      }
    }
  })

  it('have nothing of what was before they began', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const fragments = new FragmentCache(caches)
    await caches.default.set('a', 1)
    const use = async () => {
      for (let i = 0; i < 300; i++) await caches.default.get('a')
      for (let i = 0; i < 300; i++) fragments.renderSync({ name: 'menu' }, () => 'menu')
    }
    await use()
    const first = measure(caches)
    await use()
    const second = measure(caches)
    const none = await second()
    expect(toldBy(none)).toEqual({})
    expect(none.values('fragcache_operations_total')).toEqual({})
    await use()
    const meters = metering()
    const telemetry = openTelemetry(caches, { meterProvider: meters.provider, spans: false })
    onTestFinished(() => telemetry.close())
    await use()
    expect(toldBy(await second())).toEqual({ 'default hits': 1200, 'default menu hit': 600 })
    expect(toldBy(await first())).toEqual({ 'default hits': 1800, 'default menu hit': 900 })
    expect(await meters.values()).toMatchObject({
      'fragcache.hits': { [LOCAL]: 600 },
      'fragcache.fragments': { 'alias=default,fragment.name=menu,outcome=hit': 300 },
    })
  })

  it.each([1, 2, 3, 4, 5])('have what statistics count, whatever happens (%i)', async (seed) => {
    let state = seed
    const random = (below: number) => (state = (state * 48271) % 2147483647) % below
    const local = new Shaky()
    const caches = createCaches({ default: local, late: new AsyncTestCache() })
    const fragments = new FragmentCache(caches)
    const scrape = measure(caches)
    let endFull: (() => void) | undefined
    let failed = 0
    const keys = ['a', 'b', 'c']
    for (let i = 0; i < 1500; i++) {
      const using = random(4) === 0 ? 'late' : 'default'
      const cache = caches.get(using)
      const key = keys[random(3)] as string
      switch (random(12)) {
        case 0:
          await cache.set(key, i)
          break
        case 1:
          await cache.getMany([key, 'd'])
          break
        case 2:
          await cache.getOrSet(key, () => i)
          break
        case 3:
          if (random(8) === 0) await cache.delete(key)
          break
        case 4:
          if (random(8) === 0) await fragments.delete('menu', [key], { using })
          break
        case 5:
          await fragments.render({ name: 'menu', varyOn: [key], using }, () => 'menu')
          break
        case 6:
          fragments.renderSync({ name: 'menu', varyOn: [key] }, () => 'menu')
          break
        case 7:
          fragments.renderSync({ name: 'menu', varyOn: [key], if: false }, () => 'menu')
          break
        case 8:
          local.failing = random(3) === 0
          await local.get(key).catch(() => failed++)
          local.failing = false
          break
        case 9:
          if (random(3) === 0) {
            endFull ??= listen('fragcache:operation')
            listen('fragcache:fragment')
          } else {
            endFull?.()
            endFull = undefined
          }
          break
        case 10:
          if (random(8) === 0) await scrape()
          break
        default:
          for (let n = random(40); n > 0; n--) await cache.get(key)
      }
    }
    const seen = await scrape()
    expect(toldBy(seen)).toEqual(countedBy(caches))
    const operations = seen.values('fragcache_operations_total')
    expect(failed).toBeGreaterThan(0)
    expect(operations['alias=default,backend=Shaky,operation=get,result=error']).toBe(failed)
    expect(caches.stats().aliases.default?.errors).toBe(failed)
    for (const series of ['alias=default,backend=Shaky', 'alias=late,backend=AsyncTestCache']) {
      const gets = Object.entries(operations)
        .filter(([name]) => name.startsWith(`${series},operation=get,`))
        .reduce((sum, [, count]) => sum + count, 0)
      expect(seen.histogram(DURATIONS, `${series},operation=get`).count).toBe(gets)
    }
  })

  it('go on where statistics begin again', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const fragments = new FragmentCache(caches)
    const scrape = measure(caches)
    await caches.default.set('a', 1)
    const use = async () => {
      for (let i = 0; i < 10; i++) await caches.default.get('a')
      fragments.renderSync({ name: 'menu', if: false }, () => 'menu')
    }
    await use()
    caches.resetStats()
    expect(caches.stats()).toMatchObject({ aliases: { default: { hits: 0 } }, fragments: [] })
    await use()
    expect(toldBy(await scrape())).toEqual({ 'default hits': 20, 'default menu bypass': 2 })
    expect(countedBy(caches)).toEqual({ 'default hits': 10, 'default menu bypass': 1 })
  })

  it('have the time that hits took of late, not that of others', async () => {
    let nowMs = 1000
    const now = vi.spyOn(performance, 'now').mockImplementation(() => nowMs)
    onTestFinished(() => now.mockRestore())
    const disk = new LocMemCache()
    let tookMs = 0
    const { entries } = coreOf(disk)
    const lookupOne = entries.lookupOne.bind(entries)
    entries.lookupOne = (...asked) => {
      nowMs += tookMs
      return lookupOne(...asked)
    }
    const caches = createCaches({ default: disk })
    await disk.set('a', 1)
    for (let i = 0; i < 10_000; i++) await disk.get('a')
    const scrape = measure(caches)
    tookMs = 8
    for (let times = 1; times <= 3; times++) {
      for (let i = 0; i < 200; i++) await disk.get('a')
      const { count, sum } = (await scrape()).histogram(DURATIONS, `${LOCAL},operation=get`)
      expect(count).toBe(200 * times)
      expect(sum).toBeCloseTo(1.6 * times, 8)
    }
  })

  it('have what hits saved by the bodies that ran before them', async () => {
    let nowMs = 1000
    const now = vi.spyOn(performance, 'now').mockImplementation(() => nowMs)
    onTestFinished(() => now.mockRestore())
    const caches = createCaches({ default: new LocMemCache() })
    const fragments = new FragmentCache(caches)
    const scrape = measure(caches)
    const render = (varyOn: string, ms: number) =>
      fragments.renderSync({ name: 'menu', varyOn: [varyOn] }, () => {
        nowMs += ms
        return 'menu'
      })
    render('fast', 10)
    for (let i = 0; i < 100; i++) render('fast', 0)
    render('slow', 1990)
    // The mean of 10 and 1990 ms.
    render('fast', 0)
    expect((await scrape()).values('fragcache_time_saved_seconds_total')).toEqual({
      'alias=default,fragment=menu': 2,
    })
  })

  it('have names past the limit of statistics under one name', async () => {
    const caches = createCaches({ default: new LocMemCache({ options: { maxEntries: 20_000 } }) })
    const fragments = new FragmentCache(caches)
    const use = (name: string) => fragments.renderSync({ name }, () => 'text')
    for (let i = 0; i < 10_000; i++) use(`name-${i}`)
    use('late-a')
    use('late-b')
    const scrape = measure(caches, { maxNames: 20_000 })
    for (let i = 0; i < 3000; i++) {
      use('late-a')
      use('late-b')
    }
    expect((await scrape()).values('fragcache_fragments_total')).toEqual({
      'alias=default,fragment=(others),outcome=hit': 6000,
    })
  })

  it('tell caches apart that share an alias and a backend', async () => {
    const ours = createCaches({ default: new LocMemCache() })
    const theirs = createCaches({ default: new LocMemCache({ location: 'theirs' }) })
    const scrape = measure(ours)
    await ours.default.get('a')
    await theirs.default.get('a')
    new FragmentCache(theirs).renderSync({ name: 'menu' }, () => 'menu')
    expect(toldBy(await scrape())).toEqual({ 'default misses': 1 })
  })

  it('change neither the counts nor how often a hit reads the clock', async () => {
    const use = async (watch: (caches: Caches) => unknown) => {
      const caches = createCaches({ default: new LocMemCache() })
      const fragments = new FragmentCache(caches)
      watch(caches)
      await caches.default.set('a', 1)
      for (let i = 0; i < 50; i++) {
        await Promise.all([1, 2, 3].map(() => caches.default.getOrSet('a', 2)))
      }
      await caches.default.get('b')
      const { hits, misses, errors } = caches.stats().aliases.default ?? {}
      fragments.renderSync({ name: 'menu' }, () => 'menu')
      const clock = vi.spyOn(performance, 'now')
      for (let i = 0; i < 6400; i++) {
        await caches.default.get('a')
        fragments.renderSync({ name: 'menu' }, () => 'menu')
      }
      const reads = clock.mock.calls.length
      clock.mockRestore()
      return { counts: { hits, misses, errors }, reads }
    }
    const expected = { hits: 150, misses: 1, errors: 0 }
    const unwatched = await use(() => undefined)
    expect(unwatched.counts).toEqual(expected)
    const scraped = await use((caches) => measure(caches))
    expect(scraped.counts).toEqual(expected)
    // Two look-ups each, of which about one in 64 reads it twice.
    for (const { reads } of [unwatched, scraped]) {
      expect(reads).toBeGreaterThan(200)
      expect(reads).toBeLessThan(800)
    }
    const told = await use(() => listen('fragcache:operation'))
    expect(told.counts).toEqual(expected)
  })

  it('have no channel of their own', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    let messages = 0
    for (const channel of ['fragcache:operation-sum', 'fragcache:fragment-sum']) {
      const listener = () => messages++
      subscribe(channel, listener)
      onTestFinished(() => void unsubscribe(channel, listener))
    }
    const scrape = measure(caches)
    const fragments = new FragmentCache(caches)
    for (let i = 0; i < 3000; i++) {
      await caches.default.get('a')
      fragments.renderSync({ name: 'menu' }, () => 'menu')
    }
    await scrape()
    expect(messages).toBe(0)
  })
})

describe('who listens to samples', () => {
  it('is told of one look-up in so many, for all of them, and of all other calls', async () => {
    const caches = createCaches({ default: new LocMemCache(), late: new AsyncTestCache() })
    for (const key of ['hot', 'last']) await caches.default.set(key, 1)
    const told: string[] = []
    const keys = new Set<unknown>()
    let messages = 0
    let sum = 0
    const end = listenToSamples('test', new Watched('test', caches), {
      operation: ({ alias, operation, keys: [key], hits, misses }, count) => {
        if (alias === 'default' && operation === 'get') {
          expect([hits, misses]).toEqual([1, 0])
          messages++
          sum += count
          keys.add(key)
        } else told.push(`${alias} ${operation} ${count}`)
      },
    })
    for (let page = 0; page < 4000; page++) {
      for (let i = 0; i < 3; i++) await caches.default.get('hot')
      await caches.default.get('last')
    }
    expect(messages).toBeLessThan(500)
    expect(sum).toBeGreaterThan(15_900)
    expect(sum).toBeLessThanOrEqual(16_000)
    // Of about 250 one in four is "last".
    expect(keys).toEqual(new Set(['hot', 'last']))
    await caches.late.set('a', 1)
    await caches.late.get('a')
    end()
    await caches.late.get('a')
    expect(told).toEqual(['late set 1', 'late get 1'])
  })

  it('is reported once where it throws, and harms nobody', async () => {
    const caches = createCaches({ late: new AsyncTestCache() })
    const end = listenToSamples('test', new Watched('test', caches), {
      operation: () => {
        throw new Error('in the listener')
      },
    })
    onTestFinished(end)
    for (let i = 0; i < 3; i++) await expect(caches.late.get('a')).resolves.toBeUndefined()
    const warnings = vi.mocked(process.emitWarning).mock.calls
    expect(warnings.map(([text]) => text)).toEqual([
      'test failed: Error: in the listener; reported once',
    ])
  })
})
