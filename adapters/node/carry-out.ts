import type { IncomingMessage, ServerResponse } from 'node:http'
import { currentMs } from '../../src/current-time.js'
import { CacheBackendError } from '../../src/errors.js'
import type { StoredResponse } from '../../src/http/stored-response.js'
import { FAILED, type Failed } from '../../src/making/flight.js'
import { currentFrame, isUnderLease } from '../../src/making/frame.js'
import { nextMoment } from '../../src/making/in-flight.js'
import { leaseOrFind, type LeaseOrFound } from '../../src/making/lease.js'
import { isPromise, type MaybePromise } from '../../src/maybe-promise.js'
import {
  decide,
  decideJoined,
  mayAnswerPerUser,
  type Asking,
  type Decision,
  type ForHandler,
} from '../../src/pages/decide.js'
import { profileOf } from '../../src/pages/marks.js'
import { UNSHARED, PageLead, type LandedPage } from '../../src/pages/page-lead.js'
import type { PageLookup, PageRequest } from '../../src/pages/page.js'
import type { StaleReason } from '../../src/pages/reasons.js'
import { judgeReuse } from '../../src/pages/reuse.js'
import { isDetached, runDetached } from './detached.js'
import { mayKnow, type Forwarding } from './place.js'
import { isGone } from './protocol.js'
import { isRangeForHandler } from './replay.js'
import { isFillable } from './visitor-holes.js'
import type { Visit } from './visit.js'
import { warnOfFault } from './warnings.js'

/** Express' `next`: goes on to the handler, or to error handling. */
export type Next = (error?: unknown) => void

/** A page that is made in the background is given up after so long. */
const BACKGROUND_LIMIT_MS = 30_000

/** How often a request waits again after learning which headers the page varies on. */
const MAX_WAITS = 4

/** How long a request has waited already. */
export interface Waited {
  readonly times: number
  /** The end of all its waiting, in milliseconds since the epoch. */
  readonly untilMs: number
}

/** A request whose page was looked up, and what is needed to answer it. */
export interface Errand {
  readonly visit: Visit
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly next: Next
  readonly request: PageRequest
  readonly asking: Asking
  readonly waited: Waited | undefined
  /** Asks the cache once more. */
  readonly again: (waited: Waited) => void
}

/** A page that was found, if this request may be answered with it. */
export function usable(
  { visit, req, request }: Errand,
  page: StoredResponse | undefined,
): StoredResponse | undefined {
  const { place, isPerUser } = visit
  if (page === undefined || isRangeForHandler(req, page)) return undefined
  if (!mayAnswerPerUser(page) && (isPerUser || mayKnow(place, req, request))) return undefined
  return isFillable(page, place.settings.holes) ? page : undefined
}

/** Answers with a stored page, after filling its holes for this user. */
export function respond(
  errand: Errand,
  lookup: PageLookup,
  page: StoredResponse,
  outcome: 'hit' | 'joined' | 'stale',
  reason?: StaleReason,
): void {
  const { visit, res, request, next } = errand
  const found = { request, lookup }
  if (page.holes === undefined) return visit.answer(found, page, outcome, reason)
  const settle = (filled: Buffer | undefined) => {
    if (res.headersSent || isGone(res)) return
    if (filled !== undefined) return visit.answer(found, page, outcome, reason, filled)
    // A hole cannot be rendered any more: the page is rendered again.
    const gone = { page: undefined, isPassedOver: false, isSoft: false }
    const decision = decide(gone, errand.asking, currentMs())
    if (decision.kind === 'wait' || decision.kind === 'forward') {
      goToHandler(errand, { ...lookup, page: undefined, lost: 'unusable' }, decision)
    } else if (decision.kind === 'leave') visit.leave(decision.reason, found, next)
  }
  let filled: MaybePromise<Buffer | undefined>
  try {
    filled = visit.fill(page)
  } catch (error) {
    return next(error)
  }
  if (isPromise(filled)) filled.then(settle, next).catch(next)
  else settle(filled)
}

/** Waits for the page that another request's handler makes, or runs the handler: for all who wait, or for itself. */
export function goToHandler(
  errand: Errand,
  lookup: PageLookup,
  decision: Extract<Decision, ForHandler>,
): void {
  const { visit, req, res, request, waited } = errand
  const { makings, marks, settings, store } = visit.place
  const { stale, validates, isPassedOver } = decision
  const forwarding: Forwarding = { request, lookup, stale, validates, isPassedOver }
  if (decision.kind === 'forward') return forward(errand, forwarding)
  const { key } = lookup
  const profile = profileOf(request.headers)
  if (marks.has(key, profile)) return forward(errand, forwarding)
  const frame = currentFrame()
  const running = makings.flights.toJoin(key, frame)
  if (running !== undefined && !isDetached(req)) {
    if (waited !== undefined && waited.times >= MAX_WAITS) return forward(errand, forwarding)
    void join(errand, running, forwarding).catch(errand.next)
    return
  }
  // The client is gone: nobody should wait for its answer.
  if (running !== undefined || isGone(res)) return forward(errand, forwarding)
  const limitMs = settings.waitSeconds * 1000
  const lead = new PageLead(key, makings, frame, limitMs, () => marks.set(key, profile))
  const leading = { ...forwarding, lead }
  // Within one process the flight is enough, and under a lease no other lease is waited for.
  const isAlone = !store.cache.isShared || isUnderLease(frame)
  if (settings.lock === false || isAlone) return forward(errand, leading)
  void forwardUnderLease(errand, leading, settings.lock).catch(errand.next)
}

/** Runs the handler under a lease, or answers with the page that another process made. */
async function forwardUnderLease(
  errand: Errand,
  forwarding: Forwarding & { readonly lead: PageLead },
  lock: { readonly wait: number; readonly lease: number },
): Promise<void> {
  const { visit, req, res, request, asking } = errand
  const { store } = visit.place
  const { lead, lookup } = forwarding
  lead.flight.mayWait = true
  // In the background there is no need to wait: another process is making the page.
  let latest = lookup
  const times = isDetached(req) ? { ...lock, wait: 0 } : lock
  const find = async (): Promise<StoredResponse | undefined> => {
    if (isGone(res)) return undefined
    const again = await store.lookup(request, visit.terms.earlyTags, true)
    if (again.key === lookup.key) latest = again
    const found = usable(errand, again.page)
    if (found === undefined) return undefined
    if (judgeReuse(found, asking.directives, currentMs()) !== 'fresh') return undefined
    // An early refresh finds the page that it is about to replace.
    return isDetached(req) && isSame(found, forwarding.stale) ? undefined : found
  }
  let taken: LeaseOrFound<StoredResponse> = {}
  try {
    taken = await leaseOrFind(store.cache, store.cache.checkedKey(lookup.key), times, find)
  } catch (error) {
    // If the cache fails, the handler answers.
    if (!(error instanceof CacheBackendError)) warnOfFault(error)
  }
  const { lease, found } = taken
  if (lease !== undefined) void lead.flight.landed.then(() => lease.release())
  if (res.headersSent || isGone(res)) return lead.land(undefined)
  if (found !== undefined) {
    lead.land({ page: found, standsIn: false })
    return respond(errand, lookup, found, 'hit')
  }
  if (lease === undefined && isDetached(req) && forwarding.stale !== undefined) {
    lead.land(UNSHARED)
    return respond(errand, lookup, forwarding.stale, 'stale')
  }
  forward(errand, { ...forwarding, lookup: latest, isLeased: lease !== undefined })
}

function isSame(page: StoredResponse, other: StoredResponse | undefined): boolean {
  return page.storedAtMs === other?.storedAtMs && page.generation === other.generation
}

function forward({ visit, request, next }: Errand, forwarding: Forwarding): void {
  visit.attach()
  const begun = visit.place.store.begin(request, forwarding.lookup)
  const go = (lookup: PageLookup) => visit.forward({ ...forwarding, lookup }, next)
  if (isPromise(begun)) begun.then(go).catch(next)
  else go(begun)
}

/** Waits for another request's handler, and answers with its page if that is the right variant. */
async function join(
  errand: Errand,
  running: PageLead['flight'],
  forwarding: Forwarding,
): Promise<void> {
  const { visit, res, request, asking, waited, again } = errand
  const { makings, store, settings } = visit.place
  const untilMs = waited?.untilMs ?? currentMs() + settings.waitSeconds * 1000
  const patience = { askedAt: nextMoment(), limitMs: untilMs - currentMs() }
  const landed = await makings.flights.join(running, currentFrame(), patience, (made) =>
    latestOf(errand, made),
  )
  if (res.headersSent || isGone(res)) return
  const isLate = currentMs() >= untilMs
  if (landed === undefined && !isLate) return again({ times: (waited?.times ?? 0) + 1, untilMs })
  if (landed?.page === undefined) return forward(errand, forwarding)
  const page = store.answers(landed.page, request) ? usable(errand, landed.page) : undefined
  // Another variant: now it is known which headers the page varies on.
  if (page === undefined) return again({ times: (waited?.times ?? 0) + 1, untilMs })
  const decision = decideJoined(page, landed.standsIn, asking.directives, currentMs())
  if (decision.kind === 'forward') return forward(errand, forwarding)
  respond(errand, forwarding.lookup, page, decision.outcome, decision.reason)
}

/**
 * What is stored by now of a page that was made while others waited: in a shared store another process may
 * have invalidated it before they asked.
 */
async function latestOf(
  { visit, request }: Errand,
  made: LandedPage | Failed,
): Promise<LandedPage | Failed | undefined> {
  if (made === FAILED) return made
  const { store } = visit.place
  const { page } = made
  if (page === undefined || !store.cache.isShared || !store.answers(page, request)) return made
  try {
    const now = await store.lookup(request, undefined, true)
    return now.page !== undefined && isSame(now.page, page) ? made : undefined
  } catch (error) {
    // A failing cache cannot tell.
    if (!(error instanceof CacheBackendError)) throw error
    return made
  }
}

/** Makes a page again in the background, one request at a time. */
export function refresh({ visit, req }: Errand, { key }: PageLookup): void {
  const { makings, settings } = visit.place
  if (makings.flights.toJoin(key, undefined) !== undefined || makings.refreshes.has(key)) return
  const own = makings.refreshes.begin(key, BACKGROUND_LIMIT_MS)
  try {
    const { done } = runDetached(req, BACKGROUND_LIMIT_MS, settings.host.listenerOf)
    void done.then(() => own.end())
  } catch (error) {
    own.end()
    warnOfFault(error)
  }
}
