import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import http2 from 'node:http2'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createCaches, LocMemCache, type Cache } from 'fragcache'
import {
  cacheControl,
  neverCache,
  responseCache,
  varyOnHeaders,
  type HandlerOptions,
  type Middleware,
  type ResponseCacheOptions,
} from 'fragcache/node'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { stopClock } from '../support/cached-site.js'
import { Site } from '../support/express.js'
import { gate } from '../support/waiting.js'

/** What Node's types leave out of a response over HTTP/2. */
interface SetsTrailers {
  setTrailer(name: string, value: string): void
}

type Inner = (req: IncomingMessage, res: ServerResponse) => unknown

function pagesOver(cache: Cache = new LocMemCache(), options?: ResponseCacheOptions) {
  return responseCache<string>(createCaches({ default: cache }), options)
}

/** What a handler gave for each request that a server had. */
async function outcomes(cache: Cache, inner: Inner) {
  const handler = pagesOver(cache).handler(inner)
  const given: unknown[] = []
  const site = await Site.open((req: IncomingMessage, res: ServerResponse) => {
    try {
      const one = handler(req, res)
      given.push(one)
      // Whoever calls it has to see to its promise.
      Promise.resolve(one).catch(() => res.end())
    } catch (error) {
      given.push(error)
      res.end()
    }
  })
  return { site, given }
}

/** Starts a server of HTTP/2 for a test. */
async function connectTo(server: http2.Http2Server): Promise<http2.ClientHttp2Session> {
  server.listen(0)
  await once(server, 'listening')
  const client = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  onTestFinished(() => {
    client.destroy()
    server.close()
  })
  return client
}

describe('what a handler behind the cache gives', () => {
  it('is what the inner one gives, where the cache answers at once, and nothing on a hit', async () => {
    const { site, given } = await outcomes(new LocMemCache(), (_req, res) => {
      res.end('page')
      return 'done'
    })
    await site.get('/')
    await site.get('/')
    expect(given).toEqual(['done', undefined])
  })

  it('is a promise of that, where the cache answers later', async () => {
    const { site, given } = await outcomes(new AsyncTestCache(), (_req, res) => {
      res.end('page')
      return 'done'
    })
    await site.get('/')
    await site.get('/')
    expect(given.every((one) => one instanceof Promise)).toBe(true)
    expect(await Promise.all(given)).toEqual(['done', undefined])
  })

  it.each([
    ['throws at once', new LocMemCache()],
    ['rejects', new AsyncTestCache()],
  ])('%s if the inner one throws', async (_how, cache) => {
    const { site, given } = await outcomes(cache, () => {
      throw new Error('failed')
    })
    await site.get('/')
    const [one] = given
    if (one instanceof Promise) await expect(one).rejects.toThrow('failed')
    else expect(one).toEqual(new Error('failed'))
  })

  it.each([new LocMemCache(), new AsyncTestCache()])(
    'rejects if the inner one does, and what is sent then is not stored',
    async (cache) => {
      let runs = 0
      const { site, given } = await outcomes(cache, async (_req, res) => {
        await Promise.resolve()
        if (++runs === 1) throw new Error('failed')
        res.end('page')
      })
      await site.get('/')
      await expect(given[0]).rejects.toThrow('failed')
      expect((await site.get('/')).text).toBe('page')
    },
  )

  it('lets those who waited for a handler that failed try themselves', async () => {
    let runs = 0
    const { site } = await outcomes(new LocMemCache(), async (_req, res) => {
      const run = ++runs
      await new Promise((resolve) => setTimeout(resolve, 20))
      if (run === 1) throw new Error('failed')
      res.end(`made ${run}`)
    })
    const [failed, joined] = await Promise.all([site.get('/'), site.get('/')])
    expect([failed.text, joined.text]).toEqual(['', 'made 2'])
  })
})

describe('the options of one handler', () => {
  async function open(options?: HandlerOptions) {
    const pages = pagesOver()
    let runs = 0
    const inner: Inner = (_req, res) => {
      res.setHeader('Cache-Control', 'max-age=1000')
      res.end(`made ${++runs}`)
    }
    return { site: await Site.open(pages.handler(inner, options) as never), pages }
  }

  it('name how long its pages are kept', async () => {
    const clock = stopClock()
    const { site } = await open({ seconds: 10 })
    const made = await site.get('/')
    clock.advance(9)
    const hit = await site.get('/')
    clock.advance(2)
    expect(made.headers['cache-control']).toBe('max-age=10')
    expect([hit.text, (await site.get('/')).text]).toEqual(['made 1', 'made 2'])
  })

  it('leave it to the page where they name no time', async () => {
    const clock = stopClock()
    const { site } = await open({ keyPrefix: 'own' })
    await site.get('/')
    clock.advance(999)
    expect((await site.get('/')).text).toBe('made 1')
  })

  it('name tags that drop its pages', async () => {
    const cache = new LocMemCache()
    let runs = 0
    const inner: Inner = (_req, res) => res.end(`made ${++runs}`)
    const handler = pagesOver(cache).handler(inner, { tags: ['news'] })
    const site = await Site.open(handler as never)
    await site.get('/')
    await cache.invalidateTags(['news'])
    expect((await site.get('/')).text).toBe('made 2')
  })

  it.each([
    [{ second: 5 }, /handler: unknown option "second"; known options are seconds, /],
    [
      { seconds: 'soon' },
      /handler: seconds: "soon" is not a number of seconds, such as 300, or null/,
    ],
    [{ cache: 'none' }, /none/],
  ])('are refused where they are wrong: %j', (options, message) => {
    expect(() => pagesOver().handler(() => undefined, options as never)).toThrow(message)
  })
})

describe('responseCache of fragcache/node', () => {
  it.each([
    [{ trustProxy: 'loopback' }, /trustProxy: "loopback" is not true, false or a function/],
    [{ holes: {} }, /unknown option "holes"/],
    [null, /are not options/],
  ])('refuses %j', (options, message) => {
    expect(() => pagesOver(new LocMemCache(), options as never)).toThrow(message)
  })

  it('refuses a handler that is not a function', () => {
    expect(() => pagesOver().handler('view' as never)).toThrow(
      /handler: "view" is not a function; give one such as/,
    )
  })

  it.each(['a key', { url: '/' }, undefined])(
    'gives no key for %s, which is no request',
    async (req) => {
      const pages = responseCache(createCaches({ default: new LocMemCache() }))
      await expect(pages.getCacheKey(req as never)).rejects.toThrow(
        /^getCacheKey: .* is not a request; give/,
      )
      await expect(pages.learnCacheKey(req as never, {} as never)).rejects.toThrow(
        /^learnCacheKey: /,
      )
    },
  )

  it('gives the key of a page that is stored, and learns one', async () => {
    const pages = pagesOver()
    const keys: (string | undefined)[] = []
    const handler = pages.handler((_req, res) => res.end('page'))
    const site = await Site.open((req: IncomingMessage, res: ServerResponse) => {
      pages
        .getCacheKey(req)
        .then(async (key) => {
          keys.push(key)
          if (req.url === '/learned') {
            res.setHeader('Vary', 'Accept')
            keys.push(await pages.learnCacheKey(req, res), await pages.getCacheKey(req))
          }
          return handler(req, res)
        })
        .catch(() => res.destroy())
    })
    await site.get('/a')
    await site.get('/a')
    await site.get('/learned')
    const [unknown, key, , learned, again] = keys
    expect(unknown).toBeUndefined()
    expect(key).toMatch(/^views\.decorators\.cache\.cache_page\.\.GET\.[0-9a-f]{32}\.[0-9a-f]{32}/)
    expect(learned).toBe(again)
  })

  it('treats a proxy that cannot be judged as one that is not trusted', async () => {
    const warnings = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    onTestFinished(() => warnings.mockRestore())
    const trustProxy = () => {
      throw new Error('no list of proxies')
    }
    let runs = 0
    const handler = pagesOver(new LocMemCache(), { trustProxy }).handler((_req, res) =>
      res.end(`made ${++runs}`),
    )
    const site = await Site.open(handler as never)
    const texts = []
    for (const host of ['a.test', 'b.test']) {
      texts.push((await site.get('/', { headers: { 'X-Forwarded-Host': host } })).text)
    }
    expect(texts).toEqual(['made 1', 'made 1'])
  })

  it('has the middlewares of headers for any chain of (req, res, next)', async () => {
    const pages = pagesOver()
    const through = (middleware: Middleware, path: string): Inner => {
      const handler = pages.handler((req, res) => {
        middleware(req, res, () => res.end(path))
      })
      return handler
    }
    const byPath: Record<string, Inner> = {
      '/limited': through(cacheControl({ maxAge: 30 }), 'limited'),
      '/never': through(neverCache(), 'never'),
      '/varied': through(varyOnHeaders('Accept'), 'varied'),
    }
    const site = await Site.open(
      (req: IncomingMessage, res: ServerResponse) => void byPath[req.url ?? '']?.(req, res),
    )
    const headers = async (path: string) => (await site.get(path)).headers
    expect((await headers('/limited'))['cache-control']).toBe('max-age=30')
    expect((await headers('/never'))['cache-status']).toContain('detail=no-cache')
    expect((await headers('/varied'))['vary']).toBe('Accept')
  })

  it('asks a response over HTTP/2 for nothing that it has not', async () => {
    const warnings: string[] = []
    const note = (warning: Error) => void warnings.push(`${warning.name}: ${warning.message}`)
    process.on('warning', note)
    onTestFinished(() => void process.off('warning', note))
    const server = http2.createServer(
      pagesOver().handler((_req: http2.Http2ServerRequest, res: http2.Http2ServerResponse) => {
        res.end('page')
      }),
    )
    const client = await connectTo(server)
    for (const range of [undefined, undefined, 'bytes=0-1']) {
      const stream = client.request({ ':path': '/', ...(range !== undefined && { range }) })
      stream.resume()
      await once(stream, 'end')
    }
    await new Promise(setImmediate)
    expect(warnings).toEqual([])
  })

  it('answers HTTP/1.1 and HTTP/2 from the same pages', async () => {
    const pages = pagesOver()
    let runs = 0
    const inner = (_req: unknown, res: { end(text: string): unknown }) => res.end(`made ${++runs}`)
    const old = createServer(pages.handler(inner) as never).listen(0, '127.0.0.1')
    const young = http2.createServer(pages.handler(inner) as never).listen(0, '127.0.0.1')
    await Promise.all([once(old, 'listening'), once(young, 'listening')])
    const origin = (server: typeof young | typeof old) =>
      `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const client = http2.connect(origin(young))
    onTestFinished(() => {
      client.destroy()
      young.close()
      old.closeAllConnections()
      old.close()
    })
    const stream = client.request({ ':path': '/', ':authority': 'shop.test' })
    stream.resume()
    await once(stream, 'end')
    const site = new URL(origin(old))
    const response = await new Promise<IncomingMessage>((resolve) => {
      const options = { host: site.hostname, port: site.port, headers: { Host: 'shop.test' } }
      void import('node:http').then(({ get }) => get(options, resolve))
    })
    expect(response.headers['cache-status']).toContain('; hit')
    response.resume()
    await once(response, 'end')
  })

  it.each<[string, http2.OutgoingHttpHeaders, http2.OutgoingHttpHeaders]>([
    ['a cookie', { cookie: ['theme=dark', 'user=ann'] }, { cookie: ['theme=dark', 'user=ben'] }],
    ['Authorization', { authorization: 'ann' }, { authorization: 'ben' }],
    ['another header', { 'x-user': 'ann' }, { 'x-user': 'ben' }],
  ])('gives nobody another’s page over HTTP/2, known by %s', async (_name, ...visitors) => {
    const server = http2.createServer(
      pagesOver().handler((req: http2.Http2ServerRequest, res: http2.Http2ServerResponse) => {
        const { cookie = '', authorization, 'x-user': header } = req.headers
        const user = /user=(\w+)/.exec(cookie)?.[1] ?? authorization ?? header
        if (header !== undefined) Object.assign(req, { user: header })
        res.end(`for ${String(user ?? 'nobody')}`)
      }),
    )
    const client = await connectTo(server)
    const ask = async (headers: http2.OutgoingHttpHeaders) => {
      const stream = client.request({ ':path': '/', ...headers })
      let text = ''
      for await (const part of stream) text += String(part)
      return text
    }
    for (let i = 0; i < 2; i++) {
      expect(await Promise.all(visitors.map(ask))).toEqual(['for ann', 'for ben'])
    }
    for (let i = 0; i < 2; i++) expect(await ask({})).toBe('for nobody')
  })

  it('answers from no page whose host is said in two ways', async () => {
    const pages = pagesOver()
    let runs = 0
    const server = http2.createServer(
      pages.handler((req: http2.Http2ServerRequest, res: http2.Http2ServerResponse) => {
        res.end(`${++runs} of ${req.authority}, ${req.headers.host}`)
      }),
    )
    const client = await connectTo(server)
    const ask = async (headers: http2.OutgoingHttpHeaders) => {
      const stream = client.request({ ':path': '/', ...headers })
      let text = ''
      for await (const part of stream) text += String(part)
      return text
    }
    const shop = { ':authority': 'shop.test' }
    await ask({ ':authority': 'evil.test', host: 'shop.test' })
    await ask({ ...shop, host: 'evil.test' })
    expect(await ask(shop)).toBe('3 of shop.test, undefined')
    expect(await ask({ ...shop, host: 'shop.test' })).toBe('3 of shop.test, undefined')
    expect(await ask({ ...shop, host: 'evil.test' })).toBe('4 of shop.test, evil.test')
  })

  it('makes a page again for the host that was asked over HTTP/2', async () => {
    const clock = stopClock()
    const made = gate()
    const pages = pagesOver(new LocMemCache(), { seconds: 10, staleWhileRevalidate: 60 })
    const server = http2.createServer(
      pages.handler((req: http2.Http2ServerRequest, res: http2.Http2ServerResponse) => {
        const { authority, scheme, headers, httpVersionMajor } = req
        if (httpVersionMajor === 1) res.on('close', made.open)
        const named = httpVersionMajor === 1 ? headers.host : authority
        res.setHeader('Vary', 'Host')
        const text = [named, `${scheme}://${authority}`, headers[':authority']].join(' ')
        res.end(headers[':method'] === 'HEAD' ? '' : text)
      }),
    )
    const client = await connectTo(server)
    const ask = async (method = 'GET') => {
      const stream = client.request({
        ':path': '/',
        ':authority': 'shop.test',
        ':method': method,
      })
      const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders]
      let text = ''
      for await (const part of stream) text += String(part)
      return { text, status: headers['cache-status'] }
    }
    const { text } = await ask()
    clock.advance(11)
    expect((await ask('HEAD')).status).toContain('detail=stale-while-revalidate')
    await made.opened
    const again = await ask()
    expect(again.text).toBe(text)
    expect(again.status).toBe('fragcache; hit; ttl=10')
  })

  it.each<[string, (res: http2.Http2ServerResponse) => void]>([
    ['all', (res) => res.addTrailers({ 'x-sum': '1' })],
    ['one', (res) => (res as unknown as SetsTrailers).setTrailer('x-sum', '1')],
  ])('stores no page with trailers over HTTP/2, told as %s of them', async (_name, tell) => {
    const orders: Record<string, (res: http2.Http2ServerResponse) => void> = {
      '/before': (res) => {
        tell(res)
        res.end('page')
      },
      '/after': (res) => {
        res.write('pa')
        tell(res)
        res.end('ge')
      },
    }
    const server = http2.createServer(
      pagesOver().handler((req: http2.Http2ServerRequest, res: http2.Http2ServerResponse) =>
        orders[req.url]?.(res),
      ),
    )
    const client = await connectTo(server)
    for (const path of ['/before', '/before', '/after', '/after']) {
      const stream = client.request({ ':path': path })
      let sum: unknown
      stream.on('trailers', (trailers: http2.IncomingHttpHeaders) => (sum = trailers['x-sum']))
      stream.resume()
      await once(stream, 'close')
      expect(sum).toBe('1')
    }
  })
})
