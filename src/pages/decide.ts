import { headerOf, type HeaderFields } from '../http/header-values.js'
import type { StoredResponse } from '../http/stored-response.js'
import { judgeReuse, standsInForError, type RequestDirectives } from './reuse.js'
import type { LeftReason, StaleReason } from './reasons.js'

/** A page that was found for a request. */
export interface FoundPage {
  /** Fresh or not; `undefined`: there is none that may answer this request. */
  readonly page: StoredResponse | undefined
  /** There is one, but it may not answer this request. */
  readonly isPassedOver: boolean
  /** A soft invalidation ended it: its handler must not confirm it. */
  readonly isSoft: boolean
}

/** What a request asks for, and what is known of it. */
export interface Asking {
  readonly method: string
  readonly headers: HeaderFields
  /** Its `Cache-Control`, if the site listens to that. */
  readonly directives: RequestDirectives | undefined
  /** It is per-user. */
  readonly isPerUser: boolean
  /** It was sent in the background, to have a page rendered again. */
  readonly isDetached: boolean
  /** Nothing here stores the handler's response. */
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
  /** Nothing stored answers it, and no handler is run for it here. */
  | { readonly kind: 'leave'; readonly reason: LeftReason }
  /** It waits for the page if that is being rendered; otherwise it has it rendered, also for others that wait. */
  | ({ readonly kind: 'wait' } & ForHandler)
  /** It goes to the handler, for this request alone. */
  | ({ readonly kind: 'forward' } & ForHandler)

/** What is known of an older page when a request goes to the handler. */
export interface ForHandler {
  /** An older page, which may answer if the handler fails. */
  readonly stale: StoredResponse | undefined
  /** The handler is asked whether that page is still current. */
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

/** Whether the handler may be asked to confirm the page: not for a part of it, nor by HEAD, which brings no body. */
function mayValidate({ page, isSoft }: FoundPage, { method, headers }: Asking): boolean {
  if (page === undefined || page.holes !== undefined || isSoft) return false
  return mayBeReplaced(headers) && headers['range'] === undefined && method !== 'HEAD'
}

/** Whether the request wants the page that others get too: without credentials, range or `no-cache`. */
function mayWait({ method, headers, directives, isPerUser }: Asking): boolean {
  if (method !== 'GET' || headers['authorization'] !== undefined) return false
  if (headers['range'] !== undefined || directives?.noCache === true) return false
  return !isPerUser
}

/**
 * Whether the conditions of a request may be replaced by those of the cache. `If-Match` and
 * `If-Unmodified-Since` are for the handler to evaluate.
 */
export function mayBeReplaced(headers: HeaderFields): boolean {
  return ['if-match', 'if-unmodified-since'].every((name) => headerOf(headers, name) === undefined)
}

/** Whether a page may answer requests that are per-user. */
export function mayAnswerPerUser({ isPublic, nominated }: StoredResponse): boolean {
  // A page that varies on cookies, but was rendered without any, is for no particular visitor.
  return isPublic || nominated.some(([name, value]) => name === 'cookie' && value !== null)
}

/** What becomes of a request that waited, once the page it waited for is there. */
export type JoinDecision =
  | {
      readonly kind: 'answer'
      readonly outcome: 'joined' | 'stale'
      readonly reason?: StaleReason
    }
  | { readonly kind: 'forward' }

/**
 * Decides whether the page of another request answers one that waited for it.
 *
 * @param standsIn - The handler failed, and this is an older page.
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
