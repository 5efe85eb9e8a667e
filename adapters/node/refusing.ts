import type { ServerResponse } from 'node:http'
import type { StoredResponse } from '../../src/http/stored-response.js'
import { parseVary } from '../../src/http/vary.js'
import { profileOf } from '../../src/pages/marks.js'
import { NOBODYS } from '../../src/pages/page-lead.js'
import type { UnkeptReason } from '../../src/pages/reasons.js'
import { isLasting, isSuperseding } from '../../src/pages/refusals.js'
import type { Around } from './around.js'
import type { Forwarding } from './place.js'
import { ignoreOutage, warnOfFault } from './warnings.js'

/**
 * An answer is its request's alone: nobody need wait for it, and what it says of stored pages is done.
 *
 * @param hasReadCookies - Its handler has.
 */
export function refuse(
  { place, req, res, telling }: Around,
  { lead, lookup, request, stale, validates = false }: Forwarding,
  reason: UnkeptReason,
  hasReadCookies: boolean,
): void {
  telling.report('bypass', reason)
  const { store, marks } = place
  const { key, isKnown, headerList } = lookup
  const profile = profileOf(request.headers)
  // Only an answer that anybody would have got says something of a page that is everybody's.
  const isAnybodys = profile === '' && !isChosenByHeaders(res)
  if (validates && stale !== undefined && isAnybodys && supersedes(reason, stale, res)) {
    store.drop(request, key, stale).catch(warnOfFault)
  }
  if (hasReadCookies && isKnown && !headerList.includes('cookie')) {
    // A page that was made without reading them must not be found by those who have some.
    store.learn(request, ['cookie'], 0).catch(ignoreOutage)
  }
  if (lead === undefined) return
  if (reason === 'incomplete' && req.socket.destroyed) return lead.land(undefined)
  if (isLasting(reason) && !isChosenByHeaders(res)) marks.set(key, profile)
  lead.land(NOBODYS)
}

/**
 * Whether an answer that is not stored says of an expired page that it is no more.
 *
 * @see RFC 9111 §4.3.3
 */
function supersedes(
  reason: UnkeptReason,
  { freshUntilMs }: StoredResponse,
  { statusCode }: ServerResponse,
): boolean {
  if (freshUntilMs === null || Date.now() < freshUntilMs) return false
  return isSuperseding(reason, statusCode)
}

/** What is private for one choice of the client's may be everybody's for another. */
function isChosenByHeaders(res: ServerResponse): boolean {
  const { names } = parseVary(res.getHeader('Vary'))
  return names.some((name) => name !== 'cookie' && name !== 'accept-encoding')
}
