import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { gunzipSync } from 'node:zlib'
import type { ErrorRequestHandler, Express, NextFunction, Request, Response } from 'express'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { expressHost } from '../../adapters/express/host.js'
import { isDetached, runDetached, type DetachedRun } from '../../adapters/node/detached.js'
import { compression, expressVersions, session, Site } from '../support/express.js'
import { folderOfTest } from '../support/folders.js'

type View = (req: Request, res: Response, next: NextFunction) => unknown

const LIMIT_MS = 10_000

/** Collects what a detached response sends. */
function sentBy({ response }: DetachedRun): () => string {
  const { socket } = response
  const parts: Buffer[] = []
  const write = socket?.write.bind(socket) as (...args: unknown[]) => boolean
  Object.assign(socket ?? {}, {
    write(chunk: string | Buffer, ...rest: unknown[]) {
      const encoding = typeof rest[0] === 'string' ? (rest[0] as BufferEncoding) : 'utf8'
      parts.push(typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk)
      return write(chunk, ...rest)
    },
  })
  return () => Buffer.concat(parts).toString('latin1')
}

describe.each(expressVersions)('a detached run in $version', ({ express }) => {
  /** Middleware that answers a client at once and lets the application run again behind it. */
  function behind({ limitMs = LIMIT_MS, before = (_run: DetachedRun): unknown => undefined } = {}) {
    const runs: DetachedRun[] = []
    const middleware = (req: Request, res: Response, next: NextFunction) => {
      if (isDetached(req)) {
        next()
        return
      }
      const run = runDetached(req, limitMs, expressHost.listenerOf)
      runs.push(run)
      before(run)
      res.end('at once')
    }
    return { middleware, runs }
  }

  /** Lets a view run detached, and gives the run and what it sent. */
  async function run(
    view: View,
    {
      limitMs = LIMIT_MS,
      around = (_app: Express): unknown => undefined,
      onRun = (_run: DetachedRun): unknown => undefined,
    } = {},
  ) {
    let sent = () => ''
    const { middleware, runs } = behind({
      limitMs,
      before: (run) => {
        sent = sentBy(run)
        onRun(run)
      },
    })
    const app = express()
    around(app)
    app.use(middleware, (req, res, next) => view(req, res, next) as void)
    const site = await Site.open(app)
    expect((await site.get('/p')).text).toBe('at once')
    const [made] = runs
    if (made === undefined) throw new Error('nothing ran')
    const outcome = await made.done
    return { ...made, outcome, sent: sent() }
  }

  it('is the same request once more, to the whole application', async () => {
    const seen: unknown[] = []
    const { middleware, runs } = behind()
    const app = express().set('trust proxy', true)
    app.use((req, res, next) => {
      const { method, url, originalUrl, baseUrl, ip, ips, protocol, hostname, query, headers } = req
      const { remoteAddress, localPort } = req.socket
      const of = { method, url, originalUrl, baseUrl, ip, ips, protocol, hostname, query }
      seen.push({ ...of, remoteAddress, localPort, address: req.socket.address(), headers })
      const { connection: _, ...distinct } = req.headersDistinct
      seen.push([
        req.rawHeaders.includes('X-Thing'),
        distinct,
        req.get('Cookie'),
        req.accepts('html'),
      ])
      res.set('X-Outer', '1')
      next()
    })
    app.use(
      '/site',
      express.Router().use(middleware, (_req, res) => void res.send('page')),
    )
    const site = await Site.open(app)
    const headers = {
      ...{ Host: 'a.test', Cookie: 'a=1', 'X-Thing': ['b', 'c'], Accept: 'text/html' },
      ...{ 'X-Forwarded-For': '1.2.3.4', 'X-Forwarded-Proto': 'https', Connection: 'keep-alive' },
    }
    await site.get('/site/p%20q?a=1&b[]=2', { headers })
    expect(await runs[0]?.done).toBe('finished')
    const [first, firstThings, again, againThings] = seen as [
      Record<'headers', Record<string, string>>,
      unknown,
      unknown,
      unknown,
    ]
    delete first.headers['connection']
    expect(again).toEqual(first)
    expect(again).toMatchObject({
      ip: '1.2.3.4',
      protocol: 'https',
      originalUrl: expect.any(String),
    })
    expect(againThings).toEqual(firstThings)
    expect(againThings).toContainEqual(
      expect.objectContaining({ cookie: ['a=1'], 'x-thing': ['b', 'c'] }),
    )
    expect(runs[0]?.response.getHeader('X-Outer')).toBe('1')
  })

  it('asks for the whole page, whatever the client asked for', async () => {
    const { middleware, runs } = behind()
    const app = express().use(middleware, (_req, res) => void res.set('ETag', '"x"').send('page'))
    const site = await Site.open(app)
    const headers = {
      ...{ 'If-None-Match': '"x"', 'If-Match': '"y"', Range: 'bytes=0-0', 'If-Range': '"x"' },
      'If-Modified-Since': new Date().toUTCString(),
      'If-Unmodified-Since': new Date(0).toUTCString(),
    }
    await site.get('/p', { headers, method: 'HEAD' })
    const [made] = runs
    await made?.done
    expect(made?.request.method).toBe('GET')
    expect(Object.keys(made?.request.headers ?? {})).toEqual(['host'])
    expect(made?.request.rawHeaders.filter((_, i) => i % 2 === 0)).toEqual(['Host'])
    expect(Object.keys(made?.request.headersDistinct ?? {})).toEqual(['host'])
    expect(made?.response.statusCode).toBe(200)
    expect(made?.response.getHeader('Content-Length')).toBe('4')
  })

  it('leaves the original request and response alone, and has its own', async () => {
    const originals: [IncomingMessage, ServerResponse][] = []
    const app = express()
    app.use((req, res, next) => {
      originals.push([req, res])
      if (isDetached(req)) {
        next()
        return
      }
      res.on('finish', () => {
        const finished = Object.freeze({ ...res.getHeaders() })
        const run = runDetached(req, LIMIT_MS, expressHost.listenerOf)
        void run.done.then(() => app.emit('done', run, finished))
      })
      next()
    })
    app.use((_req, res) => void res.set('X-Run', String(originals.length)).send('page'))
    const done = once(app, 'done')
    const site = await Site.open(app)
    const answer = await site.get('/p')
    const [run, finished] = (await done) as [DetachedRun, unknown]
    expect(answer.headers['x-run']).toBe('1')
    const [[req, res] = [], [again, answering] = []] = originals
    expect([again, answering]).toEqual([run.request, run.response])
    expect(again).not.toBe(req)
    expect({ ...res?.getHeaders() }).toEqual(finished)
    expect(answering?.getHeader('x-run')).toBe('2')
    expect(again?.socket).not.toBe(req?.socket)
  })

  it('is known as one by nothing that a client can send', async () => {
    const known: boolean[] = []
    const app = express().use((req, res) => {
      known.push(isDetached(req))
      res.end()
    })
    const site = await Site.open(app)
    const names = ['fragcache.detached', 'x-detached', 'detached', '__proto__']
    await site.get('/p', { headers: Object.fromEntries(names.map((name) => [name, '1'])) })
    expect(known).toEqual([false])
  })

  it('has the headers as they are by then, and those that are added before it starts', async () => {
    const seen: unknown[] = []
    const { middleware, runs } = behind({
      before: ({ request }) => (request.headers['if-none-match'] = '"known"'),
    })
    const app = express().use(middleware, (req, res) => {
      seen.push(req.headers['x-user'], req.rawHeaders.join(), req.headers['if-none-match'])
      seen.push(req.headers['x-more'])
      res.end()
    })
    // Outside of the application, so that it does not happen again.
    const site = await Site.open((req: IncomingMessage, res: ServerResponse) => {
      delete req.headers['x-user']
      req.headers['x-more'] = 'more'
      app(req, res)
    })
    await site.get('/p', { headers: { Host: 'a', 'X-User': 'forged' } })
    await runs[0]?.done
    expect(seen).toEqual([undefined, 'Host,a', '"known"', 'more'])
  })

  it('starts at the outermost application', async () => {
    const order: string[] = []
    const note = (name: string) => (req: Request, _res: Response, next: NextFunction) => {
      if (isDetached(req)) order.push(`${name} ${req.baseUrl} ${req.url}`)
      next()
    }
    const { middleware, runs } = behind()
    const inner = express().use(note('inner'), middleware, (_req, res) => void res.end())
    const middle = express().use(note('middle')).use('/in', inner)
    const outer = express().use(note('outer')).use('/mid', middle)
    // Mounted elsewhere too: it knows this one for its parent.
    express().use('/else', inner)
    const site = await Site.open(outer)
    await site.get('/mid/in/p?a=1')
    await runs[0]?.done
    expect(order).toEqual(['outer  /mid/in/p?a=1', 'middle /mid /in/p?a=1', 'inner /mid/in /p?a=1'])

    // Also where the server calls them by something else.
    order.length = 0
    const { middleware: other, runs: otherRuns } = behind()
    const app = express().use(note('outer'))
    app.use(
      '/in',
      express().use(note('inner'), other, (_req, res) => void res.end()),
    )
    const wrapped = await Site.open((req: IncomingMessage, res: ServerResponse) => app(req, res))
    await wrapped.get('/in/p')
    await otherRuns[0]?.done
    expect(order).toEqual(['outer  /in/p', 'inner /in /p'])
  })

  it('goes through what the server calls around the applications', async () => {
    const seen: unknown[] = []
    const { middleware, runs } = behind()
    const app = express().use(middleware, (req, res) => {
      seen.push((req as { tenant?: unknown }).tenant)
      res.end()
    })
    const site = await Site.open((req: IncomingMessage, res: ServerResponse) => {
      app(Object.assign(req, { tenant: req.headers.host?.split('.')[0] }), res)
    })
    await site.get('/p', { headers: { Host: 'ann.example' } })
    await runs[0]?.done
    expect(seen).toEqual(['ann'])
  })

  it('knows what the original socket knew, also of TLS', async () => {
    const seen: unknown[] = []
    const { middleware, runs } = behind()
    const app = express().use(middleware, (req, res) => {
      const { socket } = req as { socket: unknown } as {
        socket: { getPeerCertificate(detailed: boolean): unknown; authorized: boolean }
      }
      seen.push(req.protocol, req.secure, socket.authorized, socket.getPeerCertificate(true))
      res.end()
    })
    const server = createServer(app)
    server.on('connection', (socket) => {
      const getPeerCertificate = function (this: unknown, detailed: boolean) {
        return { ofItsOwn: this === socket, detailed }
      }
      Object.assign(socket, { encrypted: true, authorized: true, getPeerCertificate })
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    onTestFinished(() => void server.close())
    const { port } = server.address() as { port: number }
    await (await fetch(`http://127.0.0.1:${port}/`, { headers: { Connection: 'close' } })).text()
    await runs[0]?.done
    expect(seen).toEqual(['https', true, true, { ofItsOwn: true, detailed: true }])
  })

  it('says nowhere that HTTP/2 is spoken on its own connection', async () => {
    const seen: unknown[] = []
    const around = (app: Express) => {
      app.use((req, _res, next) => {
        if (!isDetached(req)) Object.assign(req.socket, { encrypted: true, alpnProtocol: 'h2' })
        next()
      })
    }
    const view: View = ({ socket, httpVersion }, res) => {
      seen.push(httpVersion, (socket as { alpnProtocol?: unknown }).alpnProtocol)
      res.end()
    }
    await run(view, { around })
    expect(seen).toEqual(['1.1', undefined])
  })

  it('keeps nothing of what is kept per request', async () => {
    const storage = new AsyncLocalStorage<string>()
    const seen: unknown[] = []
    const { middleware, runs } = behind()
    const app = express().use(middleware, (_req, res) => void res.end())
    const site = await Site.open((req: IncomingMessage, res: ServerResponse) => {
      seen.push(storage.getStore())
      storage.run('of the client', () => void app(req, res))
    })
    await site.get('/p')
    await runs[0]?.done
    expect(seen).toEqual([undefined, undefined])
  })

  it('sends what every way of answering sends, to nobody', async () => {
    const folder = folderOfTest()
    writeFileSync(join(folder, 'file.txt'), 'f'.repeat(200_000))
    const long = 'x'.repeat(1000)
    const views: [View, RegExp][] = [
      [(_req, res) => res.send('<p>ü'), /200 OK.*Content-Length: 5.*\r\n\r\n<p>\u00c3\u00bc$/s],
      [(_req, res) => res.json({ a: 1 }), /application\/json.*\{"a":1\}$/s],
      [(_req, res) => res.redirect('/q'), /^HTTP\/1.1 302 Found.*Location: \/q/s],
      [(_req, res) => res.sendFile(join(folder, 'file.txt')), /200 OK.*\r\n\r\nf{200000}$/s],
      [
        (_req, res) => (res.write('a'), res.write('b'), res.end('c')),
        /chunked.*a\r\n.*b\r\n.*c\r\n0/s,
      ],
      [(_req, res) => Readable.from(Array(500).fill(long)).pipe(res), /(3e8\r\nx{1000}\r\n){500}0/],
      [(_req, res) => pipeline(Readable.from([long]), res), /x{1000}\r\n0\r\n\r\n$/],
      [
        (_req, res) => (res.writeEarlyHints({ link: '</a>; rel=preload' }), res.send('x')),
        /103.*200/s,
      ],
      [
        (_req, res) => res.writeHead(201, ['X-A', '1']).end(),
        /^HTTP\/1.1 201 Created\r\n.*X-A: 1/s,
      ],
      [(_req, _res, next) => void next(), /404 Not Found.*Cannot GET \/p/s],
    ]
    for (const [view, expected] of views) {
      const { outcome, sent, response } = await run(view)
      expect(outcome).toBe('finished')
      expect(sent).toMatch(expected)
      expect(response.writableFinished).toBe(true)
    }
  })

  it('holds a view back that writes more than is taken', async () => {
    const waits: boolean[] = []
    const { outcome, sent } = await run(async (_req, res) => {
      for (let i = 0; i < 5; i++) {
        while (res.write('y'.repeat(10_000)));
        waits.push(res.writableNeedDrain)
        if (res.writableNeedDrain) await once(res, 'drain')
        waits.push(res.writableNeedDrain)
      }
      res.end()
    })
    expect(outcome).toBe('finished')
    expect(waits).toEqual(Array(5).fill([true, false]).flat())
    expect(sent.length).toBeGreaterThan(50_000)
  })

  it('does with sessions, compression, parsers and logs what they do for a client', async () => {
    const log: string[] = []
    const stored: string[] = []
    const { response, request, outcome, sent } = await run(
      (req, res) => {
        Object.assign((req as unknown as { session: object }).session, { seen: true })
        res.type('text').send(`${JSON.stringify(req.body ?? {})} ${'text '.repeat(1000)}`)
      },
      {
        around: (app) => {
          app.use((req, res, next) => {
            const note = () => log.push(`${req.method} ${req.url} ${res.statusCode}`)
            if (isDetached(req)) res.on('finish', note)
            next()
          })
          app.use(compression(), express.json(), express.urlencoded({ extended: true }))
          app.use(session({ secret: 's', resave: false, saveUninitialized: false }))
          app.use((req, _res, next) => {
            if (!isDetached(req)) {
              next()
              return
            }
            const { sessionStore } = req as unknown as {
              sessionStore: { set(...args: unknown[]): void }
            }
            const set = sessionStore.set.bind(sessionStore)
            sessionStore.set = (id, ...rest) => {
              stored.push(String(id))
              set(id, ...rest)
            }
            next()
          })
        },
        onRun: ({ request }) => (request.headers['accept-encoding'] = 'gzip'),
      },
    )
    expect(outcome).toBe('finished')
    expect(log).toEqual(['GET /p 200'])
    expect(stored).toHaveLength(1)
    expect(response.getHeader('set-cookie')).toHaveLength(1)
    expect(response.getHeader('content-encoding')).toBe('gzip')
    const [, size = '', body = ''] = /\r\n\r\n([0-9a-f]+)\r\n(.*)$/s.exec(sent) ?? []
    const firstChunk = Buffer.from(body.slice(0, parseInt(size, 16)), 'latin1')
    const rest = Buffer.from(body, 'latin1')
    const { length } = firstChunk
    const second = /^\r\n([0-9a-f]+)\r\n/.exec(rest.subarray(length).toString('latin1'))
    const from = length + (second?.[0].length ?? 0)
    const tail = rest.subarray(from, from + parseInt(second?.[1] ?? '0', 16))
    expect(gunzipSync(Buffer.concat([firstChunk, tail])).toString()).toMatch(/^\{\} (text ){1000}$/)
    expect(request.complete).toBe(true)
  })

  it('ends a view that hangs, as if the client had gone', async () => {
    const events: string[] = []
    const { outcome, response, request } = await run(
      (req, res) => {
        res.on('finish', () => events.push('finish'))
        res.on('close', () => events.push(`close ${res.destroyed}`))
        req.socket.on('close', () => events.push(`socket ${req.socket.destroyed}`))
        res.write('begun')
      },
      { limitMs: 30 },
    )
    expect(outcome).toBe('timed-out')
    expect(events.sort()).toEqual(['close true', 'socket true'])
    // Whatever it still does is no matter.
    response.write('more')
    response.end()
    expect(request.socket.destroyed).toBe(true)
  })

  it('ends a view that writes on and on, and leaves the others their time', async () => {
    function* forever() {
      for (;;) yield 'z'.repeat(50_000)
    }
    const { outcome, response } = await run((_req, res) => Readable.from(forever()).pipe(res), {
      limitMs: 50,
    })
    expect(outcome).toBe('timed-out')
    expect(response.writableFinished).toBe(false)
  })

  it('can be aborted before it starts, and after its end to no effect', async () => {
    const view = vi.fn((_req: Request, res: Response) => res.send('page'))
    const early = await run(view, { onRun: (run) => run.abort() })
    expect(early.outcome).toBe('aborted')
    expect(view).not.toHaveBeenCalled()
    const late = await run(view)
    late.abort()
    expect(late.outcome).toBe('finished')
    const within = await run(
      (_req, res) => {
        res.write('begun')
        const { abort } = res.locals as { abort(): void }
        abort()
      },
      {
        onRun: ({ response, abort }) => Object.assign(response, { locals: { abort } }),
      },
    )
    expect(within.outcome).toBe('aborted')
  })

  it.each<[string, View]>([
    ['destroys its response', (_req, res) => res.destroy()],
    ['destroys it with an error', (_req, res) => res.destroy(new Error('no'))],
    ['destroys the socket', (req) => req.socket.destroy()],
    ['destroys the request', (req) => req.destroy()],
  ])('is aborted by a view that %s', async (_name, view) => {
    const { outcome } = await run((req, res, next) => {
      res.on('error', () => undefined)
      res.write('begun')
      return view(req, res, next)
    })
    expect(outcome).toBe('aborted')
  })

  it('tells errors to the same handlers, and no more of them', async () => {
    const printed = vi.spyOn(console, 'error').mockReturnValue()
    const unhandled = vi.fn()
    process.on('unhandledRejection', unhandled)
    onTestFinished(() => {
      process.off('unhandledRejection', unhandled)
      printed.mockRestore()
    })
    const around = (app: Express) => app.set('env', 'production')
    const views: View[] = [
      () => {
        throw new Error('thrown')
      },
      (_req, _res, next) => next(new Error('handed on')),
      (_req, res, next) => {
        res.write('begun')
        next(new Error('late'))
      },
    ]
    for (const view of views) {
      printed.mockClear()
      const { outcome, response } = await run(view, { around })
      if (outcome === 'finished') expect(response.statusCode).toBe(500)
      await new Promise((resolve) => setImmediate(resolve))
      expect(printed).toHaveBeenCalledTimes(1)
    }
    // An error handler of the application's is asked as ever.
    printed.mockClear()
    const handled: unknown[] = []
    const handler: ErrorRequestHandler = (error: Error, _req, res, _next) => {
      handled.push(error.message)
      res.status(502).end()
    }
    const { middleware, runs } = behind()
    const app = express().use(
      middleware,
      (_req: Request, _res: Response, next: NextFunction) => next(new Error('mine')),
      handler,
    )
    const site = await Site.open(app)
    await site.get('/p')
    expect(await runs[0]?.done).toBe('finished')
    expect(runs[0]?.response.statusCode).toBe(502)
    expect(handled).toEqual(['mine'])
    expect(printed).not.toHaveBeenCalled()
    expect(unhandled).not.toHaveBeenCalled()
  })

  it('lets a view bound itself', async () => {
    const { outcome, response } = await run((_req, res) => {
      res.setTimeout(20, () => res.status(503).end())
    })
    expect(outcome).toBe('finished')
    expect(response.statusCode).toBe(503)
  })

  it('is not ended by a time limit that a view takes back', async () => {
    const { outcome } = await run((req, res) => {
      const onTimeout = vi.fn()
      req.socket.setTimeout(5, onTimeout)
      req.socket.setTimeout(0, onTimeout)
      setTimeout(() => {
        expect(onTimeout).not.toHaveBeenCalled()
        res.end()
      }, 30)
    })
    expect(outcome).toBe('finished')
  })

  it('can be had of a URL that no parser takes', async () => {
    const seen: string[] = []
    const { middleware, runs } = behind()
    const app = express().use(middleware, (req, res) => {
      seen.push(req.url)
      res.end()
    })
    const site = await Site.open((req: IncomingMessage, res: ServerResponse) => {
      req.url = '/a b\r\nX: y/é'
      app(req, res)
    })
    await site.get('/')
    expect(await runs[0]?.done).toBe('finished')
    expect(seen).toEqual(['/a b\r\nX: y/é'])
  })

  it('can be many at once', async () => {
    const { middleware, runs } = behind()
    const app = express().use(middleware, (req, res) => void setImmediate(() => res.send(req.url)))
    const site = await Site.open(app)
    await Promise.all(Array.from({ length: 20 }, (_, i) => site.get(`/p${i}`)))
    expect(await Promise.all(runs.map(({ done }) => done))).toEqual(Array(20).fill('finished'))
    expect(new Set(runs.map(({ request }) => request.url)).size).toBe(20)
  })
})
