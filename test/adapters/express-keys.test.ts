import type { Express, RequestHandler } from 'express'
import { createCaches, LocMemCache, type Cache } from 'fragcache'
import { responseCache, type InvalidateOptions, type ResponseCacheOptions } from 'fragcache/express'
import { describe, expect, it } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { watchOutcomes } from '../support/cached-site.js'
import { eventually, oneExpress, Site } from '../support/express.js'
import { gate } from '../support/waiting.js'

const backends: [string, () => Cache][] = [
  ['LocMemCache', () => new LocMemCache()],
  ['a cache that answers late', () => new AsyncTestCache()],
]

describe.each(oneExpress)('$version', ({ express }) => {
  async function open(
    view: RequestHandler,
    { cache = new LocMemCache(), ...options }: ResponseCacheOptions & { cache?: Cache } = {},
    before: (app: Express) => unknown = () => undefined,
  ) {
    const caches = createCaches({ default: cache, other: new LocMemCache() })
    const pages = responseCache<string>(caches, options)
    const app = express()
    before(app)
    const runs = { count: 0 }
    app.get(/^\/other/, pages.cachePage(60, { cache: 'other', keyPrefix: 'o' }))
    app.use(pages.cacheSite())
    app.use((req, res, next) => {
      runs.count++
      void view(req, res, next)
    })
    const site = await Site.open(app)
    const outcomes = watchOutcomes(site.origin)
    return {
      site,
      pages,
      runs,
      caches,
      /** The text of a page whose fate is settled. */
      async get(path: string, headers: Record<string, string> = {}) {
        const before = outcomes.length
        const { text } = await site.get(path, { headers })
        await eventually(() => outcomes.length > before)
        return text
      },
    }
  }

  describe('getCacheKey', () => {
    /** Asks for the key of each request, and then lets the page be made, or not. */
    async function keyed(options: ResponseCacheOptions = {}) {
      const cache = new LocMemCache()
      const keys: (string | undefined)[] = []
      const late: { pages?: ReturnType<typeof responseCache> } = {}
      const made = await open(
        (_req, res) => res.vary('X-T').send('page'),
        { cache, ...options },
        (app) =>
          app.use((req, res, next) => {
            const ask = async () => {
              keys.push(await late.pages?.getCacheKey(req))
              if (req.query['only'] !== undefined) res.end()
              else next()
            }
            ask().catch(next)
          }),
      )
      late.pages = made.pages
      return { ...made, cache, keys }
    }

    it('is that of the entry, for GET and HEAD', async () => {
      const { site, cache, keys, get } = await keyed()
      await get('/p', { 'X-T': '1' })
      await get('/p', { 'X-T': '1' })
      await site.get('/p', { method: 'HEAD', headers: { 'X-T': '1' } })
      const [cold, warm, head] = keys
      expect(cold).toBeUndefined()
      expect(warm).toMatch(/^views\.decorators\.cache\.cache_page\.\.GET\.\w{32}\.\w{32}$/)
      expect(head).toBe(warm)
      expect(await cache.has(String(warm))).toBe(true)
    })

    it('is another for each variant, also of one that is not made yet', async () => {
      const { cache, keys, get } = await keyed()
      await get('/p', { 'X-T': '1' })
      await get('/p', { 'X-T': '2' })
      await get('/p', { 'X-T': '1' })
      const [, second, first] = keys
      expect(second).not.toBe(first)
      expect(await cache.has(String(second))).toBe(true)
    })

    it('is none after the URL was invalidated, or where the cache has nothing to do', async () => {
      const { site, pages, keys, get } = await keyed()
      await get('/p')
      await pages.invalidate(`${site.origin}/p`)
      await get('/p')
      await site.get('/p', { method: 'POST' })
      expect(keys).toEqual([undefined, undefined, undefined])
    })

    it('is one for all that the query does not tell apart', async () => {
      const { keys, get } = await keyed({ query: { ignore: ['utm_*'] } })
      await get('/p?a=1')
      await get('/p?a=1')
      await get('/p?utm_source=x&a=1')
      const [, plain, tracked] = keys
      expect(plain).toMatch(/^views/)
      expect(tracked).toBe(plain)
    })
  })

  describe.each(backends)('invalidate over %s', (_name, newCache) => {
    const view: RequestHandler = (req, res) => {
      res.vary('Accept-Language, X-T')
      const { locals } = req.app
      locals['runs'] = ((locals['runs'] as number | undefined) ?? 0) + 1
      res.send(`run ${String(locals['runs'])}`)
    }
    const german = { 'Accept-Language': 'de' }
    const french = { 'Accept-Language': 'fr' }

    it.each<[string, InvalidateOptions['vary']]>([
      ['as they are sent', { 'Accept-Language': 'de' }],
      ['in lower case', { 'accept-language': 'de' }],
      ['with others that do not count', { 'Accept-Language': 'de', 'User-Agent': 'x' }],
    ])('drops one variant, its headers %s', async (_kind, vary) => {
      const { site, pages, get } = await open(view, { cache: newCache() })
      expect([await get('/p', german), await get('/p', french)]).toEqual(['run 1', 'run 2'])
      await pages.invalidate(`${site.origin}/p`, { vary })
      expect([await get('/p', french), await get('/p', german)]).toEqual(['run 2', 'run 3'])
      expect(await get('/p', german)).toBe('run 3')
    })

    it('drops no other variant than that of exactly these headers', async () => {
      const { site, pages, get } = await open(view, { cache: newCache() })
      await get('/p', german)
      await get('/p', { ...german, 'X-T': '1' })
      await get('/p')
      const url = `${site.origin}/p`
      await pages.invalidate(url, { vary: { 'Accept-Language': '' } })
      await pages.invalidate(url, { vary: { 'Accept-Language': 'de', 'X-T': '2' } })
      await pages.invalidate(`${site.origin}/q`, { vary: german })
      expect(await get('/p', german)).toBe('run 1')
      expect(await get('/p', { ...german, 'X-T': '1' })).toBe('run 2')
      expect(await get('/p')).toBe('run 3')
      // Left out is absent.
      await pages.invalidate(url, { vary: {} })
      expect(await get('/p', german)).toBe('run 1')
      expect(await get('/p')).toBe('run 4')
    })

    it('drops a variant wherever it is kept', async () => {
      const { site, pages, get } = await open(view, { cache: newCache() })
      expect(await get('/other', german)).toBe('run 1')
      expect(await get('/other', german)).toBe('run 1')
      await pages.invalidate(`${site.origin}/other`, { vary: german })
      expect(await get('/other', german)).toBe('run 2')
    })

    it('drops a variant of one language and time zone', async () => {
      const { site, pages, get } = await open(view, {
        cache: newCache(),
        language: (req) => req.get('x-language'),
        timeZone: (req) => req.get('x-zone'),
      })
      const [here, there] = [
        { 'X-Language': 'de', 'X-Zone': 'Europe/Berlin' },
        { 'X-Language': 'de', 'X-Zone': 'Europe/Vienna' },
      ]
      expect([await get('/p', here), await get('/p', there)]).toEqual(['run 1', 'run 2'])
      await pages.invalidate(`${site.origin}/p`, {
        vary: {},
        language: 'de',
        timeZone: 'Europe/Berlin',
      })
      expect([await get('/p', there), await get('/p', here)]).toEqual(['run 2', 'run 3'])
    })

    it('wins over the view of that variant that is running', async () => {
      const started = gate()
      const ready = gate()
      const { site, pages, runs, get } = await open(
        async (_req, res) => {
          const run = runs.count
          if (run === 2) {
            started.open()
            await ready.opened
          }
          res.vary('Accept-Language').send(`run ${run}`)
        },
        { cache: newCache() },
      )
      await get('/p', french)
      const slow = get('/p', german)
      await started.opened
      await pages.invalidate(`${site.origin}/p`, { vary: german })
      ready.open()
      expect(await slow).toBe('run 2')
      expect(await get('/p', german)).toBe('run 3')
      expect(await get('/p', french)).toBe('run 1')
    })
  })

  it.each<[unknown, RegExp]>([
    [null, /invalidate: null are not options/],
    [{ headers: {} }, /invalidate: unknown option "?headers"?; known options are vary/],
    [{ vary: 'de' }, /invalidate: vary: .* is not an object such as/],
    [{ vary: ['de'] }, /invalidate: vary: .* is not an object such as/],
    [{ vary: { a: 1 } }, /invalidate: vary: a: 1 is not a string/],
    [{ vary: {}, language: 7 }, /invalidate: language: 7 is not a string/],
  ])('invalidate refuses the options %j', async (options, message) => {
    const { pages } = await open((_req, res) => res.end())
    await expect(pages.invalidate('http://a.test/p', options as InvalidateOptions)).rejects.toThrow(
      message,
    )
  })
})
