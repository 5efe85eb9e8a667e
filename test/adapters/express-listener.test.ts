import { gunzipSync } from 'node:zlib'
import type { Express, NextFunction, Request, RequestHandler, Response } from 'express'
import { createCaches, LocMemCache, type Cache } from 'fragcache'
import { responseCache, type ResponseCache, type ResponseCacheOptions } from 'fragcache/express'
import { describe, expect, it } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { stopClock, watchOutcomes } from '../support/cached-site.js'
import {
  comparable,
  eventually,
  expressVersions,
  session,
  Site,
  type RequestOptions,
} from '../support/express.js'
import { gate } from '../support/waiting.js'

type SetUp = (app: Express, pages: ResponseCache, view: RequestHandler) => unknown

const onlyTheListener: SetUp = (app, _pages, view) => app.use(view)
const siteInside: SetUp = (app, pages, view) => app.use(pages.cacheSite()).use(view)
const pageInside: SetUp = (app, pages, view) => app.use(pages.cachePage(600), view)
const halvesInside: SetUp = (app, pages, view) =>
  app.use(pages.updateCache(), pages.fetchFromCache(), view)

const arrangements: [string, SetUp][] = [
  ['no other cache', onlyTheListener],
  ['cacheSite first', siteInside],
  ['cachePage', pageInside],
  ['the two halves', halvesInside],
]

/** Where nothing stands before the cache, hits need not reach the application. */
const inFront = arrangements.slice(0, 2)

const backends: [string, () => Cache][] = [
  ['LocMemCache', () => new LocMemCache()],
  ['a cache that answers late', () => new AsyncTestCache()],
]

const TEXT = 'words and more words, '.repeat(200)

describe.each(expressVersions)('a listener in front of $version', ({ express }) => {
  interface Options extends ResponseCacheOptions {
    readonly cache?: Cache
    readonly app?: Express
  }

  /** A site behind the listener, and how often its application and its view were reached. */
  async function frontSite(
    setUp: SetUp,
    view: RequestHandler,
    { cache = new LocMemCache(), app = express(), ...options }: Options = {},
  ) {
    const pages = responseCache<string>(createCaches({ default: cache }), options)
    const counts = { app: 0, view: 0 }
    setUp(app, pages, (req, res, next) => {
      counts.view++
      void view(req, res, next)
    })
    const own = app as unknown as { handle: (...args: unknown[]) => void }
    const handle = own.handle.bind(app)
    own.handle = (...args) => {
      counts.app++
      handle(...args)
    }
    return { site: await Site.open(pages.listener(app)), app, pages, counts }
  }

  /** As different servers see the same site. */
  const HOST = { Host: 'example.com' }

  describe.each(arrangements)('with %s inside', (name, setUp) => {
    const isInFront = inFront.some(([one]) => one === name)

    it.each(backends)('answers a hit from %s as the view did', async (_name, newCache) => {
      const { site, counts } = await frontSite(
        setUp,
        (_req, res) => {
          res.append('Link', '</a>; rel=next').append('Link', '</b>; rel=prev')
          res
            .set('X-Custom', 'é')
            .status(200)
            .send(`<p>${'ü'.repeat(5000)}</p>`)
        },
        { cache: newCache() },
      )
      const cold = await site.get('/p?a=1')
      const warm = await site.get('/p?a=1')
      expect(counts).toEqual({ app: isInFront ? 1 : 2, view: 1 })
      expect(warm.status).toBe(200)
      expect(warm.body.equals(cold.body)).toBe(true)
      const lines = (answer: typeof cold) =>
        comparable(answer)
          .filter((line) => !line.startsWith('X-Powered-By'))
          .sort()
      expect(lines(warm)).toEqual(lines(cold))
      expect(cold.cacheStatus).toBe('fragcache; fwd=uri-miss; stored')
      expect(warm.cacheStatus).toMatch(/^fragcache; hit; ttl=(600|599)$/)
      expect(warm.headers.age).toBe('0')
    })

    it('tells the age, and lets a page expire', async () => {
      const clock = stopClock()
      const { site, counts } = await frontSite(setUp, (_req, res) => res.send(`run ${counts.view}`))
      const outcomes = watchOutcomes(site.origin)
      await site.get('/p')
      clock.advance(599)
      const warm = await site.get('/p')
      expect(warm.text).toBe('run 1')
      expect(warm.headers.age).toBe('599')
      expect(warm.cacheStatus).toBe('fragcache; hit; ttl=1')
      clock.advance(1)
      expect((await site.get('/p')).text).toBe('run 2')
      expect(outcomes).toEqual(['miss', 'hit', 'miss'])
    })

    it('hands on what is not for the cache, and drops what it changed', async () => {
      const { site, counts } = await frontSite(setUp, (req, res) => {
        if (req.method === 'GET') return void res.send(`run ${counts.view}`)
        let body = ''
        req.setEncoding('utf8').on('data', (piece: string) => (body += piece))
        req.on('end', () => res.status(201).send(`${req.method} ${body}`))
      })
      await site.get('/p')
      expect((await site.get('/p')).text).toBe('run 1')
      const posted = await site.get('/p', { method: 'POST', body: 'a form' })
      expect(posted).toMatchObject({ status: 201, text: 'POST a form' })
      expect((await site.get('/p')).text).toBe('run 3')
    })

    it('stores nothing private, and nothing of an error', async () => {
      const { site, counts } = await frontSite(setUp, (req, res) => {
        if (req.path === '/private') res.set('Cache-Control', 'private')
        if (req.path === '/cookie') res.cookie('id', String(counts.view))
        if (req.path === '/error') res.status(500)
        res.send(`run ${counts.view}`)
      })
      let runs = 0
      for (const path of ['/private', '/cookie', '/error']) {
        for (let i = 0; i < 2; i++) expect((await site.get(path)).text).toBe(`run ${++runs}`)
      }
    })

    it('serves the page although the cache is down', async () => {
      const cache = new AsyncTestCache()
      const { site } = await frontSite(setUp, (_req, res) => res.send('page'), { cache })
      cache.failing = true
      for (let i = 0; i < 2; i++) {
        expect(await site.get('/p')).toMatchObject({ status: 200, text: 'page' })
      }
      cache.failing = false
      await site.get('/p')
      expect((await site.get('/p')).cacheStatus).toMatch(/hit/)
    })

    it('runs the view once for many', async () => {
      const ready = gate()
      const { site, counts } = await frontSite(setUp, async (_req, res) => {
        await ready.opened
        res.send(`run ${counts.view}`)
      })
      let arrivals = 0
      site.server.prependListener('request', () => arrivals++)
      const asked = Array.from({ length: 10 }, () => site.get('/p'))
      await eventually(() => arrivals === 10)
      ready.open()
      for (const { text } of await Promise.all(asked)) expect(text).toBe('run 1')
      expect(counts.view).toBe(1)
    })

    it('lets invalidate and Vary count', async () => {
      const { site, pages, counts } = await frontSite(setUp, (req, res) => {
        res.vary('Accept-Language')
        res.send(`${String(req.headers['accept-language'])} ${counts.view}`)
      })
      const get = async (language: string) =>
        (await site.get('/p', { headers: { 'Accept-Language': language } })).text
      expect([await get('de'), await get('fr'), await get('de'), await get('fr')]).toEqual([
        'de 1',
        'fr 2',
        'de 1',
        'fr 2',
      ])
      await pages.invalidate(`${site.origin}/p`)
      expect([await get('de'), await get('fr')]).toEqual(['de 3', 'fr 4'])
    })
  })

  describe.each(inFront)('with %s, a hit', (_name, setUp) => {
    const view: RequestHandler = (_req, res) => {
      res.set({ ETag: '"v1"', 'Last-Modified': 'Tue, 14 Nov 2023 00:00:00 GMT' }).send(TEXT)
    }

    it.each<[string, RequestOptions]>([
      ['GET', {}],
      ['HEAD', { method: 'HEAD' }],
      ['If-None-Match', { headers: { 'If-None-Match': '"v1"' } }],
      ['another If-None-Match', { headers: { 'If-None-Match': '"v0"' } }],
      ['If-Modified-Since', { headers: { 'If-Modified-Since': 'Tue, 14 Nov 2023 00:00:00 GMT' } }],
      ['HEAD with If-None-Match', { method: 'HEAD', headers: { 'If-None-Match': '*' } }],
      ['Range', { headers: { Range: 'bytes=2-5' } }],
      ['a Range beyond the end', { headers: { Range: 'bytes=100000-' } }],
      ['If-Range', { headers: { Range: 'bytes=2-5', 'If-Range': '"v0"' } }],
      ['Accept-Encoding', { headers: { 'Accept-Encoding': 'gzip' } }],
      ['Accept-Encoding it has not', { headers: { 'Accept-Encoding': 'deflate' } }],
      ['Range and Accept-Encoding', { headers: { Range: 'bytes=0-1', 'Accept-Encoding': 'gzip' } }],
    ])('for %s is that of the cache further in', async (_kind, options) => {
      const cache = new LocMemCache()
      const precompress = ['gzip'] as const
      const { site, counts } = await frontSite(setUp, view, { cache, precompress })
      const outcomes = watchOutcomes('http://example.com')
      const asked = { ...options, headers: { ...options.headers, ...HOST } }
      await site.get('/p', { headers: HOST })
      // It is compressed first.
      await eventually(() => outcomes.includes('miss'))
      const front = await site.get('/p', asked)
      expect(counts).toEqual({ app: 1, view: 1 })

      // The same cache, asked in the application.
      const inside = express().disable('x-powered-by')
      inside.use(responseCache(createCaches({ default: cache }), { precompress }).cacheSite())
      const behind = await (await Site.open(inside)).get('/p', asked)
      expect(behind.cacheStatus).toMatch(/hit/)
      expect(front.cacheStatus).toMatch(/hit/)
      expect(front.status).toBe(behind.status)
      expect(front.body.equals(behind.body)).toBe(true)
      const lines = (answer: typeof front) =>
        comparable(answer)
          .filter((line) => !line.startsWith('X-Powered-By'))
          .sort()
      expect(lines(front)).toEqual(lines(behind))
    })

    it('compressed is the page', async () => {
      const { site } = await frontSite(setUp, view, { precompress: ['gzip'] })
      const outcomes = watchOutcomes(site.origin)
      await site.get('/p')
      await eventually(() => outcomes.includes('miss'))
      const zipped = await site.get('/p', { headers: { 'Accept-Encoding': 'gzip' } })
      expect(zipped.headers['content-encoding']).toBe('gzip')
      expect(zipped.headers.etag).toBe('W/"v1"')
      expect(zipped.headers['content-length']).toBe(String(zipped.body.length))
      expect(gunzipSync(zipped.body).toString()).toBe(TEXT)
    })

    it('is found under the key that the application gives it', async () => {
      const cache = new LocMemCache()
      const { site, app, counts } = await frontSite(
        (app, pages, view) => {
          if (setUp === siteInside) app.use(pages.cacheSite())
          app.get('/key', neverStored, async (req, res) => {
            Object.assign(req, { originalUrl: '/p', url: '/p' })
            res.send(String(await pages.getCacheKey(req)))
          })
          app.use(view)
        },
        (_req, res) => res.send(`run ${counts.view}`),
        { cache, isPersonal: false },
      )
      app.set('trust proxy', true)
      const headers = { 'X-Forwarded-Host': 'shop.example:8443', 'X-Forwarded-Proto': 'https' }
      await site.get('/p', { headers })
      const key = (await site.get('/key', { headers })).text
      expect(key).toMatch(/^views\.decorators\.cache\.cache_page\.\.GET\./)
      expect(await cache.has(key)).toBe(true)
      expect((await site.get('/p', { headers })).text).toBe('run 1')
      // Without the proxy's headers it is another page.
      expect((await site.get('/p')).text).toBe('run 2')
    })

    it('does not heed forwarded headers that the application does not trust', async () => {
      const { site, counts } = await frontSite(setUp, (req, res) =>
        res.send(`${req.protocol} ${req.headers.host} ${counts.view}`),
      )
      const headers = { ...HOST, 'X-Forwarded-Host': 'evil.example', 'X-Forwarded-Proto': 'https' }
      expect((await site.get('/p', { headers })).text).toBe('http example.com 1')
      expect((await site.get('/p', { headers: HOST })).text).toBe('http example.com 1')
    })

    it('is told apart by the query that counts', async () => {
      const { site, counts } = await frontSite(
        setUp,
        (req, res) => res.json([counts.view, req.query]),
        { query: { ignore: ['utm_*'] } },
      )
      const get = async (path: string) => JSON.parse((await site.get(path)).text) as unknown
      expect(await get('/p?a=1&utm_source=x')).toEqual([1, { a: '1' }])
      expect(await get('/p?utm_medium=y&a=1')).toEqual([1, { a: '1' }])
      expect(await get('/p?a=2')).toEqual([2, { a: '2' }])
      expect(counts.app).toBe(2)
    })

    it('has its own status and message', async () => {
      const { site, counts } = await frontSite(
        setUp,
        (_req, res) => {
          res.statusMessage = 'Nothing here'
          res.status(404).send('none')
        },
        { statuses: [200, 404] },
      )
      await site.get('/p')
      const warm = await site.get('/p')
      expect(warm).toMatchObject({ status: 404, statusMessage: 'Nothing here', text: 'none' })
      expect(counts.view).toBe(1)
    })

    it('says nothing of the cache where that is switched off', async () => {
      const { site } = await frontSite(setUp, view, { cacheStatus: false })
      await site.get('/p')
      const warm = await site.get('/p')
      expect(warm.headers.age).toBe('0')
      expect(warm.cacheStatus).toBeUndefined()
    })

    it('is not for a request with Cookie, unless the page is for it', async () => {
      const { site, counts } = await frontSite(setUp, (req, res) => {
        if (req.path === '/public') res.set('Cache-Control', 'public')
        if (req.path === '/vary') res.vary('Cookie')
        res.send(`run ${counts.view}`)
      })
      const headers = { Cookie: 'a=1' }
      for (const path of ['/public', '/vary', '/p']) await site.get(path, { headers })
      counts.app = 0
      expect((await site.get('/public', { headers })).text).toBe('run 1')
      expect((await site.get('/vary', { headers })).text).toBe('run 2')
      expect(counts.app).toBe(0)
      await site.get('/p', { headers })
      expect(counts.app).toBe(1)
    })

    it('is for everybody where the site says that nobody is personal', async () => {
      const { site, counts } = await frontSite(setUp, (_req, res) => res.send('page'), {
        isPersonal: false,
      })
      await site.get('/p')
      await site.get('/p', { headers: { Cookie: 'a=1' } })
      expect(counts).toEqual({ app: 1, view: 1 })
    })

    it('is handed on where the language decides', async () => {
      const { site } = await frontSite(
        setUp,
        (req, res) => res.send(`in ${String(req.headers['x-language'])}`),
        { language: (req) => req.get('x-language') },
      )
      for (const language of ['de', 'fr', 'de']) {
        const headers = { 'X-Language': language }
        expect((await site.get('/p', { headers })).text).toBe(`in ${language}`)
      }
    })
  })

  it('gives a visitor whom a session knows no page that was made for nobody', async () => {
    const { site } = await frontSite(
      (app, _pages, view) => {
        app.use(session({ secret: 's', resave: false, saveUninitialized: false }))
        app.use(view)
      },
      (req, res) => {
        const { session } = req as unknown as { session: { user?: string } }
        if (req.path === '/login') session.user = 'alice'
        res.send(`for ${session.user ?? 'nobody'}`)
      },
    )
    expect((await site.get('/p')).text).toBe('for nobody')
    const { headers } = await site.get('/login')
    const Cookie = headers['set-cookie']?.[0]?.split(';')[0] ?? ''
    expect((await site.get('/p', { headers: { Cookie } })).text).toBe('for alice')
    expect((await site.get('/q', { headers: { Cookie } })).text).toBe('for alice')
    expect((await site.get('/q')).text).toBe('for nobody')
  })

  it('hands errors and unknown paths to the application', async () => {
    const { site } = await frontSite(
      (app, _pages, view) => {
        app.get('/error', view)
        app.use((_error: unknown, _req: Request, res: Response, _next: NextFunction) => {
          res.status(500).send('handled')
        })
      },
      (_req, _res, next) => next(new Error('failed')),
    )
    expect((await site.get('/unknown')).status).toBe(404)
    const lines = await site.raw('GET /error HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    expect(lines).toMatch(/^HTTP\/1\.1 500 /)
  })

  it.each([undefined, null, {}, () => undefined, 'app'])('refuses %s', (app) => {
    const pages = responseCache(createCaches({ default: new LocMemCache() }))
    expect(() => pages.listener(app as Express)).toThrow(
      /listener: .* is not an Express application; give the result of express\(\)/,
    )
  })
})

/** Its answer is not the cache's affair. */
const neverStored: RequestHandler = (_req, res, next) => {
  res.set('Cache-Control', 'no-store')
  next()
}
