import type { Request, RequestHandler, Response } from 'express'
import { createCaches, LocMemCache, type Cache, type Caches } from 'fragcache'
import {
  condition,
  conditionalGet,
  responseCache,
  varyOnCookie,
  type ResponseCache,
  type ResponseCacheOptions,
} from 'fragcache/express'
import { describe, expect, it } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { cachedSite, stopClock, watchOutcomes, type View } from '../support/cached-site.js'
import { compression, eventually, oneExpress, Site, type Answer } from '../support/express.js'

const backends: [string, () => Cache][] = [
  ['LocMemCache', () => new LocMemCache()],
  ['a cache that answers late', () => new AsyncTestCache()],
]

const TEXT = 'words and more words, '.repeat(500)

describe.each(oneExpress)('in $version', ({ express }) => {
  describe('a part of a page', () => {
    const RANGE = { Range: 'bytes=0-1999' }

    it.each<[string, View]>([
      ['text', (_req, res) => res.send(TEXT)],
      ['JSON', (_req, res) => res.type('json').send(TEXT)],
    ])('is not compressed by a layer around the cache: %s', async (_name, view) => {
      const { site } = await cachedSite(express, view, { before: [compression()] })
      await site.get('/p')
      const zipped = await site.get('/p', { headers: { ...RANGE, 'Accept-Encoding': 'gzip' } })
      expect(zipped.cacheStatus).toMatch(/; hit/)
      expect([zipped.status, zipped.headers['content-encoding']]).toEqual([200, 'gzip'])
      expect(zipped.headers).not.toHaveProperty('content-range')
      const plain = await site.get('/p', { headers: RANGE })
      expect([plain.status, plain.text]).toEqual([206, TEXT.slice(0, 2000)])
      expect(plain.headers).not.toHaveProperty('content-encoding')
    })

    it('is sent where such a layer leaves it alone', async () => {
      const { site } = await cachedSite(express, (_req, res) => res.type('png').send(TEXT), {
        before: [compression()],
      })
      await site.get('/p')
      const part = await site.get('/p', { headers: { ...RANGE, 'Accept-Encoding': 'gzip' } })
      expect([part.status, part.text]).toEqual([206, TEXT.slice(0, 2000)])
      expect(part.headers['content-range']).toBe(`bytes 0-1999/${TEXT.length}`)
      expect(part.headers).not.toHaveProperty('content-encoding')
    })
  })

  describe('what a view gives writeHead', () => {
    type Head = (res: Response) => unknown
    const pairs = [
      ['Link', '</a>'],
      ['Link', '</b>'],
      ['Set-Cookie', 'a=1'],
      ['Set-Cookie', 'b=2'],
      ['X-One', '1'],
    ]
    const object = { Link: ['</a>', '</b>'], 'Set-Cookie': ['a=1', 'b=2'], 'X-One': '1' }
    // Pairs are no headers to the types of Node, and yet they are to Node.
    const write = (res: Response, ...args: unknown[]) =>
      (res.writeHead as (...args: unknown[]) => Response).apply(res, args).end('x')
    const heads: [string, Head][] = [
      ['pairs', (res) => write(res, 200, pairs)],
      ['a message and pairs', (res) => write(res, 200, 'Fine', pairs)],
      ['a flat list', (res) => write(res, 200, pairs.flat())],
      ['a message and a flat list', (res) => write(res, 200, 'Fine', pairs.flat())],
      ['an object', (res) => write(res, 200, object)],
      ['a message and an object', (res) => write(res, 200, 'Fine', object)],
      ['a message alone', (res) => write(res, 200, 'Fine')],
      ['an empty list', (res) => write(res, 200, [])],
    ]

    const sent = ({ status, statusMessage, text, rawHeaders }: Answer) => {
      const lines: string[] = []
      for (let i = 0; i < rawHeaders.length; i += 2) {
        const line = `${rawHeaders[i]}: ${rawHeaders[i + 1]}`
        if (/^(?:link|set-cookie|x-one):/i.test(line)) lines.push(line)
      }
      return { status, statusMessage, text, lines: lines.sort() }
    }

    async function openBoth(head: Head, cache: Cache = new LocMemCache()) {
      const open = (...before: RequestHandler[]) => {
        const app = express()
        // Without it Node takes the headers as they come.
        app.disable('x-powered-by')
        if (before.length > 0) app.use(...before)
        app.use((_req, res) => void head(res))
        return Site.open(app)
      }
      const pages = responseCache(createCaches({ default: cache }))
      return { bare: await open(), cached: await open(pages.cacheSite()), open }
    }

    it.each(heads)('arrives as without a cache: %s', async (_name, head) => {
      const { bare, cached } = await openBoth(head)
      for (const method of ['GET', 'HEAD', 'POST']) {
        const expected = sent(await bare.get('/p', { method }))
        expect(expected.status).toBe(200)
        expect(sent(await cached.get('/p', { method }))).toEqual(expected)
      }
    })

    it.each(heads)('arrives where the cache is passed over: %s', async (_name, head) => {
      const { bare, cached } = await openBoth(head)
      const withBody = { headers: { 'Content-Length': '2' }, body: 'hi' }
      const answer = await cached.get('/p', withBody)
      expect(answer.cacheStatus).toBe('fragcache; fwd=bypass; detail=request-body')
      expect(sent(answer)).toEqual(sent(await bare.get('/p', withBody)))
    })

    it.each(heads)('arrives where the cache fails: %s', async (_name, head) => {
      const cache = new AsyncTestCache()
      cache.failing = true
      const { bare, cached } = await openBoth(head, cache)
      const answer = await cached.get('/p')
      expect(answer.cacheStatus).toBe('fragcache; fwd=bypass; detail=cache-failed')
      expect(sent(answer)).toEqual(sent(await bare.get('/p')))
    })

    it.each(heads)('arrives through the middlewares of headers: %s', async (_name, head) => {
      const { bare, open } = await openBoth(head)
      const expected = sent(await bare.get('/p'))
      const etag = condition({ etag: () => 'a' })
      for (const middleware of [conditionalGet(), varyOnCookie(), etag]) {
        expect(sent(await (await open(middleware)).get('/p'))).toEqual(expected)
      }
    })

    it('is kept whole', async () => {
      const { cached } = await openBoth((res) =>
        write(
          res,
          200,
          'Fine',
          pairs.filter(([name]) => name !== 'Set-Cookie'),
        ),
      )
      expect((await cached.get('/p')).cacheStatus).toMatch(/; stored$/)
      const hit = await cached.get('/p')
      expect(hit.cacheStatus).toMatch(/; hit/)
      expect(sent(hit)).toEqual({
        status: 200,
        statusMessage: 'Fine',
        text: 'x',
        lines: ['Link: </a>', 'Link: </b>', 'X-One: 1'],
      })
    })
  })

  describe('s-maxage', () => {
    it.each([
      ['s-maxage=9999', 's-maxage=60, max-age=60'],
      ['public, s-maxage=9999, max-age=5', 'public, s-maxage=60, max-age=5'],
      ['S-MaxAge=9999', 's-maxage=60, max-age=60'],
      ['s-maxage="9999"', 's-maxage=60, max-age=60'],
      ['s-maxage=99999999999999999999', 's-maxage=60, max-age=60'],
      ['s-maxage=10', 's-maxage=10, max-age=60'],
    ])('%j is passed on for as long as the page is kept at most', async (said, told) => {
      stopClock()
      const view: View = (_req, res) => res.set('Cache-Control', said).send('page')
      const { site } = await cachedSite(express, view, { page: [60] })
      expect((await site.get('/p')).headers['cache-control']).toBe(told)
      const hit = await site.get('/p')
      expect([hit.cacheStatus, hit.headers['cache-control']]).toEqual([
        'fragcache; hit; ttl=60',
        told,
      ])
    })
  })

  describe.each(backends)('an older page in %s stands in for a view that fails', (_name, make) => {
    it.each([
      ['HEAD', { method: 'HEAD' }, 200, ''],
      ['a part', { headers: { Range: 'bytes=1-3' } }, 206, 'age'],
      ['the whole', {}, 200, 'page'],
    ])('for %s', async (_kind, request, status, text) => {
      const clock = stopClock()
      let fails = false
      const asked: unknown[] = []
      const { site } = await cachedSite(
        express,
        (req, res) => {
          asked.push(req.headers['if-none-match'])
          if (fails) res.status(503).send('down')
          else res.set('ETag', '"v1"').send('page')
        },
        { cache: make(), page: [60], staleIfError: 1000 },
      )
      const outcomes = watchOutcomes(site.origin)
      await site.get('/p')
      await eventually(() => outcomes.length === 1)
      clock.advance(70)
      fails = true
      const answer = await site.get('/p', request)
      expect([answer.status, answer.text]).toEqual([status, text])
      expect(answer.cacheStatus).toBe('fragcache; hit; ttl=-10; detail=view-failed-503')
      expect(answer.headers.etag).toBe('"v1"')
      // Neither could be answered by that the whole is right still.
      expect(asked[1]).toBe(status === 200 && text !== '' ? '"v1"' : undefined)
      clock.advance(1000)
      expect((await site.get('/p', request)).status).toBe(503)
    })
  })

  describe('a request that offers another protocol', () => {
    it.each([
      ['h2c', /; hit/],
      ['H2C', /; hit/],
      ['websocket', /^fragcache; fwd=bypass; detail=upgrade$/],
      ['h2c, websocket', /^fragcache; fwd=bypass; detail=upgrade$/],
    ])('Upgrade: %s', async (protocol, cacheStatus) => {
      const { site } = await cachedSite(express, (_req, res) => res.send('page'))
      await site.get('/p')
      const headers = { Connection: 'Upgrade', Upgrade: protocol }
      const answer = await site.get('/p', { headers })
      expect(answer.text).toBe('page')
      expect(answer.cacheStatus).toMatch(cacheStatus)
    })
  })

  describe.each(backends)("the site's functions, over %s", (_name, make) => {
    it('are asked no more often than it takes', async () => {
      const calls = { language: 0, timeZone: 0, isPersonal: 0 }
      const { site } = await cachedSite(express, (_req, res) => res.send('page'), {
        cache: make(),
        language: () => (calls.language++, 'de'),
        timeZone: () => (calls.timeZone++, 'UTC'),
        isPersonal: () => (calls.isPersonal++, false),
      })
      const outcomes = watchOutcomes(site.origin)
      const callsOf = async () => {
        Object.assign(calls, { language: 0, timeZone: 0, isPersonal: 0 })
        const { length } = outcomes
        await site.get('/p')
        await eventually(() => outcomes.length > length)
        return { ...calls }
      }
      // Whose it is may change: asked before the view, at its headers, and when all is out.
      expect(await callsOf()).toEqual({ language: 2, timeZone: 2, isPersonal: 3 })
      expect(await callsOf()).toEqual({ language: 1, timeZone: 1, isPersonal: 1 })
    })

    it('nor where nobody watches', async () => {
      const calls = { language: 0, timeZone: 0 }
      const { site } = await cachedSite(express, (_req, res) => res.send('page'), {
        cache: make(),
        language: () => (calls.language++, 'de'),
        timeZone: () => (calls.timeZone++, 'UTC'),
      })
      await site.get('/p')
      expect(calls).toEqual({ language: 2, timeZone: 2 })
      expect((await site.get('/p')).cacheStatus).toMatch(/; hit/)
      expect(calls).toEqual({ language: 3, timeZone: 3 })
    })
  })

  describe('a page kept compressed', () => {
    type Open = (pages: ResponseCache, view: RequestHandler) => Promise<Site>
    const arrangements: [string, Open][] = [
      ['behind cacheSite', (pages, view) => Site.open(express().use(pages.cacheSite(), view))],
      ['behind a listener', (pages, view) => Site.open(pages.listener(express().use(view)))],
    ]
    const encodings = ['gzip', 'gzip, br', 'gzip, deflate, br', 'br;q=1.0', undefined]

    it.each(
      arrangements.flatMap(([name, open]) => [
        [`${name}, confirmed while somebody waits`, open, {}] as const,
        [`${name}, confirmed in the background`, open, { staleWhileRevalidate: 1000 }] as const,
      ]),
    )('stays one page, %s', async (_name, open, options: ResponseCacheOptions) => {
      const clock = stopClock()
      const caches = createCaches({ default: new LocMemCache() })
      const pages = responseCache<string>(caches, {
        seconds: 60,
        precompress: ['br', 'gzip'],
        ...options,
      })
      let runs = 0
      const site = await open(pages, (_req, res) => {
        runs++
        // Express gives it an ETag, and answers 304 by itself.
        res.send(TEXT)
      })
      const accepting = (encoding: string | undefined, headers = {}) =>
        site.get('/p', {
          headers: { ...headers, ...(encoding !== undefined && { 'Accept-Encoding': encoding }) },
        })
      const outcomes = watchOutcomes(site.origin)
      const { headers } = await accepting('br')
      await eventually(() => outcomes.includes('miss'))
      for (let times = 1; times <= 2; times++) {
        clock.advance(61)
        await accepting('br')
        await eventually(() => outcomes.filter((outcome) => outcome === 'miss').length > times)
        for (const encoding of encodings) {
          const hit = await accepting(encoding)
          expect(hit.cacheStatus).toBe('fragcache; hit; ttl=60')
          expect(hit.headers.vary).toBe('Accept-Encoding')
          const coding =
            encoding === undefined ? undefined : encoding.includes('br') ? 'br' : 'gzip'
          expect(hit.headers['content-encoding']).toBe(coding)
          const unchanged = await accepting(encoding, { 'If-None-Match': headers.etag })
          expect([unchanged.status, unchanged.headers.vary]).toEqual([304, 'Accept-Encoding'])
        }
      }
      expect(runs).toBe(3)
    })
  })

  it('a visitor for whom the page that is there is not meant passes it by', async () => {
    const { site } = await cachedSite(express, (req, res) => res.send(greeting(req)), {
      before: [signIn],
    })
    const headers = { Cookie: 'user=ada' }
    const first = await site.get('/p', { headers })
    expect(first.cacheStatus).toBe('fragcache; fwd=uri-miss; detail=personal')
    await site.get('/p')
    const second = await site.get('/p', { headers })
    expect([second.text, second.cacheStatus]).toEqual([
      'hello ada',
      'fragcache; fwd=bypass; detail=personal',
    ])
  })

  describe('a listener', () => {
    it('alone, answers nobody whom only the application may know', async () => {
      const pages = responseCache(createCaches({ default: new LocMemCache() }), {
        isPersonal: (req) => (req as { user?: string }).user !== undefined,
      })
      const app = express()
      app.use(signIn, (req, res) => void res.send(greeting(req)))
      const site = await Site.open(pages.listener(app))
      expect((await site.get('/p')).text).toBe('hello nobody')
      expect((await site.get('/p')).cacheStatus).toMatch(/; hit/)
      for (let times = 0; times < 2; times++) {
        const own = await site.get('/p', { headers: { Cookie: 'user=ada' } })
        expect([own.text, own.cacheStatus]).toEqual([
          'hello ada',
          'fragcache; fwd=bypass; detail=personal',
        ])
      }
      expect((await site.get('/p')).text).toBe('hello nobody')
    })

    describe.each(backends)('over %s', (_name, make) => {
      it.each<[string, (pages: ResponseCache) => RequestHandler[]]>([
        ['alone', () => []],
        ['with cacheSite inside', (pages) => [pages.cacheSite()]],
      ])('%s, leaves to Express what a trust proxy throws', async (_kind, before) => {
        const pages = responseCache(createCaches({ default: make() }))
        const app = express()
        // Express does not log errors then.
        app.set('env', 'test')
        app.set('trust proxy', () => {
          throw new Error('no such proxy')
        })
        for (const middleware of before(pages)) app.use(middleware)
        app.use('/told', (req, res) => void res.send(req.protocol))
        app.use((_req, res) => void res.send('page'))
        const site = await Site.open(pages.listener(app))
        for (const method of ['GET', 'POST']) {
          const headers = { 'X-Forwarded-Proto': 'https' }
          const failed = await site.get('/told', { method, headers })
          expect([failed.status, failed.headers['cache-status']]).toEqual([500, undefined])
          expect(failed.text).toContain('no such proxy')
          expect((await site.get('/p', { method })).text).toBe('page')
        }
      })
    })
  })

  describe('slips are told at once:', () => {
    const newPages = () => responseCache(createCaches({ default: new LocMemCache() }))

    it.each(['cacheSite', 'updateCache', 'fetchFromCache'] as const)(
      '%s that is used itself, or given options',
      async (name) => {
        const pages = newPages()
        const make = pages[name] as (...args: unknown[]) => RequestHandler
        const message = `${name} takes no arguments and makes a middleware: write app.use(pages.${name}())`
        expect(() => make(60)).toThrow(message)
        expect(() => make({ seconds: 60 })).toThrow(message)
        const app = express()
        app.set('env', 'test')
        app.use(make)
        const site = await Site.open(app)
        const { status, text } = await site.get('/p')
        expect(status).toBe(500)
        expect(text).toContain(`${name} takes no arguments`)
      },
    )

    it('a view in the place of a request: cachePage is not a decorator', () => {
      const pages = responseCache(createCaches({ default: new LocMemCache() }))
      const decorate = pages.cachePage(60) as unknown as (view: () => void) => unknown
      expect(() => decorate(() => undefined)).toThrow(TypeError)
      expect(() => decorate(() => undefined)).toThrow(
        'cachePage: it gives a middleware, which wraps no handler; write app.get(path, pages.cachePage(60), handler)',
      )
    })

    it('a request in the place of seconds: cachePage was not called', async () => {
      const pages = responseCache(createCaches({ default: new LocMemCache() }))
      const app = express()
      app.set('env', 'test')
      app.get('/p', pages.cachePage as never)
      const site = await Site.open(app)
      const { status, text } = await site.get('/p')
      expect(status).toBe(500)
      expect(text).toContain('did you forget to call it: cachePage(60)?')
    })

    it('a cache in the place of caches', () => {
      expect(() => responseCache(new LocMemCache() as unknown as Caches)).toThrow(
        /^responseCache: .* is not a set of caches; give the result of createCaches$/,
      )
    })
  })
})

/** As an application's own middleware might. */
const signIn: RequestHandler = (req, _res, next) => {
  const name = /user=(\w+)/.exec(req.headers.cookie ?? '')?.[1]
  if (name !== undefined) Object.assign(req, { user: name })
  next()
}

function greeting(req: Request): string {
  return `hello ${(req as { user?: string }).user ?? 'nobody'}`
}
