import {
  headerOf,
  headerText,
  skipBlanks,
  trimWhitespace,
  type HeaderFields,
} from './header-values.js'
import { parseHttpDate } from './http-date.js'
import { isTooLong, MAX_MEMBERS } from './lists.js'

/** What the preconditions of a request make of it. */
export type PreconditionVerdict = 'perform' | 'not-modified' | 'precondition-failed'

/**
 * Evaluates the preconditions of a request against the representation it is for; never throws.
 *
 * @param request.method - `not-modified` is for GET and HEAD; every other method fails instead.
 * @param request.headers - By lower-case name.
 * @param response.headers - `etag` and `last-modified` of the representation; neither: there is
 *   none, which is what `*` asks for.
 * @param nowMs - Tells which century a date with a two-digit year is in.
 * @remarks A value that cannot be read counts for nothing, but one that is there all the same keeps
 *   the weaker date next to it from deciding for a 304. A list of more than 8192 characters or 100
 *   tags is not read: it may hold the tag or not, so that nothing is changed (412) and GET and HEAD
 *   get the whole. Django compares dates also where a resource
 *   has none (`If-Unmodified-Since` then fails); RFC 9110 §13.1.4 forbids that. `If-Range` is not
 *   looked at.
 * @see RFC 9110 §13.2.2, steps 1 to 4
 * @see Django, `get_conditional_response`
 */
export function evaluatePreconditions(
  request: { readonly method: string; readonly headers: HeaderFields },
  response: { readonly headers: HeaderFields },
  nowMs: number,
): PreconditionVerdict {
  const match = parseEntityTags(headerText(request.headers, 'if-match'))
  if (match !== undefined) {
    if (!matchesStrongly(match, response.headers)) return 'precondition-failed'
  } else if (isModifiedSince(request.headers, 'if-unmodified-since', response.headers, nowMs)) {
    return 'precondition-failed'
  }
  const isRead = request.method === 'GET' || request.method === 'HEAD'
  const noneMatch = parseEntityTags(headerText(request.headers, 'if-none-match'))
  if (noneMatch !== undefined) {
    if (noneMatch === 'unread' ? isRead : !matchesWeakly(noneMatch, response.headers)) {
      return 'perform'
    }
    return isRead ? 'not-modified' : 'precondition-failed'
  }
  if (!isRead || headerOf(request.headers, 'if-none-match') !== undefined) return 'perform'
  const modified = isModifiedSince(request.headers, 'if-modified-since', response.headers, nowMs)
  return modified === false ? 'not-modified' : 'perform'
}

/**
 * Whether the client's own copy is still the stored one, so that a 304 answers its GET or HEAD.
 *
 * @remarks `If-Match` and `If-Unmodified-Since` are left to origin servers, as RFC 9110 §13.1.1 and
 *   §13.1.4 let a cache. Something is stored, so `If-None-Match: *` always matches; a list of more
 *   than 8192 characters or 100 tags never does.
 * @see RFC 9110 §13.2.2, steps 3 and 4
 */
export function isNotModified(
  request: HeaderFields,
  response: HeaderFields,
  nowMs: number,
): boolean {
  const noneMatch = headerText(request, 'if-none-match')
  if (noneMatch !== undefined) {
    const tags = parseEntityTags(noneMatch)
    if (tags === undefined || tags === 'unread') return false
    return tags === '*' || matchesWeakly(tags, response)
  }
  return isModifiedSince(request, 'if-modified-since', response, nowMs) === false
}

/** `*`, entity tags as written, or more of them than are read. */
type EntityTags = '*' | 'unread' | readonly string[]

/**
 * Reads a list of entity tags, in time linear in its length; a comma may be part of one.
 *
 * @returns `undefined` if there is nothing that can be read, `unread` for more than 8192 characters
 *   or 100 tags.
 * @see RFC 9110 §8.8.3, §13.1.1
 */
function parseEntityTags(text: string | undefined): EntityTags | undefined {
  if (text === undefined) return undefined
  if (isTooLong(text)) return 'unread'
  if (trimWhitespace(text) === '*') return '*'
  const tags: string[] = []
  for (let at = 0; at < text.length;) {
    const start = skipBlanks(text, at)
    const end = endOfTag(text, start)
    const next = end === undefined ? undefined : skipBlanks(text, end)
    if (next !== undefined && (next === text.length || text[next] === ',')) {
      tags.push(text.slice(start, end))
      at = next + 1
    } else {
      const comma = text.indexOf(',', at)
      at = comma === -1 ? text.length : comma + 1
    }
  }
  if (tags.length > MAX_MEMBERS) return 'unread'
  return tags.length === 0 ? undefined : tags
}

/** Unlike in a quoted string, a backslash in it is one. */
function endOfTag(text: string, start: number): number | undefined {
  const open = text.startsWith('W/', start) ? start + 2 : start
  if (text[open] !== '"') return undefined
  const close = text.indexOf('"', open + 1)
  return close === -1 ? undefined : close + 1
}

/** @see RFC 9110 §8.8.3.2 */
function matchesStrongly(tags: EntityTags, response: HeaderFields): boolean {
  if (tags === 'unread') return false
  if (tags === '*') return isThere(response)
  const etag = headerText(response, 'etag')
  return etag !== undefined && !etag.startsWith('W/') && tags.includes(etag)
}

/** @see RFC 9110 §8.8.3.2 */
function matchesWeakly(tags: Exclude<EntityTags, 'unread'>, response: HeaderFields): boolean {
  if (tags === '*') return isThere(response)
  const etag = headerText(response, 'etag')
  if (etag === undefined) return false
  const opaque = opaquePart(etag)
  return tags.some((tag) => opaquePart(tag) === opaque)
}

function opaquePart(etag: string): string {
  return etag.startsWith('W/') ? etag.slice(2) : etag
}

function isThere(response: HeaderFields): boolean {
  return hasAny(response, ['etag', 'last-modified'])
}

function hasAny(headers: HeaderFields, names: readonly string[]): boolean {
  return names.some((name) => headerOf(headers, name) !== undefined)
}

/** @returns `undefined` if one of the two dates is missing or cannot be read. */
function isModifiedSince(
  request: HeaderFields,
  name: 'if-modified-since' | 'if-unmodified-since',
  response: HeaderFields,
  nowMs: number,
): boolean | undefined {
  const since = headerText(request, name)
  const modified = headerText(response, 'last-modified')
  if (since === undefined || modified === undefined) return undefined
  const sinceMs = parseHttpDate(since, nowMs)
  const modifiedMs = parseHttpDate(modified, nowMs)
  if (sinceMs === undefined || modifiedMs === undefined) return undefined
  return modifiedMs > sinceMs
}

const SENT_WITH_304 = new Set(['content-location', 'content-security-policy'])

/**
 * Whether a response's header belongs on a 304: what describes the missing body does not.
 *
 * @remarks `Cache-Control`, `Content-Location`, `Date`, `ETag`, `Expires` and `Vary` must. Of the
 *   others Django sends only `Last-Modified` and cookies; what a browser checks on a 304 too, as the
 *   headers of CORS, would be missing then.
 * @see RFC 9110 §15.4.5
 */
export function isSentWithNotModified(name: string): boolean {
  return !name.startsWith('content-') || SENT_WITH_304.has(name)
}

/** Whether the request asks for more than the stored answer as it is. */
export function isConditional(request: HeaderFields): boolean {
  return (
    headerOf(request, 'if-none-match') !== undefined ||
    headerOf(request, 'if-modified-since') !== undefined
  )
}

/** Whether the request has any of the headers {@link evaluatePreconditions} looks at. */
export function hasPrecondition(request: HeaderFields): boolean {
  return (
    isConditional(request) ||
    headerOf(request, 'if-match') !== undefined ||
    headerOf(request, 'if-unmodified-since') !== undefined
  )
}
