import { createRequire } from 'node:module'
import { doubleCsrf } from 'csrf-csrf'
import express5, { type Express, type Request, type RequestHandler } from 'express'
import { createCaches, LocMemCache } from 'fragcache'
import { responseCache } from 'fragcache/express'
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import {
  cookieParser,
  cookieSession,
  expressVersions,
  session,
  Site,
  type Answer,
} from '../support/express.js'

/* Sessions, sign-ins and tokens by the packages that applications have, in both orders with the cache. */

interface Passport {
  use(name: string, strategy: object): void
  serializeUser(serialize: (user: User, done: Done) => void): void
  deserializeUser(deserialize: (id: string, done: Done) => void): void
  session(): RequestHandler
  authenticate(name: string, options?: object): RequestHandler
}

type Done = (error: unknown, value?: unknown) => void

interface User {
  readonly id: string
}

interface Strategy {
  success(user: User): void
  pass(): void
  authenticate(req: Request): void
}

// They have no types here.
const require = createRequire(import.meta.url)
const { Passport, Strategy } = require('passport') as {
  Passport: new () => Passport
  Strategy: new () => Strategy
}
const LocalStrategy = require('passport-local') as new (
  verify: (name: string, password: string, done: Done) => void,
) => object

class KeyStrategy extends Strategy {
  override authenticate(req: Request): void {
    const id = req.get('X-Api-Key')
    if (id === undefined) this.pass()
    else this.success({ id })
  }
}

function newPassport(): Passport {
  const passport = new Passport()
  passport.use(
    'local',
    new LocalStrategy((name, password, done) => {
      done(null, password === 'secret' ? { id: name } : false)
    }),
  )
  passport.use('key', new KeyStrategy())
  passport.serializeUser((user, done) => done(null, user.id))
  passport.deserializeUser((id, done) => done(null, { id }))
  return passport
}

/** Passport asks sessions for what those in a cookie have not. */
const withRegenerate: RequestHandler = (req, _res, next) => {
  const { session } = req as unknown as { session: Record<string, unknown> }
  const call = (done: () => void) => done()
  for (const name of ['regenerate', 'save']) {
    Object.defineProperty(session, name, { value: call, configurable: true })
  }
  next()
}

const sessions: readonly (readonly [string, () => RequestHandler[]])[] = [
  ['express-session', () => [session({ secret: 's', resave: false, saveUninitialized: false })]],
  [
    'express-session that is always saved',
    () => [session({ secret: 's', resave: true, saveUninitialized: true })],
  ],
  ['cookie-session', () => [cookieSession({ secret: 's' }), withRegenerate]],
]

/** A visitor's browser. */
class Browser {
  readonly #cookies = new Map<string, string>()

  constructor(private readonly site: Site) {}

  get(path: string): Promise<Answer> {
    return this.#ask(path)
  }

  post(path: string, fields: Readonly<Record<string, string>>): Promise<Answer> {
    return this.#ask(path, new URLSearchParams(fields).toString())
  }

  async #ask(path: string, body?: string): Promise<Answer> {
    const Cookie = Array.from(this.#cookies, (one) => one.join('=')).join('; ')
    const headers = {
      ...(Cookie !== '' && { Cookie }),
      ...(body !== undefined && { 'Content-Type': 'application/x-www-form-urlencoded' }),
    }
    const options = body === undefined ? { headers } : { headers, method: 'POST', body }
    const answer = await this.site.get(path, options)
    for (const line of answer.headers['set-cookie'] ?? []) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      this.#cookies.set(name, value)
    }
    return answer
  }
}

const idOf = (req: Request) => (req as { user?: User }).user?.id ?? 'nobody'

type Kind = 'cacheSite' | 'cachePage'
type Order = 'in front of' | 'behind'

const orders = (['in front of', 'behind'] as const).flatMap((order) =>
  (['cacheSite', 'cachePage'] as const).map((kind) => [order, kind] as const),
)

const warnings: string[] = []
beforeEach(() => {
  warnings.length = 0
  const spy = vi.spyOn(process, 'emitWarning').mockImplementation(((text: string, of: object) => {
    if ((of as { code?: string }).code === 'FRAGCACHE_VISITOR_BEHIND_CACHE') warnings.push(text)
  }) as never)
  onTestFinished(() => spy.mockRestore())
})

let routes = 0

describe.each(expressVersions)('on $version', ({ express }) => {
  /** An application with these layers, and the cache for one path. */
  function appWith(
    layers: readonly RequestHandler[],
    order: Order,
    kind: Kind,
    path: string,
  ): Express {
    const pages = responseCache(createCaches({ default: new LocMemCache() }))
    const app = express()
    const cache = () => {
      if (kind === 'cacheSite') app.use(pages.cacheSite())
      else app.get(path, pages.cachePage(60))
    }
    if (order === 'behind') cache()
    app.use(...layers)
    if (order === 'in front of') cache()
    return app
  }

  describe.each(orders)('%s %s', (order, kind) => {
    it.each(sessions)(
      'Passport with %s gives nobody another’s page',
      async (_name, makeSession) => {
        const passport = newPassport()
        const path = `/packages-${++routes}`
        const layers = [...makeSession(), passport.session()]
        const app = appWith(layers, order, kind, path)
        app.post('/sign-in', express5.urlencoded(), passport.authenticate('local'), (req, res) => {
          res.send(`welcome ${idOf(req)}`)
        })
        app.get(path, (req, res) => void res.send(`for ${idOf(req)}`))
        const site = await Site.open(app)
        const nobody = () => new Browser(site).get(path)
        expect((await nobody()).text).toBe('for nobody')
        const browsers = ['ann', 'ben'].map((name) => [name, new Browser(site)] as const)
        for (const [username, browser] of browsers) {
          const { text } = await browser.post('/sign-in', { username, password: 'secret' })
          expect(text).toBe(`welcome ${username}`)
        }
        for (let i = 0; i < 2; i++) {
          for (const [name, browser] of browsers) {
            const { text, cacheStatus } = await browser.get(path)
            expect([text, cacheStatus]).toEqual([
              `for ${name}`,
              expect.not.stringMatching(/stored|hit/),
            ])
          }
          expect((await nobody()).text).toBe('for nobody')
        }
        const both = await Promise.all(browsers.map(([, browser]) => browser.get(path)))
        expect(both.map(({ text }) => text)).toEqual(['for ann', 'for ben'])
        const isTold = warnings.some((text) => text.includes(`GET ${path}`))
        expect(isTold).toBe(order === 'behind')
      },
    )

    it('Passport without a session gives nobody another’s page', async () => {
      const passport = newPassport()
      const path = `/packages-${++routes}`
      const app = appWith([passport.authenticate('key', { session: false })], order, kind, path)
      app.get(path, (req, res) => void res.send(`for ${idOf(req)}`))
      const site = await Site.open(app)
      for (const key of ['ann', 'ben', 'ann']) {
        const { text, cacheStatus } = await site.get(path, { headers: { 'X-Api-Key': key } })
        expect([text, cacheStatus]).toEqual([`for ${key}`, expect.not.stringMatching(/stored|hit/)])
      }
      for (const kept of ['stored', 'hit']) {
        const { text, cacheStatus } = await site.get(path)
        expect([text, cacheStatus]).toEqual(['for nobody', expect.stringContaining(kept)])
      }
    })

    const keeps: RequestHandler = (req, res, next) => {
      const { csrf } = (req as { cookies: { csrf?: string } }).cookies
      res.locals['token'] = csrf ?? req.csrfToken?.()
      next()
    }
    it.each<readonly [string, RequestHandler]>([
      ['by the handler', (_req, _res, next) => next()],
      [
        'by a layer',
        (req, res, next) => {
          res.locals['token'] = req.csrfToken?.()
          next()
        },
      ],
      ['by a layer, for those without', keeps],
    ])('tokens of csrf-csrf, made %s, are their visitor’s', async (_name, makeToken) => {
      const { doubleCsrfProtection } = doubleCsrf({
        getSecret: () => 'secret',
        getSessionIdentifier: () => '',
        getCsrfTokenFromRequest: (req) => (req.body as { token?: string }).token,
        cookieName: 'csrf',
        cookieOptions: { secure: false },
      })
      const path = `/packages-${++routes}`
      const parse = [cookieParser(), express5.urlencoded()]
      const app = appWith([...parse, doubleCsrfProtection, makeToken], order, kind, path)
      app.get(path, (req, res) => {
        res.send(`token ${String(res.locals['token'] ?? req.csrfToken?.())}`)
      })
      app.post('/send', (_req, res) => void res.send('sent'))
      const site = await Site.open(app)
      const seen = new Set<string>()
      for (const browser of [new Browser(site), new Browser(site), new Browser(site)]) {
        for (let i = 0; i < 2; i++) {
          const { text } = await browser.get(path)
          const token = text.replace('token ', '')
          if (i === 0) expect(seen).not.toContain(token)
          seen.add(token)
          expect((await browser.post('/send', { token })).text).toBe('sent')
        }
      }
    })
  })
})
