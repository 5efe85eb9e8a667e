import type { Restriction } from '../http/cache-control.js'

/** Why a request is neither answered from the cache nor its answer stored, as far as it tells itself. */
export type LookupRefusal = 'method' | 'request-body' | 'upgrade' | 'uri-unreadable'

/** The same, with what the site's own functions tell. */
export type AdmissionRefusal = LookupRefusal | 'language-unreadable' | 'time-zone-unreadable'

/** Why the cache had nothing to do with a request that it could have been asked for. */
export type PassReason = AdmissionRefusal | 'request-no-store' | 'cache-failed'

/**
 * Why a response belongs to the visitor who asked: they are known to the site (`personal`), or their
 * cookies were read while it was made.
 */
export type PersonalReason = 'personal' | 'cookies-read'

/** Why a response is not stored, by its status and headers. */
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

/** What the request was looked up as is not what it was answered as. */
export type ChangeReason =
  'trust-changed' | 'method-changed' | 'language-changed' | 'time-zone-changed'

/** What is inside a response keeps it from being stored. */
export type ContentReason = 'undeclared-read' | 'holes' | 'stale-inside' | 'tags-unreadable'

/** Why a body was not recorded whole. */
export type RecordingFault = 'incomplete' | 'content-length' | 'too-large' | 'trailers'

/** Why a response that was to be stored was not: what the store said. */
export type UnstoredReason =
  | 'invalidated'
  | 'overtaken'
  | 'stale'
  | 'stale-inside'
  | 'undeclared-read'
  | 'cache-refused'
  | 'cache-failed'
  | 'busy'

/** Why a response is not stored. */
export type UnkeptReason =
  StoreRefusal | ChangeReason | ContentReason | RecordingFault | UnstoredReason

/** Why a request that was looked up got an answer that is neither stored nor made. */
export type LeftReason = 'no-update-cache' | 'only-if-cached'

/** The handler failed with this status, and an older page stands in for it. */
export type HandlerFailed = `view-failed-${number}`

/** Why an answer is one past its time. */
export type StaleReason = 'max-stale' | 'stale-while-revalidate' | 'view-failed' | HandlerFailed

/**
 * Why a response came about as it did: what `Cache-Status` says as `detail`, and messages on
 * `fragcache:response` as `reason`.
 */
export type Reason = PassReason | UnkeptReason | LeftReason | StaleReason
