import type { IncomingMessage, ServerResponse } from 'node:http'
import { createHash } from 'node:crypto'
import onHeaders from 'on-headers'
import { hasDirective, parseCacheControl } from '../../src/http/cache-control.js'
import { hasPrecondition } from '../../src/http/conditional.js'
import type { Middleware } from './middleware.js'
import { declareLength, willMakeEtag } from './client-conditions.js'
import { checkResponse } from './header-helpers.js'
import { refuseArguments } from './header-middlewares.js'
import { applyPreconditions } from './precondition.js'

/**
 * A middleware that gives answers to GET an `ETag` and does not send them again to a client that has
 * them: it gets a 304 without a body, or a 412 if it asked for another one with `If-Match`.
 *
 * @returns The `ETag` is the MD5 of the body, for answers that have none, are sent in one piece, are
 *   not empty and do not say `no-store`. One that the view or Express's `res.send` has set stays.
 *   Answers in pieces are compared by the `ETag` or `Last-Modified` they have. Only those with a 2xx
 *   status are. The view runs in any case; {@link condition} saves that.
 * @remarks A 304 keeps all headers that do not describe the body; Django keeps the seven that
 *   RFC 9110 §15.4.5 is about, and cookies. A part (206) gets no `ETag`, since that of the whole is
 *   meant by it. Nothing is held back: bytes go out when they would without it.
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

type Write = (chunk?: unknown, ...rest: unknown[]) => boolean
type End = (chunk?: unknown, ...rest: unknown[]) => ServerResponse

/** A body as it is handed to the server. */
interface Whole {
  readonly chunk: string | Uint8Array
  /** Of a text. */
  readonly encoding: BufferEncoding
}

function watch(req: IncomingMessage, res: ServerResponse): void {
  // What the client asked, which a cache further in may put its own question in the place of.
  const { method = '', headers } = req
  const isAsked = hasPrecondition(headers)
  willMakeEtag(res)
  /** The body, if it is known as a whole before its headers are sent. */
  let whole: Whole | undefined
  let isBodyless = false
  onHeaders(res, () => {
    if (whole !== undefined && deservesEtag(res)) res.setHeader('ETag', etagOf(whole))
    if (!isAsked || res.statusCode < 200 || res.statusCode >= 300) return
    // Django: without either there is nothing to compare.
    if (!res.hasHeader('ETag') && !res.hasHeader('Last-Modified')) return
    isBodyless = applyPreconditions({ method, headers }, res, res.getHeaders())
  })
  const write = res.write.bind(res) as Write
  const end = res.end.bind(res) as End
  const decideFirst = (): void => {
    // Otherwise the headers would be decided on behind the bytes that may not follow them.
    if (!res.headersSent && isAsked) res.writeHead(res.statusCode)
  }
  res.write = (...args: unknown[]) => {
    decideFirst()
    if (!isBodyless) return write(...args)
    callBack(args)
    return true
  }
  res.end = (...args: unknown[]) => {
    if (!res.headersSent) {
      whole = toWhole(res, args)
      if (isAsked) declareLength(res, args)
    }
    decideFirst()
    return isBodyless ? end(...args.filter(isFunction)) : end(...args)
  }
}

function toWhole(res: ServerResponse, [chunk, encoding]: readonly unknown[]): Whole | undefined {
  if (res.statusCode === 204 || res.statusCode === 304) return undefined
  if (typeof chunk !== 'string' && !(chunk instanceof Uint8Array)) return undefined
  if (chunk.length === 0) return undefined
  const isKnown = typeof encoding === 'string' && Buffer.isEncoding(encoding)
  return { chunk, encoding: isKnown ? encoding : 'utf8' }
}

function isFunction(argument: unknown): argument is (error?: Error) => void {
  return typeof argument === 'function'
}

function deservesEtag(res: ServerResponse): boolean {
  if (res.hasHeader('ETag') || res.hasHeader('Content-Range')) return false
  return !hasDirective(parseCacheControl(res.getHeader('Cache-Control')), 'no-store')
}

/** @see Django, `set_response_etag` */
function etagOf({ chunk, encoding }: Whole): string {
  const hash = createHash('md5')
  if (typeof chunk === 'string') hash.update(chunk, encoding)
  else hash.update(chunk)
  return `"${hash.digest('hex')}"`
}

function callBack(args: readonly unknown[]): void {
  const callback = args.find(isFunction)
  if (callback !== undefined) process.nextTick(callback)
}
