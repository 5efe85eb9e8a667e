import {
  hasDirective,
  limitMaxAge,
  parseCacheControl,
  storingRestriction,
  type Restriction,
} from './cache-control.js'
import { explicitLifetimeSeconds, initialAgeSeconds } from './freshness.js'
import { headerOf, headerText, type HeaderFields } from './header-values.js'
import { formatHttpDate, parseHttpDate } from './http-date.js'
import { parseVary } from './vary.js'

/** What the policy wants to know of a request. */
export interface RequestFacts {
  /** Of the request line, whatever a method override made of it later. */
  readonly method: string
  /** Absolute, as sent; `undefined` if it cannot be told safely. */
  readonly uri: string | undefined
  readonly headers: HeaderFields
}

/** Why a request is neither answered from the cache nor its answer stored. */
export type LookupRefusal =
  'method' | 'request-body' | 'authorization' | 'range' | 'upgrade' | 'uri-unreadable'

/**
 * Whether the cache is asked at all.
 *
 * @returns `undefined` if so, else why not.
 */
export function lookupRefusal({ method, uri, headers }: RequestFacts): LookupRefusal | undefined {
  // RFC 9111 §4: other methods are written through.
  if (method !== 'GET' && method !== 'HEAD') return 'method'
  // RFC 9111 §3.5. Not even an empty one: the view sees a difference.
  if (headerOf(headers, 'authorization') !== undefined) return 'authorization'
  // RFC 9111 §3.3: a part must never be stored as the whole.
  if (headerOf(headers, 'range') !== undefined) return 'range'
  // RFC 9110 §9.3.1: what the body of a GET asks for is not in the key.
  if (hasBody(headers)) return 'request-body'
  if (headerOf(headers, 'upgrade') !== undefined) return 'upgrade'
  return uri === undefined ? 'uri-unreadable' : undefined
}

function hasBody(headers: HeaderFields): boolean {
  if (headerOf(headers, 'transfer-encoding') !== undefined) return true
  const length = headerText(headers, 'content-length')
  return length !== undefined && length !== '0'
}

/** What the policy wants to know of a response when its headers are about to be sent. */
export interface ResponseFacts {
  readonly status: number
  readonly headers: HeaderFields
}

/** Why a response is not stored. */
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
  | 'personal'
  | 'freshness-unreadable'
  | 'no-freshness'
  | 'stale'
  | 'zero-seconds'
  | 'content-length'
  | 'too-large'
  | 'head'

/**
 * Whether a response is one for this request alone.
 *
 * @param personal - The request belongs to one visitor, as far as the site can tell.
 * @returns `undefined` if it may be given to others, else why not.
 * @see RFC 9111 §3
 */
export function storeRefusal(
  { status, headers }: ResponseFacts,
  personal: boolean,
): StoreRefusal | undefined {
  if (status !== 200) return 'status'
  if (headerOf(headers, 'set-cookie') !== undefined) return 'set-cookie'
  const cacheControl = parseCacheControl(headerOf(headers, 'cache-control'))
  const restriction = storingRestriction(headerOf(headers, 'cache-control'), cacheControl)
  if (restriction !== undefined) return restriction
  const vary = parseVary(headerOf(headers, 'vary'))
  if (vary.any) return 'vary-any'
  if (vary.unreadable) return 'vary-unreadable'
  if (headerOf(headers, 'content-range') !== undefined) return 'content-range'
  if (headerOf(headers, 'trailer') !== undefined) return 'trailers'
  const coding = headerText(headers, 'transfer-encoding')
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') return 'transfer-encoding'
  if (/^\s*text\/event-stream\s*(?:;|$)/i.test(headerText(headers, 'content-type') ?? '')) {
    return 'event-stream'
  }
  const shareable = vary.names.includes('cookie') || hasDirective(cacheControl, 'public')
  return personal && !shareable ? 'personal' : undefined
}

/** How long a response may be kept, and how large it may be. */
export interface StoreOptions {
  /** Of the view: wins over what the response says. `null`: kept without end. */
  readonly pageSeconds?: number | null | undefined
  /** For responses that say nothing. `null`: these are not kept. */
  readonly siteSeconds: number | null
  readonly maxBodyBytes: number
}

/** What caches after us, the browser's among them, are told. */
export interface Downstream {
  readonly cacheControl: string
  /** `undefined`: the header stays as it is, or absent. */
  readonly expires: string | undefined
}

/** What becomes of a response. */
export type ResponseVerdict =
  | {
      readonly store: true
      /** Seconds from now; `null`: without end. */
      readonly keepSeconds: number | null
      /** How old the response already is. */
      readonly ageSeconds: number
      /** The names in its `Vary`. */
      readonly vary: readonly string[]
      /** It said `public`: a visitor's own request may be answered with it too. */
      readonly isPublic: boolean
      readonly downstream: Downstream | undefined
    }
  | {
      readonly store: false
      readonly reason: StoreRefusal
      readonly downstream: Downstream | undefined
    }

/**
 * Decides on a response whose headers are about to be sent.
 *
 * @param personal - The request belongs to one visitor, as far as the site can tell.
 * @param nowMs - Milliseconds since the epoch.
 * @see Django, `UpdateCacheMiddleware.process_response`; RFC 9111 §3, §4.2
 */
export function judgeResponse(
  request: { readonly method: string; readonly personal: boolean },
  response: ResponseFacts,
  options: StoreOptions,
  nowMs: number,
): ResponseVerdict {
  const { status, headers } = response
  // A 304 tells the client how long its own copy is fresh again; it is never stored itself.
  const shown = status === 304 ? { status: 200, headers } : response
  const refusal = storeRefusal(shown, request.personal)
  if (refusal !== undefined) return { store: false, reason: refusal, downstream: undefined }

  const cacheControl = parseCacheControl(headerOf(headers, 'cache-control'))
  const ageSeconds = initialAgeSeconds(headers, nowMs)
  const lifetime = lifetimeSeconds(headers, options, nowMs)
  if (typeof lifetime === 'string') return { store: false, reason: lifetime, downstream: undefined }
  const { seconds, explicit } = lifetime
  // What the response says of itself counts from when it was made, what we were told from now.
  const keep = seconds !== null && explicit ? seconds - ageSeconds : seconds
  if (explicit && keep !== null && keep <= 0) {
    return { store: false, reason: 'stale', downstream: undefined }
  }
  const downstream =
    seconds === null || keep === null ? undefined : limitDownstream(headers, seconds, keep, nowMs)

  if (status === 304) return { store: false, reason: 'status', downstream }
  if (keep !== null && keep <= 0) return { store: false, reason: 'zero-seconds', downstream }
  if (request.method === 'HEAD') return { store: false, reason: 'head', downstream }
  const length = headerText(headers, 'content-length')
  if (length !== undefined) {
    // Neither is kept here, so nobody after us is told to keep it either.
    if (!/^[0-9]+$/.test(length)) {
      return { store: false, reason: 'content-length', downstream: undefined }
    }
    if (Number(length) > options.maxBodyBytes) {
      return { store: false, reason: 'too-large', downstream: undefined }
    }
  }
  return {
    store: true,
    keepSeconds: keep,
    ageSeconds,
    vary: parseVary(headerOf(headers, 'vary')).names,
    isPublic: hasDirective(cacheControl, 'public'),
    downstream,
  }
}

/** How long the response is fresh, and whether it said so itself. */
function lifetimeSeconds(
  headers: HeaderFields,
  { pageSeconds, siteSeconds }: StoreOptions,
  nowMs: number,
): { readonly seconds: number | null; readonly explicit: boolean } | StoreRefusal {
  if (pageSeconds !== undefined) return { seconds: pageSeconds, explicit: false }
  const explicit = explicitLifetimeSeconds(headers, nowMs)
  if (explicit === null) return 'freshness-unreadable'
  if (explicit !== undefined) return { seconds: explicit, explicit: true }
  return siteSeconds === null ? 'no-freshness' : { seconds: siteSeconds, explicit: false }
}

/**
 * @param seconds - The response's lifetime.
 * @param keep - What is left of it.
 * @see Django, `patch_response_headers`; unlike there, a later `Expires` does not stay either.
 */
function limitDownstream(
  headers: HeaderFields,
  seconds: number,
  keep: number,
  nowMs: number,
): Downstream {
  const maxAge = Math.max(0, Math.floor(seconds))
  const latestMs = nowMs + Math.max(0, keep) * 1000
  const present = headerText(headers, 'expires')
  const presentMs = present === undefined ? undefined : parseHttpDate(present, nowMs)
  const stays = present !== undefined && (presentMs === undefined || presentMs <= latestMs)
  return {
    cacheControl: limitMaxAge(headerOf(headers, 'cache-control'), maxAge),
    expires: stays ? undefined : formatHttpDate(latestMs),
  }
}
