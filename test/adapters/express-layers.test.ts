import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { createCaches, LocMemCache } from 'fragcache'
import { cacheControl, responseCache } from 'fragcache/express'
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { explainReason } from '../../src/pages/explanations.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { eventually, expressVersions, Site } from '../support/express.js'

const T = 1_700_000_000_000

function stopClock() {
  vi.useFakeTimers({ toFake: ['Date'], now: T })
}

afterEach(() => void vi.useRealTimers())

describe.each(expressVersions)('layers, tags and older pages on $version', ({ express }) => {
  const newCaches = () => createCaches({ default: new LocMemCache(), special: new LocMemCache() })

  it('tags that cannot be told fail no page, and keep it from being stored', async () => {
    const pages = responseCache(newCaches())
    const tags = (req: { query: Record<string, unknown> }) => [req.query['tag'] as string]
    const app = express()
    app.get('/p', pages.cachePage(60, { tags }), (_req, res) => {
      Readable.from(['a', 'b']).pipe(res)
    })
    const site = await Site.open(app)
    const untold = await site.get('/p')
    expect([untold.status, untold.text]).toEqual([200, 'ab'])
    expect(untold.cacheStatus).toBe('fragcache; fwd=uri-miss; detail=tags-unreadable')
    expect((await site.get('/p?tag=x')).cacheStatus).toBe('fragcache; fwd=uri-miss; stored')
  })

  it('tags that cannot be told are warned of by name, once for each fault of a route', async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    onTestFinished(() => warn.mockRestore())
    const pages = responseCache(newCaches())
    const app = express()
    // Warnings are told once per process: each version has routes of its own.
    const base = `/${randomUUID()}`
    const shop = express.Router()
    app.use(base, shop)
    const throwing = () => {
      throw new RangeError('no such product')
    }
    shop.get('/throws/:id', pages.cachePage(60, { tags: throwing }), (_req, res) => void res.end())
    const noList = (() => 'news') as never
    shop.get('/gives/:id', pages.cachePage(60, { tags: noList }), (_req, res) => void res.end())
    const site = await Site.open(app)
    for (const path of ['throws/1', 'throws/2', 'gives/1', 'gives/2']) {
      await site.get(`${base}/${path}`)
    }
    expect(warn.mock.calls.map(([text]) => text)).toEqual([
      expect.stringContaining(
        `cachePage: tags of GET ${base}/throws/:id: RangeError: no such product`,
      ),
      expect.stringMatching(
        new RegExp(`^cachePage: tags of GET ${base}/gives/:id: TypeError: tags`),
      ),
    ])
    const [, told] = warn.mock.calls[0] as unknown as [string, { readonly code: string }]
    expect(explainReason('bypass', 'tags-unreadable').remedy).toContain(`warning ${told.code} `)
  })

  it('a view behind a middleware of ours still knows the parameters of its route', async () => {
    const pages = responseCache(newCaches())
    const app = express()
    app.get('/p/:id', cacheControl({ maxAge: 5 }), pages.cachePage(60), (req, res) => {
      // That this compiles is what is tested.
      const id: string = req.params.id
      res.send(id)
    })
    const site = await Site.open(app)
    expect((await site.get('/p/7')).text).toBe('7')
  })

  it('a cookie that was set before the cache goes out with a page marked private', async () => {
    const pages = responseCache(newCaches())
    const app = express()
    app.use((req, res, next) => {
      if (req.headers.cookie === undefined) res.cookie('visitor', 'id')
      next()
    })
    app.use(pages.cacheSite(), (_req, res) => void res.send('page'))
    const site = await Site.open(app)
    await site.get('/p', { headers: { Cookie: 'visitor=1' } })
    const hit = await site.get('/p')
    expect(hit.cacheStatus).toMatch(/; hit/)
    expect(hit.headers['set-cookie']).toHaveLength(1)
    expect(hit.headers['cache-control']).toBe('private, max-age=600')
    expect(hit.headers.expires).toBeUndefined()
  })

  it('a hit says what the layers around the cache vary on', async () => {
    const pages = responseCache(newCaches())
    const app = express()
    app.use((req, res, next) => {
      const { origin } = req.headers
      if (origin !== undefined) res.set('Access-Control-Allow-Origin', origin).vary('Origin')
      next()
    })
    app.use(pages.cacheSite(), (_req, res) => void res.vary('Accept').set('ETag', '"1"').send('x'))
    const site = await Site.open(app)
    await site.get('/p')
    const headers = { Origin: 'https://a.test' }
    const hit = await site.get('/p', { headers })
    expect(hit.cacheStatus).toMatch(/; hit/)
    expect(hit.headers['access-control-allow-origin']).toBe('https://a.test')
    expect(hit.headers.vary).toBe('Accept, Origin')
    const unchanged = await site.get('/p', { headers: { ...headers, 'If-None-Match': '"1"' } })
    expect([unchanged.status, unchanged.headers.vary]).toEqual([304, 'Accept, Origin'])
  })

  it('a hit has what the handler appended to a list of a layer around the cache', async () => {
    const pages = responseCache(newCaches())
    const app = express()
    app.use((_req, res, next) => {
      res.setHeader('Link', ['<a>', '<b>'])
      next()
    })
    app.get('/p', pages.cachePage(60), (_req, res) => {
      res.appendHeader('Link', '<c>')
      res.end()
    })
    const site = await Site.open(app)
    for (const outcome of [/stored$/, /^fragcache; hit/]) {
      const { headers, cacheStatus } = await site.get('/p')
      expect([headers['link'], cacheStatus]).toEqual([
        '<a>, <b>, <c>',
        expect.stringMatching(outcome),
      ])
    }
  })

  it('a cache further in sees the conditions of the client, not those of the one around it', async () => {
    stopClock()
    const pages = responseCache(newCaches(), { seconds: 10 })
    const special = pages.cachePage(60, { cache: 'special' })
    const app = express()
    let isOn = false
    app.use(pages.cacheSite())
    app.use(
      (req, res, next) => (isOn ? special(req, res, next) : next()),
      (_req, res) => void res.set('ETag', '"1"').send('page'),
    )
    const site = await Site.open(app)
    await site.get('/p')
    vi.setSystemTime(T + 20_000)
    isOn = true
    const other = await site.get('/p')
    expect([other.status, other.text]).toEqual([200, 'page'])
    expect(other.cacheStatus).toBe('fragcache; fwd=uri-miss; stored')
  })

  it.each([
    ['local memory', () => new LocMemCache()],
    ['a cache that answers late', () => new AsyncTestCache()],
  ])('who asks after an invalidation gets nothing from before it: %s', async (_name, newCache) => {
    const caches = createCaches({ default: newCache() })
    const pages = responseCache(caches)
    const app = express()
    let content = 'old'
    let answer: () => void = () => undefined
    const runs: string[] = []
    app.get('/p', pages.cachePage(60, { tags: ['t'] }), (_req, res) => {
      const seen = content
      runs.push(seen)
      if (runs.length === 1) answer = () => void res.send(seen)
      else res.send(seen)
    })
    const site = await Site.open(app)
    const first = site.get('/p')
    await eventually(() => runs.length === 1)
    content = 'new'
    await caches.invalidateTags(['t'])
    const second = site.get('/p')
    setTimeout(() => answer(), 20)
    expect((await first).text).toBe('old')
    expect((await second).text).toBe('new')
    expect((await site.get('/p')).text).toBe('new')
  })

  it('a page that its view has withdrawn is not served stale any more', async () => {
    stopClock()
    const pages = responseCache(newCaches(), { seconds: 10, staleWhileRevalidate: 1000 })
    const app = express()
    let status = 200
    let runs = 0
    app.use(pages.cacheSite(), (_req, res) => void res.status(status).send(`run ${++runs}`))
    const site = await Site.open(app)
    await site.get('/p')
    vi.setSystemTime(T + 20_000)
    status = 410
    expect((await site.get('/p')).text).toBe('run 1')
    await eventually(() => runs === 2)
    const gone = await site.get('/p')
    expect([gone.status, gone.text]).toEqual([410, 'run 3'])
  })

  it('a page that is kept compressed says so after its view has confirmed it', async () => {
    stopClock()
    const pages = responseCache(newCaches(), { precompress: ['gzip'] })
    const app = express()
    const text = 'text '.repeat(1000)
    app.get('/p', pages.cachePage(10), (_req, res) => void res.vary('X-T').type('text').send(text))
    const site = await Site.open(app)
    const headers = { 'Accept-Encoding': 'gzip' }
    await vi.waitFor(async () => {
      expect((await site.get('/p', { headers })).cacheStatus).toMatch(/; hit/)
    })
    vi.setSystemTime(T + 20_000)
    const confirmed = await site.get('/p', { headers })
    expect(confirmed.cacheStatus).toBe('fragcache; fwd=stale; fwd-status=304; stored')
    const hit = await site.get('/p', { headers })
    for (const answer of [confirmed, hit]) {
      expect(answer.headers['content-encoding']).toBe('gzip')
      expect(answer.headers.vary).toBe('X-T, Accept-Encoding')
    }
  })

  it('a cold page that is written in pieces, or is none, is sent to a client with conditions', async () => {
    const pages = responseCache(newCaches())
    const app = express()
    app.use(pages.cacheSite())
    app.get('/pieces', (_req, res) => {
      res.set('ETag', '"1"').write('one ')
      setTimeout(() => res.end('two'), 20)
    })
    app.get('/events', (_req, res) => {
      res.set('ETag', '"1"').type('text/event-stream').write('data: 1\n\n')
    })
    const site = await Site.open(app)
    const headers = { 'If-None-Match': '*' }
    const pieces = await site.get('/pieces', { headers })
    expect([pieces.status, pieces.text]).toEqual([200, 'one two'])
    const request = site.request('/events', { headers })
    const first = await new Promise<string>((resolve) => {
      request.on('response', (response) => response.once('data', (part) => resolve(String(part))))
      request.end()
    })
    expect(first).toBe('data: 1\n\n')
    request.on('error', () => undefined).destroy()
  })

  it('other conditions are the view’s affair, and what is written to the headers stays', async () => {
    const pages = responseCache(newCaches())
    const app = express()
    const seen: unknown[] = []
    app.use((req, res, next) => {
      res.on('finish', () => seen.push([req.headers['if-none-match'], req.headers['x-user']]))
      next()
    })
    app.use(pages.cacheSite(), (req, res) => {
      req.headers['x-user'] = 'ann'
      if (req.headers['if-match'] !== undefined) res.status(412).end()
      else res.set('ETag', '"1"').send('page')
    })
    const site = await Site.open(app)
    const both = { 'If-None-Match': '"0"', 'If-Match': '"2"' }
    expect((await site.get('/a', { headers: both })).status).toBe(412)
    expect((await site.get('/b', { headers: { 'If-None-Match': '"1"' } })).status).toBe(304)
    expect((await site.get('/b')).text).toBe('page')
    await eventually(() => seen.length === 3)
    expect(seen).toEqual([
      ['"0"', 'ann'],
      ['"1"', 'ann'],
      [undefined, undefined],
    ])
  })

  it('a cookie is not for the CDN either', async () => {
    const pages = responseCache(newCaches())
    const app = express()
    app.use((req, res, next) => {
      if (req.headers.cookie === undefined) res.cookie('visitor', 'id')
      next()
    })
    app.use(pages.cacheSite(), (_req, res) => {
      res.set({ 'CDN-Cache-Control': 'max-age=600', 'X-Accel-Expires': '600' }).send('page')
    })
    const site = await Site.open(app)
    await site.get('/p', { headers: { Cookie: 'visitor=1' } })
    const hit = await site.get('/p')
    expect(hit.headers['set-cookie']).toHaveLength(1)
    expect(hit.headers['cdn-cache-control']).toBeUndefined()
    expect(hit.headers['x-accel-expires']).toBeUndefined()
  })

  it('an answer to one visitor drops no page of everybody', async () => {
    stopClock()
    const pages = responseCache(newCaches(), { seconds: 10, staleIfError: 1000 })
    const app = express()
    let isDown = false
    app.use(pages.cacheSite(), (req, res) => {
      if (req.headers.cookie !== undefined) res.set('Cache-Control', 'private').send('mine')
      else if (req.headers['x-bad'] !== undefined) res.status(404).end()
      else if (isDown) res.status(503).end()
      else res.send('page')
    })
    const site = await Site.open(app)
    await site.get('/p')
    vi.setSystemTime(T + 20_000)
    isDown = true
    expect((await site.get('/p', { headers: { Cookie: 'a=1' } })).text).toBe('mine')
    expect((await site.get('/p', { headers: { 'X-Bad': '1' } })).status).toBe(404)
    const standIn = await site.get('/p')
    expect([standIn.status, standIn.text]).toEqual([200, 'page'])
  })

  it('a variant can be dropped before it is known what the page varies on', async () => {
    const pages = responseCache(newCaches())
    const app = express()
    let content = 'old'
    let answer: (() => void) | undefined
    app.use(pages.cacheSite(), (_req, res) => {
      const seen = content
      const send = () => void res.vary('X-A').send(seen)
      if (answer === undefined) answer = send
      else send()
    })
    const site = await Site.open(app)
    const headers = { 'X-A': '1' }
    const first = site.get('/p', { headers })
    await eventually(() => answer !== undefined)
    content = 'new'
    await pages.invalidate(`${site.origin}/p`, { vary: headers })
    answer?.()
    expect((await first).text).toBe('old')
    expect((await site.get('/p', { headers })).text).toBe('new')
  })

  it('a listener keeps what was set before it', async () => {
    const pages = responseCache(newCaches(), { isPersonal: false })
    const app = express()
    app.use((_req, res) => void res.vary('Accept').send('page'))
    const listener = pages.listener(app)
    const site = await Site.open((req: IncomingMessage, res: ServerResponse) => {
      const { origin } = req.headers
      if (origin !== undefined) {
        res.setHeader('Access-Control-Allow-Origin', origin)
        res.setHeader('Vary', 'Origin')
        res.setHeader('Set-Cookie', 'visitor=1')
      }
      listener(req, res)
    })
    await site.get('/p')
    const hit = await site.get('/p', { headers: { Origin: 'https://a.test' } })
    expect(hit.cacheStatus).toMatch(/; hit/)
    expect(hit.headers.vary).toBe('Accept, Origin')
    expect(hit.headers['cache-control']).toBe('private, max-age=600')
  })

  describe.each([
    ['alone', false],
    ['in front of cacheSite', true],
  ])('a listener %s', (_name, isInside) => {
    it('has the page made again in the background, and answers that in front', async () => {
      stopClock()
      const pages = responseCache(newCaches(), { seconds: 10, staleWhileRevalidate: 1000 })
      const app = express()
      if (isInside) app.use(pages.cacheSite())
      let runs = 0
      let calls = 0
      app.use((_req, res) => void res.send(`run ${++runs}`))
      const listener = pages.listener(app)
      const called = app as unknown as { handle: (...args: unknown[]) => void }
      const handle = called.handle.bind(app)
      called.handle = (...args) => {
        calls++
        handle(...args)
      }
      const site = await Site.open((req: IncomingMessage, res: ServerResponse) =>
        listener(req, res),
      )
      await site.get('/p')
      vi.setSystemTime(T + 20_000)
      expect((await site.get('/p')).text).toBe('run 1')
      await eventually(() => runs === 2)
      await vi.waitFor(async () => expect((await site.get('/p')).text).toBe('run 2'))
      const before = calls
      expect((await site.get('/p')).text).toBe('run 2')
      expect([runs, calls - before]).toEqual([2, 0])
    })
  })
})
