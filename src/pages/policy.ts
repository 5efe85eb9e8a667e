import {
  hasDirective,
  limitMaxAge,
  parseCacheControl,
  readSeconds,
  storingRestriction,
  type CacheControl,
  type Restriction,
} from '../http/cache-control.js'
import type { LookupRefusal, PersonalReason, StoreRefusal } from './reasons.js'
import {
  directiveLifetimeSeconds,
  explicitLifetimeSeconds,
  initialAgeSeconds,
} from '../http/freshness.js'
import { headerOf, headerText, type HeaderFields } from '../http/header-values.js'
import { formatHttpDate, parseHttpDate } from '../http/http-date.js'
import { parseVary } from '../http/vary.js'

/** What the policy has to know of a request. */
export interface RequestFacts {
  /** That of the request line, though a method override may have changed it later. */
  readonly method: string
  /** Absolute, as sent; `undefined` if it cannot be told safely. */
  readonly uri: string | undefined
  readonly headers: HeaderFields
}

/**
 * Whether the cache is asked at all.
 *
 * @returns `undefined` if so, else why not.
 */
export function lookupRefusal({ method, uri, headers }: RequestFacts): LookupRefusal | undefined {
  // RFC 9111 §4: other methods go to the handler.
  if (method !== 'GET' && method !== 'HEAD') return 'method'
  // RFC 9110 §9.3.1: the body of a GET is not part of the key.
  if (hasBody(headers)) return 'request-body'
  if (asksForUpgrade(headerText(headers, 'upgrade'))) return 'upgrade'
  return uri === undefined ? 'uri-unreadable' : undefined
}

/** Clients that only offer HTTP/2 (`h2c`) are answered from the cache too. */
function asksForUpgrade(upgrade: string | undefined): boolean {
  return upgrade !== undefined && upgrade.trim().toLowerCase() !== 'h2c'
}

function hasBody(headers: HeaderFields): boolean {
  if (headerOf(headers, 'transfer-encoding') !== undefined) return true
  const length = headerText(headers, 'content-length')
  return length !== undefined && length !== '0'
}

/** What the policy has to know of a response whose headers are about to be sent. */
export interface ResponseFacts {
  readonly status: number
  readonly headers: HeaderFields
}

/** Why a request is per-user. */
export interface Visitor {
  readonly reason: PersonalReason
  /** It has a `Cookie`, which tells it from other requests. */
  readonly hasCookie: boolean
}

/** Which responses may be kept at all. */
export interface StoreRules {
  /** Default: 200 alone. */
  readonly statuses?: ReadonlySet<number> | undefined
  /**
   * RFC 9111 to the letter: any final status, cookies too, if the response says itself how long it
   * is fresh; `no-cache` is kept and validated each time.
   */
  readonly rfc9111?: boolean | undefined
}

const DEFAULT_STATUSES: ReadonlySet<number> = new Set([200])

/** Parts of a whole, and responses to conditions of one client. */
const NEVER_STORED_STATUSES: ReadonlySet<number> = new Set([206, 304, 412])

/** What `must-understand` asks for. @see RFC 9110 §15, RFC 9111 §5.2.2.3 */
const UNDERSTOOD_STATUSES: ReadonlySet<number> = new Set([
  200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 501,
])

/**
 * Whether a response is for this request alone.
 *
 * @param visitor - Set if the request is per-user.
 * @returns `undefined` if it may be given to others, else why not.
 * @see RFC 9111 §3; RFC 9213 §2.2
 */
export function storeRefusal(
  { status, headers }: ResponseFacts,
  visitor: Visitor | undefined,
  nowMs: number,
  rules: StoreRules = {},
): StoreRefusal | undefined {
  const { statuses = DEFAULT_STATUSES, rfc9111 = false } = rules
  const { control, restriction } = controlOf(headers, rfc9111 ? status : undefined)
  if (!isStorableStatus(status, rfc9111 ? undefined : statuses, control)) return 'status'
  if (!rfc9111 && headerOf(headers, 'set-cookie') !== undefined) return 'set-cookie'
  if (restriction !== undefined) return restriction
  const vary = parseVary(headerOf(headers, 'vary'))
  if (vary.any) return 'vary-any'
  if (vary.unreadable) return 'vary-unreadable'
  if (namesRange(headerText(headers, 'content-range'))) return 'content-range'
  if (headerOf(headers, 'trailer') !== undefined) return 'trailers'
  const coding = headerText(headers, 'transfer-encoding')
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') return 'transfer-encoding'
  if (/^\s*text\/event-stream\s*(?:;|$)/i.test(headerText(headers, 'content-type') ?? '')) {
    return 'event-stream'
  }
  if (visitor === undefined || isPublicWithTime(headers, control, nowMs)) return undefined
  // Keyed by `Cookie`, a page of a request without one would be shared by all such requests.
  return visitor.hasCookie && vary.names.includes('cookie') ? undefined : visitor.reason
}

/**
 * Whether a response says `public` and names no time of zero with it: Express writes `public, max-age=0` for every
 * file that it sends, which does not say that the file may be shared. Without a time, that of the site counts.
 *
 * @see RFC 9111 §3.5, §5.2.2.9
 */
function isPublicWithTime(headers: HeaderFields, control: CacheControl, nowMs: number): boolean {
  if (!hasDirective(control, 'public')) return false
  const seconds = explicitLifetimeSeconds(headers, nowMs, control)
  return seconds === undefined || (seconds !== null && seconds > 0)
}

/** Whether a `Content-Range` names a range at all; otherwise the response is whole. @see RFC 9110 §14.4 */
function namesRange(contentRange: string | undefined): boolean {
  return contentRange !== undefined && /[0-9*/=]/.test(contentRange)
}

function isStorableStatus(
  status: number,
  statuses: ReadonlySet<number> | undefined,
  control: CacheControl,
): boolean {
  if (status < 200 || status > 599 || NEVER_STORED_STATUSES.has(status)) return false
  if (statuses !== undefined) return statuses.has(status)
  return !hasDirective(control, 'must-understand') || UNDERSTOOD_STATUSES.has(status)
}

interface StoringControl {
  /** The directives that count for this cache. */
  readonly control: CacheControl
  /** They are those of `CDN-Cache-Control`, with which `Expires` does not count. */
  readonly targeted: boolean
  readonly restriction: Restriction | undefined
}

/**
 * The directives that a cache such as this one obeys.
 *
 * @remarks Fails closed: `CDN-Cache-Control` never lifts `private` or `no-store`, and only one that
 *   can be read and names a time lifts `no-cache`.
 * @param rfcStatus - The status, where RFC 9111 counts to the letter.
 * @see RFC 9213 §2.2
 */
function controlOf(headers: HeaderFields, rfcStatus: number | undefined): StoringControl {
  const value = headerOf(headers, 'cache-control')
  const general = parseCacheControl(value)
  const lifted = (control: CacheControl) =>
    rfcStatus === undefined ? undefined : liftedRestrictions(control, rfcStatus)
  const restriction = storingRestriction(value, general, lifted(general))
  const targetedValue = headerOf(headers, 'cdn-cache-control')
  if (targetedValue === undefined) return { control: general, targeted: false, restriction }
  const control = parseCacheControl(targetedValue)
  const own = storingRestriction(targetedValue, control, lifted(control))
  const isReadable = !control.malformed && typeof directiveLifetimeSeconds(control) === 'number'
  if (own === undefined && !isReadable) return { control: general, targeted: false, restriction }
  return { control, targeted: true, restriction: own ?? storingRestriction(value, general, LIFTED) }
}

/** Restrictions of `Cache-Control` that a `CDN-Cache-Control` with a time of its own lifts. */
const LIFTED: readonly Restriction[] = ['no-cache']

/** Restrictions that do not keep a response from being stored by RFC 9111. */
function liftedRestrictions(control: CacheControl, status: number): readonly Restriction[] {
  // §5.2.2.3: with must-understand, no-store is for caches that do not understand the status.
  const understood = hasDirective(control, 'must-understand') && UNDERSTOOD_STATUSES.has(status)
  return understood ? ['no-cache', 'no-store'] : ['no-cache']
}

/** How long a response may be kept, and how large it may be. */
export interface StoreOptions extends StoreRules {
  /**
   * The time configured for the handler's pages, instead of what the response says. `null`: no limit.
   */
  readonly pageSeconds?: number | null | undefined
  /** For responses that name no time. `null`: these are not stored. */
  readonly siteSeconds: number | null
  readonly maxBodyBytes: number
  /** How long a response with a validator is kept to be validated. Default: see {@link retention}. */
  readonly revalidateSeconds?: number | undefined
  /** How long a stale response may be used, at most. `true`: as the response says. Default: not at all. */
  readonly staleIfError?: number | boolean | undefined
  readonly staleWhileRevalidate?: number | boolean | undefined
  /** When the first of what is in the response ends. Milliseconds since the epoch. */
  readonly endsAtMs?: number | undefined
}

/** What later caches, including the browser's, get. */
export interface Downstream {
  readonly cacheControl: string
  /** `undefined`: the header stays as it is, or absent. */
  readonly expires: string | undefined
}

/** How long a response is of use once it is stale, in seconds. */
export interface Retention {
  /** In all. */
  readonly staleSeconds: number
  readonly ifErrorSeconds: number
  readonly whileRevalidateSeconds: number
  /** The response does not forbid to use it when it is stale. */
  readonly mayBeStale: boolean
}

/** What becomes of a response. */
export type ResponseVerdict =
  | {
      readonly store: true
      /** Seconds from now; `null`: no limit. */
      readonly keepSeconds: number | null
      readonly retention: Retention
      /** How old the response already is. */
      readonly ageSeconds: number
      /** The names in its `Vary`. */
      readonly vary: readonly string[]
      /** It said `public`, with a time above zero if any: it may answer per-user requests. */
      readonly isPublic: boolean
      /** It may answer any request with `Authorization`. */
      readonly isForAuthorized: boolean
      /** It is never used before the handler has confirmed it. */
      readonly mustValidate: boolean
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
 * @param request - `visitor` is set if it is per-user.
 * @param nowMs - Milliseconds since the epoch.
 * @see Django, `UpdateCacheMiddleware.process_response`; RFC 9111 §3, §4.2
 */
export function judgeResponse(
  request: {
    readonly method: string
    readonly visitor: Visitor | undefined
    /** It asked for a range: the response may be a part. */
    readonly ranged?: boolean
  },
  response: ResponseFacts,
  options: StoreOptions,
  nowMs: number,
): ResponseVerdict {
  const { status, headers } = response
  const { rfc9111 = false } = options
  // A 304 tells the client how long its own copy is fresh again; it is never stored itself.
  const shown = status === 304 ? { status: 200, headers } : response
  const refusal = storeRefusal(shown, request.visitor, nowMs, options)
  if (refusal !== undefined) return refused(refusal)

  const { control, targeted } = controlOf(headers, rfc9111 ? status : undefined)
  const lifetime = lifetimeSeconds(shown, control, targeted, options, nowMs)
  if (typeof lifetime === 'string') return refused(lifetime)
  const { explicit } = lifetime
  const ageSeconds = initialAgeSeconds(headers, nowMs)
  // A time that the response names counts from its `Date`, one of the site from now.
  const said =
    lifetime.seconds !== null && explicit ? lifetime.seconds - ageSeconds : lifetime.seconds
  const leftSeconds = ((options.endsAtMs ?? Infinity) - nowMs) / 1000
  const isCut = leftSeconds < (said ?? Infinity)
  const keep = isCut ? Math.max(0, leftSeconds) : said
  const seconds = isCut ? keep : lifetime.seconds
  const mustValidate = rfc9111 && hasDirective(control, 'no-cache')
  const retained = retention(headers, control, keep, options)
  const isOfUse = (keep === null || keep > 0) && !mustValidate
  if (explicit && !isCut && !isOfUse && !(rfc9111 && retained.staleSeconds > 0)) {
    return refused('stale')
  }
  // Where the response alone decides, its headers stay.
  const isItsOwnAffair = explicit && !isCut && (targeted || rfc9111 || options.siteSeconds === null)
  const saysItself = isItsOwnAffair || seconds === null || keep === null
  const downstream = saysItself ? undefined : limitDownstream(headers, seconds, keep, nowMs)

  if (status === 304) return refused('status', downstream)
  if ((!explicit || isCut) && keep !== null && keep <= 0) {
    return refused('zero-seconds', downstream)
  }
  if (request.method === 'HEAD') return refused('head', downstream)
  if (request.ranged === true) return refused('range', downstream)
  const length = headerText(headers, 'content-length')
  if (length !== undefined) {
    // It is not stored here, so that later caches are not told to store it either.
    if (!/^[0-9]+$/.test(length)) return refused('content-length')
    if (Number(length) > options.maxBodyBytes) return refused('too-large')
  }
  const isPublic = isPublicWithTime(headers, control, nowMs)
  return {
    store: true,
    keepSeconds: keep === null ? null : Math.max(0, keep),
    retention: retained,
    ageSeconds,
    vary: parseVary(headerOf(headers, 'vary')).names,
    isPublic,
    isForAuthorized: isPublic || (rfc9111 && saysSharedIsMeant(control)),
    mustValidate,
    downstream,
  }
}

function refused(reason: StoreRefusal, downstream?: Downstream): ResponseVerdict {
  return { store: false, reason, downstream }
}

/** @see RFC 9111 §3.5 */
function saysSharedIsMeant(control: CacheControl): boolean {
  return hasDirective(control, 'must-revalidate') || hasDirective(control, 's-maxage')
}

/** How long the response is fresh, and whether it said so itself. */
function lifetimeSeconds(
  { status, headers }: ResponseFacts,
  control: CacheControl,
  targeted: boolean,
  { pageSeconds, siteSeconds, rfc9111 = false }: StoreOptions,
  nowMs: number,
): { readonly seconds: number | null; readonly explicit: boolean } | StoreRefusal {
  // By RFC 9111 the time of the handler is for pages; other responses have to name their own.
  const isPage = !rfc9111 || (status === 200 && headerOf(headers, 'set-cookie') === undefined)
  if (pageSeconds !== undefined && isPage) return { seconds: pageSeconds, explicit: false }
  const explicit = targeted
    ? directiveLifetimeSeconds(control)
    : explicitLifetimeSeconds(headers, nowMs, control)
  if (explicit === null) return 'freshness-unreadable'
  if (explicit !== undefined) return { seconds: explicit, explicit: true }
  if (!rfc9111) {
    return siteSeconds === null ? 'no-freshness' : { seconds: siteSeconds, explicit: false }
  }
  // It is validated each time, so that it needs no time.
  if (hasDirective(control, 'no-cache')) return { seconds: 0, explicit: true }
  const heuristic = heuristicSeconds(status, headers, control, nowMs)
  return heuristic === undefined ? 'no-freshness' : { seconds: heuristic, explicit: true }
}

/** @see RFC 9110 §15.1 */
const HEURISTIC_STATUSES: ReadonlySet<number> = new Set([
  200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501,
])

/** @see RFC 9111 §4.2.2: a tenth of the time since it last changed */
function heuristicSeconds(
  status: number,
  headers: HeaderFields,
  control: CacheControl,
  nowMs: number,
): number | undefined {
  if (!HEURISTIC_STATUSES.has(status) && !hasDirective(control, 'public')) return undefined
  const modifiedMs = parseHttpDate(headerText(headers, 'last-modified') ?? '', nowMs)
  if (modifiedMs === undefined) return undefined
  const dateMs = parseHttpDate(headerText(headers, 'date') ?? '', nowMs) ?? nowMs
  return Math.min(Math.max(0, dateMs - modifiedMs) / 10_000, MAX_HEURISTIC_SECONDS)
}

const MAX_HEURISTIC_SECONDS = 86_400

/** A page is kept for validation at least and at most so long. */
const MIN_REVALIDATE_SECONDS = 60
const MAX_REVALIDATE_SECONDS = 3600

/**
 * How long a response is of use when it is stale. With a validator it is kept as long again as it was fresh, at
 * least a minute and at most an hour.
 *
 * @see RFC 5861 §3, §4; RFC 9111 §4.2.4
 */
function retention(
  headers: HeaderFields,
  control: CacheControl,
  keep: number | null,
  options: StoreOptions,
): Retention {
  const mayBeStale = !STRICT.some((name) => hasDirective(control, name))
  const ifErrorSeconds = mayBeStale
    ? allowedSeconds(readSeconds(control, 'stale-if-error'), options.staleIfError)
    : 0
  const whileRevalidateSeconds = mayBeStale
    ? allowedSeconds(readSeconds(control, 'stale-while-revalidate'), options.staleWhileRevalidate)
    : 0
  const forValidation = hasValidator(headers)
    ? (options.revalidateSeconds ??
      Math.min(Math.max(keep ?? 0, MIN_REVALIDATE_SECONDS), MAX_REVALIDATE_SECONDS))
    : 0
  const staleSeconds = Math.max(forValidation, ifErrorSeconds, whileRevalidateSeconds)
  return { staleSeconds, ifErrorSeconds, whileRevalidateSeconds, mayBeStale }
}

/** They forbid stale responses. @see RFC 9111 §5.2.2.2, §5.2.2.8, §5.2.2.10 */
const STRICT = ['must-revalidate', 'proxy-revalidate', 's-maxage', 'no-cache']

/** The seconds that a response asks for, at most those of the option; the option's where it asks for none. */
function allowedSeconds(
  asked: number | null | undefined,
  option: number | boolean | undefined,
): number {
  if (option === undefined || option === false || asked === null) return 0
  if (option === true) return asked ?? 0
  return Math.max(0, Math.min(asked ?? option, option))
}

function hasValidator(headers: HeaderFields): boolean {
  return headerOf(headers, 'etag') !== undefined || headerOf(headers, 'last-modified') !== undefined
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
