import type { IncomingMessage, ServerResponse } from 'node:http'
import { createHash } from 'node:crypto'
import { hasDirective, parseCacheControl } from '../../src/http/cache-control.js'
import { hasPrecondition } from '../../src/http/conditional.js'
import type { Middleware } from './middleware.js'
import { willMakeEtag } from './client-conditions.js'
import { checkResponse, refuseArguments } from './header-helpers.js'
import { applyPreconditions } from './precondition.js'
import { bytesOf, callbackOf, declareLength } from './sent-body.js'
import { onHead } from './taken-headers.js'

/**
 * Creates a middleware that adds an `ETag` to responses to GET. It answers a client that already has the
 * response with a 304 without a body, or with a 412 if the client's `If-Match` does not match.
 *
 * @returns A middleware. Its `ETag` is the MD5 of the body. It adds one to responses that have none, are sent
 *   in one piece, are not empty and do not say `no-store`. An `ETag` that the handler or Express's `res.send`
 *   has set stays. Responses that are sent in pieces are compared by the `ETag` or `Last-Modified` that they
 *   have. Only responses with a 2xx status are compared. The handler always runs; {@link condition} avoids
 *   that.
 * @remarks A 304 keeps all headers that do not describe the body; Django keeps the seven that RFC 9110
 *   §15.4.5 is about, and cookies. A partial response (206) gets no `ETag`, since an `ETag` identifies the
 *   whole response. Nothing is delayed: bytes are sent when they would be sent without this middleware.
 * @see Django 6.1, `django.middleware.http.ConditionalGetMiddleware`
 * @see RFC 9110 §13.2.2
 */
export function conditionalGet(): Middleware
export function conditionalGet(...given: readonly unknown[]): Middleware {
  refuseArguments('conditionalGet', given)
  return function conditionalGetMiddleware(req, res, next) {
    checkResponse('conditionalGet', res)
    if (req.method === 'GET') watch(req, res)
    next()
  }
}

function watch(req: IncomingMessage, res: ServerResponse): void {
  // As the client sent them: a cache inside of this middleware may replace the conditions.
  const { method = '', headers } = req
  const isAsked = hasPrecondition(headers)
  willMakeEtag(res)
  /** The body, if it is known as a whole before its headers are sent. */
  let whole: Buffer | undefined
  let isBodyless = false
  onHead(res, () => {
    if (whole !== undefined && deservesEtag(res)) {
      // Django: set_response_etag
      res.setHeader('ETag', `"${createHash('md5').update(whole).digest('hex')}"`)
    }
    if (!isAsked || res.statusCode < 200 || res.statusCode >= 300) return
    // Django: without either there is nothing to compare.
    if (!res.hasHeader('ETag') && !res.hasHeader('Last-Modified')) return
    isBodyless = applyPreconditions({ method, headers }, res, res.getHeaders())
  })
  const write = res.write.bind(res) as (...args: unknown[]) => boolean
  const end = res.end.bind(res) as (...args: unknown[]) => ServerResponse
  const decideFirst = (): void => {
    // The conditions have to be evaluated before the first byte of the body is sent.
    if (!res.headersSent && isAsked) res.writeHead(res.statusCode)
  }
  res.write = (...args: unknown[]) => {
    decideFirst()
    if (!isBodyless) return write(...args)
    const callback = callbackOf(args)
    if (callback !== undefined) process.nextTick(callback)
    return true
  }
  res.end = (...args: unknown[]) => {
    if (!res.headersSent) {
      whole = toWhole(res, args)
      if (isAsked) declareLength(res, args)
    }
    decideFirst()
    if (!isBodyless) return end(...args)
    const callback = callbackOf(args)
    return callback === undefined ? end() : end(callback)
  }
}

function toWhole(res: ServerResponse, args: readonly unknown[]): Buffer | undefined {
  if (res.statusCode === 204 || res.statusCode === 304) return undefined
  const bytes = bytesOf(args)
  return bytes?.length === 0 ? undefined : bytes
}

function deservesEtag(res: ServerResponse): boolean {
  if (res.hasHeader('ETag') || res.hasHeader('Content-Range')) return false
  return !hasDirective(parseCacheControl(res.getHeader('Cache-Control')), 'no-store')
}
