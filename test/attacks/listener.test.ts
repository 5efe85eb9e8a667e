import type { RequestListener } from 'node:http'
import type { Express, RequestHandler } from 'express'
import { createCaches, LocMemCache } from 'fragcache'
import { responseCache } from 'fragcache/express'
import { describe, expect, it } from 'vitest'
import { expressVersions, session, Site } from '../support/express.js'
import { naiveCache } from '../support/naive-cache.js'
import { SECRET } from '../support/attacks.js'

/** An application whose cache stands behind what guards it, and an attack on the cache in front. */
interface FrontAttack {
  readonly name: string
  readonly about: string
  readonly app: (app: Express, cache: { site: RequestHandler; view: RequestHandler }) => void
  readonly succeeds: (site: Site) => Promise<boolean>
}

/** Lets only those in who know the key. */
const guard: RequestHandler = (req, res, next) => {
  if (req.headers['x-api-key'] === 'alice') next()
  else res.status(401).end('no')
}

const secret: RequestHandler = (_req, res) => void res.end(SECRET)

async function strangerGetsSecret(site: Site): Promise<boolean> {
  await site.get('/p', { headers: { 'X-Api-Key': 'alice' } })
  return (await site.get('/p')).text.includes(SECRET)
}

const attacks: readonly FrontAttack[] = [
  {
    name: 'a page of one handler behind a guard',
    about: 'hits are answered before the guard is asked',
    app: (app, { view }) => void app.use(guard, view, secret),
    succeeds: strangerGetsSecret,
  },
  {
    name: 'a site behind a guard',
    about: 'hits are answered before the guard is asked',
    app: (app, { site }) => void app.use(guard, site, secret),
    succeeds: strangerGetsSecret,
  },
  {
    name: 'a page of one handler behind a guard, where the site has its cache elsewhere',
    about: 'the cache comes first, but not for this path',
    app: (app, { site, view }) => {
      app.use('/public', site)
      app.use(guard, view, secret)
    },
    succeeds: strangerGetsSecret,
  },
  {
    name: 'a site behind a guard with the name of a layer of Express',
    about: 'hits are answered before the guard is asked',
    app: (app, { site }) => {
      const query: RequestHandler = (req, res, next) => void guard(req, res, next)
      app.use(query, site, secret)
    },
    succeeds: strangerGetsSecret,
  },
  {
    name: 'a site behind a guard on one path',
    about: 'hits are answered before the guard is asked',
    app: (app, { site }) => {
      app.use('/p', guard)
      app.use(site, secret)
    },
    succeeds: strangerGetsSecret,
  },
  {
    name: 'a site behind a guard for a parameter of its path',
    about: 'hits are answered before the guard is asked',
    app: (app, { view }) => {
      app.param('page', (req, res, next) => void guard(req, res, next))
      app.get('/:page', view, secret)
    },
    succeeds: strangerGetsSecret,
  },
  {
    name: 'a page without the headers that protect it',
    about: 'what a layer around the cache sets with each answer',
    app: (app, { site }) => {
      app.use((_req, res, next) => {
        res.set({ 'X-Frame-Options': 'DENY', 'Content-Security-Policy': "default-src 'self'" })
        next()
      })
      app.use(site, (_req, res) => void res.end('page'))
    },
    succeeds: async (site) => {
      await site.get('/p')
      const { headers } = await site.get('/p')
      return headers['x-frame-options'] !== 'DENY' || !headers['content-security-policy']
    },
  },
  {
    name: 'the page for nobody, for a visitor whom a session inside knows',
    about: 'CVE-2026-35192: nobody has asked the session yet',
    app: (app, { site }) => {
      app.use(session({ secret: 's', resave: false, saveUninitialized: false }))
      app.use((req, res, next) => {
        if (req.path !== '/login') return next()
        Object.assign((req as unknown as { session: object }).session, { user: 'alice' })
        res.end()
      })
      app.use(site, (req, res) => {
        const { user } = (req as unknown as { session: { user?: string } }).session
        res.end(`for ${user ?? 'nobody'}`)
      })
    },
    succeeds: async (site) => {
      await site.get('/p')
      const { headers } = await site.get('/login')
      const Cookie = headers['set-cookie']?.[0]?.split(';')[0] ?? ''
      return (await site.get('/p', { headers: { Cookie } })).text !== 'for alice'
    },
  },
  {
    name: 'the page for nobody, for a request with Authorization',
    about: 'RFC 9111 §3.5',
    app: (app, { site }) => {
      app.use(site, (req, res) => void res.end(`for ${req.headers.authorization ?? 'nobody'}`))
    },
    succeeds: async (site) => {
      await site.get('/p')
      const headers = { Authorization: 'Basic alice' }
      return (await site.get('/p', { headers })).text !== 'for Basic alice'
    },
  },
  {
    name: 'the page of another host, where no proxy is trusted',
    about: 'CVE-2025-31137',
    app: (app, { site }) => void app.use(site, (req, res) => void res.end(req.hostname)),
    succeeds: async (site) => {
      await site.get('/p', { headers: { Host: 'evil.test', 'X-Forwarded-Host': 'good.test' } })
      const { text } = await site.get('/p', { headers: { Host: 'good.test' } })
      return text !== 'good.test'
    },
  },
  {
    name: 'the page for http, for https behind a proxy',
    about: 'CVE-2025-31137',
    app: (app, { site }) => {
      app.set('trust proxy', true)
      app.use(site, (req, res) => void res.end(req.protocol))
    },
    succeeds: async (site) => {
      await site.get('/p')
      const headers = { 'X-Forwarded-Proto': 'https' }
      return (await site.get('/p', { headers })).text !== 'https'
    },
  },
]

describe.each(expressVersions)('a listener in front, on $version', ({ express }) => {
  it.each(attacks)('withstands $name ($about)', async ({ app: build, succeeds }) => {
    const pages = responseCache(createCaches({ default: new LocMemCache() }))
    const app = express()
    build(app, { site: pages.cacheSite(), view: pages.cachePage(600) })
    expect(await succeeds(await Site.open(pages.listener(app)))).toBe(false)
  })

  it.each(attacks)('a simple cache in front falls for $name', async ({ app: build, succeeds }) => {
    const { middleware } = naiveCache({ keyOf: ({ url }) => url, bodyOnly: true })
    const app = express()
    const through: RequestHandler = (_req, _res, next) => next()
    build(app, { site: through, view: through })
    const inFront = middleware as unknown as (
      ...args: [...Parameters<RequestListener>, () => void]
    ) => void
    const listener: RequestListener = (req, res) => inFront(req, res, () => void app(req, res))
    expect(await succeeds(await Site.open(listener))).toBe(true)
  })
})
