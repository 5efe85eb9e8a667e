import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Express, Request, RequestHandler, Response } from 'express'
import { createCaches, LocMemCache } from 'fragcache'
import onHeaders from 'on-headers'
import { responseCache } from 'fragcache/express'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  bobGetsSecret,
  describeAttacks,
  SECRET,
  secretView,
  type Attack,
  type Target,
  type View,
} from '../support/attacks.js'
import { cookieParser, cookieSession, expressVersions, session, Site } from '../support/express.js'

interface Visitor {
  user?: string | null
  session?: {
    user?: string
    flash?: string
    items?: number
    destroy?: Done
    regenerate?: Done
  } | null
  cookies?: Record<string, string>
}
type Done = (done: () => void) => void

const visitorOf = (req: object): Visitor => req

const expressSession = (): RequestHandler =>
  session({ secret: 's', resave: false, saveUninitialized: false })

/** Says who somebody is, and something that is shown to them once. */
const login: RequestHandler = (req, res, next) => {
  if (req.path !== '/login') return next()
  const { session } = visitorOf(req)
  if (session) Object.assign(session, { user: req.query.user, flash: req.query.flash })
  res.set('Cache-Control', 'no-store').end()
}

async function loggedIn({ site }: Target, query: string): Promise<{ Cookie: string }> {
  const { headers } = await site.get(`/login?${query}`)
  const cookies = headers['set-cookie'] ?? []
  return { Cookie: cookies.map((cookie) => cookie.split(';')[0]).join('; ') }
}

const greet: View = (req, res) => {
  const user = visitorOf(req).session?.user
  res.end(user === 'alice' ? SECRET : `for ${user ?? 'nobody'}`)
}

/** Nobody asks, then Alice: is she given the page for nobody? Then Bob, and nobody once more. */
async function someoneGetsAnothersPage(
  target: Target,
  alice: Record<string, string>,
  bob: Record<string, string>,
): Promise<boolean> {
  const { site } = target
  for (let round = 0; round < 2; round++) {
    if ((await site.get('/p')).text !== 'for nobody') return true
    if ((await site.get('/p', { headers: alice })).text !== SECRET) return true
    if ((await site.get('/p', { headers: bob })).text !== 'for bob') return true
  }
  return false
}

/** The same where she comes first. */
async function aliceComesFirst(
  target: Target,
  alice: Record<string, string>,
  bob: Record<string, string>,
): Promise<boolean> {
  const { text } = await target.site.get('/p', { headers: alice })
  return text !== SECRET || someoneGetsAnothersPage(target, alice, bob)
}

const orders = [
  ['nobody comes first', someoneGetsAnothersPage],
  ['Alice comes first', aliceComesFirst],
] as const

const sessions = [
  ['express-session', expressSession],
  ['cookie-session', () => cookieSession({ secret: 's' })],
] as const

const signedInBehind = sessions.flatMap(([library, make]): Attack[] =>
  orders.map(([order, isGivenAway]) => ({
    name: `a sign-in by ${library} behind the cache: ${order}`,
    about: 'what reads a cookie behind the cache makes the page that visitor’s',
    layers: (app, cache, view) => app.use(cache, make(), login, view),
    view: greet,
    succeeds: async (target) =>
      isGivenAway(target, await loggedIn(target, 'user=alice'), await loggedIn(target, 'user=bob')),
  })),
)

/** How a handler gets at a cookie without any middleware. */
const readers: readonly (readonly [string, (req: Request) => string | undefined])[] = [
  ['req.headers', (req) => req.headers.cookie],
  ['req.get', (req) => req.get('Cookie')],
  ['a copy of req.headers', (req) => ({ ...req.headers }).cookie],
  ['new Headers', (req) => new Headers(req.headers as Record<string, string>).get('cookie') ?? ''],
  ['req.headersDistinct', (req) => req.headersDistinct['cookie']?.[0]],
  ['req.rawHeaders', (req) => req.rawHeaders[req.rawHeaders.indexOf('Cookie') + 1]],
]

const readBehind = readers.flatMap(([way, read]): Attack[] =>
  orders.map(([order, isGivenAway]) => ({
    name: `a user from a cookie read by ${way} behind the cache: ${order}`,
    about: 'what reads a cookie behind the cache makes the page that visitor’s',
    layers: (app, cache, view) =>
      app.use(
        cache,
        (req, _res, next) => {
          const user = /user=(\w+)/.exec(read(req) ?? '')?.[1]
          if (user !== undefined) visitorOf(req).user = user
          next()
        },
        view,
      ),
    view: (req, res) => {
      const { user } = visitorOf(req)
      // As after a log-out: nothing is left that would tell.
      delete visitorOf(req).user
      res.end(user === 'alice' ? SECRET : `for ${user ?? 'nobody'}`)
    },
    succeeds: (target) => isGivenAway(target, { Cookie: 'user=alice' }, { Cookie: 'user=bob' }),
  })),
)

/** What is shown changes while the cookie stays the same. */
const carts = ['nothing', 'a layer that waits for the headers'].flatMap((around): Attack[] =>
  sessions.slice(0, 1).map(([library, make]) => ({
    name: `a cart in ${library} behind the cache, with ${around} around the cache`,
    about: 'what was made for a visitor is not kept for that visitor either',
    layers: (app, cache, view) => {
      if (around !== 'nothing') {
        app.use((_req, res, next) => {
          onHeaders(res, () => res.setHeader('X-Time', '1'))
          next()
        })
      }
      app.use(cache, make(), login, view)
    },
    view: (req, res) => {
      const session = visitorOf(req).session
      if (session?.user !== undefined) session.items = (session.items ?? 0) + 1
      res.end(`${session?.items ?? 'no'} items`)
    },
    succeeds: async (target) => {
      const alice = { headers: await loggedIn(target, 'user=alice') }
      const seen: string[] = []
      for (let i = 0; i < 3; i++) seen.push((await target.site.get('/p', alice)).text)
      return seen.join() !== '1 items,2 items,3 items'
    },
  })),
)

/** A form whose token belongs to a cookie of its own. */
const csrf = (read: (req: Request) => string | undefined): RequestHandler => {
  let issued = 0
  return (req, res, next) => {
    res.locals.token = read(req)
    if (res.locals.token === undefined) {
      res.locals.token = `token-${++issued}`
      res.cookie('csrf', res.locals.token)
    }
    next()
  }
}

const form: View = (_req, res) => res.end(`<input value="${String(res.locals.token)}">`)

async function tokenIsShown({ site }: Target): Promise<boolean> {
  const first = await site.get('/p')
  const alice = { Cookie: first.headers['set-cookie']?.[0]?.split(';')[0] ?? '' }
  const own = (await site.get('/p', { headers: alice })).text
  const { text } = await site.get('/p')
  const bobs = (await site.get('/p', { headers: { Cookie: 'csrf=bob' } })).text
  return text === own || bobs !== '<input value="bob">'
}

const tokens: Attack[] = [
  {
    name: 'a token in a form that belongs to a cookie of its own',
    about: 'CVE-2014-0473, double submit',
    layers: (app, cache, view) =>
      app.use(
        cache,
        csrf((req) => /csrf=([\w-]+)/.exec(req.headers.cookie ?? '')?.[1]),
        view,
      ),
    view: form,
    succeeds: tokenIsShown,
  },
  {
    name: 'the same where cookies are parsed in front of the cache',
    about: 'CVE-2014-0473, double submit',
    layers: (app, cache, view) =>
      app.use(
        cookieParser(),
        cache,
        csrf((req) => visitorOf(req).cookies?.csrf),
        view,
      ),
    view: form,
    succeeds: tokenIsShown,
  },
]

/** What is taken out of the session by being shown. */
const takeFlash: RequestHandler = (req, res, next) => {
  const { session } = visitorOf(req)
  res.locals.flash = session?.flash
  delete session?.flash
  delete session?.user
  next()
}

const showFlash: View = (_req, res) => res.end(`flash: ${String(res.locals.flash)}`)

async function flashIsShown(target: Target): Promise<boolean> {
  const { site } = target
  const alice = await loggedIn(target, `flash=${encodeURIComponent(SECRET)}`)
  const bob = await loggedIn(target, 'flash=hello')
  const own = (await site.get('/p', { headers: alice })).text
  const others = [
    (await site.get('/p')).text,
    (await site.get('/p', { headers: bob })).text,
    (await site.get('/p')).text,
  ]
  return (
    own !== `flash: ${SECRET}` || others.join() !== 'flash: undefined,flash: hello,flash: undefined'
  )
}

const flashes = sessions.map(([library, make]): Attack => ({
  name: `a layer between ${library} and the cache that empties what it shows`,
  about: 'a visitor who came with a session is that visitor, whatever is left in it',
  layers: (app, cache, view) => app.use(make(), login, takeFlash, cache, view),
  view: showFlash,
  succeeds: flashIsShown,
}))

/** What a handler leaves of a visitor whom the session in front of the cache knew. */
const leavings: readonly (readonly [string, (req: Request, done: () => void) => void])[] = [
  [
    'takes what it shows out of the session',
    (req, done) => takeFlash(req, req.res as Response, done),
  ],
  ['destroys the session', (req, done) => visitorOf(req).session?.destroy?.(done)],
  ['makes a new session', (req, done) => visitorOf(req).session?.regenerate?.(done)],
  [
    'takes the user away',
    (req, done) => {
      visitorOf(req).user = null
      delete visitorOf(req).session?.user
      done()
    },
  ],
]

const loggedOut = leavings.map(([what, leave]): Attack => ({
  name: `a page that names its visitor and ${what}`,
  about: 'what a request had when it came counts, not what is left of it',
  layers: (app, cache, view) => app.use(expressSession(), login, cache, view),
  view: (req, res) => {
    const user = visitorOf(req).session?.user
    leave(req, () => res.end(user === 'alice' ? SECRET : 'nobody'))
  },
  succeeds: async (target) => {
    const alice = await loggedIn(target, 'user=alice')
    const { text } = await target.site.get('/p', { headers: alice })
    return text !== SECRET || (await target.site.get('/p')).text.includes(SECRET)
  },
}))

/** What a layer behind the cache does to a header that it has read. */
const strippings: readonly (readonly [string, (req: Request, name: string) => void])[] = [
  ['deletes', (req, name) => void delete req.headers[name]],
  ['rewrites', (req, name) => void (req.headers[name] = 'x')],
  [
    'replaces the headers without',
    (req, name) => {
      const { [name]: _taken, ...others } = req.headers
      req.headers = others
    },
  ],
]

const stripped = strippings.flatMap(([what, strip]): Attack[] =>
  ['authorization', 'cookie', 'x-tenant'].map((name) => ({
    name: `a layer behind the cache that reads ${name} and ${what} it`,
    about: 'a request is judged by what was received',
    layers: (app, cache, view) =>
      app.use(
        cache,
        (req, res, next) => {
          res.locals.user = req.headers[name]
          strip(req, name)
          if (name !== 'authorization') res.vary(name)
          next()
        },
        view,
      ),
    view: (_req, res) => res.end(res.locals.user === 'alice' ? SECRET : 'nothing'),
    succeeds: async (target) =>
      (await bobGetsSecret(target, { [name]: 'alice' }, {})) ||
      bobGetsSecret(target, { [name]: 'alice' }, { [name]: 'bob' }) ||
      bobGetsSecret(target, { [name]: 'alice' }, { [name]: 'x' }),
  })),
)

const strippedInFront: Attack[] = ['authorization', 'cookie'].map((name) => ({
  name: `a layer in front of the cache that takes ${name} out of the headers`,
  about: 'a request is judged by what was received',
  layers: (app, cache, view) =>
    app.use(
      (req, res, next) => {
        res.locals.user = req.headers[name]
        delete req.headers[name]
        res.vary(name)
        next()
      },
      cache,
      view,
    ),
  view: (_req, res) => res.end(res.locals.user === 'alice' ? SECRET : 'nothing'),
  succeeds: async (target) =>
    (await bobGetsSecret(target, { [name]: 'alice' }, {})) ||
    bobGetsSecret(target, { [name]: 'alice' }, { [name]: 'bob' }),
}))

/** Sessions whose content cannot be listed. */
const unlisted: readonly (readonly [kind: string, open: (user: unknown) => unknown])[] = [
  ['a Map', (user) => new Map([['user', user]])],
  ['an object of a class', (user) => new PrivateSession(user)],
  ['a proxy', (user) => new Proxy({}, { get: () => user })],
  ['a text', (user) => user],
]

class PrivateSession {
  readonly #user: unknown

  constructor(user: unknown) {
    this.#user = user
  }

  get user(): unknown {
    return this.#user
  }
}

const unlistedSessions = unlisted.map(([kind, open]): Attack => ({
  name: `a session in front of the cache that is ${kind}`,
  about: 'in doubt a session holds something',
  layers: (app, cache, view) =>
    app.use(
      (req, _res, next) => {
        const user = req.headers['x-user']
        if (user !== undefined) Object.assign(req, { session: open(user) })
        next()
      },
      cache,
      view,
    ),
  view: secretView(() => undefined),
  succeeds: async (target) =>
    (await bobGetsSecret(target)) || bobGetsSecret(target, { 'X-User': 'alice' }, {}),
}))

const PLACE = '-'.repeat(SECRET.length)

/** Writes what is Alice's into the bytes of a page, where they are. */
const fillIn: RequestHandler = (req, res, next) => {
  for (const name of ['write', 'end'] as const) {
    const send = res[name].bind(res) as (...args: unknown[]) => unknown
    const filling = (...args: unknown[]) => {
      const [chunk] = args
      const at = Buffer.isBuffer(chunk) ? chunk.indexOf(PLACE) : -1
      if (at !== -1 && req.headers['x-user'] === 'alice') (chunk as Buffer).write(SECRET, at)
      return send(...args)
    }
    Object.assign(res, { [name]: filling })
  }
  next()
}

const writtenInto = (['write', 'end'] as const).map((name): Attack => ({
  name: `a layer in front of the cache that writes into the bytes given to res.${name}`,
  about: 'what is kept stays as the handler wrote it',
  layers: (app, cache, view) => app.use(fillIn, cache, view),
  view: (_req, res) => {
    res[name](Buffer.from(PLACE))
    res.end()
  },
  // The first page of each is made, the second one kept.
  succeeds: async (target) => (await bobGetsSecret(target)) || bobGetsSecret(target),
}))

const appendedTo: Attack = {
  name: 'a layer in front of the cache that appends to a list of a header',
  about: 'what is kept stays as the handler wrote it',
  layers: (app, cache, view) =>
    app.use(
      (req, res, next) => {
        onHeaders(res, () => {
          if (req.headers['x-user'] === 'alice') res.appendHeader('Link', SECRET)
        })
        next()
      },
      cache,
      view,
    ),
  view: (_req, res) => {
    res.setHeader('Link', ['<a>', '<b>'])
    res.end()
  },
  // The first page of hers is made, the second one kept.
  succeeds: async ({ site }) => {
    for (const user of ['alice', 'alice']) await site.get('/p', { headers: { 'X-User': user } })
    return String((await site.get('/p')).headers['link']).includes(SECRET)
  },
}

describeAttacks(
  'visitors whom something but the cache knows',
  [
    ...signedInBehind,
    ...readBehind,
    ...carts,
    ...tokens,
    ...flashes,
    ...loggedOut,
    ...stripped,
    ...strippedInFront,
    ...unlistedSessions,
    ...writtenInto,
    appendedTo,
  ],
  { later: true },
)

describe('files', () => {
  let folder: string

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'fragcache-visitors-'))
    writeFileSync(join(folder, 'alice'), SECRET)
    writeFileSync(join(folder, 'nobody'), 'nothing')
  })

  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  const file: View = (req, res) => {
    const { user } = visitorOf(req)
    const isAlice = user === 'alice' || req.headers.authorization === 'Basic alice'
    res.sendFile(isAlice ? 'alice' : 'nobody', { root: folder })
  }

  const attacks: Attack[] = [
    {
      name: 'a file that Express sends to a request with Authorization',
      about: 'RFC 9111 §3.5: Express says `public, max-age=0` by itself',
      view: file,
      succeeds: (target) => bobGetsSecret(target, { Authorization: 'Basic alice' }, {}),
    },
    {
      name: 'a file that Express sends to a visitor who is signed in',
      about: 'RFC 9111 §5.2.2.9: Express says `public, max-age=0` by itself',
      layers: (app, cache, view) =>
        app.use(
          (req, _res, next) => {
            if (req.headers['x-user'] !== undefined) visitorOf(req).user = 'alice'
            next()
          },
          cache,
          view,
        ),
      view: file,
      succeeds: (target) => bobGetsSecret(target, { 'X-User': 'alice' }, {}),
    },
  ]
  describeAttacks('files', attacks)
})

describe.each(expressVersions)(
  'what was asked for and what is answered, on $version',
  ({ express }) => {
    const newPages = () => responseCache(createCaches({ default: new LocMemCache() }))

    /** A page that says where it is, of a mounted application that trusts whoever asks. */
    async function mountedSite(mount: (app: Express, inner: Express, where: View) => void) {
      const app = express()
      const inner = express().set('trust proxy', true)
      const pages = newPages()
      app.use(pages.cacheSite())
      mount(app, inner, (req, res) => res.send(`at ${req.protocol}://${req.hostname}/`))
      return Site.open(app)
    }

    it.each<[string, (app: Express, inner: Express, where: View) => void]>([
      [
        'that answers',
        (app, inner, where) =>
          app.use(
            '/m',
            inner.use((req, res) => void where(req, res)),
          ),
      ],
      [
        'that hands on what it has made of it',
        (app, inner, where) => {
          inner.use((req, res, next) => {
            res.locals.host = req.hostname
            next()
          })
          app.use('/m', inner)
          app.use((req, res) => {
            if (res.locals.host === undefined) where(req, res)
            else res.send(`at http://${String(res.locals.host)}/`)
          })
        },
      ],
    ])(
      'a mounted application with a trust of its own %s: nothing is kept',
      async (_name, mount) => {
        const site = await mountedSite(mount)
        const evil = await site.get('/m/p', { headers: { 'X-Forwarded-Host': 'evil.test' } })
        expect(evil.text).toBe('at http://evil.test/')
        expect(evil.cacheStatus).toBe('fragcache; fwd=uri-miss; detail=trust-changed')
        expect((await site.get('/m/p')).text).toBe('at http://127.0.0.1/')
        // Where it makes no difference, the page is kept as ever.
        expect((await site.get('/m/p')).cacheStatus).toMatch(/^fragcache; hit/)
      },
    )

    it.each<[string, (req: Request) => string | undefined, Record<string, string>]>([
      ['a header', (req) => req.get('X-Language'), { 'X-Language': 'fr' }],
      ['a cookie', (req) => /lang=(\w+)/.exec(req.get('Cookie') ?? '')?.[1], { Cookie: 'lang=fr' }],
    ])(
      'a URL that is rewritten in front of the cache by %s is a page of its own',
      async (_name, read, french) => {
        const app = express()
        const pages = newPages()
        let runs = 0
        app.use((req, _res, next) => {
          const language = read(req)
          if (language !== undefined) req.url = `/${language}${req.url}`
          next()
        })
        app.use(pages.cacheSite(), (req, res) => void res.send(`run ${++runs} of ${req.url}`))
        const site = await Site.open(app)
        for (let round = 0; round < 2; round++) {
          expect((await site.get('/p')).text).toBe('run 1 of /p')
          expect((await site.get('/p', { headers: french })).text).toBe('run 2 of /fr/p')
        }
        // A client that asks for that very path asks for something else.
        expect((await site.get('/fr/p')).text).toBe('run 3 of /fr/p')
        await pages.invalidate(`${site.origin}/p`)
        expect((await site.get('/p', { headers: french })).text).toBe('run 4 of /fr/p')
        expect((await site.get('/p')).text).toBe('run 5 of /p')
      },
    )

    it('a slash more in front of a mounted router is another page', async () => {
      const mounted = (...layers: RequestHandler[]) => {
        const app = express()
        app.use((req, _res, next) => {
          if (req.get('X-Two') !== undefined) req.url = req.url.replace('/m/', '/m//')
          next()
        })
        return app.use('/m', ...layers, (req, res) => void res.send(`at ${req.url}`))
      }
      const plain = await Site.open(mounted())
      const site = await Site.open(mounted(newPages().cacheSite()))
      for (const headers of [{}, { 'X-Two': '1' }, {}]) {
        const { text } = await plain.get('/m/x', { headers })
        expect((await site.get('/m/x', { headers })).text).toBe(text)
      }
    })

    it.each(['/m', '/m/', '/m?a=1', '/m/?a=1', '/m/p', '/m//p', '/M/p', '/m%2fp'])(
      'what Express cuts off %s for a mounted router is no other page',
      async (path) => {
        const app = express()
        const pages = newPages()
        const router = express.Router()
        const keys: (string | undefined)[] = []
        const view: RequestHandler = (req, res, next) => {
          pages.getCacheKey(req).then((key) => (keys.push(key), res.send('page')), next)
        }
        router.use(pages.cacheSite(), view)
        app.use('/m', router)
        app.use(pages.cacheSite(), view)
        const site = await Site.open(app)
        await site.get(path)
        expect((await site.get(path)).cacheStatus).toMatch(/^fragcache; hit/)
        await pages.invalidate(site.origin + path)
        expect((await site.get(path)).cacheStatus).toBe(
          'fragcache; fwd=uri-miss; stored; detail=removed',
        )
      },
    )
  },
)
