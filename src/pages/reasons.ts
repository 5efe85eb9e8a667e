import type { Restriction } from '../http/cache-control.js'

/** Why the cache has nothing to do with a request, by the request itself. */
export type LookupRefusal = 'method' | 'request-body' | 'upgrade' | 'uri-unreadable'

/** The same, or because of the site's own functions. */
export type AdmissionRefusal = LookupRefusal | 'language-unreadable' | 'time-zone-unreadable'

/** Why a request was passed on to its handler without the cache. */
export type PassReason = AdmissionRefusal | 'request-no-store' | 'cache-failed'

/**
 * Why a response is per-user: the site knows the visitor (`personal`), or the request's cookies were read while it
 * was rendered.
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

/** What has changed between the look-up and the response, and is part of the key. */
export type ChangeReason =
  'trust-changed' | 'method-changed' | 'language-changed' | 'time-zone-changed'

/** Why a response is not stored, by what is in it. */
export type ContentReason = 'undeclared-read' | 'holes' | 'stale-inside' | 'tags-unreadable'

/** Why a body was not recorded completely. */
export type RecordingFault = 'incomplete' | 'content-length' | 'too-large' | 'trailers'

/** Why the store did not keep a response. */
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

/** Why a request that was looked up was neither answered with a page nor has its response stored. */
export type LeftReason = 'no-update-cache' | 'only-if-cached'

/** The handler failed with this status, and an older page was sent instead. */
export type HandlerFailed = `view-failed-${number}`

/** Why a response is a stale one. */
export type StaleReason = 'max-stale' | 'stale-while-revalidate' | 'view-failed' | HandlerFailed

/**
 * Why a response came about as it did: what `Cache-Status` says as `detail`, and messages on
 * `fragcache:response` as `reason`.
 */
export type Reason = PassReason | UnkeptReason | LeftReason | StaleReason
