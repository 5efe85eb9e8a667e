import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { RequestHandler } from 'express'
import { createCaches, LocMemCache } from 'fragcache'
import { responseCache } from 'fragcache/express'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { warnOfPageBehind } from '../../adapters/node/warnings.js'
import { cookieParser, cookieSession, expressVersions, session, Site } from '../support/express.js'

/** Collects what is warned of from now on. */
function watchWarnings(): string[] {
  const warnings: string[] = []
  const spy = vi.spyOn(process, 'emitWarning').mockImplementation(((text: string, kind: object) => {
    warnings.push(`${(kind as { code?: string }).code}: ${text}`)
  }) as never)
  onTestFinished(() => spy.mockRestore())
  return warnings
}

const newPages = () => responseCache(createCaches({ default: new LocMemCache() }))

let routes = 0
/** What was warned of is not said again: each test has a route of its own. */
const newRoute = () => `/route-${++routes}`

const sessions: readonly (readonly [string, () => RequestHandler])[] = [
  ['express-session', () => session({ secret: 's', resave: false, saveUninitialized: false })],
  ['cookie-session', () => cookieSession({ secret: 's' })],
]

interface Known {
  session?: { count?: number }
  user?: string
}

const known = (req: object): Known => req

const visit: RequestHandler = (req, res) => {
  const { session } = known(req)
  if (session !== undefined && req.query['sign-in'] !== undefined) session.count = 1
  res.send(`seen ${session?.count ?? 0} times`)
}

async function signedIn(site: Site, path: string): Promise<{ Cookie: string }> {
  const { headers } = await site.get(`${path}?sign-in`)
  return { Cookie: (headers['set-cookie'] ?? []).map((one) => one.split(';')[0]).join('; ') }
}

describe.each(expressVersions)('what stands in the wrong order, on $version', ({ express }) => {
  it.each(sessions)('%s behind cacheSite is told of once for each route', async (_name, make) => {
    const warnings = watchWarnings()
    const [one, other] = [newRoute(), newRoute()]
    const app = express().use(newPages().cacheSite(), make())
    app.get(`${one}/:id`, visit).get(`${other}/:id`, visit)
    const site = await Site.open(app)
    await site.get(`${one}/1`)
    expect(warnings).toEqual([])
    const headers = await signedIn(site, `${one}/1`)
    for (const id of [1, 2]) await site.get(`${one}/${id}`, { headers })
    await site.get(`${other}/1`, { headers })
    // The sign-in was a page too.
    const ofOrder = warnings.filter((text) => !text.startsWith('FRAGCACHE_SET_COOKIE'))
    expect(ofOrder.map((text) => /^(\w+): responseCache: (GET \S+):/.exec(text)?.slice(1))).toEqual(
      [one, other].map((path) => ['FRAGCACHE_VISITOR_BEHIND_CACHE', `GET ${path}/:id`]),
    )
    expect(ofOrder[0]).toContain('req.session')
    expect(ofOrder[0]).toContain('app.use(session(…)), then app.use(pages.cacheSite())')
  })

  it('a session that is begun on every page is told of, once for each cookie', async () => {
    const name = `cookie-${++routes}`
    const begin = (): RequestHandler =>
      session({ name, secret: 's', resave: false, saveUninitialized: true })
    const page: RequestHandler = (_req, res) => void res.send('page')
    const open = () =>
      Site.open(express().use(begin(), newPages().cacheSite()).get('/a', page).get('/b', page))
    const site = await open()
    vi.stubEnv('NODE_ENV', 'production')
    onTestFinished(() => void vi.unstubAllEnvs())
    const warnings = watchWarnings()
    await site.get('/a')
    expect(warnings).toEqual([])
    vi.stubEnv('NODE_ENV', 'development')
    for (const path of ['/a', '/b', '/a']) await site.get(path)
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toContain(
      `FRAGCACHE_SET_COOKIE: responseCache: GET /a: a page was not stored, since its response sets the cookie "${name}"`,
    )
    expect(warnings[0]).toContain('saveUninitialized: false')
  })

  it('so is a sign-in behind cachePage, from Authorization', async () => {
    const warnings = watchWarnings()
    const path = newRoute()
    const signIn: RequestHandler = (req, _res, next) => {
      known(req).user = req.get('Authorization') ?? ''
      next()
    }
    const app = express().get(path, newPages().cachePage(60), signIn, (req, res) => {
      res.send(`for ${known(req).user}`)
    })
    const site = await Site.open(app)
    for (const name of ['ann', 'ben']) {
      expect((await site.get(path, { headers: { Authorization: name } })).text).toBe(`for ${name}`)
    }
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toMatch(/^FRAGCACHE_VISITOR_BEHIND_CACHE: .*req\.user/)
  })

  it.each<[string, (site: RequestHandler) => RequestHandler[]]>([
    ['a session in front', (cache) => [sessions[0]![1](), cache]],
    ['a session in front, which the handler fills', (cache) => [sessions[1]![1](), cache]],
    ['cookies that are read behind', (cache) => [cache, cookieParser()]],
    [
      'an answer that is not to be stored',
      (cache) => [
        cache,
        sessions[0]![1](),
        (_q, res, next) => (res.set('Cache-Control', 'no-store'), next()),
      ],
    ],
  ])('nothing is said of %s', async (_name, layers) => {
    const warnings = watchWarnings()
    const path = newRoute()
    const app = express().use(...layers(newPages().cacheSite() as RequestHandler))
    app.get(path, (req, res, next) => {
      void (req as { cookies?: object }).cookies
      visit(req, res, next)
    })
    const site = await Site.open(app)
    const headers = await signedIn(site, path)
    await site.get(path, { headers })
    await site.get(path, { headers: { Cookie: 'theme=dark' } })
    expect(warnings).toEqual([])
  })

  it('nothing is said of a session behind the listener in front', async () => {
    const warnings = watchWarnings()
    const path = newRoute()
    const app = express().use(sessions[0]![1]())
    app.get(path, visit)
    const site = await Site.open(newPages().listener(app))
    await site.get(path, { headers: await signedIn(site, path) })
    expect(warnings).toEqual([])
  })

  it.each<[string, RequestHandler, ...RequestHandler[]]>([
    ['ends there', (_req, res) => void res.send('page')],
    ['goes on', (_req, res, next) => (res.send('page'), next())],
    ['goes on to another', (_req, res, next) => (res.send('page'), next()), () => undefined],
  ])('cachePage behind a handler that %s is told of once', async (_name, handler, ...others) => {
    const warnings = watchWarnings()
    const path = newRoute()
    const site = await Site.open(express().get(path, handler, newPages().cachePage(60), ...others))
    for (let i = 0; i < 2; i++) await site.get(path)
    await vi.waitFor(() => expect(warnings).toHaveLength(1))
    expect(warnings[0]).toMatch(/^FRAGCACHE_CACHE_BEHIND_HANDLER: cachePage: GET /)
    expect(warnings[0]).toContain('app.get(path, pages.cachePage(60), handler)')
  })

  it('nothing is said of cachePage behind a guard, or in a route before that of the handler', async () => {
    const warnings = watchWarnings()
    const [one, other] = [newRoute(), newRoute()]
    const pages = newPages()
    const guard: RequestHandler = (req, res, next) => {
      if (req.query['key'] === undefined) res.status(403).send('no')
      else next()
    }
    const page: RequestHandler = (_req, res) => void res.send('page')
    const app = express().get(one, guard, pages.cachePage(60), page)
    app.get(other, guard, pages.cachePage(60)).get(other, page)
    const site = await Site.open(app)
    for (const path of [one, other]) {
      for (const query of ['', '?key', '?key', '']) await site.get(path + query)
    }
    expect(warnings).toEqual([])
  })

  describe('the two halves of cacheSite', () => {
    type Use = (pages: ReturnType<typeof newPages>) => RequestHandler[]
    const update: Use = (pages) => [pages.updateCache()]
    const fetch: Use = (pages) => [pages.fetchFromCache()]
    const both: Use = (pages) => [pages.updateCache(), pages.fetchFromCache()]

    /** Gets two pages of a site; a file is none. */
    async function told(use: Use, inRoute: Use = () => []): Promise<string[]> {
      const warnings = watchWarnings()
      const pages = newPages()
      const path = newRoute()
      const app = express().use(...use(pages), (req, res, next) => {
        if (req.path === '/file') res.send('no route')
        else next()
      })
      app.get(path, ...inRoute(pages), (_req, res) => void res.send('page'))
      const site = await Site.open(app)
      for (const each of ['/file', '/missing', path, path]) await site.get(each)
      return warnings
    }

    it.each<[string, Use, string]>([
      ['updateCache alone', update, 'updateCache has no fetchFromCache behind it'],
      ['fetchFromCache alone', fetch, 'fetchFromCache has no updateCache in front of it'],
      [
        'the wrong order',
        (pages) => both(pages).reverse(),
        'updateCache has no fetchFromCache behind it',
      ],
    ])('%s is told of once', async (_name, use, fault) => {
      const warnings = await told(use)
      expect(warnings).toHaveLength(1)
      expect(warnings[0]).toMatch(
        /^FRAGCACHE_HALF_CACHE: responseCache: GET \/route-\d+: nothing is cached/,
      )
      expect(warnings[0]).toContain(fault)
    })

    it('nothing is said where they are right, or a handler has a cache of its own', async () => {
      expect(await told(both)).toEqual([])
      expect(await told(fetch, (pages) => [pages.cachePage(60)])).toEqual([])
    })

    it('nothing is said in production', async () => {
      vi.stubEnv('NODE_ENV', 'production')
      onTestFinished(() => void vi.unstubAllEnvs())
      expect(await told(update)).toEqual([])
    })
  })

  it('nothing is said of cachePage behind a handler in production', async () => {
    const warnings = watchWarnings()
    const open = (path: string) =>
      Site.open(express().get(path, (_req, res) => void res.send('page'), newPages().cachePage(60)))
    const [live, here] = [newRoute(), newRoute()]
    vi.stubEnv('NODE_ENV', 'production')
    onTestFinished(() => void vi.unstubAllEnvs())
    await (await open(live)).get(live)
    vi.unstubAllEnvs()
    await (await open(here)).get(here)
    await vi.waitFor(() => expect(warnings).toHaveLength(1))
    expect(warnings[0]).toContain(`GET ${here}:`)
  })
})

it('no more than 1,000 routes are told of', () => {
  const warnings = watchWarnings()
  for (let i = 0; i < 1001; i++) warnOfPageBehind(`GET /generated/${i}`)
  // Those above were told of before.
  expect(warnings.length).toBeGreaterThan(900)
  expect(warnings.length).toBeLessThanOrEqual(1000)
  expect(warnings.join()).not.toContain('/generated/1000')
})

describe('a cachePage that no request comes to', () => {
  it('goes with its application, and its cache with it', async () => {
    setFlagsFromString('--expose-gc')
    const gc = runInNewContext('gc') as () => void
    const make = () => {
      const cache = new LocMemCache()
      responseCache(createCaches({ default: cache })).cachePage(60)
      return new WeakRef(cache)
    }
    const gone = make()
    await new Promise((resolve) => setTimeout(resolve))
    gc()
    expect(gone.deref()).toBeUndefined()
  })
})
