import { createServer, type OutgoingHttpHeaders, type RequestListener } from 'node:http'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import type { NextFunction, Request, RequestHandler, Response } from 'express'
import { createCaches, LocMemCache } from 'fragcache'
import {
  cacheControl,
  condition,
  conditionalGet,
  etag,
  lastModified,
  neverCache,
  responseCache,
  varyOnCookie,
  type ConditionOptions,
} from 'fragcache/express'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { compression, expressVersions, session, Site } from '../support/express.js'
import { readGolden } from '../support/golden.js'

type View = (req: Request, res: Response, next: NextFunction) => unknown

const T = 1_700_000_000_000
const HELLO = '"5d41402abc4b2a76b9719d911017c592"'
const BEFORE = 'Tue, 14 Nov 2023 19:59:59 GMT'
const THEN = 'Tue, 14 Nov 2023 20:00:00 GMT'

interface EtagCase {
  readonly id: string
  readonly group: string
  readonly input: {
    readonly body: string
    readonly headers: Readonly<Record<string, string>>
    readonly streaming: boolean
  }
  readonly result: string | null
}

interface SequenceCase {
  readonly id: string
  readonly title: string
  readonly middleware: readonly string[]
  readonly view: { readonly body?: string; readonly headers?: Readonly<Record<string, string>> }
  readonly steps: readonly {
    readonly headers?: OutgoingHttpHeaders
    readonly advance?: number
  }[]
  readonly results: readonly {
    readonly status: number
    readonly body: string
    readonly headers: Readonly<Record<string, string>>
  }[]
  readonly hits: readonly boolean[]
}

function stopClock(): void {
  vi.useFakeTimers({ toFake: ['Date'], now: T })
  onTestFinished(() => void vi.useRealTimers())
}

describe.each(expressVersions)('$version', ({ express }) => {
  /** An app without Express's own ETag, as the middleware then has to make one. */
  function bareApp() {
    const app = express()
    app.disable('etag').disable('x-powered-by')
    return app
  }

  async function siteOf(...handlers: View[]) {
    const app = bareApp()
    app.all('/', ...(handlers as RequestHandler[]))
    app.use((error: Error, _req: Request, res: Response, _next: NextFunction) => {
      res.status(500).end(error.message)
    })
    return Site.open(app)
  }

  describe('conditionalGet', () => {
    const etags = readGolden<EtagCase>('headers.json').filter(
      ({ group }) => group === 'set_response_etag',
    )

    it.each(etags)("$id: the ETag is Django's", async ({ id, input, result }) => {
      const site = await siteOf(conditionalGet(), (_req, res) => {
        res.set(input.headers)
        if (input.streaming) res.write(input.body)
        res.end(input.streaming ? undefined : input.body)
      })
      // Django's function replaces an ETag; its middleware calls it only where there is none.
      const expected = id === 'etg004' ? '"old"' : (result ?? undefined)
      expect((await site.get('/')).headers.etag).toBe(expected)
    })

    const whole: [string, View][] = [
      ['end', (_req, res) => res.end('hello')],
      ['end with a Buffer', (_req, res) => res.end(Buffer.from('hello'))],
      ['end with an encoding', (_req, res) => res.end('68656c6c6f', 'hex')],
      ['end with a callback', (_req, res) => res.end('hello', () => undefined)],
      ['send', (_req, res) => res.send('hello')],
      ['a late end', (_req, res) => void setImmediate(() => res.end('hello'))],
    ]

    it.each(whole)('makes an ETag of what is sent whole by %s', async (_way, view) => {
      const site = await siteOf(conditionalGet(), view)
      const first = await site.get('/')
      expect(first).toMatchObject({ status: 200, text: 'hello' })
      expect(first.headers).toMatchObject({ etag: HELLO, 'content-length': '5' })
      const again = await site.get('/', { headers: { 'If-None-Match': HELLO } })
      expect(again).toMatchObject({ status: 304, statusMessage: 'Not Modified', text: '' })
      expect(again.headers.etag).toBe(HELLO)
      expect(again.headers['content-length']).toBeUndefined()
      expect(again.headers['content-type']).toBeUndefined()
      const other = await site.get('/', { headers: { 'If-None-Match': '"other"' } })
      expect(other).toMatchObject({ status: 200, text: 'hello' })
      expect(other.headers).toMatchObject({ etag: HELLO, 'content-length': '5' })
    })

    it.each<[string, View]>([
      ['write', (_req, res) => (res.write('hel'), res.end('lo'))],
      ['pipe', (_req, res) => Readable.from(['hel', 'lo']).pipe(res)],
      ['flushed headers', (_req, res) => (res.flushHeaders(), res.end('hello'))],
      ['writeHead', (_req, res) => res.writeHead(200).end('hello')],
      ['no-store', (_req, res) => res.set('Cache-Control', 'public, NO-STORE').end('hello')],
      ['an empty body', (_req, res) => res.end()],
      ['a part', (_req, res) => res.status(206).set('Content-Range', 'bytes 0-4/9').end('hello')],
    ])('makes no ETag for %s', async (_way, view) => {
      const site = await siteOf(conditionalGet(), view)
      const answer = await site.get('/', { headers: { 'If-None-Match': HELLO } })
      expect(answer.headers.etag).toBeUndefined()
      expect(answer.status === 200 || answer.status === 206).toBe(true)
    })

    it('makes no ETag where neverCache is inside', async () => {
      const site = await siteOf(conditionalGet(), neverCache(), (_req, res) => res.end('hello'))
      expect((await site.get('/')).headers.etag).toBeUndefined()
    })

    it.each([['HEAD'], ['POST'], ['PUT']])('does nothing for %s', async (method) => {
      const site = await siteOf(conditionalGet(), (_req, res) => res.end('hello'))
      const headers = { 'If-None-Match': HELLO }
      const answer = await site.get('/', { method, headers })
      expect(answer.status).toBe(200)
      expect(answer.headers.etag).toBeUndefined()
    })

    it.each<[string, View]>([
      ['end', (_req, res) => res.set('ETag', '"v"').end('hello')],
      ['write', (_req, res) => (res.set('ETag', '"v"').write('hel'), res.end('lo'))],
      ['pipe', (_req, res) => Readable.from(['hel', 'lo']).pipe(res.set('ETag', '"v"'))],
      ['writeHead', (_req, res) => res.writeHead(200, 'Fine', { ETag: '"v"' }).end('hello')],
      ['an array', (_req, res) => (res.writeHead(200, ['ETag', '"v"']).write('h'), res.end())],
      ['flushed headers', (_req, res) => (res.set('ETag', '"v"').flushHeaders(), res.end('h'))],
    ])("compares the view's own ETag, sent by %s", async (_way, view) => {
      const site = await siteOf(conditionalGet(), view)
      expect((await site.get('/')).headers.etag).toBe('"v"')
      const again = await site.get('/', { headers: { 'If-None-Match': 'W/"v"' } })
      expect(again).toMatchObject({ status: 304, statusMessage: 'Not Modified', text: '' })
      const failed = await site.get('/', { headers: { 'If-Match': '"w"' } })
      expect(failed).toMatchObject({ status: 412, statusMessage: 'Precondition Failed', text: '' })
      expect(failed.headers['cache-control']).toBe('no-store')
      expect(failed.headers.etag).toBeUndefined()
    })

    it.each([
      [{ 'If-Modified-Since': THEN }, 304],
      [{ 'If-Modified-Since': BEFORE }, 200],
      [{ 'If-Modified-Since': 'garbage' }, 200],
      [{ 'If-Modified-Since': THEN, 'If-None-Match': '"no"' }, 200],
      [{ 'If-Unmodified-Since': THEN }, 200],
      [{ 'If-Unmodified-Since': BEFORE }, 412],
      [{ 'If-Match': HELLO }, 200],
      [{ 'If-Match': '*' }, 200],
      [{ 'If-Match': '"no"', 'If-None-Match': HELLO }, 412],
      [{ 'If-None-Match': '*' }, 304],
      [{ 'If-None-Match': `"a", W/${HELLO}` }, 304],
    ])('%j is answered with %i', async (headers, status) => {
      const site = await siteOf(conditionalGet(), (_req, res) => {
        res.set('Last-Modified', THEN).end('hello')
      })
      const answer = await site.get('/', { headers })
      expect(answer.status).toBe(status)
      expect(answer.text).toBe(status === 200 ? 'hello' : '')
    })

    it.each([{ 'If-Match': '*' }, { 'If-Match': HELLO }, { 'If-None-Match': '*' }])(
      'a stream without validators is sent in spite of %j',
      async (headers) => {
        const site = await siteOf(
          conditionalGet(),
          (_req, res) => (res.write('he'), res.end('llo')),
        )
        expect(await site.get('/', { headers })).toMatchObject({ status: 200, text: 'hello' })
      },
    )

    it('answers what the client asked, whatever is asked further in', async () => {
      const asks = (headers: OutgoingHttpHeaders): View => {
        return (req, _res, next) => {
          req.headers = headers as Request['headers']
          next()
        }
      }
      const view: View = (_req, res) => res.end('hello')
      const changed = await siteOf(conditionalGet(), asks({ 'if-none-match': HELLO }), view)
      expect(await changed.get('/')).toMatchObject({ status: 200, text: 'hello' })
      const removed = await siteOf(conditionalGet(), asks({}), view)
      const headers = { 'If-None-Match': HELLO }
      expect(await removed.get('/', { headers })).toMatchObject({ status: 304, text: '' })
    })

    it.each([201, 299])('compares answers with status %i', async (status) => {
      const site = await siteOf(conditionalGet(), (_req, res) => res.status(status).end('hello'))
      expect((await site.get('/', { headers: { 'If-None-Match': HELLO } })).status).toBe(304)
    })

    it.each([301, 404, 500])('does not compare answers with status %i', async (status) => {
      const site = await siteOf(conditionalGet(), (_req, res) => res.status(status).end('hello'))
      const answer = await site.get('/', { headers: { 'If-None-Match': HELLO } })
      expect(answer).toMatchObject({ status, text: 'hello' })
    })

    it('keeps on a 304 what does not describe the body', async () => {
      const site = await siteOf(conditionalGet(), (_req, res) => {
        res.set({
          'Cache-Control': 'max-age=5',
          'Content-Location': '/c',
          'Content-Type': 'text/plain',
          'Content-Language': 'de',
          Date: THEN,
          Expires: THEN,
          'Last-Modified': BEFORE,
          Vary: 'X-A',
          'Access-Control-Allow-Origin': '*',
          'Set-Cookie': 'a=1',
        })
        res.end('hello')
      })
      const { headers } = await site.get('/', { headers: { 'If-None-Match': HELLO } })
      expect(headers).toMatchObject({
        'cache-control': 'max-age=5',
        'content-location': '/c',
        date: THEN,
        etag: HELLO,
        expires: THEN,
        'last-modified': BEFORE,
        vary: 'X-A',
        'access-control-allow-origin': '*',
        'set-cookie': ['a=1'],
      })
      expect(headers['content-type']).toBeUndefined()
      expect(headers['content-language']).toBeUndefined()
    })

    it('leaves an answer alone that has no body', async () => {
      const site = await siteOf(conditionalGet(), (_req, res) => res.status(204).end('hello'))
      const { status, headers } = await site.get('/', { headers: { 'If-None-Match': HELLO } })
      expect(status).toBe(204)
      expect(headers['content-length']).toBeUndefined()
    })

    it("keeps Express's own ETag and its 304", async () => {
      const app = express()
      app.use(conditionalGet())
      app.get('/', (_req, res) => void res.send('hello'))
      app.get('/file', (_req, res) => void res.sendFile(import.meta.filename))
      const site = await Site.open(app)
      for (const path of ['/', '/file']) {
        const { etag: own } = (await site.get(path)).headers
        expect(own).toMatch(/^W\//)
        const again = await site.get(path, { headers: { 'If-None-Match': own } })
        expect(again).toMatchObject({ status: 304, text: '' })
      }
    })

    it('writes nothing into a 304, also where the server refuses such bytes', async () => {
      const app = bareApp()
      const faults: unknown[] = []
      const finished: string[] = []
      app.use(conditionalGet())
      app.get('/end', (_req, res) => void res.end('hello', () => finished.push('end')))
      app.get('/write', (_req, res) => {
        try {
          res.set('ETag', HELLO).write('hel', () => finished.push('write'))
          res.end('lo')
        } catch (error) {
          faults.push(error)
        }
      })
      const server = createServer(
        { rejectNonStandardBodyWrites: true },
        app as unknown as RequestListener,
      ).listen(0, '127.0.0.1')
      onTestFinished(async () => {
        server.close()
        server.closeAllConnections()
        await once(server, 'close')
      })
      await once(server, 'listening')
      const { port } = server.address() as { port: number }
      for (const path of ['/end', '/write']) {
        const headers = { 'If-None-Match': HELLO }
        const answer = await fetch(`http://127.0.0.1:${port}${path}`, { headers })
        expect(answer.status).toBe(304)
        expect(await answer.text()).toBe('')
      }
      expect(faults).toEqual([])
      expect(finished).toEqual(['end', 'write'])
    })

    it('goes together with compression around it', async () => {
      const body = 'hello '.repeat(1000)
      const site = await siteOf(compression(), conditionalGet(), (_req, res) =>
        res.type('text').end(body),
      )
      const headers = { 'Accept-Encoding': 'gzip' }
      const first = await site.get('/', { headers })
      expect(first.headers['content-encoding']).toBe('gzip')
      const again = await site.get('/', {
        headers: { ...headers, 'If-None-Match': first.headers.etag },
      })
      expect(again).toMatchObject({ status: 304, text: '' })
      expect(again.headers['content-encoding']).toBeUndefined()
    })

    it('goes together with a session around it', async () => {
      const app = bareApp()
      app.use(session({ secret: 's', resave: false, saveUninitialized: true }), conditionalGet())
      app.get('/', (_req, res) => void res.end('hello'))
      const site = await Site.open(app)
      const first = await site.get('/')
      expect(first.headers.etag).toBe(HELLO)
      const again = await site.get('/', { headers: { 'If-None-Match': HELLO } })
      expect(again).toMatchObject({ status: 304, text: '' })
      expect(again.headers['set-cookie']).toHaveLength(1)
    })
  })

  describe('conditionalGet and the cache', () => {
    async function cachedSite(order: 'inside' | 'outside') {
      let runs = 0
      const app = bareApp()
      const pages = responseCache(createCaches({ default: new LocMemCache() }))
      const layers = [pages.cacheSite(), conditionalGet()]
      app.use(order === 'inside' ? layers : layers.reverse())
      app.get('/', varyOnCookie(), (_req, res) => {
        runs++
        res.end('hello')
      })
      const site = await Site.open(app)
      return { site, runs: () => runs }
    }

    it('around it answers a hit with a 304', async () => {
      const { site, runs } = await cachedSite('outside')
      const first = await site.get('/', { headers: { 'If-None-Match': HELLO } })
      expect(first).toMatchObject({ status: 304, text: '' })
      const second = await site.get('/')
      expect(second).toMatchObject({ status: 200, text: 'hello' })
      expect(second.headers.etag).toBe(HELLO)
      const third = await site.get('/', { headers: { 'If-None-Match': HELLO } })
      expect(third).toMatchObject({ status: 304, text: '' })
      expect(third.headers).toMatchObject({ etag: HELLO, vary: 'Cookie' })
      expect(third.headers['cache-control']).toMatch(/^max-age=/)
      expect(runs()).toBe(1)
    })

    it('inside it gives the stored page its ETag', async () => {
      const { site, runs } = await cachedSite('inside')
      await site.get('/')
      const second = await site.get('/')
      expect(second.headers.etag).toBe(HELLO)
      const third = await site.get('/', { headers: { 'If-None-Match': HELLO } })
      expect(third).toMatchObject({ status: 304, text: '' })
      expect(runs()).toBe(1)
    })

    describe('when a page has expired', () => {
      async function expiredSite(
        layer: RequestHandler,
        order: 'inside' | 'outside',
        asked: string,
      ) {
        stopClock()
        let runs = 0
        const app = bareApp()
        const pages = responseCache(createCaches({ default: new LocMemCache() }))
        const layers = [pages.cachePage(60), layer]
        if (order === 'outside') layers.reverse()
        app.get('/', ...layers, (req, res) => {
          runs++
          // Where a layer inside makes no ETag, the page has one all the same.
          if (order === 'outside') res.set('ETag', asked)
          res.end('hello')
        })
        const site = await Site.open(app)
        await site.get('/')
        vi.setSystemTime(Date.now() + 61_000)
        return { site, runs: () => runs }
      }

      it.each<[string, RequestHandler, string, number]>([
        ['conditionalGet', conditionalGet(), HELLO, 2],
        ['etag', etag(() => 'v'), '"v"', 1],
      ])('%s inside says that it is right still', async (_name, layer, tag, views) => {
        const { site, runs } = await expiredSite(layer, 'inside', tag)
        const plain = await site.get('/')
        expect(plain).toMatchObject({ status: 200, text: 'hello' })
        expect(plain.headers.etag).toBe(tag)
        expect(runs()).toBe(views)
        vi.setSystemTime(Date.now() + 61_000)
        const conditional = await site.get('/', { headers: { 'If-None-Match': tag } })
        expect(conditional).toMatchObject({ status: 304, text: '' })
      })

      it('conditionalGet outside sends the page to who did not ask', async () => {
        const { site } = await expiredSite(conditionalGet(), 'outside', '"v"')
        expect(await site.get('/')).toMatchObject({ status: 200, text: 'hello' })
        vi.setSystemTime(Date.now() + 61_000)
        const conditional = await site.get('/', { headers: { 'If-None-Match': '"v"' } })
        expect(conditional).toMatchObject({ status: 304, text: '' })
      })
    })

    it.each(['inside', 'outside'] as const)('%s: a 412 is nobody else’s', async (order) => {
      const { site } = await cachedSite(order)
      const failed = await site.get('/', { headers: { 'If-Match': '"other"' } })
      expect(failed.headers['cache-control']).toBe('no-store')
      expect(failed.status).toBe(412)
      expect(await site.get('/')).toMatchObject({ status: 200, text: 'hello' })
      expect(await site.get('/')).toMatchObject({ status: 200, text: 'hello' })
    })
  })

  describe('condition', () => {
    /** A site of one view behind `condition`, and how often it ran. */
    async function conditionSite(
      options: ConditionOptions,
      view: View = (_q, res) => res.end('x'),
    ) {
      const runs = { count: 0 }
      const site = await siteOf(condition(options), (req, res, next) => {
        runs.count++
        return view(req, res, next)
      })
      return { site, runs }
    }

    const BOTH: ConditionOptions = { etag: () => 'a', lastModified: () => new Date(THEN) }

    it.each([
      ['GET', {}, 200],
      ['GET', { 'If-None-Match': '"a"' }, 304],
      ['HEAD', { 'If-None-Match': '"a"' }, 304],
      ['GET', { 'If-None-Match': '"b"' }, 200],
      ['GET', { 'If-None-Match': '"b"', 'If-Modified-Since': THEN }, 200],
      ['GET', { 'If-Modified-Since': THEN }, 304],
      ['GET', { 'If-Modified-Since': BEFORE }, 200],
      ['GET', { 'If-Match': '"b"' }, 412],
      ['PUT', {}, 200],
      ['PUT', { 'If-Match': '"a"' }, 200],
      ['PUT', { 'If-Match': '"b"' }, 412],
      ['DELETE', { 'If-Match': '"b", "c"' }, 412],
      ['PUT', { 'If-None-Match': '*' }, 412],
      ['PUT', { 'If-None-Match': '"b"' }, 200],
      ['PUT', { 'If-Unmodified-Since': BEFORE }, 412],
      ['PUT', { 'If-Unmodified-Since': THEN }, 200],
      ['PUT', { 'If-Modified-Since': THEN }, 200],
      ['PUT', { 'If-Match': '"a"', 'If-Unmodified-Since': BEFORE }, 200],
    ])('%s with %j is answered with %i', async (method, headers, status) => {
      const { site, runs } = await conditionSite(BOTH)
      const answer = await site.get('/', { method, headers })
      expect(answer.status).toBe(status)
      expect(runs.count).toBe(status === 200 ? 1 : 0)
      if (status !== 200) expect(answer.text).toBe('')
      if (status === 412) expect(answer.headers['cache-control']).toBe('no-store')
    })

    it('creates only what is not there', async () => {
      const { site, runs } = await conditionSite({ etag: () => undefined })
      const create = { method: 'PUT', headers: { 'If-None-Match': '*' } }
      expect((await site.get('/', create)).status).toBe(200)
      const change = { method: 'PUT', headers: { 'If-Match': '*' } }
      expect((await site.get('/', change)).status).toBe(412)
      expect(runs.count).toBe(1)
    })

    it('sends the validators with answers to GET and HEAD alone', async () => {
      const { site } = await conditionSite(BOTH)
      for (const method of ['GET', 'HEAD']) {
        const { headers } = await site.get('/', { method })
        expect(headers).toMatchObject({ etag: '"a"', 'last-modified': THEN })
      }
      const { headers } = await site.get('/', { method: 'POST' })
      expect(headers.etag).toBeUndefined()
      expect(headers['last-modified']).toBeUndefined()
    })

    it('sends them with a 304', async () => {
      const { site } = await conditionSite(BOTH)
      const { headers } = await site.get('/', { headers: { 'If-None-Match': '"a"' } })
      expect(headers).toMatchObject({ etag: '"a"', 'last-modified': THEN })
    })

    it('leaves those that the view sets', async () => {
      const { site } = await conditionSite(BOTH, (_req, res) => {
        res.writeHead(200, { ETag: '"view"', 'Last-Modified': BEFORE }).end()
      })
      const { headers } = await site.get('/')
      expect(headers).toMatchObject({ etag: '"view"', 'last-modified': BEFORE })
    })

    it("comes before Express's own ETag", async () => {
      const app = express()
      app.get(
        '/',
        etag(() => 'mine'),
        (_req, res) => void res.send('x'),
      )
      const site = await Site.open(app)
      expect((await site.get('/')).headers.etag).toBe('"mine"')
    })

    it.each<[string, View]>([
      ['next(error)', (_req, _res, next) => next(new Error('boom'))],
      ['the view', (_req, res) => res.status(404).end('none')],
    ])('does not send them with an error by %s', async (_way, view) => {
      const { site } = await conditionSite(BOTH, view)
      const { status, headers } = await site.get('/')
      expect(status).toBeGreaterThanOrEqual(400)
      expect(headers.etag).toBeUndefined()
      expect(headers['last-modified']).toBeUndefined()
    })

    it.each([
      ['a', '"a"'],
      ['"a"', '"a"'],
      ['W/"a"', 'W/"a"'],
      ['', '""'],
      ['a, b', '"a, b"'],
    ])('quotes the ETag %j: %s', async (tag, sent) => {
      const { site } = await conditionSite({ etag: () => Promise.resolve(tag) })
      expect((await site.get('/')).headers.etag).toBe(sent)
    })

    it.each([
      [new Date(THEN)],
      [Date.parse(THEN)],
      [Date.parse(THEN) + 999],
      [THEN],
      ['2023-11-14T20:00:00Z'],
      ['2023-11-14T21:00:00.5+01:00'],
      [Promise.resolve(new Date(THEN))],
    ])('reads the date %o', async (date) => {
      const { site } = await conditionSite({ lastModified: () => date })
      expect((await site.get('/')).headers['last-modified']).toBe(THEN)
    })

    it('sends no date of the future', async () => {
      stopClock()
      const { site } = await conditionSite({ lastModified: () => T + 60_000 })
      const { headers } = await site.get('/')
      expect(headers['last-modified']).toBe(new Date(T).toUTCString())
    })

    it.each([[undefined], [null]])('%s is not a validator', async (none) => {
      const { site, runs } = await conditionSite({ etag: () => none, lastModified: () => none })
      const { status, headers } = await site.get('/', { headers: { 'If-None-Match': '""' } })
      expect(status).toBe(200)
      expect(headers.etag).toBeUndefined()
      expect(headers['last-modified']).toBeUndefined()
      expect(runs.count).toBe(1)
    })

    const fails = () => {
      throw new Error('boom')
    }

    it.each<[string, unknown]>([
      ['boom', { etag: fails }],
      ['boom', { lastModified: fails }],
      ['boom', { etag: () => Promise.reject(new Error('boom')) }],
      ['boom', { etag: fails, lastModified: () => Promise.reject(new Error('too')) }],
      ['condition: the ETag function gave 5; give', { etag: () => 5 }],
      ['condition: the ETag function gave "a\\"b"; give', { etag: () => 'a"b' }],
      ['condition: the ETag function gave "a\\r\\nb"; give', { etag: () => 'a\r\nb' }],
      ['condition: the ETag function gave "\u00e9"; give', { etag: () => '\u00e9' }],
      ['condition: the ETag function gave "\u2028"; give', { etag: () => '\u2028' }],
      ['condition: the Last-Modified function gave "soon"; give', { lastModified: () => 'soon' }],
      ['condition: the Last-Modified function gave NaN; give', { lastModified: () => NaN }],
      ['condition: the Last-Modified function gave true; give', { lastModified: () => true }],
      [
        'condition: the Last-Modified function gave an object',
        { lastModified: () => new Date(NaN) },
      ],
    ])('%s: goes to the error handler', async (message, options) => {
      const { site, runs } = await conditionSite(options as ConditionOptions)
      const answer = await site.get('/')
      expect(answer.status).toBe(500)
      expect(answer.text.startsWith(message)).toBe(true)
      expect(runs.count).toBe(0)
    })

    it('gives its functions the request', async () => {
      const app = bareApp()
      const version = etag((req) => `v-${String(req.params['id'])}`)
      app.get('/:id', version, (_req, res) => void res.end('x'))
      const site = await Site.open(app)
      expect((await site.get('/7')).headers.etag).toBe('"v-7"')
    })

    it('answers inside of the header middlewares with their headers', async () => {
      const site = await siteOf(
        cacheControl({ maxAge: 9 }),
        varyOnCookie(),
        lastModified(() => THEN) as View,
        () => fails(),
      )
      const { status, headers } = await site.get('/', { headers: { 'If-Modified-Since': THEN } })
      expect(status).toBe(304)
      expect(headers).toMatchObject({ 'cache-control': 'max-age=9', vary: 'Cookie' })
    })

    it('a 412 inside of cacheControl stays out of caches', async () => {
      const site = await siteOf(
        cacheControl({ public: true, maxAge: 9 }),
        etag(() => 'a') as View,
        () => fails(),
      )
      const { status, headers } = await site.get('/', { headers: { 'If-Match': '"b"' } })
      expect(status).toBe(412)
      expect(headers['cache-control']).toBe('no-store')
      expect(headers['content-length']).toBe('0')
    })

    it.each(['inside', 'outside'] as const)('%s the cache: asks each time', async (order) => {
      let version = 1
      let runs = 0
      const app = bareApp()
      const pages = responseCache(createCaches({ default: new LocMemCache() }))
      const layers = [pages.cachePage(60), etag(() => `v${version}`)]
      if (order === 'outside') layers.reverse()
      app.get('/', ...layers, (_req, res) => void res.end(`run ${++runs}`))
      const site = await Site.open(app)
      expect((await site.get('/')).headers.etag).toBe('"v1"')
      const headers = { 'If-None-Match': '"v1"' }
      expect((await site.get('/', { headers })).status).toBe(304)
      version = 2
      const stored = await site.get('/')
      expect(stored.text).toBe('run 1')
      expect(stored.headers.etag).toBe('"v1"')
    })
  })

  describe("Django's sequences with its ConditionalGetMiddleware around the cache", () => {
    // The others concern cookies, which are not stored here, and what the cache itself answers.
    const sequences = readGolden<SequenceCase>('middleware.json').filter(({ id }) =>
      ['mw426', 'mw430', 'mw454'].includes(id),
    )

    it.each(sequences)('$id $title', async ({ middleware, view, steps, results, hits }) => {
      stopClock()
      let runs = 0
      const app = bareApp()
      const pages = responseCache(createCaches({ default: new LocMemCache() }))
      const layers: Readonly<Record<string, () => RequestHandler>> = {
        condget: conditionalGet,
        update: () => pages.updateCache(),
        fetch: () => pages.fetchFromCache(),
      }
      for (const name of middleware) app.use(layers[name]?.() as RequestHandler)
      app.get('/p/', (_req, res) => {
        runs++
        res.set(view.headers ?? {}).end(view.body)
      })
      const site = await Site.open(app)
      for (const [i, { headers = {}, advance = 0 }] of steps.entries()) {
        vi.setSystemTime(Date.now() + advance * 1000)
        const before = runs
        const answer = await site.get('/p/', { headers })
        expect(answer).toMatchObject({ status: results[i]?.status, text: results[i]?.body })
        expect(runs === before).toBe(hits[i])
        const wanted = results[i]?.headers ?? {}
        for (const name of ['Cache-Control', 'ETag', 'Expires', 'Vary', 'Content-Location']) {
          const value = wanted[name]?.replace(/^T\+(\d+)$/, (_, seconds: string) =>
            new Date(T + Number(seconds) * 1000).toUTCString(),
          )
          expect(answer.headers[name.toLowerCase()]).toBe(value)
        }
      }
    })
  })
})

describe('misuse', () => {
  it.each<[unknown, RegExp]>([
    [undefined, /condition: undefined are not options/],
    [() => 'a', /condition: a function are not options/],
    [{}, /condition: give at least one/],
    [{ etag: 'a' }, /condition: etag: "a" is not a function; give/],
    [{ lastModified: new Date() }, /condition: lastModified: an object .* is not a function/],
    [{ eTag: () => 'a' }, /condition: unknown option "eTag"; known options are etag, lastModified/],
  ])('condition(%o) is refused', (options, message) => {
    const make = () => condition(options as ConditionOptions)
    expect(make).toThrow(message)
    expect(make).toThrow(TypeError)
  })

  it('etag and lastModified want a function', () => {
    expect(() => etag('a' as never)).toThrow(/etag: the argument: "a" is not a function/)
    expect(() => lastModified({} as never)).toThrow(/lastModified: the argument: an object/)
  })

  it('the middlewares have names', () => {
    const read = () => undefined
    const made = [conditionalGet(), condition({ etag: read }), etag(read), lastModified(read)]
    expect(made.map(({ name }) => name)).toEqual([
      'conditionalGetMiddleware',
      'conditionMiddleware',
      'etagMiddleware',
      'lastModifiedMiddleware',
    ])
  })
})
