import type { IncomingMessage, ServerResponse } from 'node:http'
import { CacheBackendError } from '../../src/errors.js'
import { currentFrame, isUnderLease } from '../../src/making/frame.js'
import { leaseOrFind, type LeaseOrFound } from '../../src/making/lease.js'
import { invalidatedUris, isSafe } from '../../src/http/invalidation.js'
import {
  judgeReuse,
  requestDirectives,
  standsInForError,
  type RequestDirectives,
} from '../../src/http/reuse.js'
import type { StoredResponse } from '../../src/http/stored-response.js'
import { isPromise, type MaybePromise } from '../../src/maybe-promise.js'
import { isDetached, runDetached } from './detached.js'
import { responseChannel } from '../../src/pages/channel.js'
import { appendCacheStatus } from './cache-headers.js'
import { mayBeReplaced } from './client-conditions.js'
import { Exchange } from './exchange.js'
import { isChosenEarly } from '../../src/pages/early-refresh.js'
import type { Forwarding, Place } from './place.js'
import { takeLookup } from './front.js'
import { hasLayersAround, keepCookieToItsOwner, onLastWord } from './last-word.js'
import type { Settings } from './settings.js'
import { endWith, isRangeForView, prepareAnswer, remainingSeconds } from './replay.js'
import { isFillable } from './visitor-holes.js'
import { NOTHING, profileOf, UNDECIDED, type PageFlight } from '../../src/pages/page-flights.js'
import type { PageLookup, PageRequest } from '../../src/pages/page.js'
import { admit, isPersonal, requestLineMethod, uriOf } from './request.js'
import { warnOfFault } from './warnings.js'
import { isGone } from './protocol.js'

/** Goes on to the handler, or to what comes before it; with an error, that has failed. */
export type Next = (error?: unknown) => void

/** A page in the background is given up after so long. */
const BACKGROUND_LIMIT_MS = 30_000

/**
 * Answers a request from the cache, or lets the view answer.
 *
 * @param isOutermost - Nothing of the application comes before.
 */
export function serve(
  place: Place,
  req: IncomingMessage,
  res: ServerResponse,
  next: Next,
  isOutermost = false,
): void {
  const current = Exchange.current(res)
  let early: Early | undefined
  if (current === undefined) {
    const tried = tryAtOnce(place, req, res)
    if (tried === 'answered') return
    early = tried
  }
  if (current?.absorbs(place) === true) {
    const read = current.readTags(place)
    const goOn = () => current.letThrough(place, next)
    if (isPromise(read)) void read.then(goOn, next)
    else goOn()
  } else {
    lookUp(Exchange.begin(place, req, res, isOutermost), req, res, next, early)
  }
}

/** What is known of a request already. */
interface Early {
  readonly request: PageRequest
  readonly refusal?: undefined
  readonly lookup: PageLookup | undefined
}

/** The usual hit in local memory, without anything that only others need. */
function tryAtOnce(
  place: Place,
  req: IncomingMessage,
  res: ServerResponse,
): Early | 'answered' | undefined {
  const { settings, store, routes, earlyRefresh } = place
  if (settings.honorRequestDirectives || responseChannel.hasSubscribers) return undefined
  if (!store.cache.answersAtOnce || isDetached(req)) return undefined
  const { request } = admit(req, settings)
  if (request === undefined) return undefined
  const lookup = store.lookupAtOnce(request)
  const page = lookup?.page
  const nowMs = Date.now()
  if (page === undefined || page.holes !== undefined) return { request, lookup }
  if (isRangeForView(req, page)) return { request, lookup }
  if (!isForVisitors(page) && (isPersonal(req, settings) || mayKnow(place, req, request))) {
    return { request, lookup }
  }
  if (judgeReuse(page, undefined, nowMs) !== 'fresh') return { request, lookup }
  if (isChosenEarly(req, page, earlyRefresh)) return { request, lookup }
  if (hasLayersAround(res) && !settings.rfc9111) onLastWord(res, () => keepCookieToItsOwner(res))
  const body = prepareAnswer(req, res, page, nowMs)
  if (!settings.rfc9111) keepCookieToItsOwner(res)
  if (settings.cacheStatus) {
    appendCacheStatus(res, { hit: true, ttlSeconds: remainingSeconds(page, nowMs) })
  }
  routes.of(req, request.uri, store.alias).hits++
  endWith(res, body)
  return 'answered'
}

/** The part of {@link serve} that comes once it is clear which middleware has to do it. */
export function lookUp(
  exchange: Exchange,
  req: IncomingMessage,
  res: ServerResponse,
  next: Next,
  known?: Early,
): void {
  const { settings, store } = exchange.place
  const { request, refusal } = known ?? admit(req, settings)
  if (request === undefined) {
    if (refusal === 'method') watchUnsafe(exchange, req)
    exchange.pass(refusal, next)
    return
  }
  exchange.noteVisitor()
  const asked = settings.honorRequestDirectives ? requestDirectives(request.headers) : undefined
  if (asked?.noStore === true) {
    exchange.pass('request-no-store', next)
    return
  }
  const fail = (error: unknown) => {
    if (!(error instanceof CacheBackendError)) warnOfFault(error)
    if (res.headersSent) return
    exchange.pass('cache-failed', next)
  }
  const ask = (waited: Waited | undefined) => {
    let found
    try {
      const isFirst = waited === undefined && exchange.earlyTags.length === 0
      const early = isFirst ? (known?.lookup ?? takeLookup(req, store, request.uri)) : undefined
      found = early ?? (isFirst ? store.lookupAtOnce(request) : undefined)
      found ??= store.lookup(request, exchange.earlyTags)
    } catch (error) {
      fail(error)
      return
    }
    const settle = (lookup: PageLookup) => {
      // Somebody answered while the cache was asked, a time limit for example.
      if (res.headersSent) return
      const visit = { exchange, req, res, next, request, asked, waited, again: ask }
      decide(visit, lookup)
    }
    if (isPromise(found)) void found.then(settle, fail).catch(next)
    else settle(found)
  }
  ask(undefined)
}

/** What a request has waited already. */
interface Waited {
  readonly times: number
  /** It waits no longer than this, all in all. */
  readonly untilMs: number
}

/** Each time a request learns of headers that the page varies on, and waits for its own variant. */
const MAX_WAITS = 4

interface Visit {
  readonly exchange: Exchange
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly next: Next
  readonly request: PageRequest
  readonly asked: RequestDirectives | undefined
  readonly waited: Waited | undefined
  /** Asks the cache once more. */
  readonly again: (waited: Waited) => void
}

function decide(visit: Visit, found: PageLookup): void {
  const { exchange, req, request, asked } = visit
  const { holes } = exchange.place.settings
  // One with a hole that is not there any more is none.
  const isThere = found.page === undefined || isFillable(found.page, holes)
  const lookup = isThere ? found : { ...found, page: undefined }
  const nowMs = Date.now()
  const page = usable(visit, lookup.page)
  const forwarding = { request, lookup }
  if (page !== undefined && !isDetached(req)) {
    const reuse = judgeReuse(page, asked, nowMs)
    switch (reuse) {
      case 'fresh':
        if (isChosenEarly(req, page, exchange.place.earlyRefresh)) refresh(visit, lookup)
        return respond(visit, forwarding, page, 'hit')
      case 'max-stale':
        return respond(visit, forwarding, page, 'stale', reuse)
      case 'stale-while-revalidate':
        refresh(visit, lookup)
        return respond(visit, forwarding, page, 'stale', reuse)
      case 'validate':
    }
  }
  if (asked?.onlyIfCached === true) return exchange.answerOnlyIfCached(forwarding)
  goToView(visit, lookup, page)
}

/** Answers with a stored page, once what differs for this visitor is in it. */
function respond(
  visit: Visit,
  forwarding: Forwarding,
  page: StoredResponse,
  outcome: Parameters<Exchange['answer']>[2],
  detail?: string,
): void {
  const { exchange, res, next } = visit
  if (page.holes === undefined) return exchange.answer(forwarding, page, outcome, detail)
  const settle = (filled: Buffer | undefined) => {
    if (res.headersSent || isGone(res)) return
    if (filled !== undefined) return exchange.answer(forwarding, page, outcome, detail, filled)
    // A hole is not there any more: the page is made again.
    goToView(visit, { ...forwarding.lookup, page: undefined }, undefined)
  }
  let filled: MaybePromise<Buffer | undefined>
  try {
    filled = exchange.fill(page)
  } catch (error) {
    return next(error)
  }
  if (isPromise(filled)) filled.then(settle, next).catch(next)
  else settle(filled)
}

function usable(
  { exchange, req, request }: Visit,
  page: StoredResponse | undefined,
): StoredResponse | undefined {
  const { place, isVisitors } = exchange
  if (page === undefined || isRangeForView(req, page)) return undefined
  if (!isForVisitors(page) && (isVisitors || mayKnow(place, req, request))) return undefined
  return isFillable(page, place.settings.holes) ? page : undefined
}

/** Whether the request has cookies, and the handler of its page reads them: it may know the visitor. */
function mayKnow({ store, routes }: Place, req: IncomingMessage, request: PageRequest): boolean {
  if (request.headers['cookie'] === undefined) return false
  return store.readsCookies(request, routes.routeOf(req, request.uri))
}

/** Whether visitors whom the site knows are given a page too. */
function isForVisitors({ isPublic, nominated }: StoredResponse): boolean {
  // One that was made without cookies tells nobody from others.
  return isPublic || nominated.some(([name, value]) => name === 'cookie' && value !== null)
}

function goToView(visit: Visit, lookup: PageLookup, page: StoredResponse | undefined): void {
  const { exchange, req, request, waited } = visit
  const { flights, settings, isReadOnly } = exchange.place
  if (isReadOnly === true) return exchange.stepAside('no-update-cache', visit.next)
  const isRanged = request.headers['range'] !== undefined
  const forwarding: Forwarding = {
    request,
    lookup,
    stale: page,
    // A part is no answer to whether the whole is right still, nor does HEAD bring the whole.
    validates:
      page !== undefined &&
      mayBeReplaced(request.headers) &&
      page.holes === undefined &&
      lookup.isSoft !== true &&
      !isRanged &&
      request.method !== 'HEAD',
    isPassedOver: page === undefined && lookup.page !== undefined,
  }
  const waits = settings.waitSeconds > 0 && mayWait(visit)
  if (!waits) return forward(visit, forwarding)
  const profile = profileOf(request.headers)
  if (flights.isMarked(lookup.key, profile)) return forward(visit, forwarding)
  const flight = flights.of(lookup.key)
  if (flight !== undefined && !isDetached(req)) {
    if (waited !== undefined && waited.times >= MAX_WAITS) return forward(visit, forwarding)
    void wait(visit, flight, forwarding).catch(visit.next)
    return
  }
  // Nobody is to wait for an answer that nobody gets.
  if (flight !== undefined || isGone(visit.res)) return forward(visit, forwarding)
  const own = flights.lead(lookup.key, profile, settings.waitSeconds * 1000)
  const leading = { ...forwarding, flight: own }
  // In this process the flight is enough, and under a lease nobody waits for another one.
  const isAlone = !exchange.place.store.cache.isShared || isUnderLease(currentFrame())
  if (settings.lock === false || isAlone) return forward(visit, leading)
  void forwardUnderLease(visit, leading, settings.lock).catch(visit.next)
}

/** Runs the view as the only one in all processes, or answers with what another one has made of it. */
async function forwardUnderLease(
  visit: Visit,
  forwarding: Forwarding & { readonly flight: PageFlight },
  lock: Exclude<Settings['lock'], false>,
): Promise<void> {
  const { exchange, req, res, request, asked } = visit
  const { cache } = exchange.place.store
  const { flight, lookup } = forwarding
  // A page in the background is another's affair while that one is at it.
  let latest = lookup
  const times = isDetached(req) ? { ...lock, wait: 0 } : lock
  const find = async (): Promise<StoredResponse | undefined> => {
    if (isGone(res)) return undefined
    const again = await exchange.place.store.lookup(request, exchange.earlyTags, true)
    if (again.key === lookup.key) latest = again
    const found = usable(visit, again.page)
    if (found === undefined || judgeReuse(found, asked, Date.now()) !== 'fresh') return undefined
    // One that is made again ahead of its time is found as it was.
    return isDetached(req) && isSame(found, forwarding.stale) ? undefined : found
  }
  let taken: LeaseOrFound<StoredResponse> = {}
  try {
    taken = await leaseOrFind(cache, cache.checkedKey(lookup.key), times, find)
  } catch (error) {
    // Without the cache the view answers.
    if (!(error instanceof CacheBackendError)) warnOfFault(error)
  }
  const { lease, found } = taken
  if (lease !== undefined) void flight.landed.then(() => lease.release())
  if (res.headersSent || isGone(res)) return flight.land(UNDECIDED)
  if (found !== undefined) {
    flight.land({ ...NOTHING, page: found })
    return respond(visit, forwarding, found, 'hit')
  }
  if (lease === undefined && isDetached(req) && forwarding.stale !== undefined) {
    flight.land()
    return respond(visit, forwarding, forwarding.stale, 'stale')
  }
  forward(visit, { ...forwarding, lookup: latest, isLeased: lease !== undefined })
}

function isSame(page: StoredResponse, other: StoredResponse | undefined): boolean {
  return page.storedAtMs === other?.storedAtMs && page.generation === other.generation
}

/** Whoever has credentials neither leads nor waits, and so for those who want it their own way. */
function mayWait({ request, asked, exchange }: Visit): boolean {
  const { method, headers } = request
  if (method !== 'GET' || headers['authorization'] !== undefined) return false
  if (headers['range'] !== undefined || asked?.noCache === true) return false
  return !exchange.isVisitors
}

function forward({ exchange, request, next }: Visit, forwarding: Forwarding): void {
  exchange.attach()
  const begun = exchange.place.store.begin(request, forwarding.lookup)
  const go = (lookup: PageLookup) => exchange.forward({ ...forwarding, lookup }, next)
  if (isPromise(begun)) begun.then(go).catch(next)
  else go(begun)
}

/** Waits for another request's view, and takes what it made if that is this one's page too. */
async function wait(visit: Visit, flight: PageFlight, forwarding: Forwarding): Promise<void> {
  const { exchange, res, request, asked, waited, again } = visit
  const untilMs = waited?.untilMs ?? Date.now() + exchange.place.settings.waitSeconds * 1000
  const { page: landed, standsIn, isUndecided } = await flight.landedBy(untilMs)
  if (res.headersSent || isGone(res)) return
  const askAgain = () => again({ times: (waited?.times ?? 0) + 1, untilMs })
  if (isUndecided) return askAgain()
  if (landed === undefined) return forward(visit, forwarding)
  const { store } = exchange.place
  const isAnswer = store.answers(landed, request)
  if (isAnswer && store.cache.isShared) {
    const isCurrent = await flight.recheck(() => isStillCurrent(visit, landed))
    if (res.headersSent || isGone(res)) return
    if (!isCurrent) return askAgain()
  }
  const page = isAnswer ? usable(visit, landed) : undefined
  // Another variant: now it is known what the page varies on.
  if (page === undefined) return askAgain()
  const nowMs = Date.now()
  if (standsIn && standsInForError(page, nowMs)) {
    return respond(visit, forwarding, page, 'stale', 'view-failed')
  }
  if (judgeReuse(page, asked, nowMs) === 'fresh') {
    return respond(visit, forwarding, page, 'joined')
  }
  forward(visit, forwarding)
}

/**
 * Whether a page that was made while others waited is what they may be given: in a shared store another
 * process may have invalidated it before they asked.
 */
async function isStillCurrent(
  { exchange, request }: Visit,
  made: StoredResponse,
): Promise<boolean> {
  try {
    const { page } = await exchange.place.store.lookup(request, undefined, true)
    return page !== undefined && isSame(page, made)
  } catch (error) {
    // A cache that fails cannot tell.
    if (!(error instanceof CacheBackendError)) throw error
    return true
  }
}

/** Makes a page again in the background, once at a time. */
function refresh({ exchange, req }: Visit, lookup: PageLookup): void {
  const { flights } = exchange.place
  if (flights.of(lookup.key) !== undefined || !flights.beginRefresh(lookup.key)) return
  const end = () => flights.endRefresh(lookup.key)
  try {
    const { listenerOf } = exchange.place.settings.host
    void runDetached(req, BACKGROUND_LIMIT_MS, listenerOf).done.then(end)
  } catch (error) {
    end()
    warnOfFault(error)
  }
}

function watchUnsafe(exchange: Exchange, req: IncomingMessage): void {
  const method = requestLineMethod(req)
  const uri = uriOf(req, exchange.place.settings.host)
  if (uri === undefined || isSafe(method)) return
  exchange.watchUnsafe((headers) => invalidatedUris(uri, headers))
}
