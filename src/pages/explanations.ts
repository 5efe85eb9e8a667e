import type { MissCause, MissCode } from '../observe/miss-cause.js'
import type { HandlerFailed, Reason } from './reasons.js'

/** Why a response was not answered from the cache, told to people. */
export interface Explanation {
  /** Names a section of the help. */
  readonly code: string
  /** What happened, as a sentence. */
  readonly sentence: string
  /** What may be done about it. */
  readonly remedy: string
}

type Told = readonly [sentence: string, remedy: string]

/** By the reason that is given on `fragcache:response` and in `Cache-Status`. */
const REASONS: Readonly<Record<Exclude<Reason, HandlerFailed>, Told>> = {
  // The cache was not asked.
  method: [
    'Only GET and HEAD are looked up; this was another method.',
    'Nothing: such a request changes something, and drops the page of its own URL. A page that only reads should be a GET.',
  ],
  'request-body': [
    'The request had a body, and what a body asks for is no part of the key.',
    'Send what the view needs in the path or the query.',
  ],
  upgrade: [
    'The request asked for another protocol, as a WebSocket does.',
    'Nothing: such a connection is no page.',
  ],
  'uri-unreadable': [
    'The address could not be told safely: the Host header or the request target is odd.',
    'Look at what proxy stands in front, and at `trust proxy`; requests of browsers do not have this.',
  ],
  'language-unreadable': [
    'The option `language` gave something that is no name of a language, or threw.',
    'Let it give a text such as "en" or "pt-BR" for every request, or undefined.',
  ],
  'time-zone-unreadable': [
    'The option `timeZone` gave something that is no name of a time zone, or threw.',
    'Let it give a text such as "Europe/Vienna" for every request, or undefined.',
  ],
  'request-no-store': [
    'The request said `Cache-Control: no-store`, and `honorRequestDirectives` is on.',
    'Nothing, unless clients send it by mistake: then leave `honorRequestDirectives` off.',
  ],
  'only-if-cached': [
    'The request wanted a stored page or none, and there was none: it was answered with 504.',
    'Nothing: the client asked for that.',
  ],
  'cache-failed': [
    'The cache failed or took too long, so the view answered and nothing was stored.',
    'Look at the outages of this cache; `fragcache check` tells what is wrong with it.',
  ],
  // The response may not be kept.
  status: [
    'The response has a status that is not kept.',
    'Only 200 is kept by default; the option `statuses` of `responseCache` names others.',
  ],
  'set-cookie': [
    'The response sets a cookie, and a cookie belongs to one visitor.',
    'Set cookies where they change and not on every page; with express-session: `saveUninitialized: false`, `resave: false`, `rolling: false`.',
  ],
  'no-store': [
    'The response says `Cache-Control: no-store`.',
    'Nothing if that is meant; otherwise look for the middleware that says it of every page.',
  ],
  private: [
    'The response says `Cache-Control: private`: it is per-user.',
    'Nothing if that is meant; otherwise put what is personal in a hole, or load it apart.',
  ],
  'no-cache': [
    'The response says `Cache-Control: no-cache`: it must not be used without asking the view.',
    'Nothing if that is meant; with `rfc9111: true` such a page is kept and validated each time.',
  ],
  'vary-any': [
    'The response says `Vary: *`: no other request can be answered with it.',
    'Name the headers that it varies on, or nothing.',
  ],
  'vary-unreadable': [
    'The response has a Vary header that names something which is no header.',
    'Name headers, separated by commas.',
  ],
  'content-range': [
    'The response has a Content-Range: it is a part of something.',
    'Send the whole with 200; parts are cut from the stored page.',
  ],
  trailers: [
    'The response has trailers, which are not kept.',
    'Send what they say as headers, or leave such a view out of the cache.',
  ],
  'transfer-encoding': [
    'The response has a Transfer-Encoding other than chunked.',
    'Leave the framing to Node.',
  ],
  'event-stream': [
    'The response is a stream of events, which has no end.',
    'Nothing: such a view does not belong in a cache.',
  ],
  personal: [
    'The request is of a visitor who is signed in, or came with a session, and the page does not say that it is for others too.',
    'Let the page vary on Cookie, or say `Cache-Control: public, max-age=…` if everybody may see it, or put what is personal in holes.',
  ],
  'cookies-read': [
    'The request has cookies, and something behind the cache read them, so that the page may be that visitor’s.',
    'Put sessions, sign-in and cookie parsers in front of the cache; or let the page vary on Cookie, or say `Cache-Control: public, max-age=…` if everybody may see it.',
  ],
  'freshness-unreadable': [
    'The response says how long it is fresh in a way that cannot be read.',
    'Correct its Cache-Control or Expires header.',
  ],
  'no-freshness': [
    'Neither the response nor the cache says how long to keep it.',
    'Give `seconds` to `responseCache` or `cachePage`, or let the view say `Cache-Control: max-age`.',
  ],
  stale: [
    'The response was past its time already when it was to be stored.',
    'Let it say a longer `max-age`; look at its Age and Date headers.',
  ],
  'zero-seconds': [
    'The page is to be kept for zero seconds.',
    'Give a positive number of `seconds`; something in the page may also have had no time left.',
  ],
  'content-length': [
    'The body did not have the length that Content-Length says.',
    'Correct the header, or leave it to Node; a client that left early has this too.',
  ],
  'too-large': [
    'The body is larger than the option `maxBodyBytes`.',
    'Raise `maxBodyBytes` if the cache can take it, or leave such a view out.',
  ],
  head: [
    'It was a HEAD request, which has no body to keep.',
    'Nothing: HEAD is answered from the page that a GET stored.',
  ],
  range: [
    'The request asked for a part, and what came may be one.',
    'Nothing: parts are cut from the page once a request for the whole stored it.',
  ],
  // The response, or the request, changed on the way.
  incomplete: [
    'The response did not come to its end: its source broke off, or the client left.',
    'Look for errors of the view; of a client that leaves nobody has to learn.',
  ],
  'method-changed': [
    'The method changed between the look-up and the answer.',
    'Put `method-override` in front of the cache.',
  ],
  'no-update-cache': [
    'There was no page, and nothing stores one: `fetchFromCache` has no `updateCache` in front of it.',
    'Use `cacheSite`, or put `updateCache` in front of `fetchFromCache`; views can have a `cachePage` of their own.',
  ],
  'trust-changed': [
    'A mounted application has a `trust proxy` of its own, so that the page may name a host that any client can choose.',
    'Set `trust proxy` on the outermost application alone.',
  ],
  'language-changed': [
    'The language changed between the look-up and the answer.',
    'Decide on the language between `updateCache` and `fetchFromCache`.',
  ],
  'time-zone-changed': [
    'The time zone changed between the look-up and the answer.',
    'Decide on the time zone between `updateCache` and `fetchFromCache`.',
  ],
  'tags-unreadable': [
    'The function `tags` of `cachePage` threw, or gave something that is no list of texts.',
    'Let it give a list of texts; the warning FRAGCACHE_RESPONSE_CACHE has the error.',
  ],
  'undeclared-read': [
    'Something of one visitor, as the session or the user, was read in a cached body that does not vary on it.',
    'Name it in the fragment’s vary-on, move it out of the fragment, or put it in a hole.',
  ],
  holes: [
    'The page has a hole that cannot be filled for another visitor, or its text was changed after it was rendered.',
    'Put what changes the HTML after the view behind the cache, and let holes set no headers that tell of the visitor in the page.',
  ],
  'stale-inside': [
    'A fragment in the page was served past its time, and the page is not to keep it alive.',
    'Nothing: once the fragment is made again, the page is stored.',
  ],
  // It was to be stored, and was not.
  invalidated: [
    'The page, or something in it, was invalidated while the view was at it, or may have been.',
    'Nothing: the next one is stored. If it is always so, something invalidates on every request.',
  ],
  'cache-refused': [
    'The cache would not take the page: it is too large for the store, or the store is full.',
    'Look at the limits of the store: Memcached’s items, Redis’ `maxmemory` and its policy.',
  ],
  overtaken: [
    'Another answer for this page was stored while this one was being made.',
    'Nothing: that one is served. If handlers take longer than `waitSeconds`, make them faster or raise it.',
  ],
  busy: [
    'Too many responses of this URL are on their way into the cache at once.',
    'Nothing: one of them is stored. Let the page vary on fewer headers if it stays so.',
  ],
  // It was answered past its time.
  'max-stale': [
    'The request took a page past its time, and got one.',
    'Nothing: the client asked for that.',
  ],
  'stale-while-revalidate': [
    'The page is past its time: it was served once more, while it is made again behind.',
    'Nothing: that is what `staleWhileRevalidate` is for.',
  ],
  'view-failed': [
    'The view failed, and an older page stood in for it.',
    'Look at the errors of the view: `staleIfError` hides them from visitors.',
  ],
}

/** By the code of the cause that `Cache-Status` says of a page that was missing and is now stored. */
const CAUSES: Readonly<Record<MissCode, Told>> = {
  'not-stored': [
    'The page was not stored since this process began. Now it is.',
    'Nothing: the next request finds it.',
  ],
  expired: [
    'The page was past its time. Now it is stored again.',
    'Give it more `seconds`, and invalidate it when what it shows changes.',
  ],
  dropped: [
    'The page had a tag that was invalidated since it was stored. Now it is stored again.',
    'Nothing, unless it happens often: then give the page narrower tags, or look at what invalidates them.',
  ],
  removed: [
    'The page was removed since it was stored: by its URL, its key, or with the whole cache.',
    'Nothing, unless it happens often: then look at what removes it.',
  ],
  evicted: [
    'The page should still have been there: the store made room, was restarted, or another process removed it.',
    'Give the store more memory, or store fewer variants.',
  ],
  unusable: [
    'The page that is stored has a hole that nothing can fill here. Now it is stored again.',
    'Nothing, unless it stays so: then processes have different templates or engines.',
  ],
  'other-version': [
    'The page is stored under another version or key prefix.',
    'Use the same `version` and `keyPrefix` in all processes.',
  ],
  'other-variant': [
    'The URL has pages, but none for such request headers, language or time zone.',
    'Let the page vary on fewer headers if there are too many variants.',
  ],
  'store-failed': [
    'The store did not answer, so nothing could be looked up.',
    'Look at the outages of the cache: the channel `fragcache:outage`, the log, or the inspector.',
  ],
}

/** Of responses without a reason, by outcome. */
const OUTCOMES: Readonly<Record<string, Told>> = {
  miss: [
    'The page was not in the cache. Now it is.',
    'Nothing, unless it stays so: then the page lives too short, has too many variants, or is evicted.',
  ],
  joined: [
    'The page was being made for another request, and this one got the same.',
    'Nothing: that is how a stampede is averted.',
  ],
}

const ALL: Readonly<Record<string, Told>> = { ...REASONS, ...CAUSES }

const UNKNOWN: Told = [
  'The response was not answered from the cache.',
  'See the documentation of the Express adapter.',
]

function explanation(code: string, [sentence, remedy]: Told): Explanation {
  return { code, sentence, remedy }
}

/**
 * Says why a response was not answered from the cache.
 *
 * @param reason - As on the channel `fragcache:response`.
 */
export function explainReason(outcome: string, reason: string | undefined): Explanation {
  const status = /^view-failed-(\d{3})$/.exec(reason ?? '')?.[1]
  const code = status === undefined ? (reason ?? outcome) : 'view-failed'
  const table: Readonly<Record<string, Told>> = reason === undefined ? OUTCOMES : ALL
  const told = Object.hasOwn(table, code) ? table[code] : undefined
  if (told === undefined) return explanation('unknown', UNKNOWN)
  if (status === undefined) return explanation(code, told)
  return explanation(code, [
    `The view failed with ${status}, and an older page stood in for it.`,
    told[1],
  ])
}

/**
 * Explains why a response was not answered from the cache, using all that was reported about it.
 */
export function explainResponse({
  outcome,
  reason,
  cause,
}: {
  readonly outcome: string
  readonly reason?: string | undefined
  readonly cause?: MissCause | undefined
}): Explanation {
  if (outcome !== 'miss' || cause === undefined) return explainReason(outcome, reason)
  return { ...explainReason(outcome, cause.code), sentence: cause.text }
}

/** All there are, for the help. */
export function allReasons(): readonly Explanation[] {
  return [...Object.entries(OUTCOMES), ...Object.entries(ALL), ['unknown', UNKNOWN] as const].map(
    ([code, told]) => explanation(code, told),
  )
}
