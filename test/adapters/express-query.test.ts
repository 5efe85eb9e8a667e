import { createCaches, LocMemCache } from 'fragcache'
import { responseCache, TRACKING_PARAMETERS } from 'fragcache/express'
import { describe, expect, it } from 'vitest'
import { cachedSite, type CachedSiteOptions } from '../support/cached-site.js'
import { expressVersions, Site } from '../support/express.js'

const tracked = { query: { ignore: TRACKING_PARAMETERS } }

describe.each(expressVersions)('the query of a page in $version', ({ express }) => {
  /** Pages that tell what their view saw. */
  async function tellingSite(options: CachedSiteOptions = {}) {
    const made = await cachedSite(
      express,
      (req, res) => res.json({ run: made.runs.count, url: req.originalUrl, query: req.query }),
      options,
    )
    return {
      ...made,
      async get(path: string) {
        return JSON.parse((await made.site.get(path)).text) as {
          run: number
          url: string
          query: unknown
        }
      },
    }
  }

  describe.each<[string, CachedSiteOptions]>([
    ['cacheSite', {}],
    ['cachePage', { page: [60] }],
  ])('with %s', (_name, page) => {
    it('tells pages apart byte for byte, unless the site says otherwise', async () => {
      const { get } = await tellingSite(page)
      const paths = ['/p', '/p?', '/p?a=1', '/p?a=1&b=2', '/p?b=2&a=1', '/p?a=%31', '/p?a=1&a=1']
      for (const [i, path] of paths.entries()) {
        expect((await get(path)).run).toBe(i + 1)
        expect((await get(path)).run).toBe(i + 1)
      }
    })

    it('is one page for all campaigns, and the view sees none of them', async () => {
      const { get, runs } = await tellingSite({ ...page, ...tracked })
      const first = await get('/p?utm_source=mail&a=1&fbclid=x')
      expect(first).toEqual({ run: 1, url: '/p?a=1', query: { a: '1' } })
      for (const path of [
        '/p?a=1',
        '/p?a=1&gclid=z',
        '/p?utm_campaign=%22&a=1',
        '/p?UTM_source=x&a=1',
        '/p?utm%5Fsource=x&a=1',
        '/p?utm_source[]=x&a=1',
        '/p?mc_cid=1&mc_eid=2&a=1&_ga=3',
      ]) {
        const { run, query } = await get(path)
        // Names are told apart by case.
        if (path.includes('UTM')) expect(query).toEqual({ UTM_source: 'x', a: '1' })
        else expect([path, run, query]).toEqual([path, 1, { a: '1' }])
      }
      expect(runs.count).toBe(2)
      expect((await get('/p?utm_source=mail')).query).toEqual({})
      expect((await get('/p')).run).toBe(3)
    })

    it('counts only as far as it is listed', async () => {
      const { get } = await tellingSite({ ...page, query: { only: ['page', 'filter_*'] } })
      expect(await get('/p?page=2&x=1&filter_a=3')).toEqual({
        run: 1,
        url: '/p?page=2&filter_a=3',
        query: { page: '2', filter_a: '3' },
      })
      expect((await get('/p?page=2&filter_a=3&y=<script>')).run).toBe(1)
      expect((await get('/p?page=3&filter_a=3')).run).toBe(2)
      expect(await get('/p?x=1')).toEqual({ run: 3, url: '/p', query: {} })
      expect((await get('/p')).run).toBe(3)
    })

    it('does not count at all with an empty list', async () => {
      const { get, runs } = await tellingSite({ ...page, query: { only: [] } })
      for (const path of ['/p', '/p?a=1', '/p?a=2&b=3', '/p?']) await get(path)
      expect(runs.count).toBe(1)
    })

    it('is dropped by invalidate in any of its spellings', async () => {
      const { get, pages, site, runs } = await tellingSite({ ...page, ...tracked })
      for (const spelling of ['/p?a=1', '/p?a=1&utm_source=x', '/p?gclid=y&a=1']) {
        const before = (await get('/p?a=1&fbclid=z')).run
        await pages.invalidate(`${site.origin}${spelling}`)
        expect((await get('/p?a=1')).run).toBe(before + 1)
      }
      const before = runs.count
      await pages.invalidate(`${site.origin}/p?utm_source=x`)
      expect((await get('/p?a=1')).run).toBe(before)
    })

    it('is narrowed for HEAD too, and left to POST as it is', async () => {
      const { get, site } = await tellingSite({ ...page, ...tracked })
      await get('/p?a=1')
      const head = await site.get('/p?a=1&utm_source=x', { method: 'HEAD' })
      expect(head.cacheStatus).toMatch(/^fragcache; hit/)
      const post = await site.get('/p?a=1&utm_source=x', { method: 'POST' })
      expect(JSON.parse(post.text)).toMatchObject({ query: { a: '1', utm_source: 'x' } })
    })

    it('of a page that is not kept is narrowed all the same', async () => {
      const { site } = await cachedSite(
        express,
        (req, res) => res.set('Cache-Control', 'private').json(req.query),
        { ...page, ...tracked },
      )
      for (let i = 0; i < 2; i++)
        expect((await site.get('/p?utm_source=x&a=1')).text).toBe('{"a":"1"}')
    })
  })

  it('is narrowed in a router, and for the middlewares after the cache', async () => {
    const pages = responseCache(createCaches({ default: new LocMemCache() }), tracked)
    const app = express()
    const router = express.Router()
    const seen: string[] = []
    app.use((req, _res, next) => {
      seen.push(`before ${req.originalUrl}`)
      next()
    })
    router.use(pages.cacheSite())
    router.use((req, _res, next) => {
      seen.push(`after ${req.originalUrl} ${req.baseUrl} ${req.url}`)
      next()
    })
    router.get('/p', (req, res) => res.json(req.query))
    app.use('/shop', router)
    const site = await Site.open(app)
    expect((await site.get('/shop/p?utm_source=x&a=1')).text).toBe('{"a":"1"}')
    expect((await site.get('/shop/p?a=1&utm_source=y')).cacheStatus).toMatch(/^fragcache; hit/)
    expect(seen).toEqual([
      'before /shop/p?utm_source=x&a=1',
      'after /shop/p?a=1 /shop /p?a=1',
      'before /shop/p?a=1&utm_source=y',
    ])
  })
})
