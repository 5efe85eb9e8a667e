import { createCaches, LocMemCache, type Cache } from 'fragcache'
import { responseCache, type ResponseCacheOptions } from 'fragcache/express'
import { describe, expect, it } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { stopClock, watchOutcomes } from '../support/cached-site.js'
import { eventually, oneExpress, Site } from '../support/express.js'

const backends: [string, () => Cache][] = [
  ['LocMemCache', () => new LocMemCache()],
  ['a cache that answers late', () => new AsyncTestCache()],
]

describe.each(oneExpress)('soft invalidation of tags in $version', ({ express }) => {
  describe.each(backends)('over %s', (_name, newCache) => {
    async function taggedSite(options: ResponseCacheOptions = {}) {
      const caches = createCaches({ default: newCache() })
      const pages = responseCache<string>(caches, options)
      const state = { runs: 0, fails: false }
      const app = express()
      app.set('env', 'test')
      app.get('/p', pages.cachePage(600, { tags: ['news'] }), (_req, res) => {
        state.runs++
        if (state.fails) res.status(503).send('down')
        else res.send(`run ${state.runs}`)
      })
      app.get('/same', pages.cachePage(600, { tags: ['news'] }), (_req, res) => {
        state.runs++
        res.send('the same')
      })
      const site = await Site.open(app)
      const outcomes = watchOutcomes(site.origin)
      const get = async (path = '/p', headers = {}) => {
        const before = outcomes.length
        const answer = await site.get(path, { headers })
        await eventually(() => outcomes.length > before)
        return answer
      }
      const soften = () => caches.invalidateTags(['news'], { soft: true })
      return { caches, state, get, soften, outcomes }
    }

    it('is as good as any other where nothing may be stale', async () => {
      const { get, soften } = await taggedSite()
      await get()
      await soften()
      expect((await get()).text).toBe('run 2')
      expect((await get()).text).toBe('run 2')
    })

    it('lets the page answer once more while it is made again', async () => {
      const { get, soften, outcomes } = await taggedSite({ staleWhileRevalidate: 60 })
      await get()
      await soften()
      const stale = await get()
      expect(stale.text).toBe('run 1')
      expect(stale.cacheStatus).toMatch(/^fragcache; hit; .*detail=stale-while-revalidate/)
      await eventually(() => outcomes.filter((one) => one === 'miss').length === 2)
      const fresh = await get()
      expect(fresh.text).toBe('run 2')
      expect(fresh.cacheStatus).toMatch(/^fragcache; hit; ttl=\d+$/)
    })

    it('counts from when it happened', async () => {
      const clock = stopClock()
      const { get, soften, state } = await taggedSite({ staleWhileRevalidate: 60 })
      await get()
      clock.advance(10)
      await soften()
      clock.advance(61)
      expect((await get()).text).toBe('run 2')
      expect(state.runs).toBe(2)
    })

    it('lets the page stand in for a view that fails, and only then', async () => {
      const { get, soften, state } = await taggedSite({ staleIfError: 60 })
      await get()
      await soften()
      state.fails = true
      expect(await get()).toMatchObject({ status: 200, text: 'run 1' })
      state.fails = false
      expect((await get()).text).toBe('run 3')
    })

    it('is over once the page was made again, though it is the same to the byte', async () => {
      const { get, soften, state } = await taggedSite({ staleIfError: 60 })
      await get('/same')
      await soften()
      for (let i = 0; i < 3; i++) expect((await get('/same')).status).toBe(200)
      expect(state.runs).toBe(2)
    })

    it('is nothing that a request can lift', async () => {
      const { get, soften } = await taggedSite({
        staleIfError: 60,
        honorRequestDirectives: true,
      })
      await get()
      await soften()
      expect((await get('/p', { 'Cache-Control': 'max-stale=600' })).text).toBe('run 2')
    })

    it('is less than a hard one, after which nothing is served stale', async () => {
      const { caches, get, soften, state } = await taggedSite({
        staleWhileRevalidate: 60,
        staleIfError: 60,
      })
      await get()
      await soften()
      await caches.invalidateTags(['news'])
      expect((await get()).text).toBe('run 2')
      await caches.invalidateTags(['news'])
      state.fails = true
      expect((await get()).status).toBe(503)
    })
  })
})
