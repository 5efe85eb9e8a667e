import express from 'express'
import { createCaches, FragmentCache, LocMemCache, type Caches } from 'fragcache'
import { TieredCache } from 'fragcache/tiered'
import { responseCache } from 'fragcache/express'
import { prometheusMetrics, type PrometheusOptions } from 'fragcache/metrics'
import { AggregatorRegistry, Registry, register as globalRegister } from 'prom-client'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { MemoryBus } from '../support/memory-bus.js'
import { Site } from '../support/express.js'
import { Scrape } from '../support/scrape.js'

/** Metrics in a register of their own, until the test is over. */
function measure(caches: Caches, options: PrometheusOptions = {}) {
  const register = (options.register ?? new Registry()) as Registry
  const metrics = prometheusMetrics(caches, { ...options, register })
  onTestFinished(() => metrics.close())
  return { register, ...metrics, scrape: async () => new Scrape(await register.metrics()) }
}

/** Time passes only where a test lets it. */
function steppedTime(): { pass: (ms: number) => void } {
  let nowMs = 1000
  const spy = vi.spyOn(performance, 'now').mockImplementation(() => nowMs)
  onTestFinished(() => spy.mockRestore())
  return { pass: (ms) => (nowMs += ms) }
}

function silence(): void {
  const spy = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  onTestFinished(() => spy.mockRestore())
}

describe('the counters of operations', () => {
  it('tell what became of each call, and how many keys were there', async () => {
    const caches = createCaches({ default: new LocMemCache(), late: new AsyncTestCache() })
    const { scrape } = measure(caches)
    await caches.default.set('a', 1)
    await caches.default.get('a')
    await caches.default.get('a')
    await caches.default.get('b')
    await caches.default.getMany(['a', 'b', 'c'])
    await caches.late.get('a')
    const seen = await scrape()
    expect(seen.values('fragcache_operations_total')).toEqual({
      'alias=default,backend=LocMemCache,operation=set,result=ok': 1,
      'alias=default,backend=LocMemCache,operation=get,result=hit': 2,
      'alias=default,backend=LocMemCache,operation=get,result=miss': 1,
      'alias=default,backend=LocMemCache,operation=getMany,result=partial': 1,
      'alias=late,backend=AsyncTestCache,operation=get,result=miss': 1,
    })
    expect(seen.values('fragcache_hits_total')).toEqual({
      'alias=default,backend=LocMemCache': 3,
      'alias=late,backend=AsyncTestCache': 0,
    })
    expect(seen.values('fragcache_misses_total')).toEqual({
      'alias=default,backend=LocMemCache': 3,
      'alias=late,backend=AsyncTestCache': 1,
    })
  })

  it('are right at each scrape where many hits are told at once, of pages too', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const { scrape } = measure(caches)
    const app = express()
    app.use(responseCache(caches).cacheSite())
    app.get('/', (_req, res) => res.send('page'))
    const site = await Site.open(app)
    const series = 'alias=default,backend=LocMemCache'
    await caches.default.set('a', 1)
    for (let times = 0; times < 3; times++) {
      for (let i = 0; i < 100; i++) await site.get('/')
      for (let i = 0; i < 1000; i++) await caches.default.get('a')
      const { hits, misses } = caches.stats().aliases.default ?? {}
      const seen = await scrape()
      expect(seen.values('fragcache_hits_total')).toEqual({ [series]: hits })
      expect(seen.values('fragcache_misses_total')).toEqual({ [series]: misses })
    }
  })

  it('are zero before anything happened, so that the first increase is seen', async () => {
    const { scrape } = measure(createCaches({ default: new LocMemCache() }))
    const seen = await scrape()
    const series = 'alias=default,backend=LocMemCache'
    for (const name of ['hits_total', 'misses_total', 'outages_total', 'outage']) {
      expect(seen.values(`fragcache_${name}`)).toEqual({ [series]: 0 })
    }
  })

  it('put durations into buckets of seconds', async () => {
    const time = steppedTime()
    const tookMs = [0.5, 1, 7, 20, 3000]
    class SlowCache extends AsyncTestCache {
      override async readEntries(keys: readonly string[]) {
        const entries = await super.readEntries(keys)
        time.pass(tookMs.shift() as number)
        return entries
      }
    }
    const caches = createCaches({ late: new SlowCache() })
    const { scrape } = measure(caches, { buckets: [0.001, 0.01, 0.1] })
    for (let i = 0; i < 5; i++) await caches.late.get('a')
    const seen = await scrape()
    const series = 'alias=late,backend=SlowCache,operation=get'
    const name = 'fragcache_operation_duration_seconds'
    const { buckets, count, sum } = seen.histogram(name, series)
    expect(buckets).toEqual({ '0.001': 2, '0.01': 3, '0.1': 4, '+Inf': 5 })
    expect(count).toBe(5)
    expect(sum).toBeCloseTo(3.0285, 10)
  })
})

describe('the metrics of outages', () => {
  it('tell that one lasts, and how many there were', async () => {
    silence()
    const late = new AsyncTestCache()
    const caches = createCaches({ late })
    const { scrape } = measure(caches)
    const series = 'alias=late,backend=AsyncTestCache'
    late.failing = true
    for (let i = 0; i < 3; i++) await expect(late.get('a')).rejects.toThrow()
    let seen = await scrape()
    expect(seen.values('fragcache_outage')).toEqual({ [series]: 1 })
    expect(seen.values('fragcache_outages_total')).toEqual({ [series]: 1 })
    expect(seen.values('fragcache_operations_total')).toEqual({
      [`${series},operation=get,result=error`]: 3,
    })
    late.failing = false
    await late.get('a')
    seen = await scrape()
    expect(seen.values('fragcache_outage')).toEqual({ [series]: 0 })
    expect(seen.values('fragcache_outages_total')).toEqual({ [series]: 1 })
  })

  it('count one once, though two caches of the register have its alias and backend', async () => {
    silence()
    const [one, other] = [new AsyncTestCache(), new AsyncTestCache()]
    const { register } = measure(createCaches({ late: one }))
    const { scrape } = measure(createCaches({ late: other }), { register })
    const series = 'alias=late,backend=AsyncTestCache'
    for (const [i, late] of [one, other].entries()) {
      late.failing = true
      await expect(late.get('a')).rejects.toThrow()
      const seen = await scrape()
      expect(seen.values('fragcache_outages_total')).toEqual({ [series]: i + 1 })
    }
  })

  it('tell of one of the bus of a tiered cache too', async () => {
    silence()
    const bus = new MemoryBus()
    const local = new LocMemCache()
    const tiered = new TieredCache({ local, remote: new AsyncTestCache(), bus: bus.end })
    onTestFinished(() => tiered.close())
    const { scrape } = measure(createCaches({ tiered }))
    const series = 'alias=tiered,backend=TieredCache'
    const values = async () => (await scrape()).values('fragcache_outage')
    bus.isUp = false
    await tiered.set('a', 1)
    expect(await values()).toEqual({ [series]: 1 })
    bus.restore()
    await expect.poll(values).toEqual({ [series]: 0 })
  })

  it('tell what could not be made again', async () => {
    const clock = vi.useFakeTimers({ toFake: ['Date'] })
    onTestFinished(() => void vi.useRealTimers())
    const caches = createCaches({ default: new LocMemCache() })
    const { scrape } = measure(caches)
    const options = { timeout: 1, staleIfError: 60 }
    await caches.default.getOrSet('a', () => 1, options)
    clock.setSystemTime(Date.now() + 2000)
    const fails = () => Promise.reject(new Error('no database'))
    await expect(caches.default.getOrSet('a', fails, options)).resolves.toBe(1)
    expect((await scrape()).values('fragcache_refresh_failures_total')).toEqual({
      'alias=default,backend=LocMemCache': 1,
    })
  })
})

describe('the metrics of fragments', () => {
  it('tell outcomes, the time of bodies, and what hits saved', async () => {
    const time = steppedTime()
    const caches = createCaches({ default: new LocMemCache() })
    const fragments = new FragmentCache(caches)
    const { scrape } = measure(caches)
    const body = (ms: number) => () => {
      time.pass(ms)
      return 'text'
    }
    fragments.renderSync({ name: 'menu', varyOn: [1] }, body(30))
    fragments.renderSync({ name: 'menu', varyOn: [2] }, body(50))
    for (let i = 0; i < 5; i++) fragments.renderSync({ name: 'menu', varyOn: [1] }, body(1000))
    fragments.renderSync({ name: 'foot', timeout: 0 }, body(4))
    fragments.renderSync({ name: 'foot', if: false }, body(6))
    expect(() =>
      fragments.renderSync({ name: 'foot' }, () => {
        throw new Error('template')
      }),
    ).toThrow('template')
    const seen = await scrape()
    expect(seen.values('fragcache_fragments_total')).toEqual({
      'alias=default,fragment=menu,outcome=miss': 2,
      'alias=default,fragment=menu,outcome=hit': 5,
      'alias=default,fragment=foot,outcome=bypass': 2,
      'alias=default,fragment=foot,outcome=error': 1,
    })
    expect(seen.sums('fragcache_fragment_body_seconds')).toEqual({
      'alias=default,fragment=menu': { count: 2, sum: 0.08 },
      'alias=default,fragment=foot': { count: 2, sum: 0.01 },
    })
    // Five times the mean of 30 and 50 ms.
    expect(seen.values('fragcache_time_saved_seconds_total')).toEqual({
      'alias=default,fragment=menu': 0.2,
      'alias=default,fragment=foot': 0,
    })
  })

  it('tell so many names apart, and all others as one', async () => {
    const roomy = new LocMemCache({ options: { maxEntries: 10_000 } })
    const caches = createCaches({ default: roomy })
    const fragments = new FragmentCache(caches)
    const { scrape } = measure(caches, { maxNames: 3 })
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 1000; i++) fragments.renderSync({ name: `name ${i}` }, () => 'text')
    }
    expect((await scrape()).values('fragcache_fragments_total')).toEqual({
      'alias=default,fragment=name 0,outcome=miss': 1,
      'alias=default,fragment=name 0,outcome=hit': 1,
      'alias=default,fragment=name 1,outcome=miss': 1,
      'alias=default,fragment=name 1,outcome=hit': 1,
      'alias=default,fragment=name 2,outcome=miss': 1,
      'alias=default,fragment=name 2,outcome=hit': 1,
      'alias=default,fragment=(others),outcome=miss': 997,
      'alias=default,fragment=(others),outcome=hit': 997,
    })
  })

  it('keep names with quotes, backslashes and line ends whole', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const fragments = new FragmentCache(caches)
    const { scrape } = measure(caches)
    const name = 'a "quoted" \\ name'
    fragments.renderSync({ name }, () => 'text')
    expect(Object.keys((await scrape()).values('fragcache_fragments_total'))).toEqual([
      `alias=default,fragment=${name},outcome=miss`,
    ])
  })
})

describe('a site', () => {
  it('is told of as it was used, without keys, tags and addresses', async () => {
    const caches = createCaches({
      default: new LocMemCache(),
      pages: new LocMemCache({ location: 'p' }),
    })
    const fragments = new FragmentCache(caches)
    const pages = responseCache(caches, { alias: 'pages' })
    const { register } = measure(caches)
    const app = express()
    app.get('/secret-path', pages.cachePage(600), (_req, res) => {
      const text = fragments.renderSync(
        { name: 'menu', varyOn: ['secret-value'], tags: ['secret-tag'] },
        () => 'menu',
      )
      res.send(text)
    })
    app.get('/private', pages.cachePage(600), (_req, res) => {
      res.set('Cache-Control', 'private').send('one visitor')
    })
    app.get('/metrics', async (_req, res) => {
      res.type(register.contentType).send(await register.metrics())
    })
    const site = await Site.open(app)
    for (let i = 0; i < 3; i++) await site.get('/secret-path?token=secret')
    for (let i = 0; i < 2; i++) await site.get('/private')
    const { text, headers } = await site.get('/metrics')
    expect(headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8')
    const seen = new Scrape(text)
    expect(seen.values('fragcache_responses_total')).toEqual({
      'alias=pages,outcome=miss,reason=': 1,
      'alias=pages,outcome=hit,reason=': 2,
      'alias=pages,outcome=bypass,reason=private': 2,
    })
    expect(seen.values('fragcache_fragments_total')).toEqual({
      'alias=default,fragment=menu,outcome=miss': 1,
    })
    expect(text).not.toContain('secret')
  })
})

describe('which caches count', () => {
  it('only those given do', async () => {
    const ours = createCaches({ ours: new LocMemCache() })
    const theirs = createCaches({ theirs: new LocMemCache({ location: 'other' }) })
    const { scrape } = measure(ours)
    await ours.ours.get('a')
    await theirs.theirs.get('a')
    await new LocMemCache().get('a')
    new FragmentCache(theirs, {}).renderSync({ name: 'menu', using: 'theirs' }, () => 'text')
    const seen = await scrape()
    expect(seen.values('fragcache_misses_total')).toEqual({ 'alias=ours,backend=LocMemCache': 1 })
    expect(seen.values('fragcache_fragments_total')).toEqual({})
  })

  it('an alias with another backend is another cache', async () => {
    const ours = createCaches({ default: new LocMemCache() })
    const theirs = createCaches({ default: new AsyncTestCache() })
    const { scrape } = measure(ours)
    await theirs.default.get('a')
    expect((await scrape()).values('fragcache_misses_total')).toEqual({
      'alias=default,backend=LocMemCache': 0,
    })
  })

  it('given twice for one register they count once, until both are closed', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const { register, close, scrape } = measure(caches)
    const second = measure(caches, { register })
    await caches.default.get('a')
    close()
    close()
    await caches.default.get('a')
    const series = 'alias=default,backend=LocMemCache'
    expect((await scrape()).values('fragcache_misses_total')).toEqual({ [series]: 2 })
    second.close()
    expect(register.getMetricsAsArray()).toEqual([])
  })

  it('two sets of caches share a register; one that is closed counts no more', async () => {
    const one = createCaches({ one: new LocMemCache() })
    const two = createCaches({ two: new LocMemCache({ location: 'two' }) })
    const first = measure(one)
    measure(two, { register: first.register })
    const look = async () => {
      await one.one.get('a')
      await two.two.get('a')
      new FragmentCache(one).renderSync({ name: 'f', using: 'one' }, () => 'text')
    }
    await look()
    first.close()
    await look()
    const seen = await first.scrape()
    expect(seen.values('fragcache_operations_total')).toMatchObject({
      'alias=one,backend=LocMemCache,operation=get,result=miss': 2,
      'alias=two,backend=LocMemCache,operation=get,result=miss': 2,
    })
    expect(seen.values('fragcache_fragments_total')).toEqual({
      'alias=one,fragment=f,outcome=miss': 1,
    })
  })

  it('two registers, or two prefixes, count each on their own', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const first = measure(caches)
    await caches.default.get('a')
    const second = measure(caches)
    measure(caches, { register: first.register, prefix: 'shop_cache_' })
    await caches.default.get('a')
    const series = 'alias=default,backend=LocMemCache'
    expect((await first.scrape()).values('fragcache_misses_total')).toEqual({ [series]: 2 })
    expect((await first.scrape()).values('shop_cache_misses_total')).toEqual({ [series]: 1 })
    expect((await second.scrape()).values('fragcache_misses_total')).toEqual({ [series]: 1 })
  })
})

describe('the register', () => {
  it("is prom-client's own unless one is given", async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const metrics = prometheusMetrics(caches)
    expect(globalRegister.getSingleMetric('fragcache_hits_total')).toBeDefined()
    metrics.close()
    expect(globalRegister.getSingleMetric('fragcache_hits_total')).toBeUndefined()
  })

  it('begins at zero after all were closed', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const { register, close } = measure(caches)
    await caches.default.get('a')
    close()
    await caches.default.get('a')
    const { scrape } = measure(caches, { register })
    await caches.default.get('a')
    expect((await scrape()).values('fragcache_misses_total')).toEqual({
      'alias=default,backend=LocMemCache': 1,
    })
  })

  it('adds its default labels, at each scrape again', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const { register, scrape } = measure(caches)
    register.setDefaultLabels({ app: 'shop' })
    await caches.default.get('a')
    await register.getMetricsAsJSON()
    const series = 'alias=default,app=shop,backend=LocMemCache'
    expect((await scrape()).values('fragcache_misses_total')).toEqual({ [series]: 1 })
    register.setDefaultLabels({ app: 'blog' })
    expect((await scrape()).labels('fragcache_misses_total')).toContain('app')
    expect(await register.metrics()).not.toContain('shop')
  })

  it('resets what was counted', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const { register, scrape } = measure(caches)
    await caches.default.get('a')
    new FragmentCache(caches).renderSync({ name: 'f' }, () => 'text')
    register.resetMetrics()
    const seen = await scrape()
    expect(seen.values('fragcache_operations_total')).toEqual({})
    expect(seen.values('fragcache_fragments_total')).toEqual({})
    await caches.default.get('a')
    expect((await scrape()).values('fragcache_misses_total')).toEqual({
      'alias=default,backend=LocMemCache': 1,
    })
  })

  it('that was cleared is filled again when it is given again', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const { register, scrape } = measure(caches)
    register.clear()
    measure(caches, { register })
    await caches.default.get('a')
    expect((await scrape()).values('fragcache_misses_total')).toEqual({
      'alias=default,backend=LocMemCache': 1,
    })
  })

  it('speaks OpenMetrics too, and is left as it was', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const register = new Registry()
    register.setContentType(Registry.OPENMETRICS_CONTENT_TYPE as never)
    const { close } = measure(caches, { register })
    await caches.default.get('a')
    const text = await register.metrics()
    expect(text).toContain('# TYPE fragcache_misses counter\n')
    expect(text).toContain('fragcache_misses_total{alias="default",backend="LocMemCache"} 1\n')
    expect(text).toContain('fragcache_operation_duration_seconds_bucket{alias="default"')
    expect(text).toMatch(/# EOF\n$/)
    measure(caches, { register }).close()
    close()
    expect(register.getMetricsAsArray()).toEqual([])
  })

  it("sums up a cluster's processes, and tells of an outage that any of them sees", async () => {
    silence()
    const late = new AsyncTestCache()
    const caches = createCaches({ late })
    const { register } = measure(caches)
    await late.get('a')
    const one = await register.getMetricsAsJSON()
    late.failing = true
    await expect(late.get('a')).rejects.toThrow()
    const two = await register.getMetricsAsJSON()
    // As it comes from another process.
    const sent = JSON.parse(JSON.stringify([one, two])) as object[]
    const seen = new Scrape(await AggregatorRegistry.aggregate(sent).metrics())
    const series = 'alias=late,backend=AsyncTestCache'
    expect(seen.values('fragcache_misses_total')).toEqual({ [series]: 2 })
    expect(seen.values('fragcache_outage')).toEqual({ [series]: 1 })
    const durations = 'fragcache_operation_duration_seconds'
    const { buckets, count } = seen.histogram(durations, `${series},operation=get`)
    expect(count).toBe(3)
    expect(buckets['+Inf']).toBe(3)
  })

  it('is not taken over where it has a metric of such a name', () => {
    const caches = createCaches({ default: new LocMemCache() })
    const register = new Registry()
    const first = measure(caches, { register })
    const taken = register.getSingleMetric('fragcache_outage') as never
    first.close()
    register.registerMetric(taken)
    expect(() => prometheusMetrics(caches, { register })).toThrow(
      'A metric with the name fragcache_outage has already been registered.',
    )
    // What had been registered by then is gone again.
    expect(register.getMetricsAsArray()).toEqual([taken])
  })
})

describe('wrong options', () => {
  const caches = createCaches({ default: new LocMemCache() })
  const register = new Registry()

  it.each([
    [{ registry: register }, 'prometheusMetrics: unknown option "registry"; known are register'],
    [{ register: {} }, 'register: an object is not a Registry of prom-client'],
    [{ register: null }, 'register: null is not a Registry'],
    [{ prefix: '9' }, 'prefix: "9" cannot begin the name of a metric'],
    [{ maxNames: 0 }, 'maxNames: 0 is not a whole number of 1 or more'],
    [{ buckets: [] }, 'is not an ascending list of seconds above 0'],
    [{ buckets: [0, 1] }, 'buckets: [0, 1] is not an ascending list of seconds above 0'],
    [{ buckets: [2, 1] }, 'buckets: [2, 1] is not an ascending list'],
  ])('%j are refused', (options, message) => {
    expect(() => prometheusMetrics(caches, options as PrometheusOptions)).toThrow(message)
  })

  it('as is what is not a set of caches', () => {
    expect(() => prometheusMetrics(new LocMemCache() as never, { register })).toThrow(
      'prometheusMetrics: caches: an object (LocMemCache) is not a set of caches; give the result of createCaches',
    )
  })

  it('as is another limit for the same register', () => {
    const { register } = measure(caches, { maxNames: 10 })
    expect(() => prometheusMetrics(caches, { register, maxNames: 20 })).toThrow(
      'prometheusMetrics: maxNames: 20 differs from 10',
    )
    expect(() => prometheusMetrics(caches, { register, maxNames: 10, buckets: [1] })).toThrow(
      'prometheusMetrics: buckets: ',
    )
  })
})
