import { currentMs } from '../../src/current-time.js'
import { freshenHeaders } from '../../src/http/freshen.js'
import { formatHttpDate } from '../../src/http/http-date.js'
import { fieldsOf, type StoredResponse } from '../../src/http/stored-response.js'
import type { Judgement } from '../../src/pages/judge.js'
import { saidOf, tell, unsaid } from '../../src/pages/told-headers.js'
import type { Around } from './around.js'
import type { AskedConditions } from './asked-conditions.js'
import { SAYABLE, sayable } from './cache-headers.js'
import type { Facts } from './facts.js'
import type { Pending } from './new-page.js'
import { markPerUser } from './per-user.js'
import { setStatusMessage } from './protocol.js'
import { prepareAnswer } from './replay.js'
import { takeHeaders } from './taken-headers.js'

/** An older page that its handler has confirmed: how it answers the request, and how it is stored again. */
interface Confirmation {
  readonly judgement: Judgement
  readonly body: Buffer | undefined
  readonly pending: Omit<Pending, 'verdict' | 'vary'>
}

/**
 * Turns a handler's 304 into a response with the stored page that it confirms.
 *
 * @see RFC 9111 §4.3.4
 */
export function confirm(
  { req, res, place, headers: own, filling }: Around,
  conditions: AskedConditions,
  stale: StoredResponse,
  facts: Facts,
): Confirmation {
  const nowMs = currentMs()
  if (!res.hasHeader('Date')) res.setHeader('Date', formatHttpDate(nowMs))
  const taken = takeHeaders(res, own.outer, own.excluded(false), place.settings.rfc9111)
  const fresh = freshenHeaders(unsaid(stale), taken.headers)
  const handlers = sayable(res)
  for (const name of SAYABLE) {
    // They are set again from the page.
    if (name !== 'Cache-Status') res.removeHeader(name)
  }
  const cookies = own.ofThePage()['set-cookie']
  const fields = {
    ...fieldsOf({ headers: fresh }),
    ...(cookies !== undefined && { 'set-cookie': cookies }),
  }
  const judgement = facts.judgeConfirmed(stale.status, fields, nowMs)
  const { downstream } = judgement
  const said = downstream === undefined ? [] : saidOf(fieldsOf({ headers: fresh }))
  const headers = downstream === undefined ? fresh : tell(fresh, downstream)
  const removed = [...new Set([...stale.removed, ...taken.removed])]
  const page = { ...stale, headers, said, removed, storedAtMs: nowMs, ageSeconds: 0 }
  setStatusMessage(res, '')
  const body = prepareAnswer(req, res, page, nowMs, conditions.headers, false)
  own.keepCookieToItsOwner()
  if (filling.hasHeaders) markPerUser(res)
  const status = handlers['Cache-Status']
  if (status !== undefined) res.setHeader('Cache-Status', status)
  return {
    judgement,
    body,
    pending: {
      status: stale.status,
      statusMessage: stale.statusMessage,
      headers: { headers, removed },
      said,
      atMs: nowMs,
      confirmed: stale,
    },
  }
}
