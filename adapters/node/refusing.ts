import type { ServerResponse } from 'node:http'
import { currentMs } from '../../src/current-time.js'
import type { StoredResponse } from '../../src/http/stored-response.js'
import { parseVary } from '../../src/http/vary.js'
import { profileOf } from '../../src/pages/marks.js'
import { UNSHARED } from '../../src/pages/page-lead.js'
import type { UnkeptReason } from '../../src/pages/reasons.js'
import { isLasting, isSuperseding } from '../../src/pages/refusals.js'
import type { Around } from './around.js'
import type { Forwarding } from './place.js'
import type { VisitorWatch } from './visitor-watch.js'
import { ignoreOutage, warnOfFault } from './warnings.js'

/**
 * Does what follows from a response that is not stored: requests that wait go on by themselves, and an expired
 * page that it puts an end to is dropped.
 *
 * @param watch - What its handler has read, and what it shows.
 */
export function refuse(
  { place, req, res, telling }: Around,
  { lead, lookup, request, stale, validates }: Forwarding,
  reason: UnkeptReason,
  { hasReadCookies, isOfRequestAlone }: VisitorWatch,
): void {
  telling.report('bypass', reason)
  const { store, marks } = place
  const { key, isKnown, headerList } = lookup
  const profile = profileOf(request.headers)
  // Only a response that does not depend on who asked says something of a shared page.
  const isShared = profile === '' && !isChosenByHeaders(res)
  if (validates && stale !== undefined && isShared && supersedes(reason, stale, res)) {
    store.drop(request, key, stale).catch(warnOfFault)
  }
  if (hasReadCookies && isKnown && !headerList.includes('cookie')) {
    // A page that was rendered without reading cookies must not be found by requests that have some.
    store.learn(request, ['cookie'], 0).catch(ignoreOutage)
  }
  if (lead === undefined) return
  const saysNothing = isOfRequestAlone || (reason === 'incomplete' && req.socket.destroyed)
  if (saysNothing) return lead.land(undefined)
  if (isLasting(reason) && !isChosenByHeaders(res)) marks.set(key, profile)
  lead.land(UNSHARED)
}

/**
 * Whether a response that is not stored puts an end to an expired page.
 *
 * @see RFC 9111 §4.3.3
 */
function supersedes(
  reason: UnkeptReason,
  { freshUntilMs }: StoredResponse,
  { statusCode }: ServerResponse,
): boolean {
  if (freshUntilMs === null || currentMs() < freshUntilMs) return false
  return isSuperseding(reason, statusCode)
}

/** Whether the response varies on headers with which clients choose: another choice may be shared. */
function isChosenByHeaders(res: ServerResponse): boolean {
  const { names } = parseVary(res.getHeader('Vary'))
  return names.some((name) => name !== 'cookie' && name !== 'accept-encoding')
}
