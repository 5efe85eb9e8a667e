import type { ServerResponse } from 'node:http'
import { hasDirective, parseCacheControl } from '../../src/http/cache-control.js'
import { isConditional, isNotModified } from '../../src/http/conditional.js'
import { headerOf, headerText, type HeaderFields } from '../../src/http/header-values.js'
import { mayBeReplaced } from '../../src/pages/decide.js'

/** Whether a client asks whether there is anything, of which only what is stored can tell. */
export function asksForAny(request: HeaderFields): boolean {
  return headerText(request, 'if-none-match')?.trim() === '*'
}

/** Whether a client asks for a page only if it has changed, and the cache can tell it. */
export function asksForChange(request: HeaderFields): boolean {
  return isConditional(request) && mayBeReplaced(request)
}

/**
 * Whether the client has what an answer with status 2xx would bring, so that it gets a 304. The one place
 * where that is decided, for stored pages and for what the view makes.
 *
 * @param request - The headers as the client sent them.
 * @param answer - Those of the answer.
 * @remarks As in Express, `Cache-Control: no-cache` asks for the whole.
 * @see Express, `req.fresh`; RFC 9110 §13.2.2
 */
export function hasAlready(
  request: HeaderFields,
  answer: HeaderFields,
  res: ServerResponse,
  nowMs: number,
): boolean {
  if (!isConditional(request) || !isNotModified(request, answer, nowMs)) return false
  if (hasDirective(parseCacheControl(headerOf(request, 'cache-control')), 'no-cache')) return false
  // A 304 has the ETag that the 200 has: a layer around makes that of the body, and then decides itself.
  return etagMakers.get(res) !== 'around' || headerText(answer, 'etag') !== undefined
}

const etagMakers = new WeakMap<ServerResponse, 'around' | 'inside'>()
const attached = new WeakSet<ServerResponse>()

/** A cache watches the response: what comes to it from here on is inside. */
export function attachInside(res: ServerResponse): void {
  attached.add(res)
}

/** A layer makes an `ETag` of the body where there is none, when the headers are sent. */
export function willMakeEtag(res: ServerResponse): void {
  if (!etagMakers.has(res)) etagMakers.set(res, attached.has(res) ? 'inside' : 'around')
}

/** Whether a layer inside the cache does. */
export function makesEtagInside(res: ServerResponse): boolean {
  return etagMakers.get(res) === 'inside'
}

/**
 * Sets the length of a body that is sent as a whole, as the server does by itself where the headers are
 * sent with it.
 *
 * @param whole - As `res.end` takes it.
 */
export function declareLength(res: ServerResponse, [chunk, encoding]: readonly unknown[]): void {
  if (res.statusCode === 204 || res.statusCode === 304 || res.req.method === 'HEAD') return
  if (['Content-Length', 'Transfer-Encoding', 'Trailer'].some((name) => res.hasHeader(name))) return
  if (typeof chunk === 'string') {
    const isKnown = typeof encoding === 'string' && Buffer.isEncoding(encoding)
    res.setHeader('Content-Length', Buffer.byteLength(chunk, isKnown ? encoding : 'utf8'))
  } else {
    res.setHeader('Content-Length', chunk instanceof Uint8Array ? chunk.byteLength : 0)
  }
}
