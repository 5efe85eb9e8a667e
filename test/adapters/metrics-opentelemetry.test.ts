import { context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { AggregationTemporality } from '@opentelemetry/sdk-metrics'
import { AlwaysOffSampler, type ReadableSpan } from '@opentelemetry/sdk-trace-base'
import express from 'express'
import { createCaches, FragmentCache, LocMemCache, type Caches } from 'fragcache'
import { responseCache } from 'fragcache/express'
import { openTelemetry, type OpenTelemetryOptions } from 'fragcache/metrics'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { Site } from '../support/express.js'
import { metering, tracing } from '../support/open-telemetry.js'

function silence(): void {
  const spy = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  onTestFinished(() => spy.mockRestore())
}

/** Told of until the test is over. */
function tell(caches: Caches, options: OpenTelemetryOptions) {
  const telemetry = openTelemetry(caches, options)
  onTestFinished(() => telemetry.close())
  return telemetry
}

describe('metrics', () => {
  it('count operations, keys, fragments and responses', async () => {
    const meters = metering()
    const caches = createCaches({ default: new LocMemCache() })
    tell(caches, { meterProvider: meters.provider, spans: false })
    const fragments = new FragmentCache(caches)
    await caches.default.set('a', 1)
    await caches.default.getMany(['a', 'b', 'c'])
    await caches.default.get('a')
    fragments.renderSync({ name: 'menu', if: false }, () => 'text')
    const app = express()
    app.get('/a', responseCache(caches).cachePage(60), (_req, res) => {
      res.set('Cache-Control', 'no-store').send('a')
    })
    const site = await Site.open(app)
    await site.get('/a')
    const cache = 'alias=default,backend=LocMemCache'
    const values = await meters.values()
    expect(values).toMatchObject({
      'fragcache.fragments': { 'alias=default,fragment.name=menu,outcome=bypass': 1 },
      'fragcache.responses': { 'alias=default,outcome=bypass,reason=no-store': 1 },
      'fragcache.outages': { [cache]: 0 },
      'fragcache.outages.active': { [cache]: 0 },
      'fragcache.refresh_failures': { [cache]: 0 },
      'fragcache.operations': {
        [`${cache},operation=set,result=ok`]: 1,
        [`${cache},operation=getMany,result=partial`]: 1,
        [`${cache},operation=get,result=hit`]: 1,
      },
      'fragcache.hits': { [cache]: 2 },
    })
  })

  it('count an outage, and end it', async () => {
    silence()
    const meters = metering()
    const late = new AsyncTestCache()
    const caches = createCaches({ late })
    tell(caches, { meterProvider: meters.provider, spans: false })
    const cache = 'alias=late,backend=AsyncTestCache'
    late.failing = true
    for (let i = 0; i < 2; i++) await expect(late.get('a')).rejects.toThrow()
    expect(await meters.values()).toMatchObject({
      'fragcache.outages': { [cache]: 1 },
      'fragcache.outages.active': { [cache]: 1 },
      'fragcache.operations': { [`${cache},operation=get,result=error`]: 2 },
    })
    const failed = `${cache},error.type=FRAGCACHE_BACKEND_FAILED,operation=get`
    const durations = await meters.histogram('fragcache.operation.duration', failed)
    expect(durations?.count).toBe(2)
    late.failing = false
    await late.get('a')
    expect(await meters.values()).toMatchObject({
      'fragcache.outages': { [cache]: 1 },
      'fragcache.outages.active': { [cache]: 0 },
    })
  })

  it('record in seconds how long each operation of a store took that is waited for', async () => {
    const meters = metering()
    let nowMs = 1000
    const now = vi.spyOn(performance, 'now').mockImplementation(() => nowMs)
    onTestFinished(() => now.mockRestore())
    class SlowCache extends AsyncTestCache {
      override async readEntries(keys: readonly string[]) {
        nowMs += 4
        return super.readEntries(keys)
      }
    }
    const caches = createCaches({ late: new SlowCache() })
    tell(caches, { meterProvider: meters.provider, spans: false })
    for (let i = 0; i < 3; i++) await caches.late.get('a')
    const series = 'alias=late,backend=SlowCache,operation=get'
    const value = await meters.histogram('fragcache.operation.duration', series)
    expect(value?.count).toBe(3)
    expect(value?.sum).toBeCloseTo(0.012, 10)
    const { boundaries = [], counts = [] } = value?.buckets ?? {}
    expect(boundaries).toContain(0.000_001)
    expect(counts[boundaries.indexOf(0.005)]).toBe(3)
  })

  it('record about one in 1024 durations of local memory, by chance, and count all', async () => {
    const meters = metering()
    // As even as chance can be: every draw is the mean.
    const random = vi.spyOn(Math, 'random').mockReturnValue(0.5)
    onTestFinished(() => random.mockRestore())
    const caches = createCaches({ default: new LocMemCache() })
    tell(caches, { meterProvider: meters.provider, spans: false })
    for (let i = 0; i < 10_240; i++) await caches.default.get('a')
    const cache = 'alias=default,backend=LocMemCache'
    const series = `${cache},operation=get`
    expect((await meters.histogram('fragcache.operation.duration', series))?.count).toBe(10)
    expect(await meters.values()).toMatchObject({ 'fragcache.misses': { [cache]: 10_240 } })
  })

  it('record how long bodies ran, and what hits saved', async () => {
    const meters = metering()
    let nowMs = 1000
    const now = vi.spyOn(performance, 'now').mockImplementation(() => nowMs)
    onTestFinished(() => now.mockRestore())
    const caches = createCaches({ default: new LocMemCache() })
    tell(caches, { meterProvider: meters.provider, spans: false })
    const fragments = new FragmentCache(caches)
    for (let i = 0; i < 3; i++) {
      fragments.renderSync({ name: 'menu' }, () => {
        nowMs += 30
        return 'text'
      })
    }
    const series = 'alias=default,fragment.name=menu'
    const bodies = await meters.histogram('fragcache.fragment.body.duration', series)
    expect(bodies).toMatchObject({ count: 1, sum: 0.03 })
    expect(await meters.values()).toMatchObject({ 'fragcache.time_saved': { [series]: 0.06 } })
  })

  it('tell what was added since they were last exported, where an exporter wants that', async () => {
    const meters = metering(AggregationTemporality.DELTA)
    const caches = createCaches({ default: new LocMemCache() })
    tell(caches, { meterProvider: meters.provider, spans: false })
    const cache = 'alias=default,backend=LocMemCache'
    await caches.default.get('a')
    expect(await meters.values()).toMatchObject({ 'fragcache.misses': { [cache]: 1 } })
    await caches.default.get('a')
    await caches.default.get('a')
    expect(await meters.values()).toMatchObject({ 'fragcache.misses': { [cache]: 2 } })
  })

  it('tell so many fragment names apart', async () => {
    const meters = metering()
    const caches = createCaches({ default: new LocMemCache() })
    tell(caches, { meterProvider: meters.provider, spans: false, maxNames: 2 })
    const fragments = new FragmentCache(caches)
    for (let i = 0; i < 10; i++) fragments.renderSync({ name: `name ${i}` }, () => 'text')
    const values = await meters.values()
    expect(values['fragcache.fragments']).toEqual({
      'alias=default,fragment.name=name 0,outcome=miss': 1,
      'alias=default,fragment.name=name 1,outcome=miss': 1,
      'alias=default,fragment.name=(others),outcome=miss': 8,
    })
    expect(Object.keys(values['fragcache.fragment.body.duration'] ?? {})).toHaveLength(3)
  })

  it('count each message once, however often they are asked for, until the last is closed', async () => {
    const meters = metering()
    const caches = createCaches({ default: new LocMemCache() })
    const first = tell(caches, { meterProvider: meters.provider, spans: false })
    const second = tell(caches, { meterProvider: meters.provider, spans: false })
    const cache = 'alias=default,backend=LocMemCache'
    await caches.default.get('a')
    first.close()
    first.close()
    await caches.default.get('a')
    expect(await meters.values()).toMatchObject({ 'fragcache.misses': { [cache]: 2 } })
    second.close()
    const clock = vi.spyOn(performance, 'now')
    await caches.default.get('a')
    // Nobody listens any more.
    expect(clock).not.toHaveBeenCalled()
    clock.mockRestore()
  })
})

describe('spans', () => {
  const idOf = (span: ReadableSpan) => span.spanContext().spanId

  it('of operations and fragments are within the span that is active, and as long as they took', async () => {
    // Time passes by being asked for: a machine that is busy takes none of it.
    let nowMs = performance.now()
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => (nowMs += 0.01))
    const date = vi.spyOn(Date, 'now').mockImplementation(() => performance.timeOrigin + nowMs)
    onTestFinished(() => {
      clock.mockRestore()
      date.mockRestore()
    })
    const { provider, tracer, spans } = tracing()
    const caches = createCaches({ late: new AsyncTestCache(), default: new LocMemCache() })
    tell(caches, { tracerProvider: provider })
    const fragments = new FragmentCache(caches)
    const visit = (name: string) =>
      tracer.startActiveSpan(name, async (span) => {
        await caches.late.get(name)
        await fragments.render({ name: 'menu', using: 'late', varyOn: [name] }, () => 'text')
        span.end()
      })
    await Promise.all([visit('one'), visit('two')])
    const found = spans()
    for (const name of ['one', 'two']) {
      const parent = found.find((span) => span.name === name) as ReadableSpan
      const inside = found.filter((span) => span.parentSpanContext?.spanId === idOf(parent))
      expect(inside.map((span) => span.name)).toEqual([
        'get late',
        'get late',
        'set late',
        'fragment menu',
      ])
      const [get, , , fragment] = inside as [ReadableSpan, never, never, ReadableSpan]
      expect(get.kind).toBe(SpanKind.INTERNAL)
      expect(get.instrumentationScope.name).toBe('fragcache')
      expect(get.status.code).toBe(SpanStatusCode.UNSET)
      expect(get.attributes).toEqual({
        'fragcache.alias': 'late',
        'fragcache.backend': 'AsyncTestCache',
        'fragcache.operation': 'get',
        'fragcache.result': 'miss',
        'fragcache.hits': 0,
        'fragcache.misses': 1,
      })
      expect(fragment.attributes).toMatchObject({
        'fragcache.alias': 'late',
        'fragcache.fragment.name': 'menu',
        'fragcache.outcome': 'miss',
      })
      // Each begins within its parent, and the fragment takes as long as all of what it asks for.
      for (const span of inside) {
        expect(toMs(span.startTime)).toBeGreaterThanOrEqual(toMs(parent.startTime) - 2)
        expect(toMs(span.endTime)).toBeLessThanOrEqual(toMs(parent.endTime) + 2)
      }
      const [, read, write] = inside as [never, ReadableSpan, ReadableSpan]
      expect(toMs(fragment.startTime)).toBeLessThanOrEqual(toMs(read.startTime) + 0.5)
      expect(toMs(fragment.endTime)).toBeGreaterThanOrEqual(toMs(write.endTime) - 0.5)
    }
  })

  function toMs([seconds, nanoseconds]: readonly [number, number]): number {
    return seconds * 1000 + nanoseconds / 1e6
  }

  it('begin when the operation began', async () => {
    let nowMs = performance.now()
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => nowMs)
    const date = vi.spyOn(Date, 'now').mockImplementation(() => performance.timeOrigin + nowMs)
    onTestFinished(() => {
      clock.mockRestore()
      date.mockRestore()
    })
    const { provider, tracer, spans } = tracing()
    const caches = createCaches({
      late: new (class SlowCache extends AsyncTestCache {
        override async readEntries(keys: readonly string[]) {
          nowMs += 250
          return super.readEntries(keys)
        }
      })(),
    })
    tell(caches, { tracerProvider: provider })
    await tracer.startActiveSpan('parent', async (span) => {
      await caches.late.get('a')
      span.end()
    })
    const [get, parent] = spans() as [ReadableSpan, ReadableSpan]
    expect(toMs(get.duration)).toBeCloseTo(250, 1)
    expect(toMs(get.startTime) - toMs(parent.startTime)).toBeLessThan(5)
  })

  it('of what failed say so, without what the error tells of keys', async () => {
    silence()
    const { provider, tracer, spans } = tracing()
    const late = new AsyncTestCache()
    const caches = createCaches({ late, default: new LocMemCache() })
    tell(caches, { tracerProvider: provider })
    late.failing = true
    await tracer.startActiveSpan('parent', async (span) => {
      await expect(late.get('secret-key')).rejects.toThrow()
      await caches.default.set('secret-key', 'no number')
      await expect(caches.default.incr('secret-key')).rejects.toThrow('secret-key')
      span.end()
    })
    const [get, , incr] = spans()
    expect(get?.status).toEqual({ code: SpanStatusCode.ERROR, message: 'FRAGCACHE_BACKEND_FAILED' })
    expect(get?.attributes).toMatchObject({
      'fragcache.result': 'error',
      'error.type': 'FRAGCACHE_BACKEND_FAILED',
    })
    expect(incr?.status.code).toBe(SpanStatusCode.ERROR)
    expect(incr?.attributes['error.type']).toBe('_OTHER')
    const told = spans().map(({ name, attributes, status, events }) => [
      name,
      attributes,
      status,
      events,
    ])
    expect(JSON.stringify(told)).not.toContain('secret')
  })

  it('of a fragment whose body threw have the status of an error', async () => {
    const { provider, tracer, spans } = tracing()
    const caches = createCaches({ default: new LocMemCache() })
    tell(caches, { tracerProvider: provider, spans: { fragments: true } })
    const fragments = new FragmentCache(caches)
    tracer.startActiveSpan('parent', (span) => {
      expect(() =>
        fragments.renderSync({ name: 'menu', template: 'page.njk' }, () => {
          throw new Error('in the template')
        }),
      ).toThrow()
      span.end()
    })
    expect(spans().map(({ name }) => name)).toEqual(['fragment menu', 'parent'])
    expect(spans()[0]?.status.code).toBe(SpanStatusCode.ERROR)
    expect(spans()[0]?.attributes).toMatchObject({
      'error.type': '_OTHER',
      'fragcache.fragment.template': 'page.njk',
    })
  })

  it('have keys only where that is asked for', async () => {
    const { provider, tracer, spans } = tracing()
    const caches = createCaches({ default: new LocMemCache() })
    const key = 'a-key-of-more-than-twenty-characters'
    const look = () =>
      tracer.startActiveSpan('parent', async (span) => {
        await caches.default.get(key)
        span.end()
      })
    for (const keys of ['full', 'short', 'hash', 'none'] as const) {
      const telemetry = openTelemetry(caches, { tracerProvider: provider, keys })
      await look()
      telemetry.close()
    }
    const shown = spans().filter(({ name }) => name === 'get default')
    expect(shown.map(({ attributes }) => attributes['fragcache.keys'])).toEqual([
      [key],
      [expect.stringMatching(/^a-key-of-more-than-t…#[0-9a-f]{10}$/)],
      [expect.stringMatching(/^#[0-9a-f]{10}$/)],
      undefined,
    ])
  })

  it('are not made outside of a trace, nor in one that is not sampled', async () => {
    const sampled = tracing()
    const caches = createCaches({ default: new LocMemCache() })
    tell(caches, { tracerProvider: sampled.provider })
    await caches.default.get('a')
    expect(sampled.spans()).toEqual([])
    const off = tracing(new AlwaysOffSampler())
    const started = vi.spyOn(off.provider.getTracer('fragcache'), 'startSpan')
    tell(caches, { tracerProvider: off.provider })
    await off.tracer.startActiveSpan('parent', async (span) => {
      await caches.default.get('a')
      span.end()
    })
    expect(started).not.toHaveBeenCalled()
  })

  it('are named by so many fragments, and all others by one name', async () => {
    const { provider, tracer, spans } = tracing()
    const caches = createCaches({ default: new LocMemCache() })
    tell(caches, { tracerProvider: provider, spans: { fragments: true }, maxNames: 1 })
    const fragments = new FragmentCache(caches)
    tracer.startActiveSpan('parent', (span) => {
      for (const name of ['a', 'b', 'a']) fragments.renderSync({ name }, () => 'text')
      span.end()
    })
    expect(spans().map(({ name }) => name)).toEqual([
      'fragment a',
      'fragment (others)',
      'fragment a',
      'parent',
    ])
  })

  it('of requests tell what became of the page', async () => {
    const { provider, tracer, spans } = tracing()
    const caches = createCaches({ default: new LocMemCache() })
    tell(caches, { tracerProvider: provider, spans: { responses: true } })
    const app = express()
    // As an instrumentation of HTTP does.
    app.use((req, res, next) => {
      const span = tracer.startSpan(`GET ${req.path}`)
      res.on('close', () => span.end())
      context.with(trace.setSpan(context.active(), span), next)
    })
    const pages = responseCache(caches)
    app.get('/page', pages.cachePage(60), (_req, res) => res.send('page'))
    app.get('/private', pages.cachePage(60), (_req, res) => {
      res.set('Cache-Control', 'private').send('page')
    })
    const site = await Site.open(app)
    for (const path of ['/page', '/page', '/private']) await site.get(path)
    await vi.waitFor(() => expect(spans()).toHaveLength(4))
    const [request, stored] = spans() as [ReadableSpan, ReadableSpan]
    expect(stored.parentSpanContext?.spanId).toBe(idOf(request))
    expect(spans().map(({ name, attributes }) => ({ name, ...attributes }))).toEqual([
      { name: 'GET /page' },
      // A page is stored once it has been sent.
      { name: 'response default', ...outcome('miss') },
      { name: 'GET /page', ...outcome('hit') },
      { name: 'GET /private', ...outcome('bypass'), 'fragcache.response.reason': 'private' },
    ])
  })

  function outcome(is: string) {
    return { 'fragcache.response.alias': 'default', 'fragcache.response.outcome': is }
  }

  it('are only of the caches given, and end when it is closed', async () => {
    const { provider, tracer, spans } = tracing()
    const ours = createCaches({ ours: new LocMemCache() })
    const theirs = createCaches({ theirs: new LocMemCache({ location: 'theirs' }) })
    const telemetry = tell(ours, { tracerProvider: provider })
    await tracer.startActiveSpan('parent', async (span) => {
      await ours.ours.get('a')
      await theirs.theirs.get('a')
      telemetry.close()
      await ours.ours.get('a')
      span.end()
    })
    expect(spans().map(({ name }) => name)).toEqual(['get ours', 'parent'])
  })
})

describe('wrong options', () => {
  const caches = createCaches({ default: new LocMemCache() })

  it.each([
    [{ span: true }, 'openTelemetry: unknown option "span"; known are meterProvider'],
    [{ spans: { operation: true } }, 'openTelemetry: spans: unknown option "operation"'],
    [{ spans: { operations: 1 } }, 'spans: operations: 1 is neither true nor false'],
    [{ spans: 'all' }, 'openTelemetry: spans: "all" is not an object of options'],
    [{ meterProvider: {} }, 'meterProvider: an object has no method getMeter'],
    [{ tracerProvider: {} }, 'tracerProvider: an object has no method getTracer'],
    [{ keys: 'all' }, 'keys: "all" is unknown; known are "none", "hash", "short" and "full"'],
    [{ api: {} }, 'api: an object is not the package @opentelemetry/api'],
    [{ maxNames: 1.5 }, 'maxNames: 1.5 is not a whole number of 1 or more'],
  ])('%j are refused', (options, message) => {
    expect(() => openTelemetry(caches, options as OpenTelemetryOptions)).toThrow(message)
  })

  it('without any provider it does nothing, and harms nothing', async () => {
    const telemetry = openTelemetry(caches)
    await expect(caches.default.get('a')).resolves.toBeUndefined()
    telemetry.close()
  })
})
