import { describe, expect, it, onTestFinished, vi } from 'vitest'
import type { FragmentStats, RouteStats, Table } from '../../adapters/inspector/index.js'
import { History } from '../../adapters/inspector/history.js'
import {
  findRisks,
  fragmentRisks,
  routeRisks,
  type RiskFacts,
} from '../../adapters/inspector/risks.js'
import { isOneOfMany } from '../../src/several-processes.js'
import { responseCache } from '../../adapters/express/index.js'
import { RedisCache } from '../../src/backends/redis.js'
import { MemcachedCache } from '../../src/backends/memcached.js'
import { createCaches, DummyCache, FragmentCache, LocMemCache } from '../../src/index.js'
import { Counts } from '../../src/observe/counts.js'
import { sharedServer } from '../support/servers.js'
import { Inspected } from './inspector-support.js'

describe('the history', () => {
  it('has what each interval added, and no more than a quarter of an hour', () => {
    const history = new History()
    const counts = new Counts()
    counts.get.hit = 1000
    counts.reads.add(900)
    history.sample([['default', counts]], 0)
    // What was before is of no interval.
    expect(history.of('default')).toEqual([])
    counts.get.hit += 10
    counts.get.miss += 5
    counts.errors += 1
    counts.sets += 4
    for (let i = 0; i < 10; i++) counts.reads.add(2)
    history.sample([['default', counts]], 5000)
    expect(history.eventsPerSecond).toBe(4)
    const [point] = history.of('default')
    expect(point).toMatchObject({ atMs: 5000, hits: 10, misses: 5, errors: 1 })
    expect(point?.meanMs).toBeCloseTo(2)
    // That of the interval, not the one slow read of before.
    expect(point?.p99Ms).toBeGreaterThanOrEqual(2)
    expect(point?.p99Ms).toBeLessThan(2.4)

    history.sample([['default', counts]], 10_000)
    expect(history.of('default')[1]).toEqual({
      atMs: 10_000,
      hits: 0,
      misses: 0,
      errors: 0,
      meanMs: 0,
      p99Ms: 0,
    })
    for (let i = 3; i < 400; i++) history.sample([['default', counts]], i * 5000)
    const points = history.of('default')
    expect([points.length, points.at(-1)?.atMs]).toEqual([180, 399 * 5000])
  })

  it('begins again where the figures do, and after a pause', () => {
    const history = new History()
    const counts = new Counts()
    counts.get.hit = 100
    history.sample([['default', counts]], 0)
    counts.reset()
    counts.get.hit += 3
    history.sample([['default', counts]], 5000)
    expect(history.of('default').map(({ hits }) => hits)).toEqual([3])
    history.pause()
    counts.get.hit += 49_997
    history.sample([['default', counts]], 1_000_000)
    expect(history.of('default')).toHaveLength(1)
    counts.get.hit += 7
    history.sample([['default', counts]], 1_005_000)
    expect(history.of('default').map(({ hits }) => hits)).toEqual([3, 7])
  })

  it('is sampled every five seconds while somebody looks, and no longer', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'Date'] })
    onTestFinished(() => void vi.useRealTimers())
    const caches = createCaches({ default: new LocMemCache() })
    const inspected = await Inspected.open(caches)
    const history = async () => (await inspected.overview()).aliases[0]?.history ?? []
    expect(await history()).toEqual([])
    await caches.default.get('one')
    vi.advanceTimersByTime(5000)
    expect((await history()).map(({ misses }) => misses)).toEqual([1])
    vi.advanceTimersByTime(10_000)
    expect(await history()).toHaveLength(3)
    // Each look puts the end off; then nobody looks for longer than fifteen minutes.
    vi.advanceTimersByTime(16 * 60_000)
    await caches.default.get('one')
    vi.advanceTimersByTime(16 * 60_000)
    const after = await history()
    expect(after.length).toBeLessThanOrEqual(181)
    const last = after.at(-1)?.atMs ?? 0
    expect(Date.now() - last).toBeGreaterThan(15 * 60_000)
    vi.advanceTimersByTime(5000)
    expect((await history()).at(-1)?.atMs).toBe(Date.now())
    inspected.inspector.close()
    expect(vi.getTimerCount()).toBe(0)
  })
})

const alias: RiskFacts['aliases'][number] = {
  alias: 'default',
  backend: 'LocMemCache',
  hits: 500,
  misses: 100,
  sets: 100,
  isShared: false,
}
const fragment: FragmentStats = {
  name: 'menu',
  alias: 'default',
  hits: 500,
  misses: 20,
  stale: 0,
  joined: 0,
  bypasses: 0,
  errors: 0,
  bodyMs: 5,
  hitMs: 0.1,
  timeSavedMs: 2500,
  causes: {},
  reasons: {},
  variants: 3,
}
const { name: _, bodyMs: _bodyMs, hitMs: _hitMs, ...outcomes } = fragment
const route: RouteStats = { ...outcomes, route: 'GET /news', viewMs: 5, reasons: {} }

interface Changes {
  readonly alias?: Partial<RiskFacts['aliases'][number]>
  readonly fragment?: Partial<FragmentStats>
  readonly route?: Partial<RouteStats>
  readonly warnings?: RiskFacts['warnings']
  readonly isOneOfMany?: boolean
}

function risksOf(changes: Changes): string[] {
  return findRisks({
    aliases: [{ ...alias, ...changes.alias }],
    found: [
      ...fragmentRisks({ ...fragment, ...changes.fragment }),
      ...routeRisks({ ...route, ...changes.route }),
    ],
    warnings: changes.warnings ?? [],
    isOneOfMany: changes.isOneOfMany ?? false,
  }).map(({ code, severity, subject }) => `${severity} ${code}: ${subject}`)
}

const never = { hits: 0, misses: 0, stale: 0, joined: 0 }

describe('a risk', () => {
  it('is none in a set-up that is as it should be', () => {
    expect(risksOf({})).toEqual([])
  })

  it.each<[string, Changes, string[]]>([
    [
      'local memory in one of several processes',
      { isOneOfMany: true },
      ['high local-memory-in-cluster: cache default'],
    ],
    [
      'a shared store in one of several processes',
      { isOneOfMany: true, alias: { isShared: true } },
      [],
    ],
    [
      'local memory that nobody uses',
      { isOneOfMany: true, alias: { hits: 0, misses: 0, sets: 0 } },
      [],
    ],
    [
      'a store that does not answer',
      { alias: { outage: { sinceMs: 1, error: 'connection refused' } } },
      ['high outage: cache default'],
    ],
    [
      'a cache that never has anything',
      { alias: { hits: 0, misses: 100 } },
      ['medium hit-ratio-zero: cache default'],
    ],
    ['a cache that has hardly been asked', { alias: { hits: 0, misses: 99 } }, []],
    ['a cache that stores nothing', { alias: { hits: 0, misses: 999, backend: 'DummyCache' } }, []],
    [
      'a fragment that is never found',
      { fragment: { hits: 0, misses: 100 } },
      ['medium hit-ratio-zero: fragment menu'],
    ],
    [
      'a fragment that is faster made than found',
      { fragment: { hitMs: 6 } },
      ['medium slower-cached: fragment menu'],
    ],
    [
      'a fragment with very many variants, few of them found',
      { fragment: { variants: 1000, hits: 10, misses: 990 } },
      ['medium many-variants: fragment menu'],
    ],
    [
      'a fragment with very many variants that are found',
      { fragment: { variants: 1000, hits: 9000, misses: 1000 } },
      ['low many-variants: fragment menu'],
    ],
    [
      'a fragment that is never stored',
      { fragment: { ...never, bypasses: 20 } },
      ['low never-stored: fragment menu'],
    ],
    [
      'too many names',
      { fragment: { name: '(others)', ...never, bypasses: 99 }, route: { route: '(others)' } },
      ['low names-past-limit: fragments', 'low names-past-limit: routes'],
    ],
    [
      'a page that is never stored',
      { route: { ...never, bypasses: 30, reasons: { 'set-cookie': 25, status: 5 } } },
      ['medium never-stored: GET /news'],
    ],
    [
      'a page that is not to be stored',
      { route: { ...never, bypasses: 30, reasons: { private: 30 } } },
      [],
    ],
    [
      'a page whose cached body reads of a visitor',
      { route: { bypasses: 1, reasons: { 'undeclared-read': 1 } } },
      ['high visitor-in-body: GET /news'],
    ],
    [
      'a warning of the process',
      {
        warnings: [
          {
            code: 'FRAGCACHE_UNDEFINED_VARY_ON',
            message: 'fragment "menu": a vary-on value is undefined',
            atMs: 0,
          },
        ],
      },
      ['high FRAGCACHE_UNDEFINED_VARY_ON: fragment "menu"'],
    ],
    [
      'a warning that nobody explains',
      { warnings: [{ code: 'FRAGCACHE_NEW', message: 'something', atMs: 0 }] },
      ['low FRAGCACHE_NEW: something'],
    ],
    [
      'what the status of its cache tells, or a risk of its own, by its warning',
      {
        alias: { outage: { sinceMs: 1, error: 'refused' } },
        warnings: ['FRAGCACHE_OUTAGE', 'FRAGCACHE_LOCAL_MEMORY', 'FRAGCACHE_SET_COOKIE'].map(
          (code) => ({
            code,
            message: `${alias.backend} "default" fails: refused`,
            atMs: 1,
          }),
        ),
      },
      ['high outage: cache default'],
    ],
    [
      'several, the worst first',
      { fragment: { variants: 2000, hitMs: 6 }, isOneOfMany: true },
      [
        'high local-memory-in-cluster: cache default',
        'medium slower-cached: fragment menu',
        'low many-variants: fragment menu',
      ],
    ],
  ])('is looked for: %s', (_name, changes, risks) => {
    expect(risksOf(changes)).toEqual(risks)
  })

  it('says of a page that is never stored why, and leads there', () => {
    const reasons = { 'set-cookie': 25, status: 5 }
    const [risk] = routeRisks({ ...route, ...never, bypasses: 30, reasons })
    expect(risk?.sentence).toBe(
      'Never stored in 30 requests, in 25 of them for this reason: The response sets a cookie, which belongs to one visitor.',
    )
    expect(risk?.href).toBe('help#set-cookie')
  })

  it.each<[NodeJS.ProcessEnv, boolean]>([
    [{}, false],
    [{ NODE_APP_INSTANCE: '0' }, false],
    [{ NODE_APP_INSTANCE: '0', instances: '4' }, true],
    [{ NODE_APP_INSTANCE: '2' }, true],
  ])('of several processes is seen by %j: %s', (env, is) => {
    expect(isOneOfMany(env)).toBe(is)
  })
})

describe('the overview', () => {
  it('has figures of Redis and Memcached beside ours', async () => {
    const redis = await sharedServer('redis')
    const memcached = await sharedServer('memcached')
    if (redis === undefined || memcached === undefined) return
    const settings = {
      keyPrefix: `inspector${process.pid}`,
      options: { timeLimitMs: 10_000 },
    }
    const caches = createCaches({
      redis: new RedisCache({ ...settings, location: redis.url }),
      memcached: new MemcachedCache({ ...settings, location: memcached.url }),
      local: new LocMemCache(),
      none: new DummyCache(),
    })
    onTestFinished(() => caches.close())
    const inspected = await Inspected.open(caches)
    for (const name of ['redis', 'memcached', 'local', 'none'] as const) {
      await caches[name].set('one', 1)
      await caches[name].get('one')
      await caches[name].get('two')
    }
    const { aliases, pid, node, version, totals } = await inspected.overview()
    expect(totals).toMatchObject({ hits: 3, misses: 5 })
    expect([pid, node]).toEqual([process.pid, process.version])
    expect(version).toMatch(/^\d+\.\d+\.\d+/)
    expect(
      aliases.map(({ alias, backend, hits, misses, sets, isShared }) => [
        `${alias} ${backend}`,
        hits,
        misses,
        sets,
        isShared,
      ]),
    ).toEqual([
      ['redis RedisCache', 1, 1, 1, true],
      ['memcached MemcachedCache', 1, 1, 1, true],
      ['local LocMemCache', 1, 1, 1, false],
      ['none DummyCache', 0, 2, expect.any(Number), false],
    ])
    const [ofRedis, ofMemcached] = aliases
    expect(ofRedis?.server?.version).toMatch(/^\d/)
    expect(ofMemcached?.server?.uptimeSeconds).toBeGreaterThanOrEqual(0)
    expect(ofRedis?.reads.count).toBe(2)
  })

  it('goes on where a server is down', async () => {
    const caches = createCaches({
      default: new RedisCache({ location: 'redis://127.0.0.1:1', options: {} }),
    })
    onTestFinished(() => caches.close())
    const inspected = await Inspected.open(caches)
    await caches.default.get('one').catch(() => undefined)
    const { aliases, risks } = await inspected.overview()
    expect(aliases[0]?.server?.error).toBeDefined()
    expect(aliases[0]?.errors).toBeGreaterThan(0)
    expect(aliases[0]?.outage?.error).toBeDefined()
    expect(risks[0]).toMatchObject({ code: 'outage', severity: 'high' })
    const entry = await inspected.get('/api/entry?alias=default&key=one')
    expect([entry.status, entry.text]).toEqual([503, expect.stringContaining('The cache failed')])
  })

  it('counts fragments and routes, and names them whatever they are called', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const pages = responseCache(caches, { seconds: 60 })
    const fragments = new FragmentCache(caches)
    const inspected = await Inspected.open(caches, {}, (app) => {
      app.get('/p/:id', pages.cachePage(60), (_req, res) => void res.send('x'))
    })
    const hostile = '</script><script>alert(1)</script>"\'&\u2028'
    await fragments.render({ name: hostile }, () => 'x')
    await inspected.site.get('/p/1')
    await inspected.site.get('/p/2')
    const [row] = await inspected.fragments()
    expect(row).toMatchObject({ name: hostile, alias: 'default', misses: 1, variants: 1 })
    expect(await inspected.routes()).toMatchObject([
      { route: 'GET /p/:id', alias: 'default', misses: 2 },
    ])
    const answer = await inspected.get('/api/fragments')
    expect(answer.headers['content-type']).toBe('application/json; charset=utf-8')
    // None of it is in the page itself, which asks for it.
    expect((await inspected.get('/')).text).not.toContain('alert(1)')
    expect((await inspected.get('/help')).text).not.toContain('alert(1)')
    const wrong = await inspected.get(`/api/entry?alias=${encodeURIComponent(hostile)}&key=a`)
    expect([wrong.status, wrong.headers['content-type']]).toEqual([
      400,
      'application/json; charset=utf-8',
    ])
  })

  it('lists as many rows as were asked for, in their order, of those that match', async () => {
    const caches = createCaches({ default: new LocMemCache(), other: new LocMemCache() })
    const fragments = new FragmentCache(caches)
    const use = async (name: string, times: number, using: 'default' | 'other' = 'default') => {
      for (let i = 0; i < times; i++) await fragments.render({ name, using }, () => 'x')
    }
    for (let i = 0; i < 30; i++) await use(`row-${i}`, 1 + (i % 10))
    await use('Row-other', 20, 'other')
    const inspected = await Inspected.open(caches)
    const table = (query: string) => inspected.json<Table<FragmentStats>>(`/api/fragments?${query}`)
    const namesOf = async (query: string) => (await table(query)).rows.map(({ name }) => name)
    expect(await table('')).toMatchObject({ total: 31, matching: 31 })
    expect(await namesOf('')).toHaveLength(31)

    const most = await table('limit=3&sort=hits&alias=default')
    expect([most.total, most.matching]).toEqual([31, 30])
    // Equal ones stay in the order in which they were first used.
    expect(most.rows.map(({ name }) => name)).toEqual(['row-9', 'row-19', 'row-29'])
    expect(await namesOf('limit=2&sort=hits&order=up')).toEqual(['row-0', 'row-10'])
    expect(await namesOf('limit=2&sort=ratio')).toEqual(['Row-other', 'row-9'])
    expect(await namesOf('limit=3&sort=name&order=up')).toEqual(['row-0', 'row-1', 'row-2'])
    expect(await namesOf('limit=9&q=OTHER')).toEqual(['Row-other'])
    for (const limit of ['0', '-1', '1.5', 'all']) {
      expect((await inspected.get(`/api/fragments?limit=${limit}`)).status).toBe(400)
    }
  })

  it('is listed with 10 000 fragments, and in bounded memory with more', async () => {
    const caches = createCaches({ default: new LocMemCache({ options: { maxEntries: 100 } }) })
    const fragments = new FragmentCache(caches)
    for (let i = 0; i < 10_500; i++) {
      await fragments.render({ name: `fragment-${i}`, timeout: 60 }, () => 'x')
    }
    const inspected = await Inspected.open(caches)
    const rows = await inspected.fragments()
    expect(rows.length).toBe(10_001)
    expect(rows.find(({ name }) => name === '(others)')?.misses).toBe(500)
    const { fragmentCount, risks } = await inspected.overview()
    expect(fragmentCount).toBe(10_001)
    expect(risks.map(({ code }) => code)).toContain('names-past-limit')
  }, 60_000)
})

it('the totals count a cache with two aliases once', async () => {
  const cache = new LocMemCache()
  const caches = createCaches({ default: cache, template_fragments: cache })
  const inspected = await Inspected.open(caches)
  await cache.getOrSet('one', () => 1)
  await cache.getOrSet('one', () => 1)
  expect((await inspected.overview()).totals).toMatchObject({ hits: 1, misses: 1 })
})
