import { once } from 'node:events'
import { METHODS as NODE_METHODS } from 'node:http'
import type { Response } from 'express'
import { createCaches, LocMemCache, type Cache } from 'fragcache'
import { responseCache, TRACKING_PARAMETERS } from 'fragcache/express'
import { describe, expect, it } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { oneExpress, Site, type RequestOptions } from '../support/express.js'
import { gate } from '../support/waiting.js'

const backends: [string, () => Cache][] = [
  ['LocMemCache', () => new LocMemCache()],
  [
    'a slow cache',
    () => {
      const cache = new AsyncTestCache()
      cache.latencyMs = 3
      return cache
    },
  ],
]

const METHODS = ['POST', 'PUT', 'PATCH', 'DELETE', 'PROPPATCH', 'MKCOL', 'MERGE', 'PURGE', 'LOCK']

describe.each(oneExpress)('a request that changes something, in $version', ({ express }) => {
  /** A site of pages that say which run of the view made them. */
  async function changingSite(
    change: (res: Response, origin: string) => unknown,
    { cache = new LocMemCache(), ...options }: { cache?: Cache; query?: object } = {},
  ) {
    const caches = createCaches({ default: cache, other: new LocMemCache() })
    const pages = responseCache(caches, options)
    const app = express()
    let runs = 0
    app.use(pages.cacheSite())
    app.get(/^\/other/, pages.cachePage(600, { cache: 'other', keyPrefix: 'o' }))
    app.use((req, res) => {
      if (req.method === 'GET' || req.method === 'HEAD' || req.method === 'OPTIONS') {
        runs++
        if (req.path === '/redirect') res.redirect(303, '/p')
        else res.vary('X-T').send(`run ${runs}`)
      } else {
        change(res, site.origin)
      }
    })
    const site = await Site.open(app)
    return {
      site,
      pages,
      /** Whether a page is still the one it was. */
      async keeps(path: string, act: () => Promise<unknown>, options: RequestOptions = {}) {
        const before = (await site.get(path, options)).text
        expect((await site.get(path, options)).text).toBe(before)
        await act()
        return (await site.get(path, options)).text === before
      },
    }
  }

  describe.each(backends)('over %s', (_name, newCache) => {
    it('drops the pages of its URL', async () => {
      const { site, keeps } = await changingSite((res) => res.sendStatus(204), {
        cache: newCache(),
      })
      const method = 'POST'
      const change = () => site.get('/p?a=1', { method })
      expect(await keeps('/p?a=1', change)).toBe(false)
      expect(await keeps('/p?a=1', change, { headers: { 'X-T': '1' } })).toBe(false)
      expect(await keeps('/p', change)).toBe(true)
      expect(await keeps('/p?a=2', change)).toBe(true)
    })

    it('the page that is shown after a form was sent is the new one', async () => {
      let name = 'old'
      const pages = responseCache(createCaches({ default: newCache() }))
      const app = express()
      app.use(pages.cacheSite())
      app.get('/form', (_req, res) => res.send(name))
      app.post('/form/send', (_req, res) => {
        name = 'new'
        res.redirect(303, '/form')
      })
      const site = await Site.open(app)
      for (let round = 0; round < 3; round++) {
        name = 'old'
        await pages.invalidate(`${site.origin}/form`)
        expect((await site.get('/form')).text).toBe('old')
        const answer = await site.get('/form/send', { method: 'POST' })
        expect(answer.status).toBe(303)
        expect((await site.get(String(answer.headers.location))).text).toBe('new')
      }
    })

    it('a view that began before it stores nothing that is older', async () => {
      let value = 'old'
      const started = gate()
      const ready = gate()
      const pages = responseCache(createCaches({ default: newCache() }))
      const app = express()
      app.use(pages.cacheSite())
      app.get('/p', async (_req, res) => {
        const read = value
        started.open()
        if (read === 'old') await ready.opened
        res.send(read)
      })
      app.post('/p', (_req, res) => {
        value = 'new'
        res.sendStatus(204)
      })
      const site = await Site.open(app)
      const slow = site.get('/p')
      await started.opened
      await site.get('/p', { method: 'POST' })
      ready.open()
      expect((await slow).text).toBe('old')
      expect((await site.get('/p')).text).toBe('new')
    })
  })

  it.each(METHODS)('by %s, drops the pages of its URL', async (method) => {
    const { site, keeps } = await changingSite((res) => res.sendStatus(204))
    expect(await keeps('/p', () => site.get('/p', { method }))).toBe(false)
  })

  it.each([200, 201, 202, 204, 301, 302, 303, 307, 308])('%i: it is done', async (status) => {
    const { site, keeps } = await changingSite((res) => res.status(status).end())
    expect(await keeps('/p', () => site.get('/p', { method: 'POST' }))).toBe(false)
  })

  it.each([400, 401, 403, 404, 409, 412, 422, 500, 503])(
    '%i: it is not, whatever it names',
    async (status) => {
      const { site, keeps } = await changingSite((res) =>
        res.status(status).set({ Location: '/q', 'Content-Location': '/q' }).end(),
      )
      const change = () => site.get('/p', { method: 'POST' })
      expect(await keeps('/p', change)).toBe(true)
      expect(await keeps('/q', change)).toBe(true)
    },
  )

  // Node 20 knows no QUERY.
  const safe = ['GET', 'HEAD', 'OPTIONS', 'PROPFIND', 'REPORT', 'SEARCH', 'TRACE', 'QUERY']
  it.each(safe.filter((method) => NODE_METHODS.includes(method)))('%s is none', async (method) => {
    const { site, keeps } = await changingSite((res) => res.end())
    expect(await keeps('/p', () => site.get('/p', { method }))).toBe(true)
    // Nor does a redirect that it answers name pages that changed.
    expect(await keeps('/p', () => site.get('/redirect', { method }))).toBe(true)
  })

  describe.each(['Location', 'Content-Location'])('what %s names', (header) => {
    it.each<[string, string, string]>([
      ['a path', '/a/q', '/a/q'],
      ['a path with a query', '/a/q?x=1', '/a/q?x=1'],
      ['a path with an anchor', '/a/q#part', '/a/q'],
      ['an absolute URL', 'ORIGIN/a/q', '/a/q'],
      ['an absolute URL with an anchor', 'ORIGIN/a/q?x=1#part', '/a/q?x=1'],
      ['a URL without a scheme', '//HOST/a/q', '/a/q'],
      ['a relative path', 'q', '/a/q'],
      ['a relative path with dots', '../b/q', '/b/q'],
      ['a query alone', '?x=2', '/a/p?x=2'],
      ['an escaped path', '/a/%C3%BC', '/a/%C3%BC'],
      ['the host in capitals', 'HTTP://HOST/a/q', '/a/q'],
    ])('%s', async (_name, value, path) => {
      const { site, keeps } = await changingSite((res, origin) => {
        const target = value.replace('ORIGIN', origin).replace('HOST', new URL(origin).host)
        res.status(303).set(header, target).end()
      })
      const change = () => site.get('/a/p', { method: 'POST' })
      expect(await keeps(path, change)).toBe(false)
      expect(await keeps('/unnamed', change)).toBe(true)
    })

    it.each<[string, (origin: URL) => string]>([
      ['another host', () => 'http://example.com/q'],
      ['another port', ({ hostname, port }) => `http://${hostname}:${Number(port) - 1}/q`],
      ['another scheme', ({ host }) => `https://${host}/q`],
      ['another host without a scheme', () => '//example.com/q'],
      ['a host that begins like this one', ({ origin }) => `${origin}.example.com/q`],
      ['this host as a user', ({ host }) => `http://${host}@example.com/q`],
      ['no URL at all', () => 'http://['],
    ])('on %s is not dropped', async (_name, target) => {
      const { site, keeps } = await changingSite((res, origin) =>
        res
          .status(201)
          .set(header, target(new URL(origin)))
          .end(),
      )
      const change = () => site.get('/p', { method: 'POST' })
      expect(await keeps('/q', change)).toBe(true)
      expect(await keeps('/p', change)).toBe(false)
    })
  })

  it('reaches pages that a view keeps elsewhere', async () => {
    const { site, keeps } = await changingSite((res) => res.redirect(303, '/other/named'))
    const other = () => site.get('/other', { method: 'POST' })
    expect(await keeps('/other', other)).toBe(false)
    expect(await keeps('/other/named', other)).toBe(false)
    expect(await keeps('/other/unnamed', other)).toBe(true)
  })

  it('reaches what is told apart by the query that counts', async () => {
    const { site, keeps } = await changingSite((res) => res.redirect(303, '/q?utm_source=form'), {
      query: { ignore: TRACKING_PARAMETERS },
    })
    const change = () => site.get('/p?a=1&fbclid=x', { method: 'POST' })
    expect(await keeps('/p?a=1', change)).toBe(false)
    expect(await keeps('/q', change)).toBe(false)
    expect(await keeps('/p', change)).toBe(true)
  })

  it('with a body, and one that is sent in pieces', async () => {
    const { site, keeps } = await changingSite((res) => {
      res.write('done')
      res.end()
    })
    const options = { method: 'POST', headers: { 'Content-Type': 'text/plain' }, body: 'x=1' }
    expect(await keeps('/p', () => site.get('/p', options))).toBe(false)
    expect(
      await keeps('/p', async () => {
        const request = site.request('/p', { method: 'PUT' })
        request.write('a')
        request.end('b')
        await once(request, 'response')
      }),
    ).toBe(false)
  })

  it('is answered although the cache is down', async () => {
    const cache = new AsyncTestCache()
    const { site } = await changingSite((res) => res.status(201).send('made'), { cache })
    cache.failing = true
    expect(await site.get('/p', { method: 'POST' })).toMatchObject({ status: 201, text: 'made' })
    expect((await site.get('/p')).status).toBe(200)
  })

  it('passes the cache, and says so', async () => {
    const { site } = await changingSite((res) => res.send('done'))
    const answer = await site.get('/p', { method: 'POST' })
    expect(answer.cacheStatus).toBe('fragcache; fwd=method')
    expect((await site.get('/p')).text).not.toBe('done')
  })
})
