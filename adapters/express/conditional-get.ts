import { createHash } from 'node:crypto'
import type { Request, RequestHandler, Response } from 'express'
import onHeaders from 'on-headers'
import { hasDirective, parseCacheControl } from '../../src/http/cache-control.js'
import { hasPrecondition } from '../../src/http/conditional.js'
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
export function conditionalGet(...none: readonly never[]): RequestHandler {
  refuseArguments('conditionalGet', none)
  return function conditionalGetMiddleware(req, res, next) {
    checkResponse('conditionalGet', res)
    if (req.method === 'GET') watch(req, res)
    next()
  }
}

type Write = (chunk?: unknown, ...rest: unknown[]) => boolean
type End = (chunk?: unknown, ...rest: unknown[]) => Response

function watch(req: Request, res: Response): void {
  /** The body, if it is known as a whole before its headers are sent. */
  let whole: Buffer | undefined
  let isBodyless = false
  const isAsked = hasPrecondition(req.headers)
  onHeaders(res, () => {
    if (whole !== undefined && deservesEtag(res)) res.setHeader('ETag', etagOf(whole))
    const isGood = res.statusCode >= 200 && res.statusCode < 300
    if (!isGood || !isAsked) return
    isBodyless = applyPreconditions(req, res, res.getHeaders())
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
    const [chunk, encoding] = args
    if (!res.headersSent && mayHaveBody(res) && isChunk(chunk) && chunk.length > 0) {
      whole = toBuffer(chunk, encoding)
      if (isAsked) declareLength(res, whole.length)
    }
    decideFirst()
    return isBodyless ? end(...args.filter(isFunction)) : end(...args)
  }
}

function mayHaveBody({ statusCode }: Response): boolean {
  return statusCode !== 204 && statusCode !== 304
}

function isChunk(chunk: unknown): chunk is string | Uint8Array {
  return typeof chunk === 'string' || chunk instanceof Uint8Array
}

function isFunction(argument: unknown): argument is (error?: Error) => void {
  return typeof argument === 'function'
}

function toBuffer(chunk: string | Uint8Array, encoding: unknown): Buffer {
  if (typeof chunk !== 'string') return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
  return Buffer.from(chunk, typeof encoding === 'string' ? (encoding as BufferEncoding) : 'utf8')
}

/** As the server does by itself where the headers are sent with the body. */
function declareLength(res: Response, length: number): void {
  const isSettled = ['Content-Length', 'Transfer-Encoding', 'Trailer'].some((name) =>
    res.hasHeader(name),
  )
  if (!isSettled) res.setHeader('Content-Length', String(length))
}

function deservesEtag(res: Response): boolean {
  if (res.hasHeader('ETag') || res.hasHeader('Content-Range')) return false
  return !hasDirective(parseCacheControl(res.getHeader('Cache-Control')), 'no-store')
}

/** @see Django, `set_response_etag` */
function etagOf(body: Buffer): string {
  return `"${createHash('md5').update(body).digest('hex')}"`
}

function callBack(args: readonly unknown[]): void {
  const callback = args.find(isFunction)
  if (callback !== undefined) process.nextTick(callback)
}
