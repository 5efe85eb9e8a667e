import { createRequire } from 'node:module'
import type express5 from 'express'
import { Router, type ErrorRequestHandler, type Express, type RequestHandler } from 'express'
import { createCaches, LocMemCache } from 'fragcache'
import { responseCache } from 'fragcache/express'
import { describe, expect, it } from 'vitest'
import { watchOutcomes } from '../support/cached-site.js'
import { eventually, expressVersions, Site } from '../support/express.js'

type FailingView = (hasFailed: () => boolean) => RequestHandler

const later = () => new Promise((resolve) => setTimeout(resolve, 2))

describe.each(expressVersions)('a page that was begun, in $version', ({ version, express }) => {
  const justEnds: ErrorRequestHandler = (_error, _req, res, _next) => {
    res.end()
  }
  const handlers: [string, ErrorRequestHandler][] = [
    ['ends it', justEnds],
    [
      'ends it with a text',
      (_error, _req, res, _next) => {
        if (!res.headersSent) res.status(500)
        res.end('sorry')
      },
    ],
    [
      'ends it later',
      (_error, _req, res, _next) => {
        void later().then(() => res.end())
      },
    ],
  ]

  const laterOn: FailingView = (hasFailed) => (_req, res, next) => {
    res.type('html').write('half ')
    void later().then(() => {
      if (hasFailed()) next(new Error('the data is gone'))
      else res.end('and half')
    })
  }

  /** The first time it fails, once the page was begun. */
  const views: [string, FailingView][] = [
    [
      'hands an error on',
      (hasFailed) => (_req, res, next) => {
        res.write('half ')
        if (hasFailed()) next(new Error('the data is gone'))
        else res.end('and half')
      },
    ],
    ['hands an error on later', laterOn],
    [
      'throws',
      (hasFailed) => (_req, res) => {
        res.writeHead(200, { 'Content-Type': 'text/html' })
        res.write('half ')
        if (hasFailed()) throw new Error('the data is gone')
        res.end('and half')
      },
    ],
  ]

  async function brokenSite(view: FailingView, handler: ErrorRequestHandler, isInRouter = false) {
    const pages = responseCache(createCaches({ default: new LocMemCache() }))
    let runs = 0
    const app = express()
    app.set('env', 'test')
    const made = view(() => runs === 1)
    const counted: RequestHandler = (req, res, next) => {
      runs++
      return made(req, res, next)
    }
    if (isInRouter && version === 'Express 5') {
      const router = Router()
      router.get('/p', pages.cachePage(60), counted)
      router.use(handler)
      app.use(router)
    } else {
      app.get('/p', pages.cachePage(60), counted)
      app.use(handler)
    }
    const site = await Site.open(app)
    return { site, outcomes: watchOutcomes(site.origin) }
  }

  for (const [what, view] of views) {
    it.each(handlers)(
      `is not kept where its view ${what} and an error handler %s`,
      async (_n, on) => {
        const { site, outcomes } = await brokenSite(view, on)
        expect((await site.get('/p')).text).toMatch(/^half (sorry)?$/)
        expect(outcomes).toEqual(['bypass incomplete'])
        expect((await site.get('/p')).text).toBe('half and half')
        await eventually(() => outcomes.length === 2)
        expect((await site.get('/p')).text).toBe('half and half')
        expect(outcomes).toEqual(['bypass incomplete', 'miss', 'hit'])
      },
    )
  }

  it('is not kept where the error handler is a router’s', async () => {
    const { site, outcomes } = await brokenSite(laterOn, justEnds, true)
    expect((await site.get('/p')).text).toBe('half ')
    expect((await site.get('/p')).text).toBe('half and half')
    expect(outcomes[0]).toBe('bypass incomplete')
  })

  it('is kept where the error came when it had ended', async () => {
    const { site, outcomes } = await brokenSite(
      () => (_req, res, next) => {
        res.end('whole')
        next(new Error('too late'))
      },
      (_error, _req, _res, _next) => undefined,
    )
    expect((await site.get('/p')).text).toBe('whole')
    await eventually(() => outcomes.length === 1)
    expect((await site.get('/p')).text).toBe('whole')
    expect(outcomes).toEqual(['miss', 'hit'])
  })

  it('is kept where it was begun by the error handler', async () => {
    const { site, outcomes } = await brokenSite(
      () => (_req, _res, next) => next(new Error('not there')),
      (_error, _req, res, _next) => {
        res.status(200).write('instead ')
        res.end('of it')
      },
    )
    expect((await site.get('/p')).text).toBe('instead of it')
    await eventually(() => outcomes.length === 1)
    expect((await site.get('/p')).text).toBe('instead of it')
    expect(outcomes).toEqual(['miss', 'hit'])
  })
})

describe('a page that was begun, where there are several copies of Express', () => {
  const require = createRequire(import.meta.url)

  /** A copy that nobody has used yet. */
  function copyOf(name: 'express' | 'express4'): typeof express5 {
    for (const path of Object.keys(require.cache)) {
      if (/\/node_modules\/(?:express4?|router)\//.test(path)) delete require.cache[path]
    }
    return require(name) as typeof express5
  }

  const failsFirst = (): RequestHandler => {
    let runs = 0
    return (_req, res, next) => {
      res.write('half ')
      if (++runs === 1) next(new Error('the data is gone'))
      else res.end('and half')
    }
  }
  const justEnds: ErrorRequestHandler = (_error, _req, res, _next) => {
    res.end()
  }
  const newPages = () => responseCache(createCaches({ default: new LocMemCache() }))

  async function expectNotKept(app: Express) {
    app.set('env', 'test')
    const site = await Site.open(app)
    const outcomes = watchOutcomes(site.origin)
    expect((await site.get('/p')).text).toBe('half ')
    expect((await site.get('/p')).text).toBe('half and half')
    expect(outcomes[0]).toBe('bypass incomplete')
  }

  for (const [outer, inner] of [
    ['express', 'express4'],
    ['express4', 'express'],
  ] as const) {
    it(`is not kept where an error handler of ${inner} inside ${outer} ends it`, async () => {
      const app = copyOf(outer)()
      const sub = copyOf(inner)()
      sub.get('/p', failsFirst()).use(justEnds)
      app.use(newPages().cacheSite()).use(sub)
      await expectNotKept(app)
    })

    it(`is not kept where an error handler of ${outer} around ${inner} ends it`, async () => {
      const app = copyOf(outer)()
      const sub = copyOf(inner)()
      sub.get('/p', newPages().cachePage(60), failsFirst())
      app.use(sub).use(justEnds)
      await expectNotKept(app)
    })

    it(`is not kept where a router of ${inner} in ${outer} ends it`, async () => {
      const app = copyOf(outer)()
      const router = copyOf(inner).Router()
      router.get('/p', newPages().cachePage(60), failsFirst())
      router.use(justEnds)
      app.use(copyOf(outer).Router().use(router))
      await expectNotKept(app)
    })

    it(`is made where nothing of ${outer} can be changed`, async () => {
      const app = copyOf(outer)()
      app.get('/p', newPages().cachePage(60), (_req, res) => void res.send('page'))
      const { _router } = app as { _router?: Express['router'] }
      for (const layer of (_router ?? app.router).stack) {
        Object.freeze(Object.getPrototypeOf(layer))
      }
      const site = await Site.open(app)
      const texts = [(await site.get('/p')).text, (await site.get('/p')).text]
      expect(texts).toEqual(['page', 'page'])
    })
  }
})
