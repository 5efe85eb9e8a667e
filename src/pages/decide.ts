import { headerOf, type HeaderFields } from '../http/header-values.js'
import type { StoredResponse } from '../http/stored-response.js'
import { judgeReuse, standsInForError, type RequestDirectives } from './reuse.js'
import type { LeftReason, StaleReason } from './reasons.js'

/** A page that was found for a request. */
export interface FoundPage {
  /** Fresh or not; `undefined`: there is none that this visitor may be given. */
  readonly page: StoredResponse | undefined
  /** There is one, but not for this visitor. */
  readonly isPassedOver: boolean
  /** A soft invalidation ended it: it is not to be found still current. */
  readonly isSoft: boolean
}

/** What a request says, and what is known of it. */
export interface Asking {
  readonly method: string
  readonly headers: HeaderFields
  /** Its `Cache-Control`, if the site listens to that. */
  readonly directives: RequestDirectives | undefined
  /** It is known whom it belongs to. */
  readonly isVisitors: boolean
  /** It makes a page again in the background. */
  readonly isDetached: boolean
  /** Nothing here stores what the handler makes. */
  readonly isReadOnly: boolean
  /** Requests of one page wait for each other. */
  readonly waits: boolean
}

/** What becomes of a request. */
export type Decision =
  | {
      readonly kind: 'answer'
      readonly page: StoredResponse
      readonly outcome: 'hit' | 'stale'
      readonly reason?: StaleReason
      /** Whether the page is rendered again in the background. */
      readonly refresh: 'no' | 'by-chance' | 'now'
    }
  /** Nothing stored answers it, and nothing is to be made for it here. */
  | { readonly kind: 'leave'; readonly reason: LeftReason }
  /** To whoever makes the page already, or else to the handler, for all who come meanwhile. */
  | ({ readonly kind: 'wait' } & ForHandler)
  /** To the handler, for this request alone. */
  | ({ readonly kind: 'forward' } & ForHandler)

/** With what a request goes to the handler. */
export interface ForHandler {
  /** An older page, which may stand in. */
  readonly stale: StoredResponse | undefined
  /** The handler is asked whether that is still current. */
  readonly validates: boolean
  readonly isPassedOver: boolean
}

/**
 * Decides what becomes of a request.
 *
 * @param nowMs - Milliseconds since the epoch.
 */
export function decide(found: FoundPage, asking: Asking, nowMs: number): Decision {
  const { page } = found
  const { directives } = asking
  if (page !== undefined && !asking.isDetached) {
    const reuse = judgeReuse(page, directives, nowMs)
    switch (reuse) {
      case 'fresh':
        return { kind: 'answer', page, outcome: 'hit', refresh: 'by-chance' }
      case 'max-stale':
        return { kind: 'answer', page, outcome: 'stale', reason: reuse, refresh: 'no' }
      case 'stale-while-revalidate':
        return { kind: 'answer', page, outcome: 'stale', reason: reuse, refresh: 'now' }
      case 'validate':
    }
  }
  if (directives?.onlyIfCached === true) return { kind: 'leave', reason: 'only-if-cached' }
  if (asking.isReadOnly) return { kind: 'leave', reason: 'no-update-cache' }
  const kind = asking.waits && mayWait(asking) ? 'wait' : 'forward'
  const { isPassedOver } = found
  return { kind, stale: page, validates: mayValidate(found, asking), isPassedOver }
}

/** A part is no answer to whether the whole is still current, nor does HEAD bring the whole. */
function mayValidate({ page, isSoft }: FoundPage, { method, headers }: Asking): boolean {
  if (page === undefined || page.holes !== undefined || isSoft) return false
  return mayBeReplaced(headers) && headers['range'] === undefined && method !== 'HEAD'
}

/** Whoever has credentials neither leads nor waits, and so for those who want it their own way. */
function mayWait({ method, headers, directives, isVisitors }: Asking): boolean {
  if (method !== 'GET' || headers['authorization'] !== undefined) return false
  if (headers['range'] !== undefined || directives?.noCache === true) return false
  return !isVisitors
}

/**
 * Whether the handler may be asked for the whole, or whether a stored page is still current, in place of what
 * the client asks. `If-Match` and `If-Unmodified-Since` are the handler's affair.
 */
export function mayBeReplaced(headers: HeaderFields): boolean {
  return ['if-match', 'if-unmodified-since'].every((name) => headerOf(headers, name) === undefined)
}

/** Whether visitors whom the site knows are given a page too. */
export function isForVisitors({ isPublic, nominated }: StoredResponse): boolean {
  // One that was made without cookies tells nobody from others.
  return isPublic || nominated.some(([name, value]) => name === 'cookie' && value !== null)
}

/** What becomes of a request that waited, once what it waited for has landed. */
export type JoinDecision =
  | {
      readonly kind: 'answer'
      readonly outcome: 'joined' | 'stale'
      readonly reason?: StaleReason
    }
  | { readonly kind: 'forward' }

/**
 * Decides whether a page that another request brought answers one that waited.
 *
 * @param standsIn - The handler failed, and it is an older one.
 */
export function decideJoined(
  page: StoredResponse,
  standsIn: boolean,
  directives: RequestDirectives | undefined,
  nowMs: number,
): JoinDecision {
  if (standsIn && standsInForError(page, nowMs)) {
    return { kind: 'answer', outcome: 'stale', reason: 'view-failed' }
  }
  const isFresh = judgeReuse(page, directives, nowMs) === 'fresh'
  return isFresh ? { kind: 'answer', outcome: 'joined' } : { kind: 'forward' }
}
