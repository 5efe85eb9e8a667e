import { connect } from 'node:net'
import { describeAttacks, type Attack } from '../support/attacks.js'
import { methodOverride, type Site } from '../support/express.js'

/** As written: a client of Node's would have its own idea of some of these. */
async function rawGet(site: Site, target: string): Promise<string> {
  const socket = connect(site.port, '127.0.0.1')
  // Not ended: the server would take it for a client that has gone.
  socket.write(`GET ${target} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n`)
  let answer = ''
  for await (const part of socket) answer += (part as Buffer).toString('latin1')
  return answer
}

/** What a cache does that "cleans" URLs before it looks. */
function clean(target: string): string {
  const { pathname, searchParams } = new URL(target.replace(/^\/\//, '/'), 'http://a.test')
  searchParams.sort()
  const path = decodeURIComponent(pathname.replace(/%00.*$/, '')).replace(/;.*$/, '')
  const folded = path.replace(/\/(?:x\.css)?$/, '').toLowerCase()
  const parameters = new Map([...searchParams].flatMap(([k, v]) => v.split(';').map((p) => [k, p])))
  return folded + [...parameters].join('&')
}

const forwarded = [
  'X-Forwarded-Host',
  'X-Forwarded-Proto',
  'X-Forwarded-Prefix',
  'X-Forwarded-Port',
]

describeAttacks(
  'what is asked for',
  [
    {
      name: 'another Host',
      about: 'CVE-2011-4139: links made from a forged Host',
      view: (req, res) => res.end(`<a href="http://${req.headers.host ?? ''}/">`),
      succeeds: async ({ site }) => {
        await site.get('/p', { headers: { Host: 'evil.test' } })
        return (await site.get('/p', { headers: { Host: 'good.test' } })).text.includes('evil')
      },
    },
    {
      name: 'a Host that holds a path, so that one page comes under the key of another',
      about: 'CVE-2011-4139',
      view: (req, res) => res.end(`<a href="http://${req.headers.host ?? ''}/">`),
      succeeds: async ({ site }) => {
        await site.get('/p', { headers: { Host: 'good.test/x?' } })
        return (await site.get('/x?/p', { headers: { Host: 'good.test' } })).text.includes('/x?')
      },
      naive: { keyOf: (req) => `${req.headers.host}${req.originalUrl}` },
    },
    ...forwarded.map((name): Attack => ({
      name: `${name} where no proxy is trusted`,
      about: 'CVE-2025-31137, CVE-2025-61925',
      view: (req, res) => {
        const prefix = req.get('x-forwarded-prefix') ?? ''
        const forwardedOnes = req.app.get('trust proxy') === true ? prefix : ''
        res.end(`${req.protocol} ${req.hostname} ${forwardedOnes}${req.originalUrl}`)
      },
      succeeds: async ({ site }) => {
        const [good, evil] = ['good.test', 'evil.test']
        await site.get('/p', { headers: { Host: evil, [name]: good } })
        return (await site.get('/p', { headers: { Host: good } })).text.includes('evil')
      },
      naive: {
        keyOf: (req) => `${req.get(name) ?? ''} ${req.originalUrl}`.replace('good.test', '').trim(),
      },
    })),
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
      succeeds: async ({ site }) => {
        await site.get('/p', { headers: { [name]: value } })
        return (await site.get('/p')).text !== 'http://127.0.0.1'
      },
    })),
    {
      name: 'an absolute request target',
      about: 'RFC 9112 §3.2.2',
      view: (req, res) => res.end(`asked for ${req.originalUrl} at ${req.headers.host ?? ''}`),
      succeeds: async ({ site }) => {
        const host = `Host: 127.0.0.1:${site.port}\r\nConnection: close\r\n\r\n`
        await site.raw(`GET http://evil.test/p HTTP/1.1\r\n${host}`)
        return (await site.get('/p')).text.includes('evil')
      },
      naive: { keyOf: (req) => new URL(req.originalUrl, 'http://a.test').pathname },
    },
    {
      name: "POST's answer for GET",
      about: 'CVE-2026-85008',
      view: (req, res) => res.end(`${req.method} answer`),
      succeeds: async ({ site }) => {
        await site.get('/p', { method: 'POST' })
        return (await site.get('/p')).text !== 'GET answer'
      },
    },
    {
      name: "GET's answer for POST, which then does nothing",
      about: 'CVE-2026-85008',
      view: (req, res) => res.end(`${req.method} answer`),
      succeeds: async ({ site }) => {
        await site.get('/p')
        return (await site.get('/p', { method: 'POST' })).text !== 'POST answer'
      },
    },
    {
      name: "HEAD's empty answer for GET",
      about: 'a HEAD that fills GET',
      view: (req, res) => (req.method === 'HEAD' ? res.end() : res.end('body')),
      succeeds: async ({ site }) => {
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
      succeeds: async ({ site }) => {
        await site.get('/p', { headers: { 'Content-Length': 4 }, body: 'evil' })
        return (await site.get('/p')).text.includes('evil')
      },
    },
    {
      name: 'a GET with a body in chunks',
      about: 'a fat GET: what it asks for is not in the key',
      view: (req, res) => {
        let body = ''
        req.on('data', (part: Buffer) => (body += part.toString()))
        req.on('end', () => res.end(`result for ${body}`))
      },
      succeeds: async ({ site }) => {
        await site.get('/p', { headers: { 'Transfer-Encoding': 'chunked' }, body: 'evil' })
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
      succeeds: async ({ site }) => {
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
      succeeds: async ({ site }) => {
        const headers = { 'X-HTTP-Method-Override': 'GET' }
        await site.get('/p', { method: 'POST', headers })
        return (await site.get('/p')).text !== 'GET answer'
      },
    },
    {
      name: 'a GET that an override in front of the cache makes a HEAD',
      about: 'CVE-2019-19326: an answer without a body for all',
      layers: (app, cache, view) => {
        app.use(methodOverride('X-HTTP-Method-Override', { methods: ['GET', 'POST'] }), cache, view)
      },
      view: (req, res) => (req.method === 'HEAD' ? res.end() : res.end('body')),
      succeeds: async ({ site }) => {
        for (const method of ['GET', 'POST']) {
          await site.get('/p', { method, headers: { 'X-HTTP-Method-Override': 'HEAD' } })
        }
        return (await site.get('/p')).text !== 'body'
      },
    },
    ...(
      [
        ['the order of parameters', '/p?a=1&b=2', '/p?b=2&a=1'],
        ['a parameter given twice', '/p?a=2&a=1', '/p?a=1'],
        ['a semicolon between parameters', '/p?a=1;2', '/p?a=2'],
        ['a plus sign', '/p?a=1+2', '/p?a=1%202'],
        ['an empty query', '/p?', '/p'],
        ['an encoded slash', '/a%2fb', '/a/b'],
        ['an encoded NUL', '/account%00.css', '/account'],
        ['an encoded semicolon', '/account%3bx.css', '/account;x.css'],
        ['a path parameter', '/account;x.css', '/account'],
        ['a file name added to a page', '/account/x.css', '/account'],
        ['dots', '/a/../account', '/account'],
        ['encoded dots', '/a/%2e%2e/account', '/account'],
        ['two slashes', '//account', '/account'],
        ['a slash at the end', '/account/', '/account'],
        ['the case of a path', '/Account', '/account'],
        ['the case of an escape', '/%c3%a9', '/%C3%A9'],
        ['a backslash', '/a\\b', '/a/b'],
      ] as const
    ).map(([what, first, second]): Attack => ({
      name: `two URLs made one by ${what}`,
      about: 'CVE-2021-23336; web cache deception',
      view: (req, res) => res.end(`answer to ${req.originalUrl}`),
      succeeds: async ({ site }) => {
        await rawGet(site, first)
        return !(await rawGet(site, second)).endsWith(`answer to ${second}`)
      },
      naive: { keyOf: (req) => clean(req.originalUrl) },
    })),
    {
      name: 'an account page under the name of a style sheet',
      about: 'web cache deception: a cache that goes by the ending, and a view that does not',
      layers: (app, cache, view) => {
        app.use((req, _res, next) => {
          Object.assign(req, { user: req.headers['x-user'] })
          next()
        })
        app.use(cache)
        app.use('/account', view)
      },
      view: (req, res) => res.end(`account of ${String((req as { user?: string }).user)}`),
      succeeds: async ({ site }) => {
        await site.get('/account/x.css', { headers: { 'X-User': 'alice' } })
        return (await site.get('/account/x.css')).text.includes('alice')
      },
      naive: { bypass: (req) => !req.path.endsWith('.css') },
    },
    {
      name: 'a URL that is rewritten behind the cache',
      about: 'the key is of the URL as sent, whatever a router makes of it',
      layers: (app, cache, view) => {
        app.use((req, _res, next) => {
          if (req.url === '/login') req.url = '/p'
          next()
        })
        app.use(cache, view)
      },
      view: (req, res) => res.end(`answer to ${req.originalUrl}`),
      succeeds: async ({ site }) => {
        await site.get('/login')
        return (await site.get('/p')).text !== 'answer to /p'
      },
      naive: { keyOf: (req) => req.url },
    },
    {
      name: 'two applications mounted at different paths',
      about: 'the key is of the whole URL, not of the rest that a router sees',
      layers: (app, cache, view) => {
        app.use('/admin', cache, view)
        app.use('/shop', cache, view)
      },
      view: (req, res) => res.end(`page of ${req.baseUrl}`),
      succeeds: async ({ site }) => {
        await site.get('/admin/p')
        return (await site.get('/shop/p')).text !== 'page of /shop'
      },
      naive: { keyOf: (req) => req.url },
    },
    {
      name: 'a header of the client that makes the cache step aside',
      about: 'any client bypass header: the load it was to take off comes back',
      view: (req, res) => {
        const counter = req.app.locals as { runs?: number }
        counter.runs = (counter.runs ?? 0) + 1
        res.end(`run ${counter.runs}`)
      },
      succeeds: async ({ site }) => {
        await site.get('/p')
        const odd = { 'X-No-Cache': '1', 'X-Bypass-Cache': '1', 'X-Apicache-Bypass': 'true' }
        const headers = {
          'Cache-Control': 'no-cache, no-store, max-age=0',
          Pragma: 'no-cache',
          ...odd,
        }
        return (await site.get('/p', { headers })).text !== 'run 1'
      },
      naive: { bypass: (req) => req.headers['x-apicache-bypass'] !== undefined },
    },
    {
      name: 'a header of the client that keeps a page out of the cache',
      about: 'any client bypass header: the load it was to take off comes back',
      view: (req, res) => {
        const counter = req.app.locals as { runs?: number }
        counter.runs = (counter.runs ?? 0) + 1
        res.end(`run ${counter.runs}`)
      },
      succeeds: async ({ site }) => {
        await site.get('/p', { headers: { 'Cache-Control': 'no-store' } })
        return (await site.get('/p')).text !== 'run 1'
      },
      naive: { bypass: (req) => req.headers['cache-control'] === 'no-store' },
    },
  ],
  { later: true },
)
