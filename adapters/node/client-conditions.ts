import type { ServerResponse } from 'node:http'
import { hasDirective, parseCacheControl } from '../../src/http/cache-control.js'
import { isConditional, isNotModified } from '../../src/http/conditional.js'
import { headerOf, headerText, type HeaderFields } from '../../src/http/header-values.js'
import { mayBeReplaced } from '../../src/pages/decide.js'

/** Whether a client sends `If-None-Match: *`, which asks whether there is any response at all. */
export function asksForAny(request: HeaderFields): boolean {
  return headerText(request, 'if-none-match')?.trim() === '*'
}

/** Whether a client wants the page only if it has changed, and the cache may evaluate that. */
export function asksForChange(request: HeaderFields): boolean {
  return isConditional(request) && mayBeReplaced(request)
}

/**
 * Whether the client already has what a response with status 2xx brings, so that it gets a 304. Decided here
 * alone, for stored pages and for what the handler sends.
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
  // A 304 has the ETag of the 200. A layer around the cache that computes it from the body decides itself.
  return etagMakers.get(res) !== 'around' || headerText(answer, 'etag') !== undefined
}

const etagMakers = new WeakMap<ServerResponse, 'around' | 'inside'>()
const attached = new WeakSet<ServerResponse>()

/** Notes that a cache watches a response: layers that come to it later are inside the cache. */
export function attachInside(res: ServerResponse): void {
  attached.add(res)
}

/** Notes that a layer will compute an `ETag` from the body, where there is none when the headers are sent. */
export function willMakeEtag(res: ServerResponse): void {
  if (!etagMakers.has(res)) etagMakers.set(res, attached.has(res) ? 'inside' : 'around')
}

/** Whether such a layer is inside the cache. */
export function makesEtagInside(res: ServerResponse): boolean {
  return etagMakers.get(res) === 'inside'
}
