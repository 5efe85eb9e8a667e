import { headerOf, headerText, type HeaderFields } from './header-values.js'
import { parseHttpDate } from './http-date.js'

/**
 * Whether the client's own copy is still the stored one, so that a 304 answers its GET or HEAD.
 *
 * @remarks `If-Match` and `If-Unmodified-Since` are left to origin servers, as RFC 9110 §13.1.1 and
 *   §13.1.4 let a cache.
 * @see RFC 9110 §13.2.2, steps 3 and 4
 */
export function isNotModified(
  request: HeaderFields,
  response: HeaderFields,
  nowMs: number,
): boolean {
  const noneMatch = headerText(request, 'if-none-match')
  if (noneMatch !== undefined) return matchesAny(noneMatch, headerText(response, 'etag'))
  const since = headerText(request, 'if-modified-since')
  const modified = headerText(response, 'last-modified')
  if (since === undefined || modified === undefined) return false
  const sinceMs = parseHttpDate(since, nowMs)
  const modifiedMs = parseHttpDate(modified, nowMs)
  return sinceMs !== undefined && modifiedMs !== undefined && modifiedMs <= sinceMs
}

const ENTITY_TAGS = /(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"/g

/** Weak comparison. @see RFC 9110 §8.8.3.2 */
function matchesAny(noneMatch: string, etag: string | undefined): boolean {
  if (noneMatch.trim() === '*') return true
  if (etag === undefined) return false
  const stored = etag.replace(/^W\//, '')
  for (const [tag] of noneMatch.matchAll(ENTITY_TAGS)) {
    if (tag.replace(/^W\//, '') === stored) return true
  }
  return false
}

const SENT_WITH_304 = new Set(['content-location', 'content-security-policy'])

/** Whether a stored header belongs on a 304: what describes the missing body does not. */
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
