import { createCaches, LocMemCache } from 'fragcache'
import { responseCache } from 'fragcache/express'
import { TieredCache } from 'fragcache/tiered'
import { describe, expect, it } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { stopClock, watchOutcomes } from '../support/cached-site.js'
import { eventually, oneExpress, Site } from '../support/express.js'
import { MemoryBus } from '../support/memory-bus.js'

describe.each(oneExpress)('pages over a TieredCache, in $version', ({ express }) => {
  async function newSite() {
    const clock = stopClock()
    const remote = new AsyncTestCache()
    const bus = new MemoryBus()
    const tiered = () => {
      return new TieredCache({ local: new LocMemCache(), remote, bus: bus.end })
    }
    const cache = tiered()
    const elsewhere = responseCache(createCaches({ default: tiered() }))
    const pages = responseCache(createCaches({ default: cache }), { staleWhileRevalidate: 600 })
    const app = express()
    let runs = 0
    app.use(pages.cachePage(60))
    app.use((_req, res) => res.send(`run ${++runs}`))
    const site = await Site.open(app)
    const outcomes = watchOutcomes(site.origin)
    const get = async () => {
      const seen = outcomes.length
      const { text } = await site.get('/p')
      await eventually(() => outcomes.length > seen)
      return text
    }
    return { clock, pages, elsewhere, site, get, runsOf: () => runs, outcomes }
  }

  it('are made again once they are stale, also where local memory has them', async () => {
    const { clock, get, runsOf, outcomes } = await newSite()
    await get()
    await get()
    outcomes.length = 0
    clock.advance(61)
    expect(await get()).toBe('run 1')
    await eventually(() => runsOf() === 2)
    await eventually(() => outcomes.length > 1)
    expect(await get()).toBe('run 2')
    expect(runsOf()).toBe(2)
  })

  it('are stored again after they were invalidated by URL', async () => {
    const { pages, site, get, runsOf } = await newSite()
    await get()
    await get()
    await pages.invalidate(`${site.origin}/p`)
    expect(await get()).toBe('run 2')
    expect(await get()).toBe('run 2')
    expect(runsOf()).toBe(2)
  })

  it('are stored again after another process invalidated them by URL', async () => {
    const { elsewhere, site, get, runsOf } = await newSite()
    await get()
    await get()
    await elsewhere.invalidate(`${site.origin}/p`)
    expect(await get()).toBe('run 2')
    expect(await get()).toBe('run 2')
    expect(runsOf()).toBe(2)
  })
})
