import type { IncomingMessage, ServerResponse } from 'node:http'
import { currentMs } from '../../src/current-time.js'
import { CacheBackendError } from '../../src/errors.js'
import { invalidatedUris, isSafe } from '../../src/http/invalidation.js'
import { isPromise } from '../../src/maybe-promise.js'
import { responseChannel } from '../../src/pages/channel.js'
import { decide, mayAnswerPerUser, type Asking } from '../../src/pages/decide.js'
import { isChosenEarly } from '../../src/pages/early-refresh.js'
import type { PageLookup, PageRequest } from '../../src/pages/page.js'
import { judgeReuse, requestDirectives } from '../../src/pages/reuse.js'
import {
  goToHandler,
  refresh,
  respond,
  usable,
  type Errand,
  type Next,
  type Waited,
} from './carry-out.js'
import { isDetached } from './detached.js'
import { takeLookup } from './front.js'
import { hasLayersAround, onLastWord } from './last-word.js'
import { keepCookieToItsOwner } from './per-user.js'
import { mayKnow, type Place } from './place.js'
import { isRangeForHandler } from './replay.js'
import { admit, isPersonal, requestLineMethod, uriOf } from './request.js'
import { isFillable } from './visitor-holes.js'
import { Visit } from './visit.js'
import { warnOfFault } from './warnings.js'
import { answerFresh } from './wire.js'

/**
 * Answers a request from the cache, or lets the handler answer.
 *
 * @param isOutermost - No part of the application runs before the cache.
 */
export function serve(
  place: Place,
  req: IncomingMessage,
  res: ServerResponse,
  next: Next,
  isOutermost = false,
): void {
  const early = tryAtOnce(place, req, res)
  if (early !== 'answered') serveFurther(place, req, res, next, isOutermost, early)
}

/** {@link serve} after {@link tryAtOnce}, where that has not answered. */
export function serveFurther(
  place: Place,
  req: IncomingMessage,
  res: ServerResponse,
  next: Next,
  isOutermost: boolean,
  early: Early | undefined,
): void {
  const current = Visit.current(res)
  if (current?.absorbs(place) === true) {
    const read = current.readTags(place)
    const goOn = () => current.letThrough(place, next)
    if (isPromise(read)) void read.then(goOn, next)
    else goOn()
  } else {
    lookUp(Visit.begin(place, req, res, isOutermost), req, res, next, early)
  }
}

/** What has been found out about a request already. */
export interface Early {
  readonly request: PageRequest
  readonly refusal?: undefined
  readonly lookup: PageLookup | undefined
}

/** Answers the usual hit in local memory without the objects that other requests need. */
export function tryAtOnce(
  place: Place,
  req: IncomingMessage,
  res: ServerResponse,
): Early | 'answered' | undefined {
  if (Visit.current(res) !== undefined) return undefined
  const { settings, store, earlyRefresh } = place
  if (settings.honorRequestDirectives || responseChannel.hasSubscribers) return undefined
  if (!store.cache.answersAtOnce || isDetached(req)) return undefined
  const { request } = admit(req, settings)
  if (request === undefined) return undefined
  const lookup = store.lookupAtOnce(request)
  const page = lookup?.page
  if (page === undefined || page.holes !== undefined) return { request, lookup }
  if (isRangeForHandler(req, page)) return { request, lookup }
  if (!mayAnswerPerUser(page) && (isPersonal(req, settings) || mayKnow(place, req, request))) {
    return { request, lookup }
  }
  if (judgeReuse(page, undefined, currentMs()) !== 'fresh') return { request, lookup }
  if (isChosenEarly(req, page, earlyRefresh)) return { request, lookup }
  if (hasLayersAround(res) && !settings.rfc9111) {
    onLastWord(res, () => keepCookieToItsOwner(res, settings))
  }
  answerFresh(req, res, page, place, request.uri)
  return 'answered'
}

/** The part of {@link serve} after it is clear which middleware handles the request. */
export function lookUp(
  visit: Visit,
  req: IncomingMessage,
  res: ServerResponse,
  next: Next,
  known?: Early,
): void {
  const { settings } = visit.place
  const { request, refusal } = known ?? admit(req, settings)
  if (request === undefined) {
    if (refusal === 'method') watchUnsafe(visit, req)
    visit.pass(refusal, next)
    return
  }
  visit.noteVisitor()
  const directives = settings.honorRequestDirectives
    ? requestDirectives(request.headers)
    : undefined
  if (directives?.noStore === true) {
    visit.pass('request-no-store', next)
    return
  }
  const asking: Asking = {
    method: request.method,
    headers: request.headers,
    directives,
    isPerUser: visit.isPerUser,
    isDetached: isDetached(req),
    isReadOnly: visit.place.isReadOnly === true,
    waits: settings.waitSeconds > 0,
  }
  const ask = (waited: Waited | undefined) => {
    find({ visit, req, res, next, request, asking, waited, again: ask }, known?.lookup)
  }
  ask(undefined)
}

/** Looks the page up, and carries out what is decided of it. */
function find(errand: Errand, early: PageLookup | undefined): void {
  const { visit, req, res, next, request, waited } = errand
  const { store } = visit.place
  const { earlyTags } = visit.terms
  const fail = (error: unknown) => {
    if (!(error instanceof CacheBackendError)) warnOfFault(error)
    if (res.headersSent) return
    visit.pass('cache-failed', next)
  }
  let found
  try {
    const isFirst = waited === undefined && earlyTags.length === 0
    const known = isFirst ? (early ?? takeLookup(req, store, request.uri)) : undefined
    found = known ?? (isFirst ? store.lookupAtOnce(request) : undefined)
    found ??= store.lookup(request, earlyTags)
  } catch (error) {
    fail(error)
    return
  }
  const settle = (lookup: PageLookup) => {
    // Another layer has answered in the meantime, because of a time limit for example.
    if (!res.headersSent) carryOut(errand, lookup)
  }
  if (isPromise(found)) void found.then(settle, fail).catch(next)
  else settle(found)
}

function carryOut(errand: Errand, found: PageLookup): void {
  const { visit, req, request, asking, next } = errand
  const { place } = visit
  // A page with a hole that no engine has any more counts as not found.
  const isThere = found.page === undefined || isFillable(found.page, place.settings.holes)
  const lookup = isThere ? found : ({ ...found, page: undefined, lost: 'unusable' } as const)
  const page = usable(errand, lookup.page)
  const isPassedOver = page === undefined && lookup.page !== undefined
  const decision = decide(
    { page, isPassedOver, isSoft: lookup.isSoft === true },
    asking,
    currentMs(),
  )
  switch (decision.kind) {
    case 'answer': {
      const isDue =
        decision.refresh === 'now' ||
        (decision.refresh === 'by-chance' && isChosenEarly(req, decision.page, place.earlyRefresh))
      if (isDue) refresh(errand, lookup)
      return respond(errand, lookup, decision.page, decision.outcome, decision.reason)
    }
    case 'leave':
      return visit.leave(decision.reason, { request, lookup }, next)
    case 'wait':
    case 'forward':
      return goToHandler(errand, lookup, decision)
  }
}

function watchUnsafe(visit: Visit, req: IncomingMessage): void {
  const method = requestLineMethod(req)
  const uri = uriOf(req, visit.place.settings.host)
  if (uri === undefined || isSafe(method)) return
  visit.watchUnsafe((headers) => invalidatedUris(uri, headers))
}
