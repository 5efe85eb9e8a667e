import { setTimeout as delay } from 'node:timers/promises'
import type { Express, Request, RequestHandler } from 'express'
import { createCaches, LocMemCache, type Cache } from 'fragcache'
import { guard, responseCache, type ResponseCacheOptions } from 'fragcache/express'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { cookieSession, expressVersions, session, Site } from '../support/express.js'

/* Layers that make a visitor known, in every place around the cache: nobody is given another one's page. */

interface Known {
  user?: { readonly name: string }
  session?: { user?: string }
  token?: string
}

const known = (req: object): Known => req

const cookieOf = (req: Request, name: string) =>
  new RegExp(`${name}=([\\w-]+)`).exec(req.headers.cookie ?? '')?.[1]

const signIn =
  (nameOf: (req: Request) => string | undefined, waits = false): RequestHandler =>
  (req, _res, next) => {
    const name = nameOf(req)
    if (name !== undefined) known(req).user = { name }
    if (waits) setTimeout(next, 2)
    else next()
  }

/** A shorter one is not told from a word of the page. */
const REST_OF_TOKEN = '-0123456789abcdef'
let tokens = 0
/** A token of a cookie of its own, which a form sends back. */
const doubleSubmit: RequestHandler = (req, res, next) => {
  const token = cookieOf(req, 'csrf')
  known(req).token = token ?? `new-${++tokens}`
  if (token === undefined) res.cookie('csrf', known(req).token)
  next()
}

interface Layer {
  readonly name: string
  readonly make: () => RequestHandler
  /** The header by which a visitor is known; left out: the cookies of a sign-in. */
  readonly header?: (name: string) => Record<string, string>
  /** Where it may stand: what the cache cannot see in front of it belongs behind. */
  readonly places: readonly ('in front' | 'behind')[]
  /** Whether the process is told that it stands behind. */
  readonly isTold: boolean
  /** The cache knows such a visitor by what it made of the request alone. */
  readonly isByOtherHeader?: boolean
  /** It makes a user known, and no session. */
  readonly givesUser?: boolean
}

const ANYWHERE = ['in front', 'behind'] as const

const cookie = (name: string) => ({ Cookie: `user=${name}` })

const layers: readonly Layer[] = [
  {
    name: 'express-session',
    make: () => session({ secret: 's', resave: false, saveUninitialized: false }),
    places: ANYWHERE,
    isTold: true,
  },
  {
    name: 'cookie-session',
    make: () => cookieSession({ secret: 's' }),
    places: ANYWHERE,
    isTold: true,
  },
  {
    name: 'double-submit tokens',
    make: () => doubleSubmit,
    header: (name) => ({ Cookie: `csrf=${name}${REST_OF_TOKEN}` }),
    places: ANYWHERE,
    isTold: false,
  },
  {
    name: 'req.user of a cookie',
    make: () => signIn((req) => cookieOf(req, 'user')),
    header: cookie,
    places: ANYWHERE,
    isTold: true,
    givesUser: true,
  },
  {
    name: 'req.user of a cookie, later',
    make: () => signIn((req) => cookieOf(req, 'user'), true),
    header: cookie,
    places: ANYWHERE,
    isTold: true,
    givesUser: true,
  },
  {
    name: 'req.user of Authorization',
    make: () => signIn((req) => req.get('Authorization')?.split(' ')[1]),
    header: (name) => ({ Authorization: `Bearer ${name}` }),
    places: ANYWHERE,
    isTold: true,
    givesUser: true,
  },
  {
    name: 'req.user of X-Api-Key',
    make: () => signIn((req) => req.get('X-Api-Key')),
    header: (name) => ({ 'X-Api-Key': name }),
    places: ANYWHERE,
    isTold: true,
    givesUser: true,
    isByOtherHeader: true,
  },
]

const isSignedIn = (req: object) =>
  known(req).user !== undefined || known(req).session?.user !== undefined

const BY_CACHE: ResponseCacheOptions = {}
const BY_SITE: ResponseCacheOptions = { isPersonal: isSignedIn }
/** Cookies and sessions do not make a page personal; what it reads through `guard`, shows or is given behind does. */
const FOR_ALL: ResponseCacheOptions = { isPersonal: false }

const rules: readonly (readonly [string, ResponseCacheOptions])[] = [
  ['by the cache’s own judgement', BY_CACHE],
  ['by the site’s', BY_SITE],
  ['by what it shows alone', FOR_ALL],
]

const LATE = 'a store that answers late'

const stores: readonly (readonly [string, () => Cache])[] = [
  ['local memory', () => new LocMemCache()],
  [LATE, () => new AsyncTestCache()],
]

const kinds = ['cacheSite', 'cachePage', 'the listener'] as const

const cases = rules.flatMap(([rule, options]) =>
  stores.slice(options === BY_CACHE ? 0 : 1).flatMap(([store, newCache]) =>
    kinds.flatMap((kind) =>
      layers.flatMap((layer) =>
        layer.places
          // The cache of the listener stands in front of the whole application.
          .filter((place) => kind !== 'the listener' || place === 'behind')
          .map((place) => ({ rule, options, store, newCache, kind, layer, place })),
      ),
    ),
  ),
)

const ORDERS = [
  ['nobody', 'ann', 'ben', 'ann', 'nobody', 'ben'],
  ['ann', 'nobody', 'ben', 'ann'],
]

let routes = 0

describe.each(expressVersions)('who is known, on $version', ({ version, express }) => {
  // What the cache makes of them knows no Express.
  const ofVersion = version === 'Express 5' ? cases : cases.filter(({ store }) => store === LATE)
  it.each(ofVersion)(
    'gets no other’s page: $layer.name $place $kind, $rule, over $store',
    async ({ options, newCache, kind, layer, place }) => {
      const warnings: string[] = []
      const spy = vi.spyOn(process, 'emitWarning').mockImplementation(((
        text: string,
        of: object,
      ) => {
        if ((of as { code?: string }).code === 'FRAGCACHE_VISITOR_BEHIND_CACHE') warnings.push(text)
      }) as never)
      onTestFinished(() => spy.mockRestore())

      const pages = responseCache<string>(createCaches({ default: newCache() }), options)
      const route = `/layers-${++routes}`
      let runs = 0
      const app: Express = express()
      const isUserBehind = layer.givesUser === true && place === 'behind' && kind !== 'the listener'
      const make = layer.make()
      if (place === 'in front') app.use(make)
      if (kind === 'cacheSite') app.use(pages.cacheSite())
      if (kind === 'cachePage') app.get(`${route}/:id`, pages.cachePage(60))
      if (place === 'behind') app.use(make)
      app.get('/sign-in/:name', (req, res) => {
        const { session } = known(req)
        if (session !== undefined) session.user = req.params.name
        res.set('Cache-Control', 'no-store').send('welcome')
      })
      app.get(`${route}/:id`, async (req, res) => {
        await delay(1)
        if (req.params.id === 'all') {
          // With Authorization no page is shared that does not say so.
          if (req.headers.authorization !== undefined)
            res.set('Cache-Control', 'public, max-age=60')
          return void res.send(`for all, ${++runs}`)
        }
        const isGuarded = options === FOR_ALL && !isUserBehind
        const { user, session, token } = known(isGuarded ? guard(req) : req)
        res.send(`for ${token ?? user?.name ?? session?.user ?? 'nobody'}`)
      })
      const site = await Site.open(kind === 'the listener' ? pages.listener(app) : app)

      const headersOf = new Map<string, Record<string, string>>([['nobody', {}]])
      for (const name of ['ann', 'ben']) {
        const { headers } = await site.get(`/sign-in/${name}`)
        const cookies = (headers['set-cookie'] ?? []).map((one) => one.split(';')[0])
        headersOf.set(name, layer.header?.(name) ?? { Cookie: cookies.join('; ') })
      }
      const isUnknownAtFirst =
        options === FOR_ALL ||
        (place === 'behind' && (layer.isByOtherHeader === true || options === BY_SITE))
      const check = async (path: string, name: string) => {
        const answer = await site.get(path, { headers: headersOf.get(name) ?? {} })
        const text = answer.text.replace(REST_OF_TOKEN, '')
        if (name === 'nobody') expect(text).toMatch(/^for (nobody|new-\d+)$/)
        else if (isUnknownAtFirst) {
          // Who cannot be known when the cache is asked may be given the page for nobody.

          expect(['for nobody', `for ${name}`]).toContain(text)
        } else expect(text).toBe(`for ${name}`)
      }
      for (const [at, names] of ORDERS.entries()) {
        for (const name of names) await check(`${route}/${at}`, name)
        await Promise.all(names.map((name) => check(`${route}/together-${at}`, name)))
      }
      if (options === FOR_ALL) {
        const seen = new Set<string>()
        for (const name of ['ann', 'ben', 'nobody', 'ann']) {
          seen.add((await site.get(`${route}/all`, { headers: headersOf.get(name) ?? {} })).text)
        }
        // Only one that says that it is public is shared by those whose user is behind.
        const isShared = !isUserBehind || layer.name === 'req.user of Authorization'
        expect([...seen]).toEqual(isShared ? ['for all, 1'] : [1, 2, 3].map((n) => `for all, ${n}`))
      }
      const isTold =
        options === FOR_ALL
          ? isUserBehind
          : place === 'behind' && layer.isTold && kind !== 'the listener'
      expect(warnings.map((text) => text.includes(`GET ${route}/:id`))).toEqual(
        isTold ? [true] : [],
      )
      if (isTold) expect(warnings[0]).toContain('put sessions and sign-ins in front')
    },
  )
})
