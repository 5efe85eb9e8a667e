import { IncomingMessage, type ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { inspector, type InspectorOptions } from '../../adapters/inspector/index.js'
import { responseCache } from '../../adapters/express/index.js'
import { createCaches, LocMemCache } from '../../src/index.js'
import { expressVersions, Site } from '../support/express.js'
import { express5, Inspected } from './inspector-support.js'

const newCaches = () => createCaches({ default: new LocMemCache() })

/** What somebody who may not see it could ask for. */
const PATHS = [
  '/__cache',
  '/__cache/',
  '/__cache/help',
  '/__cache/api/overview',
  '/__cache/api/fragments',
  '/__cache/api/entry?alias=default&key=secret-key',
  '/__cache/api/events',
  '/__cache/api/responses',
  '/__cache//api/overview',
  '/__cache/./api/overview',
  '/__cache/..;/api/overview',
  '/__cache/%61pi/overview',
  '/__cache/api%2foverview',
  '/__cache/api/overview/',
  '/__CACHE/API/OVERVIEW',
  '//__cache/api/overview',
  '/__cache/nothing',
  '/__cache?x=/api/overview',
]

describe('starting the inspector', () => {
  it('is refused in production without authorize', () => {
    vi.stubEnv('NODE_ENV', 'production')
    onTestFinished(() => void vi.unstubAllEnvs())
    expect(() => inspector(newCaches())).toThrow(
      /^inspector: authorize is left out and NODE_ENV is production.*authorize: \(req\) => req\.user\?\.isStaff/,
    )
    const mounted = inspector(newCaches(), { authorize: () => true })
    mounted.close()
  })

  it('is refused without caches, as of a middleware that is not called', () => {
    const req = new IncomingMessage(new Socket())
    const start = () => Reflect.apply(inspector, undefined, [req, {}, () => undefined]) as unknown
    expect(start).toThrow('inspector: an object (IncomingMessage) is not a set of caches; give')
  })

  it.each([
    [{ authorise: () => true }, 'unknown option "authorise"; known options are authorize,'],
    [{ authorize: true }, 'authorize: true is not a function'],
    [{ pages: {} }, 'pages: an object cannot invalidate'],
    [{ user: 'me' }, 'user: "me" is not a function'],
    [{ maxFeeds: 0 }, 'maxFeeds: 0 is not a positive whole number'],
    [{ editor: 'javascript:open("{path}")' }, /has a scheme that browsers handle themselves/],
    [{ views: '.' }, 'inspector: views: "." is of no use without editor; give editor: "vscode:'],
    [{ editor: 'x:{path}', views: 'absent' }, 'views: "absent" is not a folder that exists; give'],
    [{ editor: 'x:{path}', views: ['.', 'package.json'] }, 'views: "package.json" is not a folder'],
    [{ editor: true }, 'inspector: editor: true is not an address'],
    [{ views: 5 }, 'inspector: views: 5 is not a folder'],
    [null, 'null are not options'],
  ])('refuses %j', (options, message) => {
    expect(() => inspector(newCaches(), options as InspectorOptions)).toThrow(message)
  })

  it('tells nothing of a secret that is too short', () => {
    expect(() => inspector(newCaches(), { secret: 'hunter2' })).toThrow(
      'inspector: secret: give a string of at least 32 characters',
    )
  })

  it('refuses what is no set of caches', () => {
    expect(() => inspector(new LocMemCache() as never)).toThrow(
      /is not a set of caches; give the result of createCaches/,
    )
  })

  it('takes functions of Express’ own request', () => {
    const mounted = inspector(newCaches(), {
      authorize: (req: IncomingMessage & { readonly user?: string }) => req.user === 'root',
      user: (req: IncomingMessage & { readonly user?: string }) => req.user,
    })
    mounted.close()
  })
})

describe.each(expressVersions)('who may see it, on $version', ({ express }) => {
  const refusals: readonly (readonly [string, InspectorOptions['authorize']])[] = [
    ['false', () => false],
    ['a promise of false', async () => false],
    ['nothing', () => undefined],
    ['a user who is no boolean', () => ({ name: 'ann' }) as never],
    [
      'an error',
      () => {
        throw new Error('no session store')
      },
    ],
    ['a rejection', () => Promise.reject(new Error('no session store'))],
    ['a middleware that hands on an error', (_req, _res, next) => next(new Error('no'))],
    ['a middleware that goes to another route', (_req, _res, next) => next('route')],
  ]

  it.each(refusals)('is nobody where authorize gives %s', async (_name, authorize) => {
    const caches = newCaches()
    await caches.default.set('secret-key', 'secret-value')
    const inspected = await Inspected.open(caches, { authorize }, undefined, express)
    for (const path of PATHS) {
      const answer = await inspected.site.get(path)
      expect([path, answer.status === 403 || answer.status === 404]).toEqual([path, true])
      expect(answer.text).not.toMatch(/secret|default|token|LocMem|hits|session store/)
    }
    for (const action of ['delete', 'invalidate', 'clear', 'reset']) {
      const answer = await inspected.site.get(`/__cache/api/${action}`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', Origin: inspected.site.origin },
        body: JSON.stringify({ alias: 'default' }),
      })
      expect(answer.status).toBe(403)
    }
    expect(await caches.default.get('secret-key')).toBe('secret-value')
  })

  it('is who authorize gives true for, at once, by promise or as a middleware', async () => {
    const allowing: InspectorOptions['authorize'][] = [
      () => true,
      async () => true,
      (_req, _res, next) => next(),
      (_req, _res, next) => void setImmediate(next),
      // As one does that ends in a call such as `emitter.emit`.
      (_req, _res, next) => setImmediate(next) !== undefined,
      async (_req, _res, next) => setImmediate(next) === undefined,
    ]
    for (const authorize of allowing) {
      const inspected = await Inspected.open(newCaches(), { authorize }, undefined, express)
      expect((await inspected.get('/')).status).toBe(200)
      expect((await inspected.overview()).aliases).toHaveLength(1)
    }
  })

  it.each<[string, (...given: unknown[]) => unknown, string]>([
    [
      'throws',
      () => {
        throw new RangeError('no session')
      },
      'authorize threw RangeError: no session, ',
    ],
    ['gives what is only truthy', () => 1, 'authorize gave 1 instead of true, '],
    [
      'promises what is only truthy',
      async () => 'root',
      'authorize gave a string instead of true, ',
    ],
  ])('is nobody where authorize %s, and that is said once', async (_, authorize, message) => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    onTestFinished(() => warn.mockRestore())
    const options = { authorize } as InspectorOptions
    const inspected = await Inspected.open(newCaches(), options, undefined, express5)
    for (let i = 0; i < 2; i++) expect((await inspected.get('/')).status).toBe(403)
    const said = warn.mock.calls.filter(
      ([, about]) => (about as { code?: string }).code === 'FRAGCACHE_INSPECTOR_AUTHORIZE',
    )
    expect(said).toHaveLength(1)
    expect(said[0]?.[0]).toContain(message)
  })

  it.each([undefined, null, false, 0, ''])(
    'is nobody where authorize gives %o, of which nothing is said',
    async (answer) => {
      const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
      onTestFinished(() => warn.mockRestore())
      const options = { authorize: () => answer } as unknown as InspectorOptions
      const inspected = await Inspected.open(newCaches(), options, undefined, express5)
      expect((await inspected.get('/')).status).toBe(403)
      expect(warn).not.toHaveBeenCalled()
    },
  )

  it('is known late where a middleware gives something and answers by itself', async () => {
    const authorize: InspectorOptions['authorize'] = (_req, res, _next) => {
      setImmediate(() => res.writeHead(302, { Location: '/sign-in' }).end())
      return true
    }
    const inspected = await Inspected.open(newCaches(), { authorize }, undefined, express)
    expect((await inspected.get('/')).status).toBe(302)
  })

  it('is waited for where a middleware does not decide, and that is said once', async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => {
      vi.useRealTimers()
      warn.mockRestore()
    })
    const asked: (() => void)[] = []
    const authorize: InspectorOptions['authorize'] = (_req, _res, next) => {
      asked.push(next)
      return true
    }
    const inspected = await Inspected.open(newCaches(), { authorize }, undefined, express)
    const answers = [inspected.get('/'), inspected.get('/')]
    await vi.waitUntil(() => asked.length === 2, { interval: 1 })
    expect(warn).not.toHaveBeenCalled()
    vi.advanceTimersByTime(5000)
    expect(warn.mock.calls.map(([message]) => message)).toEqual([
      expect.stringContaining('has for 5 s neither called next() nor answered'),
    ])
    for (const next of asked) next()
    for (const answer of answers) expect((await answer).status).toBe(200)
  })

  it('is answered by authorize itself where that does', async () => {
    const inspected = await Inspected.open(
      newCaches(),
      {
        authorize: (_req, res) => {
          res.statusCode = 302
          res.setHeader('Location', '/sign-in')
          res.end()
          return false
        },
      },
      undefined,
      express,
    )
    const answer = await inspected.get('/api/overview')
    expect([answer.status, answer.headers.location, answer.text]).toEqual([302, '/sign-in', ''])
    expect(answer.headers['cache-control']).toBe('private, no-store')
  })

  it('is asked with its own this, and sees what came before', async () => {
    const options = {
      allowed: 'ann',
      authorize(req: IncomingMessage) {
        return (req as { user?: string }).user === this.allowed
      },
    }
    const inspected = await Inspected.open(
      newCaches(),
      { authorize: options.authorize.bind(options) },
      (app) =>
        app.use((req, _res, next) => {
          Object.assign(req, { user: req.get('x-user') })
          next()
        }),
      express,
    )
    expect((await inspected.get('/', { headers: { 'X-User': 'ann' } })).status).toBe(200)
    expect((await inspected.get('/', { headers: { 'X-User': 'bob' } })).status).toBe(403)
  })
})

it.each([
  ['development', /^The option authorize of the inspector refused this request: return true/],
  ['production', /^Forbidden$/],
])('whom authorize refuses is told in %s no more than is of use there', async (env, message) => {
  vi.stubEnv('NODE_ENV', env)
  onTestFinished(() => void vi.unstubAllEnvs())
  const { site } = await Inspected.open(newCaches(), { authorize: () => false })
  const { status, text } = await site.get('/__cache/')
  expect(status).toBe(403)
  expect((JSON.parse(text) as { error: string }).error).toMatch(message)
})

describe('without authorize', () => {
  it.each([
    ['localhost', {}, 200],
    ['127.0.0.1:3000', {}, 200],
    ['[::1]:3000', {}, 200],
    ['site.localhost', {}, 200],
    ['example.com', {}, 403],
    ['localhost.example.com', {}, 403],
    ['127.0.0.1.example.com', {}, 403],
    ['localhost', { 'X-Forwarded-For': '203.0.113.7' }, 403],
    ['localhost', { Forwarded: 'for=203.0.113.7' }, 403],
    ['localhost', { Via: '1.1 proxy' }, 403],
  ])('a request for the host %j with %j gets %i', async (host, headers, status) => {
    const { site } = await Inspected.open()
    const answer = await site.get('/__cache/api/overview', { headers: { Host: host, ...headers } })
    expect(answer.status).toBe(status)
    if (status === 403) expect(answer.text).toContain('authorize')
  })
})

it('a request as nginx hands it on by default, without authorize, is refused', async () => {
  const { site } = await Inspected.open()
  const lines = (version: string) =>
    `GET /__cache/api/overview HTTP/${version}\r\nHost: 127.0.0.1:3000\r\nConnection: close\r\n\r\n`
  expect(await site.raw(lines('1.0'))).toMatch(/^HTTP\/1\.1 403 /)
  expect(await site.raw(lines('1.1'))).toMatch(/^HTTP\/1\.1 200 /)
})

it('a request without a host, without authorize, is refused', async () => {
  const { site } = await Inspected.open()
  const answer = await site.raw('GET /__cache/api/overview HTTP/1.0\r\n\r\n')
  expect(answer).toMatch(/^HTTP\/1\.1 403 /)
})

describe.each(expressVersions)('what it answers, on $version', ({ express }) => {
  const open = (setUp?: Parameters<typeof Inspected.open>[2], base?: string) =>
    Inspected.open(newCaches(), {}, setUp, express, base)

  it('is a page with a policy of its own, whose scripts and styles carry the nonce', async () => {
    const inspected = await open()
    const { headers, text, status } = await inspected.get('/')
    expect([status, headers['content-type']]).toEqual([200, 'text/html; charset=utf-8'])
    const policy = String(headers['content-security-policy'])
    const nonce = /script-src 'nonce-([\w-]{24})'/.exec(policy)?.[1]
    expect(policy.split('; ')).toEqual([
      "default-src 'none'",
      `script-src 'nonce-${nonce}'`,
      `style-src 'nonce-${nonce}'`,
      'img-src data:',
      "connect-src 'self'",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
      "require-trusted-types-for 'script'",
      "trusted-types 'none'",
    ])
    const elements = [...text.matchAll(/<(?:script|style)\b[^>]*>/g)].map(([element]) => element)
    expect(elements.length).toBeGreaterThanOrEqual(2)
    for (const element of elements) expect(element).toContain(`nonce="${nonce}"`)
    // Nothing is asked of another site, or of this one.
    expect(text).not.toMatch(/<(?:script|img|iframe)\b[^>]*\bsrc=|<link\b[^>]*href="(?!data:)/)
    const again = await inspected.get('/')
    expect(again.headers['content-security-policy']).not.toBe(policy)
  })

  it.each(['/', '/help', '/api/overview', '/api/routes', '/nothing', '/api/delete'])(
    'is never stored, framed or guessed at: %s',
    async (path) => {
      const { headers } = await (await open()).get(path)
      expect(headers['cache-control']).toBe('private, no-store')
      expect(headers['x-content-type-options']).toBe('nosniff')
      expect(headers['referrer-policy']).toBe('no-referrer')
      expect(headers['x-frame-options']).toBe('DENY')
      expect(headers['content-security-policy']).toContain("frame-ancestors 'none'")
      expect(headers['etag']).toBeUndefined()
    },
  )

  it.each([
    ['/__cache', './__cache/'],
    ['/__cache?a=1', './__cache/?a=1'],
    ['/__CACHE', './__CACHE/'],
  ])('is redirected from %s to %s', async (path, location) => {
    const { site } = await open()
    const answer = await site.get(path)
    expect([answer.status, answer.headers.location]).toEqual([302, location])
    const target = new URL(location, `${site.origin}${path}`)
    expect((await site.get(target.pathname)).status).toBe(200)
  })

  it('leads to no other site', async () => {
    const { site } = await open(undefined, '/:tenant')
    const answer = await site.get('//example.com')
    const { location } = answer.headers
    if (location !== undefined) {
      expect(new URL(location, site.origin).origin).toBe(site.origin)
    }
  })

  it('is 404 for what is not there and 405 for other methods', async () => {
    const inspected = await open()
    for (const path of ['/nothing', '/api', '/api/', '/api/overview/x', '/api/constructor']) {
      expect([path, (await inspected.get(path)).status]).toEqual([path, 404])
    }
    const posted = await inspected.get('/api/overview', { method: 'POST' })
    expect([posted.status, posted.headers.allow]).toEqual([405, 'GET, HEAD'])
    const got = await inspected.get('/api/delete')
    expect([got.status, got.headers.allow]).toEqual([405, 'POST'])
    expect((await inspected.get('/', { method: 'OPTIONS' })).status).toBe(405)
  })

  it.each(['cross-site', 'same-site'])('refuses what a page of a %s asks for', async (site) => {
    const inspected = await Inspected.open()
    const headers = { 'Sec-Fetch-Site': site }
    for (const path of ['/api/overview', '/api/events', '/api/entries?alias=default']) {
      const { status, text } = await inspected.get(path, { headers })
      expect([path, status]).toEqual([path, 403])
      expect(text).toContain('A page of another site')
    }
    // A link of another site, in a chat for example, leads here.
    expect((await inspected.get('/', { headers })).status).toBe(200)
    const own = await inspected.get('/api/overview', {
      headers: { 'Sec-Fetch-Site': 'same-origin' },
    })
    expect(own.status).toBe(200)
  })

  it('has the same head for HEAD', async () => {
    const inspected = await open()
    for (const path of ['/', '/help', '/api/overview', '/api/events']) {
      const answer = await inspected.get(path, { method: 'HEAD' })
      expect([path, answer.status, answer.text]).toEqual([path, 200, ''])
      expect(answer.headers['content-type']).toBeDefined()
    }
  })

  it('is the same under a router, and in another directory', async () => {
    const app = express()
    const router = express.Router()
    const mounted = inspector(newCaches())
    onTestFinished(() => mounted.close())
    router.use('/deep/down', mounted)
    app.use('/admin', router)
    const site = await Site.open(app)
    expect((await site.get('/admin/deep/down')).headers.location).toBe('./down/')
    expect((await site.get('/admin/deep/down/')).status).toBe(200)
    expect((await site.get('/admin/deep/down/api/overview')).status).toBe(200)
  })
})

describe('in front of it', () => {
  it('a cache of the whole site stores none of it', async () => {
    const caches = newCaches()
    const pages = responseCache(caches, { seconds: 60 })
    const inspected = await Inspected.open(caches, { pages }, (app) => app.use(pages.cacheSite()))
    const first = await inspected.overview()
    await caches.default.set('one', 1)
    const second = await inspected.overview()
    expect(second.nowMs).toBeGreaterThanOrEqual(first.nowMs)
    expect(second.aliases[0]?.sets).toBe(1)
    const nonces = [await inspected.get('/'), await inspected.get('/')].map(
      ({ headers }) => headers['content-security-policy'],
    )
    expect(nonces[0]).not.toBe(nonces[1])
  })

  it('a cache of the whole site does not make it a subject of itself', async () => {
    const caches = newCaches()
    const pages = responseCache(caches, { seconds: 60 })
    const inspected = await Inspected.open(caches, { pages }, (app) => {
      app.use(pages.cacheSite())
      app.get('/news', (_req, res) => void res.set('Set-Cookie', 'a=1').send('news'))
    })
    await inspected.overview()
    await inspected.site.get('/news')
    await inspected.overview()
    await inspected.fragments()
    const rows = await inspected.responses()
    expect(rows.map(({ url }) => new URL(url).pathname)).toEqual(['/news'])
    expect(caches.stats().routes.map(({ route }) => route)).toEqual(['GET /news'])
    expect((await inspected.routes()).map(({ route }) => route)).toEqual(['GET /news'])
  })

  it('a parser of bodies is no hindrance', async () => {
    const caches = newCaches()
    await caches.default.set('one', 1)
    const inspected = await Inspected.open(caches, {}, (app) => {
      app.use(express5.json(), express5.urlencoded({ extended: true }))
    })
    const answer = await inspected.act('delete', { alias: 'default', key: 'one' })
    expect([answer.status, JSON.parse(answer.text)]).toEqual([
      200,
      { ok: true, sentence: '"one" was deleted from "default".' },
    ])
  })
})

it('is answered without Express too', async () => {
  const mounted = inspector(newCaches())
  onTestFinished(() => mounted.close())
  const site = await Site.open((req: IncomingMessage, res: ServerResponse) => mounted(req, res))
  expect((await site.get('/')).status).toBe(200)
  expect((await site.get('/api/overview')).status).toBe(200)
  expect((await site.get('/..;/api/overview')).status).toBe(404)
})
