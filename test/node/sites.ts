import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import { createRequire } from 'node:module'
import type { AddressInfo, Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import Fastify from 'fastify'
import { createCaches, type Cache } from 'fragcache'
import { responseCache, type ResponseCache, type ResponseCacheOptions } from 'fragcache/node'
import { onTestFinished } from 'vitest'

interface KoaContext {
  readonly method: string
  readonly url: string
  status: number
  body: unknown
  get(name: string): string
  set(name: string, value: string): void
}

interface KoaApplication {
  silent: boolean
  use(middleware: (ctx: KoaContext) => Promise<void>): void
  callback(): http.RequestListener
}

// Its own types do not compile with the packages it brings along.
const Koa = createRequire(import.meta.url)('koa') as new () => KoaApplication

/** What a handler is asked for, whatever it is written with. */
export interface Asked {
  readonly method: string
  readonly url: string
  /** Of the request, read where the framework keeps them. */
  header(name: string): string | undefined
}

/** What a handler answers. */
export interface Made {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Readable
}

export type View = (asked: Asked) => Made | Promise<Made>

export interface Answer {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly text: string
}

export interface Question {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

/** A connection on which an answer has begun. */
export interface Begun {
  /** The client goes away. */
  abort(): void
}

/** A server with the cache in front of one handler, and a client of its own. */
export interface Site {
  readonly origin: string
  readonly pages: ResponseCache
  ask(path: string, question?: Question): Promise<Answer>
  /** Waits for the first bytes of an answer. */
  begin(path: string): Promise<Begun>
}

type Handler = (req: never, res: never) => unknown

type Http2Handler = (req: http2.Http2ServerRequest, res: http2.Http2ServerResponse) => void

interface Kind {
  readonly name: string
  /** A server that gives each request to a handler. */
  readonly listen: (handler: Handler) => Server | Promise<Server>
  /** The handler that a view becomes. */
  readonly toHandler: (view: View) => Handler
  readonly scheme: 'http' | 'https'
  readonly client: (origin: string) => Pick<Site, 'ask' | 'begin'>
  /** What opens it where the framework makes its server itself. */
  readonly open?: (view: View, wrap: (handler: Handler) => Handler) => Promise<Server>
}

let certificate: { readonly key: Buffer; readonly cert: Buffer } | undefined

function selfSigned(): { readonly key: Buffer; readonly cert: Buffer } {
  if (certificate !== undefined) return certificate
  const folder = mkdtempSync(join(tmpdir(), 'fragcache-tls-'))
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'].concat(
      ['-keyout', key, '-out', cert, '-days', '2', '-subj', '/CN=localhost'],
      ['-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'],
    ),
    { stdio: 'ignore' },
  )
  certificate = { key: readFileSync(key), cert: readFileSync(cert) }
  rmSync(folder, { recursive: true })
  return certificate
}

/** A handler as one writes it without a framework; over HTTP/2 its types are others. */
function plainHandler(view: View): Handler {
  return async (req: http.IncomingMessage, res: http.ServerResponse) => {
    const { method = '', url = '' } = req
    const header = (name: string) => req.headers[name]?.toString()
    const { status = 200, headers = {}, body = '' } = await view({ method, url, header })
    res.statusCode = status
    for (const [name, value] of Object.entries(headers)) res.setHeader(name, value)
    if (typeof body === 'string') res.end(body)
    else await pipeline(body, res)
  }
}

/** What a site answers whose handler has failed, where no framework does it. */
export const EXCUSE = 'an excuse'

function withExcuse(handler: Handler): Handler {
  return (req: http.IncomingMessage, res: http.ServerResponse) => {
    Promise.resolve(handler(req as never, res as never)).catch(() => {
      if (res.headersSent) res.destroy()
      else res.end(EXCUSE)
    })
  }
}

async function koa(view: View, wrap: (handler: Handler) => Handler): Promise<Server> {
  const app = new Koa()
  app.silent = true
  app.use(async (ctx) => {
    const header = (name: string) => ctx.get(name) || undefined
    const made = await view({ method: ctx.method, url: ctx.url, header })
    ctx.status = made.status ?? 200
    for (const [name, value] of Object.entries(made.headers ?? {})) ctx.set(name, value)
    if (ctx.status !== 304) ctx.body = made.body ?? ''
  })
  return http.createServer(wrap(app.callback()) as http.RequestListener).listen(0, '127.0.0.1')
}

async function fastify(view: View, wrap: (handler: Handler) => Handler): Promise<Server> {
  const app = Fastify({
    serverFactory: (handler) => http.createServer(wrap(handler) as http.RequestListener),
  })
  app.all('*', async (request, reply) => {
    const header = (name: string) => request.headers[name]?.toString()
    const { method, url } = request
    const { status = 200, headers = {}, body = '' } = await view({ method, url, header })
    return reply.code(status).headers(headers).send(body)
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  onTestFinished(() => app.close())
  return app.server
}

function overHttp1(origin: string): Pick<Site, 'ask' | 'begin'> {
  const { request } = origin.startsWith('https:') ? https : http
  const options = { agent: false, rejectUnauthorized: false }
  return {
    async ask(path, { method = 'GET', headers = {}, body } = {}) {
      const length = body === undefined ? {} : { 'content-length': body.length }
      const asking = request(origin + path, {
        ...options,
        method,
        headers: { ...headers, ...length },
      })
      asking.end(body)
      const [response] = (await once(asking, 'response')) as [http.IncomingMessage]
      const text = await textOf(response)
      return { status: response.statusCode ?? 0, headers: response.headers, text }
    },
    async begin(path) {
      const asking = request(origin + path, options)
      asking.on('error', () => undefined).end()
      const [response] = (await once(asking, 'response')) as [http.IncomingMessage]
      response.on('error', () => undefined)
      await once(response, 'data')
      return { abort: () => void asking.destroy() }
    },
  }
}

function overHttp2(origin: string): Pick<Site, 'ask' | 'begin'> {
  const session = http2.connect(origin, { rejectUnauthorized: false })
  session.on('error', () => undefined)
  onTestFinished(() => session.destroy())
  const open = async (path: string, { method = 'GET', headers = {}, body }: Question = {}) => {
    const fields = { ...headers, ':path': path, ':method': method }
    const stream = session.request(fields, { endStream: body === undefined })
    if (body !== undefined) stream.end(body)
    const [answered] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders]
    return { stream, fields: answered }
  }
  return {
    async ask(path, question) {
      const { stream, fields } = await open(path, question)
      return { status: Number(fields[':status']), headers: fields, text: await textOf(stream) }
    },
    async begin(path) {
      const { stream } = await open(path)
      stream.on('error', () => undefined)
      await once(stream, 'data')
      return { abort: () => void stream.close(http2.constants.NGHTTP2_CANCEL) }
    },
  }
}

async function textOf(stream: NodeJS.ReadableStream): Promise<string> {
  let text = ''
  for await (const part of stream) text += String(part)
  return text
}

const listening = (server: Server): Server => server.listen(0, '127.0.0.1')

/** The ways in which the cache is put in front of a handler of `(req, res)`. */
export const kinds: readonly Kind[] = [
  {
    name: 'node:http',
    listen: (handler) => listening(http.createServer(handler as http.RequestListener)),
    toHandler: plainHandler,
    scheme: 'http',
    client: overHttp1,
  },
  {
    name: 'node:https',
    listen: (handler) =>
      listening(https.createServer(selfSigned(), handler as http.RequestListener)),
    toHandler: plainHandler,
    scheme: 'https',
    client: overHttp1,
  },
  {
    name: 'node:http2',
    listen: (handler) => listening(http2.createServer(handler as Http2Handler)),
    toHandler: plainHandler,
    scheme: 'http',
    client: overHttp2,
  },
  {
    name: 'node:http2 with TLS',
    listen: (handler) => listening(http2.createSecureServer(selfSigned(), handler as Http2Handler)),
    toHandler: plainHandler,
    scheme: 'https',
    client: overHttp2,
  },
  {
    name: 'Fastify',
    listen: () => http.createServer(),
    toHandler: plainHandler,
    open: fastify,
    scheme: 'http',
    client: overHttp1,
  },
  {
    name: 'Koa',
    listen: () => http.createServer(),
    toHandler: plainHandler,
    open: koa,
    scheme: 'http',
    client: overHttp1,
  },
]

/** Opens a site, which is gone when the test is over. */
export async function openSite(
  kind: Kind,
  cache: Cache,
  view: View,
  options: ResponseCacheOptions = {},
): Promise<Site> {
  const pages = responseCache<string>(createCaches({ default: cache }), options)
  const wrap = (handler: Handler) => pages.handler<never, never>(handler)
  const server = await (kind.open?.(view, wrap) ??
    kind.listen(withExcuse(wrap(kind.toHandler(view)))))
  if (!server.listening) await once(server, 'listening')
  onTestFinished(() => {
    ;(server as Partial<http.Server>).closeAllConnections?.()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const origin = `${kind.scheme}://127.0.0.1:${port}`
  return { origin, pages, ...kind.client(origin) }
}
