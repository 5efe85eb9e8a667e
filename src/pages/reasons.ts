import type { Restriction } from '../http/cache-control.js'
import type { UnstoredReason } from '../observe/reasons.js'

/** Why the cache does not handle a request, judged by the request itself. */
export type LookupRefusal = 'method' | 'request-body' | 'upgrade' | 'uri-unreadable'

/** Like {@link LookupRefusal}, or a function of the site failed. */
export type AdmissionRefusal = LookupRefusal | 'language-unreadable' | 'time-zone-unreadable'

/** Why a request was passed on to its handler without the cache. */
export type PassReason = AdmissionRefusal | 'request-no-store' | 'cache-failed'

/**
 * Why a response is per-user. `personal`: the site knows the visitor. `cookies-read`: the request's cookies
 * were read while it was rendered.
 */
export type PersonalReason = 'personal' | 'cookies-read'

/** Why a response is not stored, judged by its status and headers. */
export type StoreRefusal =
  | 'status'
  | 'set-cookie'
  | Restriction
  | 'vary-any'
  | 'vary-unreadable'
  | 'content-range'
  | 'trailers'
  | 'transfer-encoding'
  | 'event-stream'
  | PersonalReason
  | 'freshness-unreadable'
  | 'no-freshness'
  | 'stale'
  | 'zero-seconds'
  | 'content-length'
  | 'too-large'
  | 'head'
  | 'range'

/** What changed between the look-up and the response, of the parts of the key. */
export type ChangeReason =
  'trust-changed' | 'method-changed' | 'language-changed' | 'time-zone-changed'

/** Why a response is not stored, judged by its content. */
export type ContentReason = 'undeclared-read' | 'holes' | 'stale-inside' | 'tags-unreadable'

/** Why a body was not recorded completely. */
export type RecordingFault = 'incomplete' | 'content-length' | 'too-large' | 'trailers'

/** Why a response is not stored, known only after it was sent. `busy`: too many of its URL wait to be stored. */
export type LateReason = UnstoredReason | 'busy'

/** Why a response is not stored. */
export type UnkeptReason = StoreRefusal | ChangeReason | ContentReason | RecordingFault | LateReason

/** Why a request was looked up, but not answered with a page, and its response is not stored. */
export type LeftReason = 'no-update-cache' | 'only-if-cached'

/** The handler failed with this status, and an older page was sent instead. */
export type HandlerFailed = `view-failed-${number}`

/** Why a response is stale. */
export type StaleReason = 'max-stale' | 'stale-while-revalidate' | 'view-failed' | HandlerFailed

/**
 * Why a response has its outcome: `Cache-Status` shows it as `detail`, and messages on `fragcache:response`
 * as `reason`.
 */
export type Reason = PassReason | UnkeptReason | LeftReason | StaleReason
