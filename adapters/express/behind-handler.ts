import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { RequestHandler } from 'express'
import { routeName } from '../node/routes.js'
import { warnOfPageBehind } from '../node/warnings.js'

/** Node tells here of each response that was sent. */
const SENT = 'http.server.response.finish'

/** Middlewares that no request has come to yet, held by their applications alone. */
const awaited = new WeakSet<RequestHandler>()
/** How many there are, together with those whose applications are gone. */
let watched = 0

/**
 * Warns, outside of production, if the handler of a route answers in front of this middleware: it then never sees a
 * request, and only Node can tell.
 *
 * @remarks Told where it is the last of its route and no request has come to it before one was answered by the route
 *   with 200: a guard in front answers otherwise, and without a handler behind it nobody else is left. What
 *   `app.use` was given has no route.
 */
export function watchForRequests(middleware: RequestHandler): void {
  if (process.env['NODE_ENV'] === 'production') return
  if (watched++ === 0) subscribe(SENT, onSent)
  awaited.add(middleware)
}

/** A request has come to the middleware, which need not be watched any more: it is behind the handler if that has answered. */
export function noteRequest(middleware: RequestHandler, res: ServerResponse): void {
  if (!awaited.has(middleware)) return
  if (!res.headersSent) forget(middleware)
  else if (isPage(res.req, res)) {
    forget(middleware)
    warnOfPageBehind(routeName(res.req))
  }
}

/** Whether a handler has answered; a guard in front answers otherwise. */
export function isPage({ method }: IncomingMessage, { statusCode }: ServerResponse): boolean {
  return method === 'GET' && statusCode === 200
}

function forget(middleware: RequestHandler): void {
  awaited.delete(middleware)
  if (--watched === 0) unsubscribe(SENT, onSent)
}

function onSent(message: unknown): void {
  const { request, response } = message as {
    readonly request: IncomingMessage & { readonly route?: { readonly stack?: unknown } }
    readonly response: ServerResponse
  }
  const stack = request.route?.stack
  if (!isPage(request, response) || !Array.isArray(stack)) return
  const last = (stack as readonly ({ readonly handle?: RequestHandler } | undefined)[]).at(-1)
  const handle = last?.handle
  if (handle === undefined || stack.length < 2 || !awaited.has(handle)) return
  forget(handle)
  warnOfPageBehind(routeName(request))
}
