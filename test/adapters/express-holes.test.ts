import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import type { Express, Request, RequestHandler, Response } from 'express'
import { createCaches, FragmentCache, LocMemCache, type Cache } from 'fragcache'
import { responseCache, type ResponseCache, type ResponseCacheOptions } from 'fragcache/express'
import { describe, expect, it } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { stopClock, watchOutcomes } from '../support/cached-site.js'
import { compression, eventually, oneExpress, Site } from '../support/express.js'
import { TinyEngine, type TinyTemplate } from '../support/tiny-engine.js'
import { gate, settle } from '../support/waiting.js'

const backends: readonly (readonly [string, () => Cache])[] = [
  ['LocMemCache', () => new LocMemCache()],
  ['a cache that answers late', () => new AsyncTestCache()],
]

const asked = new AsyncLocalStorage<string>()

/** `[run 1] Hello <visitor>! é Token <visitor>.` */
const page: TinyTemplate = {
  body: async ({ run }, hole) => `[run ${String(run)}] Hello ${hole('name')}! é ${hole('token')}.`,
  holes: {
    name: ({ user }) => `<${String(user)}>`,
    token: async ({ user }) => {
      await new Promise((resolve) => setImmediate(resolve))
      return `Token ${String(user)} of ${asked.getStore()}`
    },
  },
}

interface Setting extends ResponseCacheOptions {
  readonly cache?: Cache
  readonly view?: RequestHandler
  readonly context?: (req: Request, res: Response) => object | Promise<object>
  readonly mount?: (app: Express, pages: ResponseCache, view: RequestHandler) => void
}

const userOf = (req: Request): string => req.get('X-User') ?? 'nobody'
const as = (user: string, more: Record<string, string> = {}) => ({
  headers: { 'X-User': user, ...more },
})
const shown = (user: string, run = 1): string =>
  `[run ${run}] Hello <${user}>! é Token ${user} of ${user}.`

describe.each(oneExpress)('pages with holes in $version', ({ express }) => {
  async function holedSite(setting: Setting = {}) {
    const { cache = new LocMemCache(), view, context, mount, ...options } = setting
    const engine = new TinyEngine({
      page,
      plain: { body: async ({ run }) => `plain ${String(run)}` },
    })
    const caches = createCaches({ default: cache })
    const pages = responseCache<string>(caches, {
      holes: { engines: [engine], context: context ?? ((req) => ({ user: userOf(req) })) },
      ...options,
    })
    const app = express()
    engine.install(app)
    app.set('env', 'test')
    const runs = { count: 0 }
    const arrived = { count: 0 }
    app.use((req, _res, next) => {
      arrived.count++
      asked.run(userOf(req), next)
    })
    const counted: RequestHandler = (req, res, next) => {
      runs.count++
      if (view !== undefined) view(req, res, next)
      else res.render('page', { run: runs.count, user: 'what the view says' })
    }
    if (mount === undefined) app.use(pages.cachePage(600), counted)
    else mount(app, pages, counted)
    const site = await Site.open(app)
    const outcomes = watchOutcomes(site.origin)
    return { site, app, engine, caches, pages, runs, arrived, outcomes, cache }
  }

  describe.each(backends)('over %s', (_name, newCache) => {
    it('are kept without what is in them, and filled for each visitor', async () => {
      const { site, runs, outcomes } = await holedSite({ cache: newCache() })
      expect((await site.get('/p', as('ann'))).text).toBe(shown('ann'))
      await eventually(() => outcomes.length === 1)
      expect((await site.get('/p', as('ben'))).text).toBe(shown('ben'))
      expect((await site.get('/p')).text).toBe(shown('nobody'))
      expect((await site.get('/p', as('ann'))).text).toBe(shown('ann'))
      expect(runs.count).toBe(1)
      expect(outcomes).toEqual(['miss', 'hit', 'hit', 'hit'])
    })

    it('are one visitor’s for all caches behind, made or found', async () => {
      const { site, runs, outcomes } = await holedSite({ cache: newCache() })
      const answers = [await site.get('/p', as('ann'))]
      await eventually(() => outcomes.length === 1)
      answers.push(
        await site.get('/p', as('ann')),
        await site.get('/p', as('ann', { 'If-None-Match': '*', Range: 'bytes=0-3' })),
        await site.get('/p', as('ann', { 'If-Modified-Since': new Date().toUTCString() })),
      )
      for (const { status, text, headers } of answers) {
        expect({ status, text }).toEqual({ status: 200, text: shown('ann') })
        expect(headers['cache-control']).toBe('private, no-cache')
        expect(headers['content-length']).toBe(String(Buffer.byteLength(shown('ann'))))
        expect(headers['content-type']).toBe('text/html; charset=utf-8')
        for (const name of ['etag', 'last-modified', 'expires', 'age', 'content-range']) {
          expect(headers).not.toHaveProperty(name)
        }
      }
      expect(runs.count).toBe(1)
    })

    it('give HEAD their headers alone', async () => {
      const { site, outcomes } = await holedSite({ cache: newCache() })
      await site.get('/p', as('ann'))
      await eventually(() => outcomes.length === 1)
      const { status, text, headers, cacheStatus } = await site.get('/p', {
        method: 'HEAD',
        ...as('ben'),
      })
      expect({ status, text }).toEqual({ status: 200, text: '' })
      expect(headers['cache-control']).toBe('private, no-cache')
      expect(headers).not.toHaveProperty('etag')
      expect(cacheStatus).toMatch(/^fragcache; hit/)
    })

    it('are filled for each of those who wait', async () => {
      const { opened, open } = gate()
      const { site, runs, arrived, outcomes } = await holedSite({
        cache: newCache(),
        view: (_req, res, next) => {
          opened.then(() => res.render('page', { run: 1 }), next)
        },
      })
      const users = Array.from({ length: 20 }, (__, i) => `user${i}`)
      const answers = users.map((user) => site.get('/p', as(user)))
      await eventually(() => arrived.count === 20)
      await settle()
      open()
      expect((await Promise.all(answers)).map(({ text }) => text)).toEqual(
        users.map((user) => shown(user)),
      )
      expect(runs.count).toBe(1)
      expect(outcomes.filter((outcome) => outcome === 'joined')).toHaveLength(19)
    })

    it('are made again where a hole is not there any more', async () => {
      const { site, engine, runs, outcomes } = await holedSite({ cache: newCache() })
      await site.get('/p', as('ann'))
      await eventually(() => outcomes.length === 1)
      engine.replace('page', {
        body: async ({ run }, hole) => `new ${String(run)} ${hole('other')}`,
        holes: { other: ({ user }) => String(user) },
      })
      const answer = await site.get('/p', as('ben'))
      expect(answer.text).toBe('new 2 ben')
      expect(answer.cacheStatus).toBe('fragcache; fwd=uri-miss; stored; detail=unusable')
      await eventually(() => outcomes.length === 2)
      expect((await site.get('/p', as('ann'))).text).toBe('new 2 ann')
      expect(runs.count).toBe(2)
    })

    it('are filled while they are served stale, and made again behind that', async () => {
      const clock = stopClock()
      const { site, runs, outcomes } = await holedSite({
        cache: newCache(),
        staleWhileRevalidate: 60,
      })
      await site.get('/p', as('ann'))
      await eventually(() => outcomes.length === 1)
      clock.advance(601)
      expect((await site.get('/p', as('ben'))).text).toBe(shown('ben'))
      await eventually(() => outcomes.length === 3)
      expect((await site.get('/p', as('cem'))).text).toBe(shown('cem', 2))
      expect(runs.count).toBe(2)
    })

    it.each(['send', 'write'])('stand in for a view that fails by %s', async (how) => {
      const clock = stopClock()
      let fails = false
      const { site, outcomes } = await holedSite({
        cache: newCache(),
        staleIfError: 60,
        view: (_req, res) => {
          if (!fails) res.render('page', { run: 1 })
          else if (how === 'send') res.status(503).send('down')
          else {
            res.statusCode = 503
            res.write('do')
            res.end('wn')
          }
        },
      })
      await site.get('/p', as('ann'))
      await eventually(() => outcomes.length === 1)
      clock.advance(601)
      fails = true
      const answer = await site.get('/p', as('ben'))
      expect(answer).toMatchObject({ status: 200, text: shown('ben') })
      expect(answer.headers['cache-control']).toBe('private, no-cache')
      expect(answer.cacheStatus).toMatch(/view-failed-503/)
      expect((await site.get('/p', { ...as('cem'), method: 'HEAD' })).status).toBe(200)
      clock.advance(60)
      expect(await site.get('/p', as('ben'))).toMatchObject({ status: 503, text: 'down' })
    })
  })

  it.each(['send', 'write'])(
    'that cannot be filled either let the view fail by %s',
    async (how) => {
      const clock = stopClock()
      let fails = false
      const { site, outcomes } = await holedSite({
        staleIfError: 60,
        context: async (req) => {
          if (fails) throw new Error('no user')
          return { user: userOf(req) }
        },
        view: (_req, res) => {
          if (!fails) return res.render('page', { run: 1 })
          res.statusCode = 503
          if (how === 'write') res.write('do')
          res.end('wn')
        },
      })
      await site.get('/p', as('ann'))
      await eventually(() => outcomes.length === 1)
      clock.advance(601)
      fails = true
      const { status, text, cacheStatus } = await site.get('/p', as('ben'))
      expect({ status, text }).toEqual({ status: 503, text: how === 'write' ? 'down' : 'wn' })
      expect(cacheStatus).toMatch(/detail=status$/)
    },
  )

  it('are no page where the text was changed after it was rendered', async () => {
    const { site, runs } = await holedSite({
      view: (_req, res, next) => {
        res.render('page', { run: runs.count }, (error, text) => {
          if (error) next(error)
          else res.send(`${text} <!-- made -->`)
        })
      },
    })
    expect((await site.get('/p', as('ann'))).text).toBe(`${shown('ann')} <!-- made -->`)
    expect((await site.get('/p', as('ben'))).text).toBe(`${shown('ben', 2)} <!-- made -->`)
  })

  it('are kept where the text is sent as it came by a callback', async () => {
    const { site, runs, outcomes } = await holedSite({
      view: (_req, res, next) => {
        res.render('page', (error: Error | null, text: string) => {
          if (error) next(error)
          else res.end(text)
        })
      },
    })
    await site.get('/p', as('ann'))
    await eventually(() => outcomes.length === 1)
    expect((await site.get('/p', as('ben'))).text).toContain('<ben>')
    expect(runs.count).toBe(1)
  })

  it('fail where they are rendered by other means than res.render', async () => {
    const { site, engine } = await holedSite({
      view: (_req, res) => {
        engine.render('page', { user: 'ann' }).then(
          (text) => res.send(text),
          (error: unknown) => res.status(500).send(String(error)),
        )
      },
    })
    const { status, text } = await site.get('/p')
    expect(status).toBe(500)
    expect(text).toMatch(/CacheTagError.*page, line 1.*res\.render.*`holes` of responseCache/)
  })

  it('fail by other means also while res.render runs', async () => {
    const { site, engine } = await holedSite({
      view: (_req, res) => {
        const other = engine
          .render('page', { user: 'ann' })
          .catch((error: unknown) => String(error))
        res.render('page', { run: 1 }, (_error, text) => {
          engine
            .render('page', { user: 'ann' })
            .catch((error: unknown) => String(error))
            .then(async (late) => res.send([text, await other, late].join('|')))
            .catch(() => res.end())
        })
      },
    })
    const [own, other, late] = (await site.get('/p', as('ann'))).text.split('|')
    expect(own).toBe(shown('ann'))
    expect(other).toContain('CacheTagError')
    expect(late).toContain('CacheTagError')
  })

  it('fail once the headers are sent, which said that the page is everybody’s', async () => {
    const { site, runs } = await holedSite({
      view: (_req, res) => {
        res.write('begun ')
        res.render('page', { run: 1 }, (error, text) => {
          res.end(error === null ? text : String(error))
        })
      },
    })
    for (const user of ['ann', 'ben']) {
      const { text } = await site.get('/p', as(user))
      expect(text).toMatch(/^begun CacheTagError: .*after its headers were sent/)
    }
    expect(runs.count).toBeGreaterThan(0)
  })

  it('are no page where the engine lost the request on its way', async () => {
    // As a pool of connections that calls back in the context of whoever opened it.
    const pool = new AsyncResource('pool')
    const { site, app, engine } = await holedSite({
      view: (req, res) => res.render('page', { run: 1, user: userOf(req) }),
    })
    class View {
      readonly path = 'here'
      constructor(readonly name: string) {}
      render(it: Record<string, unknown>, done: (error: unknown, text?: string) => void): void {
        const render = () => {
          engine.render(this.name, it).then((text) => done(null, text), done)
        }
        setImmediate(() => pool.runInAsyncScope(render))
      }
    }
    app.set('view', View)
    engine.replace('page', {
      ...page,
      holes: { name: ({ user }) => String(user), token: () => '' },
    })
    for (const user of ['ann', 'ben']) {
      const { text, headers, cacheStatus } = await site.get('/p', as(user))
      expect(text).toContain(user)
      expect(headers['cache-control']).toBe('private, no-cache')
      expect(cacheStatus).toMatch(/detail=holes$/)
    }
  })

  it('are kept without the headers and cookies that come from a hole', async () => {
    const { site, engine, runs, outcomes } = await holedSite({
      context: (req, res) => ({ user: userOf(req), res }),
      view: (_req, res) => {
        res.set('X-View', 'kept')
        res.render('page', { run: 1 })
      },
    })
    engine.replace('page', {
      body: async (_it, hole) => hole('form'),
      holes: {
        form: ({ user, res }) => {
          ;(res as Response).cookie('csrf', user).set('X-Token', String(user)).vary('X-Kind')
          return `form of ${String(user)}`
        },
      },
    })
    for (const user of ['ann', 'ben', 'cem']) {
      const { text, headers } = await site.get('/p', as(user))
      expect(text).toBe(`form of ${user}`)
      expect(headers).toMatchObject({ 'x-token': user, 'x-view': 'kept' })
      expect(headers['set-cookie']).toEqual([`csrf=${user}; Path=/`])
      expect(headers['cache-control']).toBe('private, no-cache')
      expect(headers.vary).toContain('X-Kind')
      await eventually(() => outcomes.length > 0)
    }
    expect(runs.count).toBe(1)
  })

  it('have nothing of a visitor in the store', async () => {
    const keys = new Set<string>()
    const keyFunction = (key: string, prefix: string, version: number | string) => {
      keys.add(key)
      return `${prefix}:${version}:${key}`
    }
    const cache = new AsyncTestCache({ keyFunction })
    const { site, outcomes } = await holedSite({ cache, precompress: ['gzip'] })
    for (const path of ['/p', '/q']) await site.get(path, as('a-visitor'))
    await eventually(() => outcomes.length === 2)
    for (const path of ['/p', '/q']) await site.get(path, as('another'))
    const values = [...(await cache.getMany(keys)).values()]
    const bytes = values.map((value) =>
      value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : JSON.stringify(value),
    )
    expect(bytes.filter((one) => one.includes('Hello '))).toHaveLength(2)
    expect(bytes.join()).not.toMatch(/a-visitor|another/)
  })

  it('fail without the option, which the error names', async () => {
    const { site } = await holedSite({
      holes: undefined,
      mount: (app, pages, view) => {
        app.use(pages.cachePage(600), view)
        app.use((error: unknown, _req: Request, res: Response, next: () => void) => {
          if (res.headersSent) next()
          else res.status(500).send(String(error))
        })
      },
    })
    const { status, text } = await site.get('/p')
    expect(status).toBe(500)
    expect(text).toMatch(/CacheTagError.*page, line 1.*give responseCache the option `holes`/)
  })

  it('are rendered in place where no page is kept', async () => {
    const { site } = await holedSite({ mount: (app, _pages, view) => app.use(view) })
    expect((await site.get('/p', as('ann'))).text).toContain('<what the view says>')
  })

  it('take any name in the context', async () => {
    const { site } = await holedSite({
      context: (req) => ({ user: userOf(req), fault: 'mine', error: 'mine', then: undefined }),
    })
    expect((await site.get('/p', as('ann'))).text).toBe(shown('ann'))
  })

  it('are found with what there was before the view, as they were made', async () => {
    const { site, outcomes } = await holedSite({
      context: (req, res) => {
        res.locals['user'] = userOf(req)
        return res.locals
      },
      view: (_req, res) => {
        res.locals['user'] = 'somebody'
        res.render('page', { run: 1 })
      },
    })
    expect((await site.get('/p', as('ann'))).text).toBe(shown('ann'))
    await eventually(() => outcomes.length === 1)
    expect((await site.get('/p', as('ben'))).text).toBe(shown('ben'))
  })

  it.each([true, false])('hand on what the context throws (by promise: %j)', async (isLate) => {
    let fails = false
    const { site, runs, outcomes } = await holedSite({
      context: (req) => {
        if (!fails) return { user: userOf(req) }
        if (isLate) return Promise.reject(new Error('no user'))
        throw new Error('no user')
      },
      mount: (app, pages, view) => {
        app.use(pages.cachePage(600))
        app.get('/plain', (_req, res) => res.render('plain'))
        app.use(view)
        app.use((error: unknown, _req: Request, res: Response, next: () => void) => {
          if (res.headersSent) next()
          else res.status(500).send(String(error))
        })
      },
    })
    await site.get('/p')
    await eventually(() => outcomes.length === 1)
    fails = true
    expect(await site.get('/p')).toMatchObject({ status: 500, text: 'Error: no user' })
    expect(await site.get('/q')).toMatchObject({ status: 500, text: 'Error: no user' })
    expect((await site.get('/plain')).status).toBe(200)
    fails = false
    expect(await site.get('/p', as('ann'))).toMatchObject({ status: 200, text: shown('ann') })
    expect(runs.count).toBe(2)
  })

  it('depend on what is rendered in them, and are made again with it', async () => {
    const fragments = { current: undefined as FragmentCache | undefined }
    const setting = await holedSite({ cache: new AsyncTestCache() })
    const { site, engine, caches, outcomes } = setting
    fragments.current = new FragmentCache(caches)
    let made = 0
    engine.replace('page', {
      body: async (_it, hole) => {
        const tags = ['country:fr']
        const inner = await fragments.current?.render({ name: 'inner', tags }, () => `${++made}`)
        return `${inner} ${hole('name')}`
      },
      holes: page.holes ?? {},
    })
    expect((await site.get('/p', as('ann'))).text).toBe('1 <ann>')
    await eventually(() => outcomes.length === 1)
    expect((await site.get('/p', as('ben'))).text).toBe('1 <ben>')
    await caches.invalidateTags(['country:fr'])
    expect((await site.get('/p', as('ben'))).text).toBe('2 <ben>')
  })

  it('in fragments of a page are filled as those of the page', async () => {
    const { site, engine, caches, outcomes } = await holedSite({ cache: new AsyncTestCache() })
    const fragments = new FragmentCache(caches)
    let made = 0
    engine.replace('page', {
      body: async (_it, hole) =>
        fragments.render(
          { name: 'inner', holes: engine.holes({ user: 'of the fragment' }) },
          () => `${++made} ${hole('name')}`,
        ),
      holes: page.holes ?? {},
    })
    for (const path of ['/p', '/q', '/p', '/q']) {
      for (const user of ['ann', 'ben']) {
        expect((await site.get(path, as(user))).text).toBe(`1 <${user}>`)
      }
    }
    await eventually(() => outcomes.filter((one) => one === 'miss').length === 2)
    expect(outcomes.filter((one) => one === 'hit')).toHaveLength(6)
  })

  it('are not kept where a layer inside the cache encodes them, and are where one outside does', async () => {
    const headers = { 'Accept-Encoding': 'gzip' }
    const long: TinyTemplate = {
      body: async (_it, hole) => `${'x'.repeat(4096)}${hole('name')}`,
      holes: page.holes ?? {},
    }
    for (const isOutside of [true, false]) {
      const { site, engine, runs, outcomes } = await holedSite({
        precompress: ['gzip'],
        mount: (app, pages, view) => {
          const layers = [compression(), pages.cachePage(600)]
          app.use(...(isOutside ? layers : layers.reverse()), view)
        },
      })
      engine.replace('page', long)
      for (const user of ['ann', 'ben']) {
        const { gunzipSync } = await import('node:zlib')
        const answer = await site.get('/p', as(user, headers))
        expect(gunzipSync(answer.body).toString()).toBe(`${'x'.repeat(4096)}<${user}>`)
        await eventually(() => outcomes.length > 0)
      }
      expect(runs.count).toBe(isOutside ? 1 : 2)
    }
  })

  it('without a hole are pages like any other', async () => {
    const { site, runs, outcomes } = await holedSite({
      view: (_req, res) => res.render('plain', { run: 1 }),
    })
    const first = await site.get('/p')
    await eventually(() => outcomes.length === 1)
    const { etag = '' } = first.headers
    expect(first.headers['cache-control']).toBe('max-age=600')
    const again = await site.get('/p', as('ann', { 'If-None-Match': etag }))
    expect(again.status).toBe(304)
    expect(runs.count).toBe(1)
  })

  it('are a miss for who shares the cache and has no holes', async () => {
    const cache = new LocMemCache()
    const first = await holedSite({ cache })
    const Host = 'shared.test'
    const outcomes = watchOutcomes(`http://${Host}`)
    await first.site.get('/p', as('ann', { Host }))
    await eventually(() => outcomes.length === 1)
    const another = await holedSite({ cache })
    expect((await another.site.get('/p', as('ben', { Host }))).text).toBe(shown('ben'))
    expect(another.runs.count).toBe(0)
    const second = await holedSite({
      cache,
      holes: undefined,
      view: (_req, res) => res.send('a view without holes'),
    })
    expect((await second.site.get('/p', as('ben', { Host }))).text).toBe('a view without holes')
    const third = await holedSite({ cache: first.cache })
    expect((await third.site.get('/p', as('ben', { Host }))).text).toBe('a view without holes')
  })

  it.each<[unknown, RegExp]>([
    [7, /holes: 7 is not an object/],
    [
      { engines: [], context: () => ({}) },
      /^responseCache: holes\.engines: the list is empty; give one such as \[registerCache\(env, caches\)\]$/,
    ],
    [
      { engines: new TinyEngine({}), context: () => ({}) },
      /holes\.engines: .* is not a list such as \[registerCache\(env, caches\)\]$/,
    ],
    [
      { engines: [{}], context: () => ({}) },
      /holes\.engines: .* is not the result of registerCache/,
    ],
    [{ engines: [new TinyEngine({})] }, /holes\.context: undefined is not a function/],
    [{ engines: [new TinyEngine({})], context: () => ({}), more: 1 }, /unknown option "more"/],
  ])('are refused with the option %j', (holes, message) => {
    const caches = createCaches({ default: new LocMemCache() })
    expect(() => responseCache<string>(caches, { holes } as ResponseCacheOptions)).toThrow(message)
  })

  it('say what the context must be', async () => {
    const { site } = await holedSite({
      context: () => 7 as unknown as object,
      mount: (app, pages, view) => {
        app.use(pages.cachePage(600), view)
        app.use((error: unknown, _req: Request, res: Response, next: () => void) => {
          if (res.headersSent) next()
          else res.status(500).send(String(error))
        })
      },
    })
    expect((await site.get('/p')).text).toContain('holes.context gave 7')
  })
})
