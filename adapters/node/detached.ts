import { AsyncResource } from 'node:async_hooks'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http'
import { DiscardingSocket } from './discarding-socket.js'
import type { Host } from './host.js'
import { distinctOf, meantOf, rawHeadersOf, setHeaders, tellHost } from './protocol.js'
import { targetOf } from './request.js'

/** How a detached run ended. */
export type DetachedOutcome = 'finished' | 'aborted' | 'timed-out'

/** A request in the background, which no client waits for. */
export interface DetachedRun {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** Settles when the response is closed; never rejects. */
  readonly done: Promise<DetachedOutcome>
  /** Ends it as a client that goes away would. After the end it does nothing. */
  abort(): void
}

const detached = new WeakSet<object>()

/** Whether a request was made by {@link runDetached}; nothing that a client sends makes it so. */
export function isDetached(request: object): boolean {
  return detached.has(request)
}

/** Created outside of any request, so that no asynchronous context of a request gets into a detached run. */
const outside = new AsyncResource('fragcache.detached')

/**
 * Sends a copy of a GET request through the whole application in the background; the bytes of its response are
 * discarded. So a page is rendered again while the client is given a stale one.
 *
 * @param req - Its URL and headers are copied at once, without headers that ask for less than the whole page
 *   and without those about the connection or a body. Neither it nor its response is changed.
 * @param limitMs - The run is aborted after so many milliseconds. The timer keeps no process alive.
 * @returns At once; the application is called in a later turn of the event loop, so that headers
 *   can be added before.
 * @remarks Calls what the server calls for a request; where there is no server, the outermost application that
 *   `req.app` is mounted in. Handlers, error handlers and log lines are the same as for a client's request.
 */
export function runDetached(
  req: IncomingMessage,
  limitMs: number,
  listenerOf?: Host['listenerOf'],
): DetachedRun {
  const listener = outermost(req) ?? listenerOf?.(req)
  if (listener === undefined) throw new Error('nothing is known that could answer a detached run')
  const socket = new DiscardingSocket(req.socket)
  const { request, response } = outside.runInAsyncScope(() =>
    receive(socket, req, (request, response) => {
      if (socket.destroyed) return
      try {
        listener(request, response)
      } catch {
        socket.destroy()
      }
    }),
  )
  let ended: DetachedOutcome = 'aborted'
  const timer = setTimeout(() => {
    ended = 'timed-out'
    socket.destroy()
  }, limitMs)
  timer.unref()
  const done = new Promise<DetachedOutcome>((resolve) => {
    response.on('close', () => {
      clearTimeout(timer)
      resolve(response.writableFinished ? 'finished' : ended)
    })
  })
  return { request, response, done, abort: () => void socket.destroy() }
}

/**
 * Lets Node's own server create a request and a response on a socket, so that they behave exactly as those of
 * a client do.
 *
 * @param listener - Called in a later turn of the event loop.
 */
function receive(
  socket: DiscardingSocket,
  req: IncomingMessage,
  listener: RequestListener,
): { readonly request: IncomingMessage; readonly response: ServerResponse } {
  let received: { request: IncomingMessage; response: ServerResponse } | undefined
  const server = receivingServer()
  server.once('request', (request, response) => {
    received = { request, response }
    setImmediate(listener, request, response)
  })
  const url = targetOf(req)
  // A URL that Node's parser would refuse, or that cannot be written safely, is set afterwards.
  const target = /^\/[\x21-\x7e]*$/.test(url) ? url : '/'
  server.emit('connection', socket)
  socket.emit('data', Buffer.from(`GET ${target} HTTP/1.1\r\nConnection: close\r\n\r\n`, 'latin1'))
  if (received === undefined) {
    server.removeAllListeners('request')
    throw new Error('Node did not read the request of a detached run')
  }
  const { request } = received
  detached.add(request)
  request.url = url
  const headers = copyHeaders(req.headers)
  const isKept = (name: string) => Object.hasOwn(headers, name)
  const rawHeaders = rawHeadersOf(req.rawHeaders, isKept)
  const authority = tellHost(request, req)
  if (authority !== undefined && headers.host === undefined) {
    headers.host = authority
    rawHeaders.push('Host', authority)
  }
  setHeaders(request, {
    headers,
    rawHeaders,
    headersDistinct: meantOf(distinctOf(req), isKept),
  })
  return received
}

let server: Server | undefined

/** A server that listens on no port. */
function receivingServer(): Server {
  return (server ??= createServer({ requireHostHeader: false }))
}

/** They ask for less than the whole page, or are about the connection or a body. */
const LEFT_OUT = new Set([
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
  'if-range',
  'range',
  'connection',
  'content-length',
  'expect',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  // HEAD, over HTTP/2
  ':method',
])

/** As they are now: what a layer removed before the cache was asked must not come back. */
function copyHeaders(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const copy: IncomingHttpHeaders = {}
  for (const [name, value] of Object.entries(headers)) {
    if (!LEFT_OUT.has(name)) copy[name] = Array.isArray(value) ? [...value] : value
  }
  return copy
}

function outermost(req: IncomingMessage): RequestListener | undefined {
  const { server } = req.socket as { server?: Partial<Server> | null }
  // Listeners in front of the application may set whose request it is, or for which site.
  if ((server?.listenerCount?.('request') ?? 0) > 0) {
    return (request, response) => void server?.emit?.('request', request, response)
  }
  return fronts.get(req)
}

const fronts = new WeakMap<object, RequestListener>()

/** Says which listener handed a request to the application, so that a detached run goes through it. */
export function cameThrough(req: IncomingMessage, listener: RequestListener): void {
  fronts.set(req, listener)
}
