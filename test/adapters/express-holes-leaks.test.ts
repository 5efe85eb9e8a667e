import type { Request, RequestHandler, Response } from 'express'
import { createCaches, FragmentCache, LocMemCache, type Cache } from 'fragcache'
import { guard, responseCache, type ResponseCacheOptions } from 'fragcache/express'
import onHeaders from 'on-headers'
import { describe, expect, it, onTestFinished } from 'vitest'
import { renderHole } from '../../src/fragment/holes.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { stopClock, watchOutcomes } from '../support/cached-site.js'
import { eventually, oneExpress, Site } from '../support/express.js'
import { TinyEngine } from '../support/tiny-engine.js'

const userOf = (req: Request): string => req.get('X-User') ?? 'nobody'
const as = (user: string, more: Record<string, string> = {}) => ({
  headers: { 'X-User': user, ...more },
})

const newCaches = (cache: Cache = new LocMemCache()) => createCaches({ default: cache })
type SomeCaches = ReturnType<typeof newCaches>

interface Setting extends ResponseCacheOptions {
  readonly caches?: SomeCaches
  readonly view: RequestHandler
  readonly context?: (req: Request, res: Response) => object | Promise<object>
  /** What stands around the cache, and what between it and the view. */
  readonly outside?: RequestHandler
  readonly inside?: RequestHandler
}

/** The text of a view, as promised. */
function textOf(res: Response, view: string): Promise<string> {
  return new Promise((resolve, reject) => {
    res.render(view, {}, (error: unknown, text: string) => {
      if (error instanceof Error) reject(error)
      else resolve(text)
    })
  })
}

describe.each(oneExpress)('what holes give in $version', ({ express }) => {
  async function holedSite({
    caches = newCaches(),
    view,
    context,
    outside,
    inside,
    ...options
  }: Setting) {
    const engine = new TinyEngine({
      page: {
        body: (_it, hole) => `Hello ${hole('name')}`,
        holes: { name: ({ user }) => String(user) },
      },
      plain: { body: () => 'plain' },
      layout: {
        body: (it, hole) => `${String((it['read'] as () => unknown)())} ${hole('name')}`,
        holes: { name: ({ user }) => String(user) },
      },
    })
    const pages = responseCache<string>(caches, {
      isPersonal: false,
      holes: { engines: [engine], context: context ?? ((req) => ({ user: userOf(req) })) },
      ...options,
    })
    const app = express()
    engine.install(app)
    app.set('env', 'test')
    const pass: RequestHandler = (_req, _res, next) => next()
    app.use(outside ?? pass, pages.cachePage(600), inside ?? pass)
    app.use((req, res, next) => void Promise.resolve(view(req, res, next)).catch(next))
    app.use((error: unknown, _req: Request, res: Response, next: () => void) => {
      if (res.headersSent) next()
      else res.status(500).send(String(error))
    })
    const site = await Site.open(app)
    return { site, outcomes: watchOutcomes(site.origin) }
  }

  describe('is for one visitor where res.render runs', () => {
    const bodies: [string, (caches: SomeCaches, res: Response) => unknown][] = [
      [
        'in a value',
        ({ default: cache }, res) => cache.getOrSet('html', () => textOf(res, 'page')),
      ],
      [
        'in a fragment',
        (caches, res) => new FragmentCache(caches).render({ name: 'x' }, () => textOf(res, 'page')),
      ],
      [
        'in a fragment in a value',
        (caches, res) =>
          caches.default.getOrSet('html', () =>
            new FragmentCache(caches).render({ name: 'x' }, () => textOf(res, 'page')),
          ),
      ],
    ]

    it.each(bodies)('%s, which cannot have the hole', async (_name, make) => {
      const caches = newCaches()
      const { site } = await holedSite({
        caches,
        view: async (_req, res) => {
          res.send(`made: ${String(await make(caches, res))}`)
        },
      })
      for (const user of ['ann', 'ben']) {
        const { status, text } = await site.get('/p', as(user))
        expect(status).toBe(500)
        expect(text).toMatch(/^CacheTagError: .*nocache/)
      }
      expect(await caches.default.get('html')).toBeUndefined()
    })

    it('in a value, which may have a view without a hole, beside a page with one', async () => {
      const caches = newCaches()
      let made = 0
      const { site, outcomes } = await holedSite({
        caches,
        view: async (_req, res) => {
          await caches.default.getOrSet('html', async () => {
            made++
            return textOf(res, 'plain')
          })
          res.render('page')
        },
      })
      expect((await site.get('/p', as('ann'))).text).toBe('Hello ann')
      await eventually(() => outcomes.length === 1)
      expect((await site.get('/p', as('ben'))).text).toBe('Hello ben')
      expect((await site.get('/q', as('ben'))).text).toBe('Hello ben')
      expect(made).toBe(1)
      expect(outcomes).toEqual(['miss', 'hit', 'miss'])
      expect(await caches.default.get('html')).toBe('plain')
    })
  })

  describe('of headers by the context', () => {
    const withToken = (req: Request, res: Response) => {
      res.set('X-Token', userOf(req)).cookie('csrf', userOf(req))
      return { user: userOf(req) }
    }
    const plain: RequestHandler = (_req, res) => res.render('plain')
    /** As a session: its headers are the last ones. */
    const layer: RequestHandler = (_req, res, next) => {
      onHeaders(res, () => {
        res.setHeader('X-Layer', 'here')
      })
      next()
    }

    it.each([
      ['with nothing around the cache', undefined],
      ['with a layer around the cache', layer],
    ])('goes to nobody else by a page without a hole, %s', async (_name, outside) => {
      const { site, outcomes } = await holedSite({
        view: plain,
        context: withToken,
        ...(outside && { outside }),
      })
      const first = await site.get('/p', as('ann'))
      expect(first.text).toBe('plain')
      expect(first.headers).toMatchObject({
        'x-token': 'ann',
        'set-cookie': ['csrf=ann; Path=/'],
        'cache-control': 'private, no-cache',
      })
      expect(first.headers).not.toHaveProperty('etag')
      expect(first.headers).not.toHaveProperty('expires')
      await eventually(() => outcomes.length === 1)
      // The page itself is everybody's: no context is asked for it.
      const second = await site.get('/p', as('ben'))
      expect(outcomes).toEqual(['miss', 'hit'])
      expect(second.headers['cache-control']).toBe('max-age=600')
      expect(second.headers).toHaveProperty('etag')
      expect(second.headers).not.toHaveProperty('x-token')
      expect(second.headers).not.toHaveProperty('set-cookie')
    })

    it('goes to nobody else by an answer that is not kept', async () => {
      const { site } = await holedSite({ view: plain, context: withToken })
      const { headers, text } = await site.get('/p', { method: 'POST', ...as('ann') })
      expect(text).toBe('plain')
      expect(headers).toMatchObject({
        'x-token': 'ann',
        'set-cookie': ['csrf=ann; Path=/'],
        'cache-control': 'private, no-cache',
      })
    })

    it('is sent whole to who asks for a change', async () => {
      const { site } = await holedSite({ view: plain, context: withToken })
      const answer = await site.get('/p', as('ann', { 'If-None-Match': '*' }))
      expect(answer).toMatchObject({ status: 200, text: 'plain' })
      expect(answer.headers['cache-control']).toBe('private, no-cache')
    })

    it('keeps no cookie of the view’s own in a page', async () => {
      const { site, outcomes } = await holedSite({
        view: (_req, res) => {
          res.cookie('of', 'the view')
          res.render('plain')
        },
        context: withToken,
      })
      for (const user of ['ann', 'ben']) {
        const { headers, cacheStatus } = await site.get('/p', as(user))
        expect(headers['x-token']).toBe(user)
        expect(cacheStatus).toMatch(/detail=set-cookie$/)
        expect(headers['cache-control']).toBe('private, no-cache')
      }
      expect(outcomes).toEqual(['bypass set-cookie', 'bypass set-cookie'])
    })

    it('is not kept with a page that the view finds unchanged', async () => {
      const clock = stopClock()
      const { site, outcomes } = await holedSite({
        revalidateSeconds: 600,
        view: (req, res) => {
          res.set('ETag', '"one"')
          if (req.get('If-None-Match') === '"one"') res.status(304).end()
          else res.render('plain')
        },
        context: withToken,
      })
      await site.get('/p', as('ann'))
      await eventually(() => outcomes.length === 1)
      clock.advance(601)
      const again = await site.get('/p', as('ben'))
      expect(again).toMatchObject({ status: 200, text: 'plain' })
      expect(again.cacheStatus).toMatch(/fwd=stale; fwd-status=304; stored/)
      expect(again.headers['x-token']).toBe('ben')
      expect(again.headers['cache-control']).toBe('private, no-cache')
      await eventually(() => outcomes.length === 2)
      const { headers } = await site.get('/p', as('cem'))
      expect(outcomes[2]).toBe('hit')
      expect(headers).not.toHaveProperty('x-token')
      expect(headers).not.toHaveProperty('set-cookie')
      expect(headers['cache-control']).toBe('max-age=600')
    })
  })

  describe('of a text', () => {
    const made: [string, (res: Response, text: string) => unknown][] = [
      ['a header', (res, text) => res.set('X-Text', text).send(text)],
      ['a header by writeHead', (res, text) => res.writeHead(200, { 'X-Text': text }).end(text)],
      ['another value of a header', (res, text) => res.append('X-Before', text).send(text)],
      ['the status', (res, text) => res.status(text.endsWith('ann') ? 404 : 200).send(text)],
    ]

    it.each(made)('is kept for nobody in %s', async (_name, send) => {
      const { site } = await holedSite({
        statuses: [200, 404],
        view: (req, res, next) => {
          res.set('X-Before', 'here')
          res.render('page', {}, (error: unknown, text: string) => {
            if (error instanceof Error) next(error)
            else send(res, text)
          })
        },
      })
      const first = await site.get('/p', as('ann'))
      expect(first.cacheStatus).toMatch(/detail=holes$/)
      expect(first.headers['cache-control']).toBe('private, no-cache')
      const second = await site.get('/p', as('ben'))
      expect(second.text).toBe('Hello ben')
      expect(JSON.stringify(second.headers)).not.toContain('ann')
    })

    it('is left out of the reason that goes with the status', async () => {
      const { site, outcomes } = await holedSite({
        view: (_req, res, next) => {
          res.render('page', {}, (error: unknown, text: string) => {
            if (error instanceof Error) return next(error)
            res.statusMessage = text
            res.send(text)
          })
        },
      })
      await site.get('/p', as('ann'))
      await eventually(() => outcomes.length === 1)
      const response = await fetch(`${site.origin}/p`, as('ben'))
      expect(await response.text()).toBe('Hello ben')
      expect(response.statusText).toBe('OK')
      expect(outcomes).toEqual(['miss', 'hit'])
    })

    it('is not a matter for headers from before it was there, or with the same value', async () => {
      const { site, outcomes } = await holedSite({
        view: (_req, res, next) => {
          res.set('X-Before', 'here')
          res.render('page', {}, (error: unknown, text: string) => {
            if (error instanceof Error) next(error)
            else res.set('X-Before', 'here').type('html').send(text)
          })
        },
      })
      await site.get('/p', as('ann'))
      await eventually(() => outcomes.length === 1)
      const { text, headers } = await site.get('/p', as('ben'))
      expect(text).toBe('Hello ben')
      expect(headers['x-before']).toBe('here')
      expect(outcomes).toEqual(['miss', 'hit'])
    })

    it('is not a matter for what a layer adds where res.render sends it', async () => {
      const { site, outcomes } = await holedSite({
        inside: (_req, res, next) => {
          onHeaders(res, () => {
            res.setHeader('X-Layer', 'here')
          })
          next()
        },
        view: (_req, res) => res.render('page'),
      })
      await site.get('/p', as('ann'))
      await eventually(() => outcomes.length === 1)
      expect((await site.get('/p', as('ben'))).headers['x-layer']).toBe('here')
      expect(outcomes).toEqual(['miss', 'hit'])
    })
  })

  describe('is nobody else’s where the cache has nothing to do with the request', () => {
    const PUBLIC = 'public, max-age=100'
    /** A view that says of every page that it is everybody's. */
    const shows =
      (show: (res: Response, next: (error: unknown) => void) => unknown): RequestHandler =>
      (req, res, next) => {
        res.locals['user'] = userOf(req)
        res.set({ 'Cache-Control': PUBLIC, 'CDN-Cache-Control': PUBLIC, 'X-Accel-Expires': '100' })
        res.set('Last-Modified', new Date(0).toUTCString())
        show(res, next)
      }
    const cacheDown = () => {
      const cache = new AsyncTestCache()
      cache.failing = true
      return newCaches(cache)
    }
    const noStore = { 'Cache-Control': 'no-store' }

    const passes: [string, () => Partial<Setting>, Record<string, string>, string, string?][] = [
      ['while it is down', () => ({ caches: cacheDown() }), {}, 'cache-failed'],
      ['as a client asks', () => ({ honorRequestDirectives: true }), noStore, 'request-no-store'],
      ['by its method', () => ({}), {}, 'method', 'POST'],
      [
        'while it is down, with a layer around that says more',
        () => ({
          caches: cacheDown(),
          outside: (_req, res, next) => {
            onHeaders(res, () => {
              res.setHeader('Cache-Control', PUBLIC)
            })
            next()
          },
        }),
        {},
        'cache-failed',
      ],
    ]
    const engineOfFragments = new TinyEngine({
      fragment: { body: () => '', holes: { name: ({ user }) => String(user) } },
    })
    const fragments = new FragmentCache(newCaches())
    const shown: [string, Parameters<typeof shows>[0]][] = [
      [
        'a fragment with a hole',
        async (res) => {
          const holes = engineOfFragments.holes({ user: res.locals['user'] as string })
          const ref = { e: 'tiny', t: 'fragment', h: 'name' }
          const body = () => `Hello ${renderHole(ref, { template: 'fragment', line: 1 }, () => '')}`
          res.send(await fragments.render({ name: 'x', holes }, body))
        },
      ],
      ['res.render', (res) => res.render('page')],
      [
        'a callback of res.render',
        (res, next) => {
          res.render('page', {}, (error: unknown, text: string) => {
            if (error instanceof Error) next(error)
            else res.send(text)
          })
        },
      ],
    ]

    for (const [how, show] of shown) {
      it.each(passes)(`by ${how}, %s`, async (_name, options, headers, detail, method = 'GET') => {
        const { site, outcomes } = await holedSite({ view: shows(show), ...options() })
        const answer = await site.get('/p', { method, ...as('ann', headers) })
        expect(answer).toMatchObject({ status: 200, text: 'Hello ann' })
        expect(outcomes).toEqual([`bypass ${detail}`])
        expect(answer.headers['cache-control']).toBe('private, no-cache')
        const gone = ['etag', 'last-modified', 'expires', 'cdn-cache-control', 'x-accel-expires']
        for (const name of gone) {
          expect(answer.headers).not.toHaveProperty(name)
        }
      })
    }

    it.each(passes.slice(0, 3))(
      'but its view’s to tell for a page without a hole, %s',
      async (_name, options, headers, _detail, method = 'GET') => {
        const { site } = await holedSite({
          view: shows((res) => res.render('plain')),
          ...options(),
        })
        const answer = await site.get('/p', { method, ...as('ann', headers) })
        expect(answer).toMatchObject({ status: 200, text: 'plain' })
        expect(answer.headers['cache-control']).toBe(PUBLIC)
        expect(answer.headers).toHaveProperty('etag')
      },
    )

    it('by a view that renders in another’s context, while the cache is down', async () => {
      const waiting: (() => void)[] = []
      // Another's context, as that of a pool that was there before.
      const timer = setInterval(() => waiting.splice(0).forEach((goOn) => goOn()), 1)
      onTestFinished(() => clearInterval(timer))
      const { site } = await holedSite({
        caches: cacheDown(),
        inside: (_req, res, next) => {
          const render = res.render.bind(res) as (...given: unknown[]) => void
          res.render = (...given: unknown[]) => {
            waiting.push(() => render(...given))
          }
          next()
        },
        view: shows((res) => res.render('page')),
      })
      const { text, headers } = await site.get('/p', as('ann'))
      expect(text).toBe('Hello ann')
      expect(headers['cache-control']).toBe('private, no-cache')
    })

    it.each([
      ['which fails', {}, undefined],
      ['which its client does not want', { honorRequestDirectives: true }, noStore],
    ])('in a page of two caches, the inner of %s', async (_name, options, headers) => {
      for (const hasHoles of [true, false]) {
        const inner = responseCache(headers === undefined ? cacheDown() : newCaches(), {
          isPersonal: false,
          ...(hasHoles && { holes: { engines: [new TinyEngine({})], context: () => ({}) } }),
          ...options,
        })
        const { site } = await holedSite({
          inside: inner.cachePage(60),
          view: shows((res) => res.render('page')),
        })
        for (const user of ['ann', 'ben']) {
          const answer = await site.get('/p', as(user, headers))
          expect(answer).toMatchObject({ status: 200, text: `Hello ${user}` })
          expect(answer.headers['cache-control']).toBe('private, no-cache')
          expect(answer.headers).not.toHaveProperty('etag')
        }
      }
    })
  })

  describe('is dated when it is filled', () => {
    const AT = 1_700_000_000_000

    it.each<[string, RequestHandler | undefined]>([
      ['with nothing around the cache', undefined],
      [
        'with a layer around the cache',
        (_req, res, next) => {
          onHeaders(res, () => {
            res.setHeader('X-Layer', 'here')
          })
          next()
        },
      ],
    ])('for a miss, a hit and where the view failed, %s', async (_name, outside) => {
      const clock = stopClock()
      let hasFailed = false
      const { site, outcomes } = await holedSite({
        staleIfError: 86_400,
        view: (_req, res) => {
          res.set('Date', new Date(0).toUTCString())
          if (hasFailed) res.status(503).send('failed')
          else res.render('page')
        },
        ...(outside && { outside }),
      })
      const dates: (string | undefined)[] = []
      for (const seconds of [0, 10, 700]) {
        clock.advance(seconds)
        hasFailed = seconds > 0
        const { text, headers } = await site.get('/p', as('ann'))
        expect(text).toBe('Hello ann')
        dates.push(headers.date)
        await eventually(() => outcomes.length === dates.length)
      }
      expect(outcomes).toEqual(['miss', 'hit', 'stale view-failed-503'])
      expect(dates[0]).toBe(new Date(AT).toUTCString())
      // Of a hit Node says it by its own clock.
      expect(dates[1]).toBeDefined()
      expect(dates[2]).toBe(new Date(AT + 710_000).toUTCString())
    })
  })

  describe('by a guarded request', () => {
    type SomeRequest = Request & {
      readonly user?: { readonly name: string; readonly isAdmin: boolean }
      readonly session: { readonly cart?: string; readonly messages: readonly string[] }
      readonly isAuthenticated: () => boolean
      readonly isUnauthenticated: () => boolean
      readonly cookies: Record<string, string>
    }
    const signIn: RequestHandler = (req, _res, next) => {
      const name = req.get('X-User')
      const isIn = name !== undefined
      Object.assign(req, {
        ...(isIn && { user: { name, isAdmin: false } }),
        session: { messages: [], ...(isIn && { cart: `cart of ${name}` }) },
        cookies: { ...(isIn && { id: name }) },
        isAuthenticated: () => isIn,
        isUnauthenticated() {
          return !isIn
        },
      })
      next()
    }

    async function guardedSite(
      read: (req: SomeRequest, caches: SomeCaches) => unknown,
      more: Partial<Setting> = {},
    ) {
      const caches = newCaches()
      return holedSite({
        caches,
        outside: signIn,
        view: (req, res) => {
          const guarded = guard(req as SomeRequest)
          res.render('layout', { read: () => read(guarded, caches) })
        },
        ...more,
      })
    }

    const reads: [string, (req: SomeRequest, caches: SomeCaches) => unknown][] = [
      ['a name', (req) => req.user?.name],
      ['whether there is a user', (req) => (req.user ? 'in' : 'out')],
      ['whether there is one, by its name', (req) => 'user' in req],
      ['whether somebody is signed in', (req) => (req.isAuthenticated() ? 'in' : 'out')],
      ['whether nobody is', (req) => (req.isUnauthenticated() ? 'out' : 'in')],
      ['something of a session', (req) => req.session.cart ?? 'nothing'],
      ['a cookie', (req): unknown => req.cookies['id']],
      ['its header', (req): unknown => req.get('Cookie') ?? 'none'],
      ['whose response has the user', (req) => (req.res?.req as SomeRequest).user?.name],
    ]

    it.each(reads)('is kept for nobody where the page reads %s', async (_what, read) => {
      const { site, outcomes } = await guardedSite((...given) => String(read(...given)))
      const withCookie = { headers: { 'X-User': 'ann', Cookie: 'id=ann' } }
      const first = await site.get('/p', withCookie)
      expect(first.cacheStatus).toMatch(/detail=undeclared-read$/)
      expect(first.headers['cache-control']).toBe('private, no-cache')
      // Who is nobody has nothing there, and the page is kept.
      const { text } = await site.get('/p')
      expect(text).toMatch(/ nobody$/)
      expect(text).not.toContain('ann')
      await eventually(() => outcomes.length === 2)
      expect((await site.get('/p')).text).toBe(text)
      expect(outcomes).toEqual(['bypass undeclared-read', 'miss', 'hit'])
    })

    it('is kept for nobody by a fragment that tells visitors apart', async () => {
      const { site } = await holedSite({
        outside: signIn,
        isPersonal: false,
        view: async (req, res) => {
          const { user } = guard(req as SomeRequest)
          const fragments = new FragmentCache(newCaches())
          const spec = { name: 'x', varyOn: [user?.name], inputs: ['user'] }
          const text = await fragments.render(spec, () => String(user?.name))
          res.render('layout', { read: () => text })
        },
      })
      expect((await site.get('/p', as('ann'))).text).toBe('ann ann')
      expect((await site.get('/p', as('ben'))).text).toBe('ben ben')
    })

    it.each<[string, (req: SomeRequest) => unknown]>([
      ['a path', (req) => req.path],
      ['a session without looking at it', (req) => typeof req.session],
      ['messages that nobody has sent', (req) => req.session.messages.length],
      ['cookies that were not sent', (req): unknown => req.cookies['none']],
    ])('is kept for all where the page reads %s', async (_what, read) => {
      const { site, outcomes } = await guardedSite((req) => String(read(req)))
      const { text } = await site.get('/p', as('ann'))
      await eventually(() => outcomes.length === 1)
      expect((await site.get('/p', as('ben'))).text).toBe(text.replace('ann', 'ben'))
      expect(outcomes).toEqual(['miss', 'hit'])
    })

    it('is kept where each visitor has a page of their own', async () => {
      const { site, outcomes } = await guardedSite((req) => req.user?.name, {
        inside: (_req, res, next) => {
          res.vary('Cookie')
          next()
        },
      })
      const withCookie = (user: string) => ({ headers: { 'X-User': user, Cookie: `id=${user}` } })
      expect((await site.get('/p', withCookie('ann'))).text).toBe('ann ann')
      await eventually(() => outcomes.length === 1)
      expect((await site.get('/p', withCookie('ben'))).text).toBe('ben ben')
      await eventually(() => outcomes.length === 2)
      expect((await site.get('/p', withCookie('ann'))).text).toBe('ann ann')
      expect(outcomes).toEqual(['miss', 'miss', 'hit'])
    })

    it('is kept with a hole that reads it', async () => {
      const { site, outcomes } = await guardedSite(() => 'for all', {
        context: (req) => {
          const guarded = guard(req as SomeRequest)
          return {
            get user() {
              return guarded.user?.name
            },
          }
        },
      })
      for (const user of ['ann', 'ben']) {
        expect((await site.get('/p', as(user))).text).toBe(`for all ${user}`)
        await eventually(() => outcomes.length > 0)
      }
      expect(outcomes).toEqual(['miss', 'hit'])
    })

    it('is not kept either where pages have no holes', async () => {
      const { site, outcomes } = await holedSite({
        outside: signIn,
        holes: undefined,
        view: (req, res) => {
          const { user } = guard(req as SomeRequest)
          res.send(user === undefined ? 'out' : 'in')
        },
      })
      await site.get('/p', as('ann'))
      await eventually(() => outcomes.length === 1)
      expect(outcomes).toEqual(['bypass undeclared-read'])
    })
  })
})
