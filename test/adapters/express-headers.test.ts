import { Readable } from 'node:stream'
import type { NextFunction, Request, RequestHandler, Response } from 'express'
import { createCaches, LocMemCache } from 'fragcache'
import {
  addNeverCacheHeaders,
  cacheControl,
  conditionalGet,
  neverCache,
  patchCacheControl,
  patchResponseHeaders,
  responseCache,
  varyOnCookie,
  varyOnHeaders,
  type CacheControlDirectives,
} from 'fragcache/express'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { oneExpress, Site } from '../support/express.js'
import { readGolden } from '../support/golden.js'

type View = (req: Request, res: Response, next: NextFunction) => unknown

const NEVER = 'max-age=0, no-cache, no-store, must-revalidate, private'

interface DecoratorCase {
  readonly id: string
  readonly group: string
  readonly input: {
    readonly decorators_outermost_first: readonly [name: string, argument: unknown][]
    readonly view_headers?: Readonly<Record<string, string>>
    readonly request?: string
    readonly view?: string
  }
  readonly result: Readonly<Record<string, string>> | null
}

/** The middleware that stands for one of Django's decorators. */
function toMiddleware([name, argument]: readonly [string, unknown]): RequestHandler {
  switch (name) {
    case 'cache_control':
      return cacheControl(argument as CacheControlDirectives)
    case 'never_cache':
      return neverCache()
    case 'vary_on_headers':
      return varyOnHeaders(...(argument as string[]))
    case 'vary_on_cookie':
      return varyOnCookie()
    default:
      throw new Error(`no middleware for ${name}`)
  }
}

const decorators = readGolden<DecoratorCase>('headers.json').filter(
  ({ group }) => group === 'decorator',
)
const answered = decorators.filter(({ result }) => result !== null)
const refused = decorators.filter(({ input }) => input.request !== undefined)
const throwing = decorators.filter(({ input }) => input.view !== undefined)

/** Where we refuse too, though Django does not. */
const alsoRefused = new Set(['dec030'])

it('every case of a decorator is tried', () => {
  const tried = new Set([...answered, ...refused, ...throwing])
  expect(decorators.filter((one) => !tried.has(one))).toEqual([])
})

it.each(refused)('$id: what is not a response is refused', ({ id, input, result }) => {
  expect(result === null || alsoRefused.has(id)).toBe(true)
  const middlewares = input.decorators_outermost_first.map(toMiddleware)
  for (const res of [{}, 'a response', undefined]) {
    for (const middleware of middlewares) {
      const call = () => void middleware({} as Request, res as Response, () => undefined)
      expect(call).toThrow(/is not a response/)
      expect(call).toThrow(TypeError)
    }
  }
})

describe.each(oneExpress)('$version', ({ express }) => {
  async function siteOf(...handlers: View[]) {
    const app = express()
    app.get('/', ...(handlers as RequestHandler[]))
    app.use((error: Error, _req: Request, res: Response, _next: NextFunction) => {
      res.status(500).end(error.message)
    })
    return Site.open(app)
  }

  describe("Django's decorators", () => {
    it.each(answered.filter(({ id }) => !alsoRefused.has(id)))('$id', async ({ input, result }) => {
      vi.useFakeTimers({ toFake: ['Date'], now: 1_700_000_000_000 })
      onTestFinished(() => void vi.useRealTimers())
      const middlewares = input.decorators_outermost_first.map(toMiddleware)
      const site = await siteOf(...(middlewares as View[]), (_req, res) => {
        res.set(input.view_headers ?? {}).end('x')
      })
      const { headers } = await site.get('/')
      for (const [name, value] of Object.entries(result ?? {})) {
        const date = value.replace(/^now([+-]\d+)?$/, (_, seconds: string | undefined) =>
          new Date(1_700_000_000_000 + Number(seconds ?? 0) * 1000).toUTCString(),
        )
        expect(headers[name.toLowerCase()]).toBe(date)
      }
      for (const name of ['cache-control', 'expires', 'vary']) {
        const isExpected = Object.keys(result ?? {}).some((one) => one.toLowerCase() === name)
        expect(headers[name] !== undefined).toBe(isExpected)
      }
    })

    it.each(throwing)('$id: an error of the view passes through', async ({ input }) => {
      const middlewares = input.decorators_outermost_first.map(toMiddleware)
      const site = await siteOf(...(middlewares as View[]), () => {
        throw new Error('boom')
      })
      expect(await site.get('/')).toMatchObject({ status: 500, text: 'boom' })
    })
  })

  const ways: [string, View][] = [
    ['send', (_req, res) => res.set('Cache-Control', 'public').vary('X-V').send('x')],
    ['json', (_req, res) => res.set('Cache-Control', 'public').vary('X-V').json({})],
    ['end', (_req, res) => res.set('Cache-Control', 'public').vary('X-V').end()],
    ['redirect', (_req, res) => res.set('Cache-Control', 'public').vary('X-V').redirect('/x')],
    ['sendStatus', (_req, res) => res.set('Cache-Control', 'public').vary('X-V').sendStatus(200)],
    [
      'writeHead with an object',
      (_req, res) => res.writeHead(200, { 'cache-control': 'public', Vary: 'X-V' }).end('x'),
    ],
    [
      'writeHead with a status message',
      (_req, res) => res.writeHead(200, 'Fine', { 'Cache-Control': 'public', vary: 'X-V' }).end(),
    ],
    [
      'writeHead with an array',
      (_req, res) => res.writeHead(200, ['Cache-Control', 'public', 'Vary', 'X-V']).end('x'),
    ],
    [
      'write in pieces',
      (_req, res) => {
        res.set('Cache-Control', 'public').vary('X-V').write('x')
        res.end('y')
      },
    ],
    [
      'pipe',
      (_req, res) => {
        res.set('Cache-Control', 'public').vary('X-V')
        Readable.from(['x', 'y']).pipe(res)
      },
    ],
    [
      'sendFile',
      (_req, res) => {
        res.vary('X-V').sendFile(import.meta.filename, { cacheControl: false })
      },
    ],
    [
      'headers set at last',
      async (_req, res) => {
        await Promise.resolve()
        res.append('Cache-Control', 'public').append('Vary', 'X-V').flushHeaders()
        res.end('x')
      },
    ],
  ]

  it.each(ways)('the middlewares see what the view says by %s', async (way, view) => {
    const site = await siteOf(
      cacheControl({ private: true, maxAge: 60 }),
      varyOnHeaders('Accept'),
      varyOnCookie(),
      view,
    )
    const { headers } = await site.get('/')
    expect(headers['cache-control']).toBe('private, max-age=60')
    const names = headers.vary?.split(', ').slice(-3)
    // A redirect depends on Accept by itself.
    expect(names).toEqual(
      way === 'redirect' ? ['X-V', 'Accept', 'Cookie'] : ['X-V', 'Cookie', 'Accept'],
    )
  })

  it.each(ways)('neverCache wins over what the view says by %s', async (_way, view) => {
    const site = await siteOf(neverCache(), view)
    const { headers } = await site.get('/')
    expect(headers['cache-control']).toBe(NEVER)
    expect(headers.expires).toBeDefined()
  })

  describe('errors', () => {
    const fails: View = (_req, _res, next) => next(new Error('boom'))

    it('are not to be kept as long as a page', async () => {
      const site = await siteOf(
        cacheControl({ public: true, maxAge: 3600, sMaxage: 9, immutable: true }),
        fails,
      )
      const { status, headers } = await site.get('/')
      expect(status).toBe(500)
      expect(headers['cache-control']).toBeUndefined()
    })

    it('get what restricts', async () => {
      const directives = { private: true, maxAge: 3600, mustRevalidate: true, staleIfError: 9 }
      const site = await siteOf(cacheControl(directives), fails)
      const { headers } = await site.get('/')
      expect(headers['cache-control']).toBe('private, must-revalidate')
    })

    it.each([400, 404, 413, 503])('by the view itself count too: %i', async (status) => {
      const site = await siteOf(cacheControl({ public: true, maxAge: 0 }), (_req, res) =>
        res.status(status).send('x'),
      )
      expect((await site.get('/')).headers['cache-control']).toBe('max-age=0')
    })

    it('are kept out of caches and vary as pages do', async () => {
      const site = await siteOf(neverCache(), varyOnCookie(), fails)
      const { headers } = await site.get('/')
      expect(headers['cache-control']).toBe(NEVER)
      expect(headers.vary).toBe('Cookie')
    })
  })

  it('a header of the view that cannot be read fails nothing', async () => {
    const site = await siteOf(cacheControl({ max_age: '60' }), neverCache(), (_req, res) => {
      res.set('Cache-Control', 'max-age=abc, foo="').end('x')
    })
    const { status, headers } = await site.get('/')
    expect(status).toBe(200)
    expect(headers['cache-control']).toBe(
      'max-age=0, no-cache, no-store, must-revalidate, private, foo="',
    )
  })

  it('the helpers work in a view', async () => {
    const site = await siteOf((_req, res) => {
      patchCacheControl(res, { public: true })
      patchResponseHeaders(res, 60)
      res.send('x')
    })
    expect((await site.get('/')).headers['cache-control']).toBe('public, max-age=60')
  })

  describe('inside a cached route', () => {
    async function cachedSite(...inner: View[]) {
      let runs = 0
      const app = express()
      const pages = responseCache(createCaches({ default: new LocMemCache() }), {
        isPersonal: () => false,
      })
      app.get('/page', pages.cachePage(60), ...(inner as RequestHandler[]), (req, res) => {
        res.end(`run ${++runs} for ${req.headers.cookie}`)
      })
      app.use('/site', pages.cacheSite(), ...(inner as RequestHandler[]), (req, res) => {
        res.end(`run ${++runs} for ${req.headers.cookie}`)
      })
      return Site.open(app)
    }

    describe.each(['/page', '/site'])('%s', (path) => {
      it.each([
        ['neverCache()', neverCache()],
        ['cacheControl({ private: true })', cacheControl({ private: true })],
        ['cacheControl({ noStore: true })', cacheControl({ noStore: true })],
        ['cacheControl({ noCache: true })', cacheControl({ noCache: true })],
        ['varyOnHeaders("*")', varyOnHeaders('*')],
        [
          'addNeverCacheHeaders',
          ((_req, res, next) => {
            addNeverCacheHeaders(res)
            next()
          }) as RequestHandler,
        ],
      ])('%s keeps the page from being stored', async (_name, middleware) => {
        const site = await cachedSite(middleware)
        expect((await site.get(path)).text).toBe('run 1 for undefined')
        expect((await site.get(path)).text).toBe('run 2 for undefined')
      })

      it('varyOnCookie() keeps a page for each visitor', async () => {
        const site = await cachedSite(varyOnCookie())
        const get = async (cookie: string) => (await site.get(path, { headers: { cookie } })).text
        expect(await get('a')).toBe('run 1 for a')
        expect(await get('b')).toBe('run 2 for b')
        expect(await get('a')).toBe('run 1 for a')
        expect(await get('b')).toBe('run 2 for b')
      })

      it('varyOnHeaders() is sent with a hit too', async () => {
        const site = await cachedSite(varyOnHeaders('Accept', 'X-A'))
        await site.get(path)
        const second = await site.get(path)
        expect(second.text).toBe('run 1 for undefined')
        expect(second.headers.vary).toBe('Accept, X-A')
      })
    })

    it('cacheControl({ maxAge }) is how long the site keeps the page', async () => {
      vi.useFakeTimers({ toFake: ['Date'], now: 1_700_000_000_000 })
      onTestFinished(() => void vi.useRealTimers())
      const site = await cachedSite(cacheControl({ maxAge: 10 }))
      await site.get('/site')
      vi.setSystemTime(Date.now() + 9_000)
      expect((await site.get('/site')).text).toBe('run 1 for undefined')
      vi.setSystemTime(Date.now() + 2_000)
      expect((await site.get('/site')).text).toBe('run 2 for undefined')
    })
  })
})

describe('misuse', () => {
  it('a middleware that is given instead of made is refused before a request hangs', () => {
    const args = [{ socket: {} }, { setHeader: () => undefined }, () => undefined]
    const given = (make: unknown) => () => (make as (...args: unknown[]) => unknown)(...args)
    expect(given(neverCache)).toThrow('app.use(neverCache())')
    expect(given(varyOnCookie)).toThrow('app.use(varyOnCookie())')
    expect(given(conditionalGet)).toThrow('app.use(conditionalGet())')
    expect(given(varyOnHeaders)).toThrow('varyOnHeaders: an object is not a header name')
    expect(given(cacheControl)).toThrow(/cacheControl: socket: an object/)
  })

  it('faults are told when the middleware is made', () => {
    expect(() => cacheControl({ maxAge: NaN })).toThrow(/cacheControl: maxAge: NaN/)
    expect(() => cacheControl({ max_age: 'soon' })).toThrow(/cacheControl: maxAge: "soon"/)
    expect(() => cacheControl({ maxage: 5 })).toThrow(/write maxAge/)
    expect(() => varyOnHeaders()).toThrow(/no header is named/)
    expect(() => varyOnHeaders('a\r\nb')).toThrow(/is not a header name/)
  })

  it('the middlewares have names', () => {
    const names = [cacheControl({}), neverCache(), varyOnHeaders('A'), varyOnCookie()].map(
      ({ name }) => name,
    )
    expect(names).toEqual([
      'cacheControlMiddleware',
      'neverCacheMiddleware',
      'varyOnHeadersMiddleware',
      'varyOnCookieMiddleware',
    ])
  })
})
