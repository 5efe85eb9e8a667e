import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Express } from 'express'
import { createCaches, LocMemCache, type CachesStats, type RouteStats } from 'fragcache'
import { responseCache } from 'fragcache/express'
import { describe, expect, it, onTestFinished } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { eventually, oneExpress, Site } from '../support/express.js'

const kinds = [
  ['a cache that answers at once', () => new LocMemCache()],
  ['a cache that answers asynchronously', () => new AsyncTestCache()],
] as const

describe.each(oneExpress)('statistics of routes in $version', ({ express }) => {
  describe.each(kinds)('over %s', (_kind, newCache) => {
    async function start(install: (app: Express, pages: ReturnType<typeof responseCache>) => void) {
      const caches = createCaches({ default: newCache() })
      const app = express()
      install(app, responseCache(caches, { seconds: 60 }))
      const site = await Site.open(app)
      return { caches, site }
    }

    const routeOf = ({ routes }: CachesStats, name: string): RouteStats | undefined =>
      routes.find(({ route }) => route === name)

    it('tell pages by the pattern of the route, and what was saved', async () => {
      const { caches, site } = await start((app, pages) => {
        app.get('/countries/:code', pages.cachePage(60), (req, res) => {
          setTimeout(() => res.send(`page of ${req.params['code']}`), 5)
        })
      })
      for (const path of ['/countries/fr', '/countries/de', '/countries/fr', '/countries/fr']) {
        await site.get(path)
      }
      const told = routeOf(caches.stats(), 'GET /countries/:code')
      expect(told).toMatchObject({ alias: 'default', hits: 2, misses: 2, bypasses: 0, variants: 2 })
      expect(told?.meanBytes).toBe('page of fr'.length)
      expect(told?.viewMs).toBeGreaterThanOrEqual(4)
      expect(told?.timeSavedMs).toBeCloseTo(2 * (told?.viewMs ?? 0))
      expect(caches.stats().routes).toHaveLength(1)
    })

    it.each(['fragcache:operation', 'fragcache:response'])(
      'are the same while somebody listens to %s',
      async (channel) => {
        const use = async () => {
          const { caches, site } = await start((app, pages) => {
            app.use(pages.cacheSite())
            app.get('/', (_req, res) => void res.send('page'))
          })
          for (let i = 0; i < 10; i++) await site.get('/')
          const { hits, misses, errors } = caches.stats().aliases['default'] ?? {}
          return { hits, misses, errors }
        }
        const unwatched = await use()
        const listener = () => undefined
        subscribe(channel, listener)
        onTestFinished(() => void unsubscribe(channel, listener))
        expect(await use()).toEqual(unwatched)
      },
    )

    it('know the route of what the site’s cache answers before there is one', async () => {
      const { caches, site } = await start((app, pages) => {
        app.use(pages.cacheSite())
        const shop = express.Router()
        shop.get('/items/:id', (_req, res) => void res.send('item'))
        app.use('/shop', shop)
      })
      for (let i = 0; i < 3; i++) await site.get('/shop/items/7')
      expect(routeOf(caches.stats(), 'GET /shop/items/:id')).toMatchObject({ hits: 2, misses: 1 })
    })

    it('time reads of pages', async () => {
      const { caches, site } = await start((app, pages) => {
        app.get('/', pages.cachePage(60), (_req, res) => void res.send('home'))
      })
      for (let i = 0; i < 130; i++) await site.get('/')
      expect(caches.stats().aliases.default?.reads.count).toBeGreaterThan(0)
    })

    it('know the route of a hit of the site, however long its URL is', async () => {
      const { caches, site } = await start((app, pages) => {
        app.use(pages.cacheSite())
        app.get('/items', (_req, res) => void res.send('item'))
      })
      const long = `/items?q=${'x'.repeat(9000)}`
      for (const path of [long, long, '/items?q=x', '/items?q=x']) await site.get(path)
      expect(routeOf(caches.stats(), 'GET /items')).toMatchObject({ hits: 2, misses: 2 })
    })

    it('tell why pages are not kept, and do not mix methods', async () => {
      const { caches, site } = await start((app, pages) => {
        app.use(pages.cacheSite())
        app.get('/me', (_req, res) => void res.set('Cache-Control', 'private').send('me'))
        app.post('/me', (_req, res) => void res.send('changed'))
      })
      await site.get('/me')
      await site.get('/me')
      await site.get('/me', { method: 'POST' })
      await eventually(() => routeOf(caches.stats(), 'GET /me')?.bypasses === 2)
      expect(routeOf(caches.stats(), 'GET /me')).toMatchObject({
        hits: 0,
        misses: 0,
        bypasses: 2,
        reasons: { private: 2 },
      })
      const posted = caches.stats().routes.filter(({ route }) => route.startsWith('POST'))
      expect(posted).toMatchObject([{ bypasses: 1, reasons: { method: 1 } }])
    })
  })
})
