import { createCaches, InvalidCacheKeyError, LocMemCache } from 'fragcache'
import { responseCache } from 'fragcache/express'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { eventually, expressVersions, Site } from '../support/express.js'
import { settle } from '../support/waiting.js'
import { coreOf } from '../../src/backend/core.js'

/** Local memory that fails as a faulty backend might, in the middle of a call. */
class BrokenCache extends LocMemCache {
  fault: Error | undefined

  constructor() {
    super()
    const { entries } = coreOf(this)
    const lookupOne = entries.lookupOne.bind(entries)
    entries.lookupOne = (...asked) => {
      if (this.fault !== undefined) throw this.fault
      return lookupOne(...asked)
    }
  }
}

describe.each(expressVersions)('a page on $version is served', ({ express }) => {
  async function siteOver(cache: AsyncTestCache | BrokenCache) {
    const pages = responseCache(createCaches({ default: cache }))
    const app = express()
    const runs = { count: 0 }
    app.use(pages.cacheSite(), (_req, res) => void res.send(`run ${++runs.count}`))
    return { site: await Site.open(app), pages, runs }
  }

  it('while the cache is down, and from the cache when it is back', async () => {
    const cache = new AsyncTestCache()
    const { site } = await siteOver(cache)
    cache.failing = true
    const down = await site.get('/p')
    expect([down.status, down.text]).toEqual([200, 'run 1'])
    expect(down.cacheStatus).toBe('fragcache; fwd=bypass; detail=cache-failed')
    expect(down.headers).not.toHaveProperty('cache-control')
    cache.failing = false
    await site.get('/p')
    expect((await site.get('/p')).text).toBe('run 2')
  })

  it('though the cache fails between the lookup and the store', async () => {
    const cache = new AsyncTestCache()
    const pages = responseCache(createCaches({ default: cache }))
    const app = express()
    app.use(pages.cacheSite(), (_req, res) => {
      cache.failing = true
      res.send('page')
    })
    const site = await Site.open(app)
    expect((await site.get('/p')).text).toBe('page')
    await eventually(() => cache.reads === 2)
    await settle()
    cache.failing = false
    expect((await site.get('/p')).cacheStatus).toBe('fragcache; fwd=uri-miss; stored')
  })

  it('within two seconds though the cache hangs', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    const cache = new AsyncTestCache()
    const { site, runs } = await siteOver(cache)
    cache.hanging = true
    let reached = () => undefined as void
    const asked = new Promise<void>((resolve) => (reached = resolve))
    site.server.on('request', () => void setImmediate(reached))
    const answer = site.get('/p')
    await asked
    await vi.advanceTimersByTimeAsync(1999)
    expect(runs.count).toBe(0)
    await vi.advanceTimersByTimeAsync(1)
    expect((await answer).text).toBe('run 1')
    cache.hanging = false
  })

  it('though the cache throws at once', async () => {
    const cache = new BrokenCache()
    const { site } = await siteOver(cache)
    await site.get('/p')
    cache.fault = new Error('broken')
    expect((await site.get('/p')).text).toBe('run 2')
    cache.fault = undefined
    expect((await site.get('/p')).text).toBe('run 1')
  })

  it('though the cache refuses the key, and that is reported once', async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    onTestFinished(() => void warn.mockRestore())
    const cache = new BrokenCache()
    const { site } = await siteOver(cache)
    cache.fault = new InvalidCacheKeyError('the stored key is not for this cache')
    for (let run = 1; run <= 3; run++) expect((await site.get('/p')).text).toBe(`run ${run}`)
    const said = warn.mock.calls.filter(([text]) => /^responseCache: an unexp/.test(String(text)))
    // Once per process, and the same test ran on the other version of Express.
    expect(said).toHaveLength(express === expressVersions[0].express ? 1 : 0)
    if (said.length > 0) expect(said[0]?.[0]).toContain('not for this cache')
  })

  it('again where what was stored is damaged', async () => {
    const cache = new AsyncTestCache()
    const { site } = await siteOver(cache)
    for (const damage of [
      Buffer.from(''),
      Buffer.from('\x02FCR1rubbish', 'latin1'),
      Buffer.from('\x04rubbish', 'latin1'),
      Buffer.from('\x01rubbish', 'latin1'),
      Buffer.from('7'),
    ]) {
      const { text } = await site.get('/p')
      await eventually(() => cache.storedKeys.some((key) => key.includes('cache_page')))
      for (const key of cache.storedKeys) cache.plant(key, damage)
      expect((await site.get('/p')).text).not.toBe(text)
      // What no record can be added over is cleared away for the next one.
      await site.get('/p')
      expect((await site.get('/p')).cacheStatus).toMatch(/^fragcache; hit/)
      await cache.clear()
    }
  })

  it('by whoever answers first, if somebody does while the cache is asked', async () => {
    const cache = new AsyncTestCache()
    const pages = responseCache(createCaches({ default: cache }))
    const app = express()
    let runs = 0
    app.use((_req, res, next) => {
      setImmediate(() => res.status(503).end('too late'))
      next()
    })
    app.use(pages.cacheSite(), (_req, res) => {
      runs++
      res.end('page')
    })
    const site = await Site.open(app)
    cache.latencyMs = 20
    expect((await site.get('/p')).text).toBe('too late')
    await eventually(() => cache.reads === 1)
    await new Promise((resolve) => setTimeout(resolve, 60))
    expect(runs).toBe(0)
  })
})
