import { createCaches, LocMemCache, type Cache } from 'fragcache'
import { responseCache, type ResponseCacheOptions } from 'fragcache/express'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { stopClock, watchOutcomes } from '../support/cached-site.js'
import { eventually, oneExpress, Site } from '../support/express.js'

/** Draws by which a page is made again as many times its cost before its end. */
const drawing = (costs: number) => vi.spyOn(Math, 'random').mockReturnValue(Math.exp(-costs))

afterEach(() => void vi.restoreAllMocks())

const backends: readonly (readonly [string, () => Cache])[] = [
  ['LocMemCache', () => new LocMemCache()],
  ['a cache that answers late', () => new AsyncTestCache()],
]

describe.each(oneExpress)('earlyRefresh of pages, in $version', ({ express }) => {
  describe.each(backends)('over %s', (_name, newCache) => {
    /** A page of 60 seconds whose view takes 2. */
    async function slowSite(
      mount: 'page' | 'site' | 'front',
      own?: boolean | number,
      options: ResponseCacheOptions = {},
      costSeconds = 2,
    ) {
      const clock = stopClock()
      const pages = responseCache<string>(createCaches({ default: newCache() }), {
        seconds: 60,
        isPersonal: false,
        ...options,
      })
      const app = express()
      let runs = 0
      if (mount === 'page') app.use(pages.cachePage(60, { earlyRefresh: own }))
      else app.use(pages.cacheSite())
      app.use((_req, res) => {
        clock.advance(costSeconds)
        res.send(`run ${++runs}`)
      })
      const site = await Site.open(mount === 'front' ? pages.listener(app) : app)
      const outcomes = watchOutcomes(site.origin)
      expect((await site.get('/p')).text).toBe('run 1')
      await eventually(() => outcomes.length === 1)
      return { site, outcomes, clock, runsOf: () => runs }
    }

    const mounts: [string, Parameters<typeof slowSite>][] = [
      ['cachePage', ['page', true]],
      ['responseCache, for cachePage', ['page', undefined, { earlyRefresh: true }]],
      ['responseCache, for the site', ['site', undefined, { earlyRefresh: true }]],
      ['responseCache, in front', ['front', undefined, { earlyRefresh: true }]],
      ['cachePage, with a lease', ['page', true, { lock: true }]],
      ['cachePage, with validators', ['page', true, { revalidateSeconds: 600 }]],
    ]

    it.each(mounts)('by %s makes a page again behind a hit, by chance', async (_n, given) => {
      const { site, outcomes, clock, runsOf } = await slowSite(...given)
      drawing(5)
      clock.advance(49)
      expect((await site.get('/p')).text).toBe('run 1')
      await new Promise((resolve) => setTimeout(resolve, 30))
      expect(runsOf()).toBe(1)
      clock.advance(2)
      const hit = await site.get('/p')
      expect(hit.text).toBe('run 1')
      expect(hit.cacheStatus).toMatch(/^fragcache; hit/)
      await eventually(() => outcomes.length === 4)
      expect(outcomes.slice(1).sort()).toEqual(['hit', 'hit', 'miss'])
      drawing(0)
      // Made again, it lives on past the end of the first.
      clock.advance(20)
      expect((await site.get('/p')).text).toBe('run 2')
      expect(runsOf()).toBe(2)
    })

    it('makes it earlier by its number', async () => {
      const { site, clock, runsOf } = await slowSite('page', 2)
      drawing(5)
      clock.advance(39)
      await site.get('/p')
      await new Promise((resolve) => setTimeout(resolve, 30))
      expect(runsOf()).toBe(1)
      clock.advance(2)
      await site.get('/p')
      await eventually(() => runsOf() === 2)
    })

    it.each<[string, Parameters<typeof slowSite>]>([
      ['it was not asked for', ['page', undefined]],
      ['the page has it off', ['page', false, { earlyRefresh: true }]],
      ['the page cost nothing', ['page', true, {}, 0]],
    ])('makes nothing again where %s', async (_n, given) => {
      const { site, clock, runsOf } = await slowSite(...given)
      drawing(1000)
      clock.advance(59)
      expect((await site.get('/p')).text).toBe('run 1')
      await new Promise((resolve) => setTimeout(resolve, 30))
      expect(runsOf()).toBe(1)
    })
  })

  it('is refused where it is none', () => {
    const caches = createCaches({ default: new LocMemCache() })
    const message = /earlyRefresh: "soon" is not a factor; give true, or a number/
    expect(() => responseCache(caches, { earlyRefresh: 'soon' as never })).toThrow(message)
    expect(() => responseCache(caches).cachePage(60, { earlyRefresh: 'soon' as never })).toThrow(
      message,
    )
  })
})
