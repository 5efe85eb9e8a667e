import type { Express, Request, RequestHandler, Response } from 'express'
import { createCaches, LocMemCache } from 'fragcache'
import { responseCache } from 'fragcache/express'
import { describe, expect, it } from 'vitest'
import { expressVersions, methodOverride, session, Site } from '../support/express.js'
import { naiveCache } from '../support/naive-cache.js'

type View = (req: Request, res: Response) => unknown

/** An attack: it succeeds if somebody gets what was another's, or what nobody should get. */
interface Attack {
  readonly name: string
  /** The advisory or the rule behind it. */
  readonly about: string
  /** What stands around the view, the cache among it. Default: the cache, then the view. */
  readonly layers?: (app: Express, cache: RequestHandler, view: RequestHandler) => void
  readonly view: View
  readonly succeeds: (site: Site) => Promise<boolean>
  /** A cache by URL alone happens to withstand it. */
  readonly naiveWithstands?: true
}

const SECRET = 'the secret of alice'

/** Alice asks first, then Bob: does he get what is hers? */
async function bobGetsSecret(
  site: Site,
  alice: Record<string, string> = { 'X-User': 'alice' },
  bob: Record<string, string> = { 'X-User': 'bob' },
): Promise<boolean> {
  await site.get('/p', { headers: alice })
  return (await site.get('/p', { headers: bob })).text.includes(SECRET)
}

/** Alice asks, then Bob: is one of them given what the other, or somebody before, was given? */
async function someoneGetsAnothers(
  site: Site,
  alice: Record<string, string>,
  bob: Record<string, string>,
): Promise<boolean> {
  const { text } = await site.get('/p', { headers: alice })
  return text !== SECRET || (await site.get('/p', { headers: bob })).text.includes(SECRET)
}

/** A view that says to Alice what is hers, under these response headers. */
function secretView(setHeaders: (res: Response) => void): View {
  return (req, res) => {
    setHeaders(res)
    res.end(req.headers['x-user'] === 'alice' ? SECRET : 'nothing')
  }
}

const privateSpellings = [
  'private',
  'PRIVATE',
  'public, Private',
  'max-age=60,private',
  'private="x-user"',
  'private="x',
  'private = x',
  '"private"',
  'ext="a, private',
  'private; max-age=60',
  'max-age=60 private',
  'no-store',
  'No-Store, max-age=60',
  'no_store',
  'no-cache',
  'no-cache="set-cookie", max-age=60',
]

const attacks: Attack[] = [
  ...privateSpellings.map((spelling) => ({
    name: `Cache-Control: ${spelling}`,
    about: 'CVE-2026-8404, CVE-2026-9678: private answers stored by spelling',
    view: secretView((res) => res.setHeader('Cache-Control', spelling)),
    succeeds: bobGetsSecret,
  })),
  {
    name: 'private in a second Cache-Control header',
    about: 'RFC 9110 §5.3',
    view: secretView((res) => res.setHeader('Cache-Control', ['max-age=60', 'private'])),
    succeeds: bobGetsSecret,
  },
  {
    name: 'private given to writeHead',
    about: 'RFC 9111 §5.2.2.7',
    view: (req, res) => {
      res.writeHead(200, ['cache-CONTROL', 'private'])
      res.end(req.headers['x-user'] === 'alice' ? SECRET : 'nothing')
    },
    succeeds: bobGetsSecret,
  },
  ...['*', ' * ', 'Cookie, *', '*,Accept'].map((vary) => ({
    name: `Vary: ${vary}`,
    about: 'CVE-2026-6907, CVE-2026-48587',
    view: secretView((res) => res.setHeader('Vary', vary)),
    succeeds: bobGetsSecret,
  })),
  {
    name: 'a Vary that cannot be read',
    about: 'RFC 9110 §12.5.5; fail closed',
    view: secretView((res) => res.setHeader('Vary', 'X User')),
    succeeds: bobGetsSecret,
  },
  ...(
    [
      ['cookie', (res) => res.cookie('sid', SECRET).end('x')],
      ['clearCookie', (res) => res.clearCookie('sid').set('X', SECRET).end('x')],
      ['append', (res) => res.append('Set-Cookie', `sid=${SECRET}`).end('x')],
      ['setHeader with a list', (res) => res.setHeader('SET-COOKIE', [`sid=${SECRET}`]).end('x')],
      ['writeHead with an object', (res) => res.writeHead(200, { 'set-cookie': SECRET }).end('x')],
      ['writeHead with an array', (res) => res.writeHead(200, ['Set-Cookie', SECRET]).end('x')],
      [
        'under Cache-Control: public',
        (res) => res.set('Cache-Control', 'public, max-age=9').cookie('sid', SECRET).end('x'),
      ],
    ] as [string, (res: Response) => unknown][]
  ).map(([how, answer]): Attack => ({
    name: `Set-Cookie by ${how}`,
    about: 'CVE-2012-2671, CVE-2022-24894, CVE-2026-48588: cookies replayed to others',
    view: (req, res) => (req.headers['x-user'] === 'alice' ? answer(res) : res.end('x')),
    succeeds: async (site) => {
      await site.get('/p', { headers: { 'X-User': 'alice' } })
      const bob = await site.get('/p', { headers: { 'X-User': 'bob' } })
      return decodeURIComponent(JSON.stringify(bob.headers)).includes(SECRET)
    },
  })),
  ...(
    [
      ['a user, then nobody', { Authorization: 'Basic alice' }, {}],
      ['a user, then another', { Authorization: 'Basic alice' }, { Authorization: 'Basic bob' }],
      ['a user, then an empty header', { Authorization: 'Basic alice' }, { Authorization: '' }],
    ] as [string, Record<string, string>, Record<string, string>][]
  ).map(([who, alice, bob]): Attack => ({
    name: `Authorization: ${who}`,
    about: 'CVE-2026-35193, RFC 9111 §3.5',
    view: (req, res) => res.end(req.headers.authorization === 'Basic alice' ? SECRET : 'nothing'),
    succeeds: (site) => bobGetsSecret(site, alice, bob),
  })),
  {
    name: 'Authorization: nobody, then a user, who is given the page for nobody',
    about: 'RFC 9111 §3.5',
    view: (req, res) => res.end(`for ${req.headers.authorization ?? 'nobody'}`),
    succeeds: async (site) => {
      await site.get('/p')
      const answer = await site.get('/p', { headers: { Authorization: 'Basic alice' } })
      return answer.text !== 'for Basic alice'
    },
  },
  {
    name: 'an absent header taken for an empty one',
    about: 'CVE-2026-113593',
    view: (req, res) => {
      res.vary('X-User').end(req.headers['x-user'] === undefined ? SECRET : 'nothing')
    },
    succeeds: (site) => bobGetsSecret(site, {}, { 'X-User': '' }),
  },
  {
    name: 'values of two headers run together',
    about: "Django's ticket before 6.1: header values were joined without their lengths",
    view: (req, res) => {
      res.vary('X-A, X-B').end(req.headers['x-b'] === '23' ? SECRET : 'nothing')
    },
    succeeds: (site) =>
      bobGetsSecret(site, { 'X-A': '1', 'X-B': '23' }, { 'X-A': '12', 'X-B': '3' }),
  },
  {
    name: 'a header list that shrinks: an answer without Vary makes the next variant everybody’s',
    about: 'rule: the header list of a URL only grows',
    view: (req, res) => {
      if (req.headers['x-user'] !== undefined) res.vary('X-User')
      res.end(req.headers['x-user'] === 'alice' ? SECRET : 'nothing')
    },
    succeeds: async (site) => {
      await site.get('/p', { headers: { 'X-User': 'carol' } })
      await site.get('/p')
      return someoneGetsAnothers(site, { 'X-User': 'alice' }, { 'X-User': 'bob' })
    },
  },
  {
    name: 'a header list that grows late: the first answers named fewer headers',
    about: 'CVE-2026-103004',
    view: (req, res) => {
      if (req.headers['x-beta'] === '1') res.vary('X-User')
      res.end(req.headers['x-user'] === 'alice' ? SECRET : 'nothing')
    },
    succeeds: async (site) => {
      await site.get('/p', { headers: { 'X-User': 'carol', 'X-Beta': '1' } })
      return someoneGetsAnothers(
        site,
        { 'X-User': 'alice', 'X-Beta': '1' },
        { 'X-User': 'bob', 'X-Beta': '1' },
      )
    },
  },
  {
    name: 'names that every object has, in Vary',
    about: 'prototype keys',
    view: (req, res) => {
      res.setHeader('Vary', '__proto__, constructor, X-User')
      res.end(req.headers['x-user'] === 'alice' ? SECRET : 'nothing')
    },
    succeeds: bobGetsSecret,
  },
  {
    name: 'x_user taken for X-User',
    about: 'CVE-2025-71381: two spellings of a header, one variant',
    view: (req, res) => {
      res.setHeader('Vary', 'X-User, X_User')
      res.end(
        req.headers['x-user'] === 'alice' ? SECRET : `nothing for ${String(req.headers.x_user)}`,
      )
    },
    succeeds: (site) => bobGetsSecret(site, { 'X-User': 'alice' }, { X_User: 'alice' }),
  },
  {
    name: 'the content type that another asked for',
    about: 'CVE-2020-5255',
    view: (_req, res) => {
      res.format({
        'application/json': () => res.json({ x: '<script>' }),
        'text/html': () => res.send('<p>'),
      })
    },
    succeeds: async (site) => {
      await site.get('/p', { headers: { Accept: 'application/json' } })
      const answer = await site.get('/p', { headers: { Accept: 'text/html' } })
      return answer.text !== '<p>' || !/html/.test(answer.headers['content-type'] ?? '')
    },
  },
  {
    name: 'the page of a signed-in visitor whose view forgot Vary: Cookie',
    about: 'CVE-2023-30861, CVE-2026-35192',
    layers: (app, cache, view) => {
      app.use((req, _res, next) => {
        const user = /user=(\w+)/.exec(req.headers.cookie ?? '')?.[1]
        if (user !== undefined) Object.assign(req, { user })
        next()
      })
      app.use(cache, view)
    },
    view: (req, res) => res.end((req as { user?: string }).user === 'alice' ? SECRET : 'nothing'),
    succeeds: (site) => bobGetsSecret(site, { Cookie: 'user=alice' }, { Cookie: 'user=bob' }),
  },
  {
    name: 'a signed-in visitor is given the page for nobody',
    about: 'CVE-2026-35192',
    layers: (app, cache, view) => {
      app.use((req, _res, next) => {
        if (req.headers.cookie !== undefined) Object.assign(req, { user: req.headers.cookie })
        next()
      })
      app.use(cache, view)
    },
    view: (req, res) => res.end(`for ${(req as { user?: string }).user ?? 'nobody'}`),
    succeeds: async (site) => {
      await site.get('/p')
      const answer = await site.get('/p', { headers: { Cookie: 'user=bob' } })
      return answer.text !== 'for user=bob'
    },
  },
  {
    name: "the token in a form, made from another visitor's session",
    about: 'CVE-2014-0473',
    layers: (app, cache, view) => {
      app.use(session({ secret: 's', resave: false, saveUninitialized: false }))
      app.use((req, res, next) => {
        const visitor = (req as unknown as { session: { token?: string } }).session
        if (req.path !== '/login') return next()
        visitor.token = `token of ${req.url}`
        res.end()
      })
      app.use(cache, view)
    },
    view: (req, res) => {
      const { token } = (req as unknown as { session: { token?: string } }).session
      res.end(`<input value="${token ?? ''}">`)
    },
    succeeds: async (site) => {
      const login = async (user: string) => {
        const { headers } = await site.get(`/login?user=${user}`)
        return { Cookie: headers['set-cookie']?.[0]?.split(';')[0] ?? '' }
      }
      const [alice, bob] = [await login('alice'), await login('bob')]
      await site.get('/form', { headers: alice })
      return (await site.get('/form', { headers: bob })).text.includes('alice')
    },
  },
  {
    name: 'another Host',
    about: 'CVE-2011-4139: links made from a forged Host',
    view: (req, res) => res.end(`<a href="http://${req.headers.host ?? ''}/">`),
    succeeds: async (site) => {
      await site.get('/p', { headers: { Host: 'evil.test' } })
      return (await site.get('/p', { headers: { Host: 'good.test' } })).text.includes('evil')
    },
  },
  {
    name: 'a Host that holds a path, so that one page comes under the key of another',
    about: 'CVE-2011-4139',
    view: (req, res) => res.end(`<a href="http://${req.headers.host ?? ''}/">`),
    succeeds: async (site) => {
      await site.get('/p', { headers: { Host: 'good.test/x?' } })
      return (await site.get('/x?/p', { headers: { Host: 'good.test' } })).text.includes('/x?')
    },
    // Its key is the path alone.
    naiveWithstands: true,
  },
  ...['X-Forwarded-Host', 'X-Forwarded-Proto', 'X-Forwarded-Prefix', 'X-Forwarded-Port'].map(
    (name): Attack => ({
      name: `${name} where no proxy is trusted`,
      about: 'CVE-2025-31137, CVE-2025-61925',
      view: (req, res) => res.end(`${req.protocol} ${req.hostname} ${req.originalUrl}`),
      succeeds: async (site) => {
        await site.get('/p', { headers: { [name]: 'evil' } })
        return (await site.get('/p')).text.includes('evil')
      },
      naiveWithstands: true,
    }),
  ),
  ...(
    [
      ['X-Forwarded-Host', 'evil.test'],
      ['X-Forwarded-Proto', 'https'],
    ] as const
  ).map(([name, value]): Attack => ({
    name: `${name} from a trusted proxy makes a page of its own`,
    about: 'CVE-2025-31137, CVE-2025-61925',
    layers: (app, cache, view) => {
      app.set('trust proxy', true).use(cache, view)
    },
    view: (req, res) => res.end(`${req.protocol}://${req.hostname}`),
    succeeds: async (site) => {
      await site.get('/p', { headers: { [name]: value } })
      return (await site.get('/p')).text !== 'http://127.0.0.1'
    },
  })),
  {
    name: 'an absolute request target',
    about: 'RFC 9112 §3.2.2',
    view: (req, res) => res.end(`asked for ${req.originalUrl} at ${req.headers.host ?? ''}`),
    succeeds: async (site) => {
      const host = `Host: 127.0.0.1:${site.port}\r\nConnection: close\r\n\r\n`
      await site.raw(`GET http://evil.test/p HTTP/1.1\r\n${host}`)
      return (await site.get('/p')).text.includes('evil')
    },
    naiveWithstands: true,
  },
  {
    name: "POST's answer for GET",
    about: 'CVE-2026-85008',
    view: (req, res) => res.end(`${req.method} answer`),
    succeeds: async (site) => {
      await site.get('/p', { method: 'POST' })
      return (await site.get('/p')).text !== 'GET answer'
    },
  },
  {
    name: "GET's answer for POST, which then does nothing",
    about: 'CVE-2026-85008',
    view: (req, res) => res.end(`${req.method} answer`),
    succeeds: async (site) => {
      await site.get('/p')
      return (await site.get('/p', { method: 'POST' })).text !== 'POST answer'
    },
  },
  {
    name: "HEAD's empty answer for GET",
    about: 'a HEAD that fills GET',
    view: (req, res) => (req.method === 'HEAD' ? res.end() : res.end('body')),
    succeeds: async (site) => {
      await site.get('/p', { method: 'HEAD' })
      return (await site.get('/p')).text !== 'body'
    },
  },
  {
    name: 'a GET with a body',
    about: 'a fat GET: what it asks for is not in the key',
    view: (req, res) => {
      let body = ''
      req.on('data', (part: Buffer) => (body += part.toString()))
      req.on('end', () => res.end(`result for ${body}`))
    },
    succeeds: async (site) => {
      await site.get('/p', { headers: { 'Content-Length': 4 }, body: 'evil' })
      return (await site.get('/p')).text.includes('evil')
    },
  },
  {
    name: 'a method override behind the cache',
    about: 'CVE-2019-19326',
    layers: (app, cache, view) => {
      app.use(cache, methodOverride('X-HTTP-Method-Override', { methods: ['GET'] }), view)
    },
    view: (req, res) => res.end(`${req.method} answer`),
    succeeds: async (site) => {
      await site.get('/p', { headers: { 'X-HTTP-Method-Override': 'DELETE' } })
      return (await site.get('/p')).text !== 'GET answer'
    },
  },
  {
    name: 'a method override in front of the cache',
    about: 'CVE-2019-19326',
    layers: (app, cache, view) => {
      app.use(methodOverride('X-HTTP-Method-Override'), cache, view)
    },
    view: (req, res) => {
      const { originalMethod = req.method } = req as { originalMethod?: string }
      res.end(`${originalMethod} answer`)
    },
    succeeds: async (site) => {
      const headers = { 'X-HTTP-Method-Override': 'GET' }
      await site.get('/p', { method: 'POST', headers })
      return (await site.get('/p')).text !== 'GET answer'
    },
  },
  ...[204, 301, 302, 400, 403, 404, 410, 500, 503].map((status): Attack => ({
    name: `a ${status} that one request provoked, for everybody`,
    about: 'CVE-2025-49826, CPDoS',
    view: (req, res) => {
      if (req.headers['x-odd'] === undefined) return res.end('fine')
      return res.status(status).location('/elsewhere').end()
    },
    succeeds: async (site) => {
      await site.get('/p', { headers: { 'X-Odd': 'x'.repeat(1000) } })
      return (await site.get('/p')).text !== 'fine'
    },
  })),
  {
    name: 'an error of the view, for everybody',
    about: 'CPDoS',
    view: (req, res) => {
      if (req.headers['x-odd'] !== undefined) throw new Error('odd')
      res.end('fine')
    },
    layers: (app, cache, view) => {
      app.use(cache, view)
      app.use(((_error, _req, res, _next) => res.status(500).end('broken')) as ErrorHandler)
    },
    succeeds: async (site) => {
      await site.get('/p', { headers: { 'X-Odd': '1' } })
      return (await site.get('/p')).text !== 'fine'
    },
  },
  ...([206, 200] as const).map((status): Attack => ({
    name: `a part answered as ${status}, for the whole`,
    about: 'RFC 9111 §3.3',
    view: (req, res) => {
      if (req.headers.range === undefined) return res.end('the whole')
      return res.status(status).set('Content-Range', 'bytes 0-2/9').end('the')
    },
    succeeds: async (site) => {
      await site.get('/p', { headers: { Range: 'bytes=0-2' } })
      return (await site.get('/p')).text !== 'the whole'
    },
  })),
  {
    name: 'a part that does not say so, for the whole',
    about: 'RFC 9111 §3.3',
    view: (req, res) => res.end('the whole'.slice(0, req.headers.range === undefined ? 9 : 3)),
    succeeds: async (site) => {
      await site.get('/p', { headers: { Range: 'bytes=0-2' } })
      return (await site.get('/p')).text !== 'the whole'
    },
  },
  {
    name: 'a truncated answer, for everybody',
    about: 'RFC 9112 §8',
    view: (req, res) => {
      res.set('Content-Length', '9')
      if (req.headers['x-odd'] === undefined) return res.end('the whole')
      res.end('the')
      return setTimeout(() => req.socket.destroy(), 5)
    },
    succeeds: async (site) => {
      await site.get('/p', { headers: { 'X-Odd': '1' } }).catch(() => undefined)
      return (await site.get('/p').catch(() => ({ text: '' }))).text !== 'the whole'
    },
  },
  ...(
    [
      ['the order of parameters', '/p?a=1&b=2', '/p?b=2&a=1'],
      ['a parameter given twice', '/p?a=1&a=2', '/p?a=2&a=1'],
      ['a semicolon between parameters', '/p?a=1;b=2', '/p?a=1&b=2'],
      ['a percent sign in the query', '/p?a=%26', '/p?a=&'],
      ['a plus sign', '/p?a=1+2', '/p?a=1%202'],
      ['an empty query', '/p?', '/p'],
      ['an encoded slash', '/a%2fb', '/a/b'],
      ['an encoded NUL', '/account%00.css', '/account'],
      ['an encoded semicolon', '/account%3bx.css', '/account;x.css'],
      ['a path parameter', '/account;x.css', '/account'],
      ['a file name added to a page', '/account/x.css', '/account'],
      ['dots', '/a/../account', '/account'],
      ['two slashes', '//account', '/account'],
      ['a slash at the end', '/account/', '/account'],
      ['the case of a path', '/Account', '/account'],
      ['the case of an escape', '/%c3%a9', '/%C3%A9'],
    ] as const
  ).map(([what, first, second]): Attack => ({
    name: `two URLs made one by ${what}`,
    about: 'CVE-2021-23336; web cache deception',
    view: (req, res) => res.end(`answer to ${req.originalUrl}`),
    succeeds: async (site) => {
      await rawGet(site, first)
      return !(await rawGet(site, second)).endsWith(`answer to ${second}`)
    },
    // It does not normalise either; many do.
    naiveWithstands: true,
  })),
  {
    name: 'a header of the client that makes the cache step aside',
    about: 'any client bypass header: the load it was to take off comes back',
    view: (req, res) => {
      const counter = req.app.locals as { runs?: number }
      counter.runs = (counter.runs ?? 0) + 1
      res.end(`run ${counter.runs}`)
    },
    succeeds: async (site) => {
      await site.get('/p')
      const odd = { 'X-No-Cache': '1', 'X-Bypass-Cache': '1', 'X-Apicache-Bypass': 'true' }
      const headers = {
        'Cache-Control': 'no-cache, no-store, max-age=0',
        Pragma: 'no-cache',
        ...odd,
      }
      return (await site.get('/p', { headers })).text !== 'run 1'
    },
    naiveWithstands: true,
  },
  {
    name: 'a Vary header of the request that chooses the variant',
    about: 'CVE-2025-71381',
    view: secretView((res) => res.vary('X-User')),
    succeeds: (site) =>
      bobGetsSecret(
        site,
        { 'X-User': 'alice', Vary: 'X-Other' },
        { 'X-User': 'bob', Vary: 'X-Other' },
      ),
  },
  {
    name: 'answers to two at once, of which one is private',
    about: 'CVE-2026-94544: a private answer handed to those who wait',
    view: (req, res) => {
      res.set('Cache-Control', 'private')
      setTimeout(() => res.end(req.headers['x-user'] === 'alice' ? SECRET : 'nothing'), 20)
    },
    succeeds: async (site) => {
      const [, bob] = await Promise.all([
        site.get('/p', { headers: { 'X-User': 'alice' } }),
        site.get('/p', { headers: { 'X-User': 'bob' } }),
      ])
      return bob.text.includes(SECRET)
    },
    naiveWithstands: true,
  },
]

type ErrorHandler = (error: unknown, req: Request, res: Response, next: () => void) => void

/** As written: a client of Node's would have its own idea of some of these. */
async function rawGet(site: Site, target: string): Promise<string> {
  return site.raw(`GET ${target} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n`)
}

describe.each(expressVersions)('attacks on $version', ({ express }) => {
  async function attacked(attack: Attack, cache: RequestHandler): Promise<boolean> {
    const app = express()
    const view: RequestHandler = (req, res) => void attack.view(req, res)
    if (attack.layers === undefined) app.use(cache, view)
    else attack.layers(app, cache, view)
    return attack.succeeds(await Site.open(app))
  }

  it.each(attacks)('withstands $name ($about)', async (attack) => {
    const pages = responseCache(createCaches({ default: new LocMemCache() }))
    expect(await attacked(attack, pages.cacheSite())).toBe(false)
  })

  it.each(attacks)('withstands $name on one view', async (attack) => {
    const pages = responseCache(createCaches({ default: new LocMemCache() }))
    expect(await attacked(attack, pages.cachePage(600))).toBe(false)
  })

  it.each(attacks.filter(({ naiveWithstands }) => naiveWithstands !== true))(
    'a cache by URL alone would fall for $name',
    async (attack) => {
      expect(await attacked(attack, naiveCache())).toBe(true)
    },
  )

  it('a cookie that a session sends along is no business of later caches', async () => {
    const app = express()
    const pages = responseCache(createCaches({ default: new LocMemCache() }))
    const options = { secret: 's', resave: false, rolling: true, saveUninitialized: true }
    app.use(session(options), pages.cacheSite())
    app.use((_req, res) => void res.send('page'))
    const site = await Site.open(app)
    // On a miss what we had told later caches is taken back.
    const cold = await site.get('/p')
    expect(cold.headers['set-cookie']).toHaveLength(1)
    expect(cold.headers).not.toHaveProperty('cache-control')
    expect(cold.headers).not.toHaveProperty('expires')
    expect(cold.cacheStatus).toBe('fragcache; fwd=uri-miss; detail=set-cookie')
  })

  it('a page of everybody that goes out with a cookie is marked private', async () => {
    const app = express()
    const pages = responseCache(createCaches({ default: new LocMemCache() }))
    let signsIn = false
    app.use((_req, res, next) => {
      const writeHead = res.writeHead.bind(res) as (...args: unknown[]) => Response
      res.writeHead = (...args: unknown[]) => {
        if (signsIn) res.setHeader('Set-Cookie', 'sid=1')
        return writeHead(...args)
      }
      next()
    })
    app.use(pages.cacheSite())
    app.use((_req, res) => void res.send('page'))
    const site = await Site.open(app)
    await site.get('/p')
    const plain = await site.get('/p')
    expect(plain.headers['cache-control']).toBe('max-age=600')
    signsIn = true
    const warm = await site.get('/p')
    expect(warm.cacheStatus).toMatch(/^fragcache; hit/)
    expect(warm.headers['set-cookie']).toEqual(['sid=1'])
    expect(warm.headers['cache-control']).toBe('private, max-age=600')
    expect(warm.headers).not.toHaveProperty('expires')
  })
})
