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
import { routeName } from './routes.js'
import type { VisitorWatch } from './visitor-watch.js'
import { ignoreOutage, warnOfFault, warnOfSetCookie, warnOfVisitorBehind } from './warnings.js'

/** Reasons that a session or a sign-in behind the cache leads to. */
const OF_VISITORS: ReadonlySet<UnkeptReason> = new Set(['personal', 'cookies-read'])

/**
 * Does what follows from a response that is not stored: requests that wait go on by themselves, and an expired
 * page that it puts an end to is dropped.
 *
 * @param watch - What its handler has read, and what it shows.
 */
export function refuse(
  around: Around,
  { lead, lookup, request, stale, validates }: Forwarding,
  reason: UnkeptReason,
  watch: VisitorWatch,
): void {
  warnOfCause(around, reason, watch)
  const { place, req, res, telling } = around
  const { hasReadCookies, isOfRequestAlone } = watch
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

/** Warns of what keeps a route from being stored by mistake. */
function warnOfCause(
  { req, res, isOutermost }: Around,
  reason: UnkeptReason,
  watch: VisitorWatch,
): void {
  if (reason === 'set-cookie') {
    const fields = res.getHeader('Set-Cookie') ?? []
    warnOfSetCookie(routeName(req), [fields].flat().map(String))
  }
  // In front of the whole application nothing can precede the cache, as its author intended.
  const sign = OF_VISITORS.has(reason) && !isOutermost ? watch.signBehind : undefined
  if (sign !== undefined) warnOfVisitorBehind(routeName(req), sign)
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
