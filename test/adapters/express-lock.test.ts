import { createCaches, LocMemCache, type Cache } from 'fragcache'
import { responseCache, type ResponseCacheOptions } from 'fragcache/express'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { stopClock, watchOutcomes, type View } from '../support/cached-site.js'
import { eventually, oneExpress, Site } from '../support/express.js'
import { gate } from '../support/waiting.js'

afterEach(() => void vi.restoreAllMocks())

let stores = 0

describe.each(oneExpress)('a lock of pages in $version', ({ express }) => {
  /** Sites that share a store and know nothing of each other, as those of several processes. */
  async function sharedSites(count: number, view: View, options: ResponseCacheOptions = {}) {
    const location = `express-lock-${++stores}`
    const runs = { count: 0 }
    const sites: Site[] = []
    const caches: Cache[] = []
    for (let i = 0; i < count; i++) {
      const cache = new AsyncTestCache({ location })
      const pages = responseCache<string>(createCaches({ default: cache }), {
        lock: true,
        ...options,
      })
      const app = express()
      app.set('env', 'test')
      app.use(pages.cachePage(600), (req, res, next) => {
        runs.count++
        view(req, res, next)
      })
      sites.push(await Site.open(app))
      caches.push(cache)
    }
    const ask = (i: number, headers: Record<string, string> = {}) =>
      (sites[i] as Site).get('/p', { headers: { Host: 'shared.test', ...headers } })
    return { sites, caches, runs, ask }
  }

  it('lets one view run in all processes for a cold page', async () => {
    const { runs, ask } = await sharedSites(4, (_req, res) => {
      setTimeout(() => res.send(`run ${runs.count}`), 30)
    })
    const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => ask(i % 4)))
    expect(answers.map(({ text }) => text)).toEqual(Array(40).fill('run 1'))
    expect(runs.count).toBe(1)
  })

  it('is not there unless it is asked for', async () => {
    const all = gate()
    const { runs, ask } = await sharedSites(
      2,
      (_req, res, next) => {
        if (runs.count === 2) all.open()
        all.opened.then(() => res.send('page'), next)
      },
      { lock: false },
    )
    await Promise.all([ask(0), ask(1)])
    expect(runs.count).toBe(2)
  })

  it('is waited for no longer than it says', async () => {
    const first = gate()
    const { runs, ask } = await sharedSites(
      2,
      (_req, res, next) => {
        if (runs.count > 1) res.send('the second')
        else first.opened.then(() => res.send('the first'), next)
      },
      { lock: { wait: 0.05, lease: 60 } },
    )
    const slow = ask(0)
    await eventually(() => runs.count === 1)
    expect((await ask(1)).text).toBe('the second')
    first.open()
    expect((await slow).text).toBe('the first')
  })

  it('is free again once its holder is over time', async () => {
    const { runs, ask } = await sharedSites(
      2,
      (_req, res) => {
        // The first never answers, as one that died.
        if (runs.count > 1) res.send('the second')
      },
      { lock: { wait: 5, lease: 0.05 } },
    )
    ask(0).catch(() => undefined)
    await eventually(() => runs.count === 1)
    expect((await ask(1)).text).toBe('the second')
  })

  it('is given up once it is clear that the page is one visitor’s', async () => {
    const { runs, ask } = await sharedSites(3, (_req, res) => {
      setTimeout(() => res.set('Cache-Control', 'private').send(`run ${runs.count}`), 10)
    })
    const answers = await Promise.all([ask(0), ask(1), ask(2)])
    expect(answers.map(({ text }) => text).sort()).toEqual(['run 1', 'run 2', 'run 3'])
  })

  it('is not taken for requests of one visitor, for parts, and where the page is there', async () => {
    const { runs, ask, caches } = await sharedSites(1, (_req, res) => void res.send('page'))
    const [cache] = caches as [AsyncTestCache]
    const written = vi.spyOn(
      cache as unknown as { writeEntries: (entries: { readonly key: string }[]) => unknown },
      'writeEntries',
    )
    const leases = () =>
      written.mock.calls.flatMap(([entries]) => entries).filter(({ key }) => key.includes('.lock.'))
    await ask(0, { Authorization: 'Basic x', Range: 'bytes=0-1' })
    expect(leases()).toEqual([])
    await ask(0)
    // Taken and given up.
    await eventually(() => leases().length === 2)
    await ask(0)
    expect(leases()).toHaveLength(2)
    expect(runs.count).toBe(2)
  })

  it('lets the view answer while the store is down', async () => {
    const { caches, ask } = await sharedSites(1, (_req, res) => void res.send('page'))
    const [cache] = caches as [AsyncTestCache]
    cache.failing = true
    expect(await ask(0)).toMatchObject({ status: 200, text: 'page' })
  })

  it('keeps what is made under it from waiting for another', async () => {
    const inner = gate()
    const location = `express-lock-${++stores}`
    const caches = [0, 1].map(() => createCaches({ default: new AsyncTestCache({ location }) }))
    const [here, there] = caches as [(typeof caches)[0], (typeof caches)[0]]
    const pages = responseCache(here, { lock: true })
    const app = express()
    app.get('/p', pages.cachePage(600), (_req, res, next) => {
      here.default
        .getOrSet('inner', () => 'made here', { lock: true })
        .then((value) => res.send(value), next)
    })
    const site = await Site.open(app)
    // Elsewhere somebody holds the lease of the inner value, and would wait for the page.
    const other = there.default.getOrSet(
      'inner',
      async () => inner.opened.then(() => 'made there'),
      {
        lock: true,
      },
    )
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect((await site.get('/p')).text).toBe('made here')
    inner.open()
    await other
  })

  it('lets one process make a stale page again in the background', async () => {
    const clock = stopClock()
    const { sites, runs, ask } = await sharedSites(
      3,
      (_req, res) => {
        const run = runs.count
        setTimeout(() => res.send(`run ${run}`), 30)
      },
      { staleWhileRevalidate: 600 },
    )
    const outcomes = sites.map(() => watchOutcomes('http://shared.test'))
    await ask(0)
    await eventually(() => outcomes[0]?.length === 1)
    clock.advance(601)
    const stale = await Promise.all([ask(0), ask(1), ask(2)])
    expect(stale.map(({ text }) => text)).toEqual(['run 1', 'run 1', 'run 1'])
    await eventually(() => outcomes[0]?.includes('miss', 1) === true)
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(runs.count).toBe(2)
    expect((await ask(1)).text).toBe('run 2')
  })

  it.each<[unknown, RegExp]>([
    [7, /responseCache: lock: 7 is not true, false or/],
    [{ wait: -1 }, /responseCache: lock\.wait: -1/],
    [{ lease: 0 }, /responseCache: lock\.lease: 0/],
    [{ waits: 1 }, /responseCache: lock: unknown option "waits"/],
  ])('is refused as %j', (lock, message) => {
    const caches = createCaches({ default: new LocMemCache() })
    expect(() => responseCache<string>(caches, { lock } as ResponseCacheOptions)).toThrow(message)
    expect(() => responseCache(caches, { lock: true, waitSeconds: 0 })).toThrow(/leave one/)
  })
})
