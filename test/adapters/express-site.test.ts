import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import express from 'express'
import type { NextFunction, Request, RequestHandler, Response } from 'express'
import { createCaches, FragmentCache, LocMemCache } from 'fragcache'
import { responseCache, type ResponseCacheOptions, type ResponseMessage } from 'fragcache/express'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { eventually, expressVersions, session, Site } from '../support/express.js'

type View = (req: Request, res: Response, next: NextFunction) => unknown

const newCaches = () => createCaches({ default: new LocMemCache(), other: new LocMemCache() })

/** A view that says how often it ran. */
function counting(view?: (req: Request, res: Response) => unknown) {
  const counter = { runs: 0 }
  const handler: RequestHandler = (req, res) => {
    counter.runs++
    view?.(req, res)
    if (!res.headersSent) res.end(`run ${counter.runs}`)
  }
  return Object.assign(handler, counter, { counter })
}

/** What is said on the channel while the test runs. */
function listen(): ResponseMessage[] {
  const messages: ResponseMessage[] = []
  const note = (message: unknown) => void messages.push(message as ResponseMessage)
  subscribe('fragcache:response', note)
  onTestFinished(() => void unsubscribe('fragcache:response', note))
  return messages
}

describe('the keys of pages', () => {
  it("are Django's, with the prefix, the language and the time zone", async () => {
    const cache = new AsyncTestCache()
    const pages = responseCache(createCaches({ default: cache }), {
      keyPrefix: 'site1',
      language: () => 'de',
      timeZone: () => 'America/Chicago',
    })
    const app = express()
    app.use(pages.cacheSite(), (_req, res) => void res.vary('Accept-Language, Cookie').send('x'))
    const site = await Site.open(app)
    const headers = { Host: 'testserver', Cookie: 'a=1; b=2', 'Accept-Language': 'de,en;q=0.5' }
    await site.get('/path/', { headers })
    await eventually(() => cache.storedKeys.length === 5)
    // pk166 of fixtures/django/page_keys.json; beside them what Django lacks.
    expect(cache.storedKeys.sort()).toEqual([
      ':1:fragcache.clock',
      ':1:fragcache.page_generation.site1.7b5fbc2951de387236a0be014e3801dc',
      ':1:fragcache.page_variants.site1.7b5fbc2951de387236a0be014e3801dc.de.America/Chicago',
      ':1:views.decorators.cache.cache_header.site1.7b5fbc2951de387236a0be014e3801dc.de.America/Chicago',
      ':1:views.decorators.cache.cache_page.site1.GET.7b5fbc2951de387236a0be014e3801dc.9b3ad83b71f49721de07ed3d5b0ffb83.de.America/Chicago',
    ])
    // The language is in the key, so that its header no longer counts.
    const warm = await site.get('/path/', { headers: { ...headers, 'Accept-Language': 'fr' } })
    expect(warm.cacheStatus).toMatch(/^fragcache; hit/)
  })

  it('stay within 250 bytes however long the URL and the headers are', async () => {
    const cache = new AsyncTestCache()
    const pages = responseCache(createCaches({ default: cache }))
    const app = express()
    app.use(pages.cacheSite(), (_req, res) => void res.vary('X-Long').send('x'))
    const site = await Site.open(app)
    await site.get(`/${'p'.repeat(4000)}`, { headers: { 'X-Long': 'v'.repeat(4000) } })
    await eventually(() => cache.storedKeys.length === 5)
    for (const key of cache.storedKeys) expect(key.length).toBeLessThan(250)
  })

  it('tell hosts, ports and schemes apart', async () => {
    const view = counting()
    const pages = responseCache(newCaches())
    const app = express().set('trust proxy', true).use(pages.cacheSite(), view)
    const site = await Site.open(app)
    const asked = [
      { Host: 'a.test' },
      { Host: 'b.test' },
      { Host: 'a.test:8000' },
      { Host: 'a.test', 'X-Forwarded-Proto': 'https' },
      { Host: 'x.test', 'X-Forwarded-Host': 'c.test, d.test' },
    ]
    for (const headers of asked) await site.get('/p', { headers })
    expect(view.counter.runs).toBe(5)
    for (const headers of asked) await site.get('/p', { headers })
    await site.get('/p', { headers: { Host: 'c.test' } })
    expect(view.counter.runs).toBe(5)
  })

  it('leave alone requests whose scheme or host cannot be told', async () => {
    const view = counting()
    const pages = responseCache(newCaches())
    const app = express().set('trust proxy', true).use(pages.cacheSite(), view)
    const site = await Site.open(app)
    for (const headers of [{ 'X-Forwarded-Proto': 'evil' }, { 'X-Forwarded-Host': 'a.test/x?' }]) {
      await site.get('/p', { headers })
      const second = await site.get('/p', { headers })
      expect(second.cacheStatus).toBe('fragcache; fwd=bypass; detail=uri-unreadable')
    }
    expect(await site.raw('GET /p HTTP/1.0\r\n\r\n')).toContain('detail=uri-unreadable')
    expect(view.counter.runs).toBe(5)
  })
})

describe('language and time zone', () => {
  async function siteOf(options: ResponseCacheOptions, view: View = (_req, res) => res.send('x')) {
    const pages = responseCache<string>(newCaches(), options)
    const app = express()
    let runs = 0
    app.use((req, _res, next) => {
      Object.assign(req, { tongue: req.headers['x-lang'], zone: req.headers['x-zone'] })
      next()
    })
    app.use(pages.cacheSite(), (req, res, next) => {
      runs++
      return view(req, res, next)
    })
    return { site: await Site.open(app), pages, runs: () => runs }
  }

  const tongue = (req: Request) => (req as { tongue?: string }).tongue
  const zone = (req: Request) => (req as { zone?: string }).zone

  it('make a page each, and are dropped together', async () => {
    const { site, pages, runs } = await siteOf({ language: tongue, timeZone: zone })
    const asked = [
      {},
      { 'X-Lang': 'de' },
      { 'X-Lang': 'fr' },
      { 'X-Lang': 'de', 'X-Zone': 'Europe/Berlin' },
      { 'X-Zone': 'Europe/Berlin' },
      // The same suffix as the language alone.
      { 'X-Zone': 'de' },
    ]
    for (const headers of asked) await site.get('/p', { headers })
    expect(runs()).toBe(6)
    for (const headers of asked.slice(0, 5)) await site.get('/p', { headers })
    expect(runs()).toBeLessThanOrEqual(7)
    const before = runs()
    await pages.invalidate(`${site.origin}/p`)
    for (const headers of asked) await site.get('/p', { headers })
    expect(runs()).toBe(before + 6)
  })

  it('that changed while the view ran keep its answer out of the cache', async () => {
    const { site, runs } = await siteOf({ language: tongue }, (req, res) => {
      Object.assign(req, { tongue: 'fr' })
      res.send('x')
    })
    const cold = await site.get('/p', { headers: { 'X-Lang': 'de' } })
    expect(cold.cacheStatus).toBe('fragcache; fwd=uri-miss; detail=language-changed')
    expect(cold.headers).not.toHaveProperty('expires')
    await site.get('/p', { headers: { 'X-Lang': 'de' } })
    await site.get('/p', { headers: { 'X-Lang': 'fr' } })
    expect(runs()).toBe(3)
  })

  it('that cannot be part of a key keep the request from the cache', async () => {
    const { site, runs } = await siteOf({ language: tongue, timeZone: zone })
    for (const [headers, detail] of [
      [{ 'X-Lang': 'de.x' }, 'language-unreadable'],
      [{ 'X-Lang': 'x'.repeat(65) }, 'language-unreadable'],
      [{ 'X-Zone': 'a b' }, 'time-zone-unreadable'],
    ] as const) {
      await site.get('/p', { headers })
      const { cacheStatus } = await site.get('/p', { headers })
      expect(cacheStatus).toBe(`fragcache; fwd=bypass; detail=${detail}`)
    }
    expect(runs()).toBe(6)
  })

  it('whose function throws keep the request from the cache, and the page is served', async () => {
    const { site } = await siteOf({
      language: () => {
        throw new Error('no session')
      },
    })
    const answer = await site.get('/p')
    expect([answer.text, answer.cacheStatus]).toEqual([
      'x',
      'fragcache; fwd=bypass; detail=language-unreadable',
    ])
  })
})

describe('seconds', () => {
  async function headersOf(seconds: number | null | undefined, cacheControl?: string) {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_700_000_000_000 })
    onTestFinished(() => void vi.useRealTimers())
    const view = counting((_req, res) => {
      if (cacheControl !== undefined) res.set('Cache-Control', cacheControl)
    })
    const pages = responseCache(newCaches(), { seconds: 300 })
    const app = express()
    app.use(seconds === undefined ? pages.cacheSite() : pages.cachePage(seconds), view)
    const site = await Site.open(app)
    const { headers } = await site.get('/p')
    const lived = [0]
    for (const second of [29, 30, 59, 60, 299, 300, 899, 900, 10_000_000]) {
      vi.setSystemTime(1_700_000_000_000 + second * 1000)
      const before = view.counter.runs
      const answer = await site.get('/p')
      if (view.counter.runs > before) break
      expect(answer.text).toBe('run 1')
      lived.push(second)
    }
    return [headers['cache-control'], headers.expires?.slice(17, 25), lived.at(-1)]
  }

  it.each([
    [undefined, undefined, 'max-age=300', '22:18:20', 299],
    [undefined, 'max-age=60', 'max-age=60', '22:14:20', 59],
    [undefined, 's-maxage=60', 's-maxage=60, max-age=60', '22:14:20', 59],
    [60, undefined, 'max-age=60', '22:14:20', 59],
    [60, 'max-age=900', 'max-age=60', '22:14:20', 59],
    [60, 'max-age=30', 'max-age=30', '22:14:20', 59],
    [0, undefined, 'max-age=0', '22:13:20', 0],
    [null, undefined, undefined, undefined, 10_000_000],
    [null, 'max-age=30', 'max-age=30', undefined, 10_000_000],
  ])('%s with Cache-Control %s: %s, %s, lives until %i', async (seconds, sent, ...expected) => {
    expect(await headersOf(seconds, sent)).toEqual(expected)
  })
})

describe('one cache inside another', () => {
  it.each<[number | null, number | null, number]>([
    [60, 600, 60],
    [600, 60, 60],
    [null, 60, 60],
    [60, null, 60],
  ])('cachePage(%s) around cachePage(%s) keeps %i seconds', async (outer, inner, seconds) => {
    const pages = responseCache(newCaches())
    const app = express()
    app.get('/p', pages.cachePage(outer), pages.cachePage(inner), counting())
    const site = await Site.open(app)
    expect((await site.get('/p')).headers['cache-control']).toBe(`max-age=${seconds}`)
    const ttl = Number(/ttl=(\d+)/.exec((await site.get('/p')).cacheStatus ?? '')?.[1])
    expect([seconds, seconds - 1]).toContain(ttl)
  })

  it('stores a page once, for the shortest of the seconds that views are given', async () => {
    const cache = new AsyncTestCache()
    const pages = responseCache(createCaches({ default: cache }), { seconds: 600 })
    const view = counting()
    const app = express()
    app.use(pages.cacheSite())
    app.get('/p', pages.cachePage(60), pages.cachePage(30), view)
    const site = await Site.open(app)
    const cold = await site.get('/p')
    expect(cold.headers['cache-control']).toBe('max-age=30')
    expect(cold.cacheStatus).toBe('fragcache; fwd=uri-miss; stored')
    expect((await site.get('/p')).cacheStatus).toMatch(/^fragcache; hit; ttl=(30|29)$/)
    expect(view.counter.runs).toBe(1)
    expect(cache.storedKeys).toHaveLength(4)
  })

  it('leaves a page to the cache and the key prefix that the view names', async () => {
    const caches = createCaches({ default: new AsyncTestCache(), other: new AsyncTestCache() })
    const pages = responseCache(caches)
    const view = counting()
    const app = express()
    app.use(pages.cacheSite())
    app.get('/p', pages.cachePage(60, { cache: 'other', keyPrefix: 'pp' }), view)
    const site = await Site.open(app)
    expect((await site.get('/p')).cacheStatus).toBe('fragcache; fwd=uri-miss; stored')
    expect((await site.get('/p')).cacheStatus).toMatch(/^fragcache; hit; ttl=(60|59)$/)
    expect(view.counter.runs).toBe(1)
    expect(caches.default.storedKeys.filter((key) => key.includes('cache_page'))).toEqual([])
    expect(caches.other.storedKeys.every(isOf('pp'))).toBe(true)
    await pages.invalidate(`${site.origin}/p`)
    await site.get('/p')
    expect(view.counter.runs).toBe(2)
  })

  it('says once why a request passed both', async () => {
    const pages = responseCache(newCaches())
    const app = express()
    app.use(pages.cacheSite(), pages.cachePage(60, { cache: 'other' }), counting())
    const site = await Site.open(app)
    const headers = { Host: 'a.test/x' }
    expect((await site.get('/p', { headers })).cacheStatus).toBe(
      'fragcache; fwd=bypass; detail=uri-unreadable',
    )
    expect((await site.get('/p', { method: 'POST' })).cacheStatus).toBe('fragcache; fwd=method')
  })

  it('the factory’s alias and prefix are the default of cachePage', async () => {
    const caches = createCaches({ default: new AsyncTestCache(), other: new AsyncTestCache() })
    const pages = responseCache(caches, { alias: 'other', keyPrefix: 'site1' })
    const app = express().use(pages.cachePage(60), counting())
    const site = await Site.open(app)
    await site.get('/p')
    await eventually(() => caches.other.storedKeys.length === 4)
    expect(caches.other.storedKeys.every(isOf('site1'))).toBe(true)
    expect(caches.default.storedKeys).toEqual([])
  })
})

describe('the two halves', () => {
  it('store what middlewares between them made of the request', async () => {
    const pages = responseCache(newCaches(), {
      language: (req) => (req as { tongue?: string }).tongue,
    })
    const view = counting()
    const app = express()
    app.use(pages.updateCache())
    app.use((req, res, next) => {
      Object.assign(req, { tongue: req.acceptsLanguages(['en', 'de']) })
      res.vary('Accept-Language')
      next()
    })
    app.use(pages.fetchFromCache(), view)
    const site = await Site.open(app)
    const ask = async (language: string) =>
      (await site.get('/p', { headers: { 'Accept-Language': language } })).text
    expect(await ask('de')).toBe('run 1')
    expect(await ask('en')).toBe('run 2')
    // A page per language, not per spelling of the header.
    expect(await ask('de-AT, de;q=0.5')).toBe('run 1')
    expect(await ask('fr, en')).toBe('run 2')
  })

  it('store nothing that was answered before the second one', async () => {
    const pages = responseCache(newCaches())
    const app = express()
    let runs = 0
    app.use(pages.updateCache(), (_req, res) => void res.end(`run ${++runs}`))
    const site = await Site.open(app)
    await site.get('/p')
    const second = await site.get('/p')
    expect(second.text).toBe('run 2')
    expect(second.headers).not.toHaveProperty('cache-control')
  })

  it('and cachePage inside them store once, for the seconds of the view', async () => {
    const pages = responseCache(newCaches())
    const view = counting()
    const app = express()
    app.use(pages.updateCache(), pages.fetchFromCache(), pages.cachePage(60), view)
    const site = await Site.open(app)
    expect((await site.get('/p')).cacheStatus).toBe('fragcache; fwd=uri-miss; stored')
    expect((await site.get('/p')).cacheStatus).toMatch(/^fragcache; hit; ttl=(60|59)$/)
    expect(view.counter.runs).toBe(1)
  })

  it('store nothing, and change no header, where only the second one is', async () => {
    const pages = responseCache(newCaches())
    const view: View = (_req, res) => res.set('Cache-Control', 'max-age=60').send('page')
    const bare = await Site.open(express().use(view))
    const site = await Site.open(express().use(pages.fetchFromCache(), view))
    const messages = listen()
    for (const method of ['GET', 'GET', 'HEAD', 'POST']) {
      const [plain, answer] = [await bare.get('/p', { method }), await site.get('/p', { method })]
      const { date: _before, ...expected } = plain.headers
      const { date: _after, ...headers } = answer.headers
      expect(headers).toEqual(expected)
    }
    expect(messages.map(({ outcome, reason }) => `${outcome} ${reason}`)).toEqual([
      ...(Array(3).fill('bypass no-update-cache') as string[]),
      'bypass method',
    ])
  })

  it('answer with what cachePage has stored behind the second one', async () => {
    const pages = responseCache(newCaches())
    const view = counting()
    const before = { count: 0 }
    const app = express()
    app.use(pages.fetchFromCache())
    app.use((_req, _res, next) => (before.count++, next()))
    app.get('/p', pages.cachePage(60), view)
    const site = await Site.open(app)
    expect((await site.get('/p')).cacheStatus).toBe('fragcache; fwd=uri-miss; stored')
    expect((await site.get('/p')).cacheStatus).toMatch(/^fragcache; hit/)
    expect([view.counter.runs, before.count]).toEqual([1, 1])
  })

  it('answer as cacheSite where nothing is between them, in one of them too', async () => {
    const pages = responseCache(newCaches())
    const view = counting()
    const app = express().use(pages.updateCache(), pages.fetchFromCache(), view)
    const site = await Site.open(app)
    expect((await site.get('/p')).cacheStatus).toBe('fragcache; fwd=uri-miss; stored')
    expect((await site.get('/p')).cacheStatus).toMatch(/^fragcache; hit/)
    expect((await site.get('/p', { method: 'HEAD' })).headers['content-length']).toBe('5')
    expect((await site.get('/p', { method: 'POST' })).cacheStatus).toBe('fragcache; fwd=method')
    expect(view.counter.runs).toBe(2)
  })
})

describe('visitors', () => {
  async function siteOf(view: View, options?: ResponseCacheOptions) {
    const pages = responseCache<string>(newCaches(), options)
    const app = express()
    app.use((req, _res, next) => {
      const user = /user=(\w+)/.exec(req.headers.cookie ?? '')?.[1]
      if (user !== undefined) Object.assign(req, { session: { cookie: {}, user } })
      else Object.assign(req, { session: { cookie: {} }, user: null })
      next()
    })
    let runs = 0
    app.use(pages.cacheSite(), (req, res, next) => {
      runs++
      return view(req, res, next)
    })
    const site = await Site.open(app)
    const ask = async (user?: string) =>
      site.get('/p', { headers: user === undefined ? {} : { Cookie: `user=${user}` } })
    return { ask, runs: () => runs }
  }

  it('with something in their session neither make nor get a page for all', async () => {
    const { ask, runs } = await siteOf((_req, res) => res.send('x'))
    await ask()
    await ask()
    expect(runs()).toBe(1)
    const alice = await ask('alice')
    expect(alice.cacheStatus).toBe('fragcache; fwd=bypass; detail=personal')
    expect(alice.headers).not.toHaveProperty('expires')
    await ask('alice')
    expect(runs()).toBe(3)
    await ask()
    expect(runs()).toBe(3)
  })

  it('share a page that says public', async () => {
    const { ask, runs } = await siteOf((_req, res) => res.set('Cache-Control', 'public').send('x'))
    await ask('alice')
    await ask('bob')
    await ask()
    expect(runs()).toBe(1)
  })

  it('have one of their own where the page varies on Cookie', async () => {
    const { ask, runs } = await siteOf((req, res) => {
      res.vary('Cookie').send(String((req as { session?: { user?: string } }).session?.user))
    })
    for (let round = 0; round < 2; round++) {
      expect((await ask('alice')).text).toBe('alice')
      expect((await ask('bob')).text).toBe('bob')
      expect((await ask()).text).toBe('undefined')
    }
    expect(runs()).toBe(3)
  })

  it('are whom the site says they are', async () => {
    const { ask, runs } = await siteOf((_req, res) => res.send('x'), { isPersonal: () => false })
    await ask('alice')
    await ask('bob')
    expect(runs()).toBe(1)
  })

  it('are all visitors for themselves if the site cannot say', async () => {
    const { ask, runs } = await siteOf((_req, res) => res.send('x'), {
      isPersonal: () => {
        throw new Error('no session')
      },
    })
    await ask()
    await ask()
    expect(runs()).toBe(2)
  })

  it('whose session is only open share the page', async () => {
    const pages = responseCache(newCaches())
    const view = counting()
    const app = express()
    app.use(session({ secret: 's', resave: false, saveUninitialized: false }))
    app.use(pages.cacheSite(), view)
    const site = await Site.open(app)
    await site.get('/p')
    await site.get('/p')
    expect(view.counter.runs).toBe(1)
  })
})

describe('fragments in a page', () => {
  it.each([
    ['in the same cache', undefined],
    ['in another cache', 'other'],
  ])('%s: the page depends on what they depend on', async (_name, using) => {
    const caches = newCaches()
    const fragments = new FragmentCache<string>(caches)
    const pages = responseCache(caches)
    const app = express()
    let runs = 0
    app.use(pages.cacheSite(), async (_req, res) => {
      runs++
      const options = { name: 'sidebar', timeout: 300, tags: ['user:7'], ...(using && { using }) }
      const sidebar = await fragments.render(options, async () => {
        await new Promise((resolve) => setTimeout(resolve, 2))
        return `sidebar of run ${runs}`
      })
      res.send(`run ${runs}: ${sidebar}`)
    })
    const site = await Site.open(app)
    const ask = async () => (await site.get('/p')).text
    expect(await ask()).toBe('run 1: sidebar of run 1')
    expect(await ask()).toBe('run 1: sidebar of run 1')
    await caches.invalidateTags(['user:7'])
    expect(await ask()).toBe('run 2: sidebar of run 2')
    expect(await ask()).toBe('run 2: sidebar of run 2')
    // Also where the fragment was a hit while the page was made.
    await pages.invalidate(`${site.origin}/p`)
    expect(await ask()).toBe('run 3: sidebar of run 2')
    expect(await ask()).toBe('run 3: sidebar of run 2')
    await caches.invalidateTags(['user:7'])
    expect(await ask()).toBe('run 4: sidebar of run 4')
  })

  it('a page is rendered again when every variant of a fragment is dropped', async () => {
    const caches = newCaches()
    const fragments = new FragmentCache<string>(caches)
    const pages = responseCache(caches)
    const app = express()
    let runs = 0
    app.use(pages.cacheSite(), async (_req, res) => {
      runs++
      res.send(await fragments.render({ name: 'list', timeout: 300 }, () => `list ${runs}`))
    })
    const site = await Site.open(app)
    await site.get('/p')
    await fragments.invalidate('list')
    expect((await site.get('/p')).text).toBe('list 2')
  })
})

describe('invalidate', () => {
  it('wins over a view that is running, be its page known or new', async () => {
    for (const known of [true, false]) {
      const pages = responseCache(newCaches())
      let finish = () => undefined as void
      let runs = 0
      const app = express()
      app.use(pages.cacheSite(), (_req, res) => {
        const answer = `run ${++runs}`
        if (answer === (known ? 'run 2' : 'run 1')) finish = () => void res.end(answer)
        else res.end(answer)
      })
      const site = await Site.open(app)
      if (known) {
        await site.get('/p')
        await pages.invalidate(`${site.origin}/p`)
      }
      const slow = site.get('/p')
      await eventually(() => runs === (known ? 2 : 1))
      await pages.invalidate(`${site.origin}/p`)
      finish()
      expect((await slow).text).toBe(known ? 'run 2' : 'run 1')
      expect((await site.get('/p')).text).toBe(known ? 'run 3' : 'run 2')
      expect((await site.get('/p')).text).toBe(known ? 'run 3' : 'run 2')
    }
  })

  it('as does emptying the cache', async () => {
    const caches = newCaches()
    const pages = responseCache(caches)
    const gate = { open: () => undefined as void }
    let runs = 0
    const app = express()
    app.use(pages.cacheSite(), (req, res) => {
      const answer = `run ${++runs}`
      res.vary('X-T')
      if (req.headers['x-t'] === 'slow') gate.open = () => void res.end(answer)
      else res.end(answer)
    })
    const site = await Site.open(app)
    await site.get('/p')
    const slow = site.get('/p', { headers: { 'X-T': 'slow' } })
    await eventually(() => runs === 2)
    await caches.default.clear()
    gate.open()
    await slow
    const again = site.get('/p', { headers: { 'X-T': 'slow' } })
    await eventually(() => runs === 3)
    gate.open()
    expect((await again).text).toBe('run 3')
  })

  it.each([
    ['a string', (origin: string) => `${origin}/p?q=1`],
    ['a fragment, which no client sends', (origin: string) => `${origin}/p?q=1#top`],
    ['a URL object', (origin: string) => new URL('/p?q=1', origin)],
    ['a scheme in capitals', (origin: string) => `${origin.replace('http', 'HTTP')}/p?q=1`],
  ])('takes %s', async (_name, urlOf) => {
    const pages = responseCache(newCaches())
    const view = counting()
    const site = await Site.open(express().use(pages.cacheSite(), view))
    await site.get('/p?q=1')
    await pages.invalidate(urlOf(site.origin))
    await site.get('/p?q=1')
    expect(view.counter.runs).toBe(2)
  })

  it('takes the root without its slash', async () => {
    const pages = responseCache(newCaches())
    const view = counting()
    const site = await Site.open(express().use(pages.cacheSite(), view))
    await site.get('/')
    await site.get('/?q')
    await pages.invalidate(site.origin)
    await pages.invalidate(`${site.origin}?q`)
    await site.get('/')
    await site.get('/?q')
    expect(view.counter.runs).toBe(4)
  })

  it.each(['/p', 'example.com/p', 'ftp://a.test/p', 'http:///p', '', undefined, 7, {}])(
    'refuses %j by name',
    async (url) => {
      const pages = responseCache(newCaches())
      await expect(pages.invalidate(url as string)).rejects.toThrow(
        /^invalidate: .* is not an absolute URL; give one such as/,
      )
    },
  )

  it('reaches pages that another process stores', async () => {
    const here = responseCache(
      createCaches({ default: new AsyncTestCache({ location: 'shared' }) }),
    )
    const there = responseCache(
      createCaches({ default: new AsyncTestCache({ location: 'shared' }) }),
    )
    const view = counting()
    const site = await Site.open(express().use(here.cacheSite(), view))
    await site.get('/p')
    await there.invalidate(`${site.origin}/p`)
    await site.get('/p')
    expect(view.counter.runs).toBe(2)
    await site.get('/p')
    expect(view.counter.runs).toBe(2)
  })
})

describe('two processes over one cache', () => {
  it('that learn different headers at once never give one variant for another', async () => {
    const location = `race-${Math.random()}`
    const views: Record<string, () => void> = {}
    const sites = await Promise.all(
      ['X-A', 'X-B'].map(async (name) => {
        const pages = responseCache(createCaches({ default: new AsyncTestCache({ location }) }))
        const app = express()
        app.use(pages.cacheSite(), (req, res) => {
          res.vary(name)
          const answer = () => res.end(`${name}=${String(req.headers[name.toLowerCase()])}`)
          if (req.headers['x-wait'] === undefined) answer()
          else views[name] = () => void answer()
        })
        return Site.open(app)
      }),
    )
    const [a, b] = sites as [Site, Site]
    const host = { Host: 'a.test' }
    // Both views begin before either has stored what it learned.
    const slow = [
      a.get('/p', { headers: { ...host, 'X-A': '1', 'X-Wait': '1' } }),
      b.get('/p', { headers: { ...host, 'X-B': '1', 'X-Wait': '1' } }),
    ]
    await eventually(() => views['X-A'] !== undefined && views['X-B'] !== undefined)
    views['X-A']?.()
    views['X-B']?.()
    await Promise.all(slow)
    for (const site of sites) {
      for (const headers of [{ 'X-A': '1' }, { 'X-B': '1' }, {}, { 'X-A': '2', 'X-B': '1' }]) {
        const { text } = await site.get('/p', { headers: { ...host, ...headers } })
        // Either process may have made it, but for such a request.
        const [name = '', value] = text.split('=')
        expect(value).toBe(String((headers as Record<string, string>)[name]))
      }
    }
  })
})

describe.each(expressVersions)('the channel fragcache:response on $version', (version) => {
  it('tells what became of each request, and why', async () => {
    const messages = listen()
    const pages = responseCache(newCaches())
    const app = version.express()
    app.use(pages.cacheSite())
    app.use((req, res) => {
      if (req.url === '/private') res.set('Cache-Control', 'private')
      if (req.url === '/gone') return void setTimeout(() => res.destroy(), 5)
      if (req.url === '/short') res.set('Content-Length', '9')
      res.write('x')
      if (req.url === '/short') setTimeout(() => req.socket.destroy(), 5)
      res.end()
    })
    const site = await Site.open(app)
    const key = (path: string) =>
      expect.stringMatching(
        path === '/p'
          ? /^views\.decorators\.cache\.cache_page\.\.GET\.[0-9a-f]{32}\.d41d8cd98f00b204e9800998ecf8427e$/
          : /^views\.decorators\.cache\.cache_page\.\.GET\./,
      ) as string
    const told = (path: string, outcome: string, reason?: string, method = 'GET') => ({
      method,
      url: `${site.origin}${path}`,
      key: key(path),
      alias: 'default',
      outcome,
      ...(reason !== undefined && { reason }),
    })
    await site.get('/p')
    await site.get('/p')
    await site.get('/p', { method: 'HEAD' })
    await site.get('/p', { method: 'POST' })
    await site.get('/p', { headers: { Range: 'bytes=0-1' } })
    await site.get('/private')
    await site.get('/q', { method: 'HEAD' })
    await site.get('/short').catch(() => undefined)
    // What the tests before left to be stored may still be told of.
    expect(messages.filter(({ url }) => url.startsWith(site.origin))).toEqual([
      { ...told('/p', 'miss'), cause: expect.objectContaining({ code: 'not-stored' }) as object },
      told('/p', 'hit'),
      told('/p', 'hit', undefined, 'HEAD'),
      told('/p', 'bypass', 'method', 'POST'),
      told('/p', 'bypass', 'range'),
      told('/private', 'bypass', 'private'),
      told('/q', 'bypass', 'head', 'HEAD'),
      told('/short', 'bypass', 'content-length'),
    ])
  })

  it('tells of an answer that broke off', async () => {
    const messages = listen()
    const pages = responseCache(newCaches())
    const app = version.express()
    app.use(pages.cacheSite(), (_req, res) => {
      res.write('x')
      setTimeout(() => res.destroy(), 5)
    })
    const site = await Site.open(app)
    await site.get('/p').catch(() => undefined)
    await eventually(() => messages.some(({ url }) => url === `${site.origin}/p`))
    expect(messages.at(-1)).toMatchObject({ outcome: 'bypass', reason: 'incomplete' })
  })
})

describe('what is refused when it is set up', () => {
  it.each([
    [{ secs: 60 }, 'responseCache: unknown option "secs"; known options are alias, seconds,'],
    [
      { seconds: '60' },
      'responseCache: seconds: "60" is not a number of seconds, such as 300, or null',
    ],
    [{ seconds: NaN }, 'responseCache: seconds: NaN is not'],
    [{ seconds: true }, 'responseCache: seconds: true is not'],
    [{ keyPrefix: 7 }, 'responseCache: keyPrefix: 7 is not a string'],
    [{ language: 'de' }, 'responseCache: language: "de" is not a function such as'],
    [{ timeZone: 'UTC' }, 'responseCache: timeZone: "UTC" is not a function such as'],
    [{ isPersonal: true }, 'responseCache: isPersonal: true is not a function such as'],
    [{ maxBodyBytes: -1 }, 'responseCache: maxBodyBytes: -1 is not a whole number of bytes'],
    [{ maxBodyBytes: 1.5 }, 'responseCache: maxBodyBytes: 1.5 is not'],
    [{ excludeHeaders: 'x' }, 'responseCache: excludeHeaders: "x" is not a list such as'],
    [{ excludeHeaders: ['a b'] }, 'responseCache: excludeHeaders: "a b" is not the name of'],
    [{ cacheStatus: 1 }, 'responseCache: cacheStatus: 1 is not true or false'],
    [null, 'responseCache: null are not options; give an object'],
  ])('responseCache with %j', (options, message) => {
    const make = () =>
      responseCache<string>(newCaches(), options as unknown as ResponseCacheOptions)
    expect(make).toThrow(TypeError)
    expect(make).toThrow(message)
  })

  it.each([
    [['60'], 'cachePage: seconds: "60" is not a number of seconds, such as 300, or null'],
    [[undefined], 'cachePage: seconds: undefined is not'],
    [[true], 'cachePage: seconds: true is not'],
    [
      [60, { alias: 'other' }],
      'cachePage: unknown option "alias"; known options are cache, keyPref',
    ],
    [[60, { keyPrefix: null }], 'cachePage: keyPrefix: null is not a string'],
    [[60, 'other'], 'cachePage: "other" are not options'],
  ])('cachePage with %j', (args, message) => {
    const pages = responseCache(newCaches())
    const make = () => pages.cachePage(...(args as [number]))
    expect(make).toThrow(TypeError)
    expect(make).toThrow(message)
  })

  it('an alias that no cache has', () => {
    const wrong = { name: 'InvalidCacheBackendError', code: 'FRAGCACHE_INVALID_BACKEND' }
    expect(() => responseCache<string>(newCaches(), { alias: 'nope' })).toThrow(
      expect.objectContaining(wrong),
    )
    const pages = responseCache<string>(newCaches())
    expect(() => pages.cachePage(60, { cache: 'nope' })).toThrow(expect.objectContaining(wrong))
    expect(() => responseCache(createCaches({ other: new LocMemCache() }))).toThrow('"default"')
  })

  it('something that is not a set of caches', () => {
    expect(() => responseCache(undefined as never)).toThrow(
      /^responseCache: undefined is not a set of caches/,
    )
  })
})

describe('the middlewares', () => {
  it('have names, so that stacks read well', () => {
    const pages = responseCache(newCaches())
    const names = [
      pages.cacheSite(),
      pages.cachePage(60),
      pages.updateCache(),
      pages.fetchFromCache(),
    ].map(({ name }) => name)
    expect(names).toEqual(['cacheSite', 'cachePage', 'updateCache', 'fetchFromCache'])
  })

  it('can be taken off their object', async () => {
    const { cachePage } = responseCache(newCaches())
    const site = await Site.open(express().use(cachePage(60), counting()))
    await site.get('/p')
    expect((await site.get('/p')).text).toBe('run 1')
  })
})

/** Whether a stored key is of a key prefix of pages; the cache's own are of none. */
function isOf(keyPrefix: string) {
  return (key: string) => key.includes(`.${keyPrefix}.`) || key.includes('fragcache.clock')
}
