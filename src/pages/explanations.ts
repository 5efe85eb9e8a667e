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
    'The cache answers only GET and HEAD; this was another method.',
    'Nothing: such a request changes something, and removes the page of its URL. Use GET for a page that only reads.',
  ],
  'request-body': [
    'The request had a body, and a body is not part of the key.',
    'Send the data that the handler needs in the path or the query.',
  ],
  upgrade: [
    'The request asked for another protocol, such as WebSocket.',
    'Nothing: such a connection has no page.',
  ],
  'uri-unreadable': [
    'The address is not reliable: the Host header or the request target is invalid.',
    'Check the proxy in front of the site, and `trust proxy`. Browsers do not send such requests.',
  ],
  'language-unreadable': [
    'The option `language` returned something that is not the name of a language, or threw.',
    'Let it return a string such as "en" or "pt-BR" for every request, or undefined.',
  ],
  'time-zone-unreadable': [
    'The option `timeZone` returned something that is not the name of a time zone, or threw.',
    'Let it return a string such as "Europe/Vienna" for every request, or undefined.',
  ],
  'request-no-store': [
    'The request said `Cache-Control: no-store`, and `honorRequestDirectives` is on.',
    'Nothing. If clients send it by mistake, turn `honorRequestDirectives` off.',
  ],
  'only-if-cached': [
    'The request wanted only a stored page, and there was none. It was answered with 504.',
    'Nothing: the client asked for that.',
  ],
  'cache-failed': [
    'The cache failed or took too long, so the handler answered and nothing was stored.',
    'Look at the outages of this cache; `fragcache check` shows what is wrong with it.',
  ],
  // The response may not be kept.
  status: [
    'The response has a status that is not stored.',
    'Only 200 is stored by default. Add others with the option `statuses` of `responseCache`.',
  ],
  'set-cookie': [
    'The response sets a cookie, which belongs to one visitor.',
    'Set cookies only when they change, not on every page. With express-session: `saveUninitialized: false`, `resave: false`, `rolling: false`.',
  ],
  'no-store': [
    'The response says `Cache-Control: no-store`.',
    'Nothing if you want this. Otherwise look for the middleware that says it for every page.',
  ],
  private: [
    'The response says `Cache-Control: private`: it is per-user.',
    'Nothing if you want this. Otherwise put per-user content in a hole, or load it separately.',
  ],
  'no-cache': [
    'The response says `Cache-Control: no-cache`: it must not be used without asking the handler.',
    'Nothing if you want this. With `rfc9111: true` such a page is stored, and validated each time.',
  ],
  'vary-any': [
    'The response says `Vary: *`: it cannot answer another request.',
    'Name the headers that it varies on, or omit `Vary`.',
  ],
  'vary-unreadable': [
    'The response has a `Vary` header with something that is not a header name.',
    'Write header names, separated by commas.',
  ],
  'content-range': [
    'The response has a `Content-Range`: it is only a part.',
    'Send the whole with 200. The cache cuts parts from the stored page.',
  ],
  trailers: [
    'The response has trailers, which are not stored.',
    'Send headers instead, or do not cache this handler.',
  ],
  'transfer-encoding': [
    'The response has a Transfer-Encoding other than chunked.',
    'Let Node set this header.',
  ],
  'event-stream': [
    'The response is an event stream, which never ends.',
    'Nothing: an event stream cannot be cached.',
  ],
  personal: [
    'The visitor is signed in or has a session, and the page does not say that others may see it.',
    'Let the page vary on Cookie, or say `Cache-Control: public, max-age=…` if everybody may see it, or put per-user content in holes.',
  ],
  'cookies-read': [
    'The request has cookies, and something behind the cache read them, or the page shows a token that is in one. The page may be per-user.',
    'Put sessions, sign-in and cookie parsers in front of the cache, and tokens in holes; or let the page vary on Cookie, or say `Cache-Control: public, max-age=…` if everybody may see it.',
  ],
  'freshness-unreadable': [
    'The freshness time of the response cannot be parsed.',
    'Correct its Cache-Control or Expires header.',
  ],
  'no-freshness': [
    'Neither the response nor the cache gives a freshness time.',
    'Set `seconds` of `responseCache` or `cachePage`, or let the handler send `Cache-Control: max-age`.',
  ],
  stale: [
    'The response had already expired before it could be stored.',
    'Send a longer `max-age`, and check the headers `Age` and `Date`.',
  ],
  'zero-seconds': [
    'The page would be stored for zero seconds.',
    'Set `seconds` to a positive number. Perhaps something in the page had no time left.',
  ],
  'content-length': [
    'The body did not have the length in `Content-Length`.',
    'Correct the header, or let Node set it. This also happens if a client disconnects early.',
  ],
  'too-large': [
    'The body is larger than the option `maxBodyBytes`.',
    'Raise `maxBodyBytes` if the cache can hold it, or do not cache this handler.',
  ],
  head: [
    'It was a HEAD request, which has no body to store.',
    'Nothing: HEAD is answered from the page that a GET stored.',
  ],
  range: [
    'The request asked for a part, and the response may be one.',
    'Nothing: when a request for the whole page has stored it, the cache cuts parts from it.',
  ],
  // The response, or the request, changed on the way.
  incomplete: [
    'The response is incomplete: its source broke off, or the client disconnected.',
    'Look for errors of the handler. If the client disconnected, nothing is wrong.',
  ],
  'method-changed': [
    'The method changed between the look-up and the response.',
    'Put `method-override` in front of the cache.',
  ],
  'no-update-cache': [
    'There was no page, and nothing stores it: `fetchFromCache` has no `updateCache` in front of it.',
    'Use `cacheSite`, put `updateCache` in front of `fetchFromCache`, or give the handler its own `cachePage`.',
  ],
  'trust-changed': [
    'A mounted application has its own `trust proxy`, so that any client could choose the host in the page.',
    'Set `trust proxy` only on the outermost application.',
  ],
  'language-changed': [
    'The language changed between the look-up and the response.',
    'Set the language between `updateCache` and `fetchFromCache`.',
  ],
  'time-zone-changed': [
    'The time zone changed between the look-up and the response.',
    'Set the time zone between `updateCache` and `fetchFromCache`.',
  ],
  'tags-unreadable': [
    'The function `tags` of `cachePage` threw, or returned something that is not a list of strings.',
    'Let it return a list of strings. The warning FRAGCACHE_PAGE_TAGS has the error.',
  ],
  'undeclared-read': [
    'A cached body read per-user data, such as the session or the user, and does not vary on it.',
    'Add it to the fragment’s vary-on values, move it out of the fragment, or put it in a hole.',
  ],
  holes: [
    'The page has a hole that cannot be filled for other visitors, or its text was changed after it was rendered.',
    'Put code that changes the HTML in front of the cache, and set no per-user headers in holes.',
  ],
  'stale-inside': [
    'A fragment in the page was served stale, so the page was not stored.',
    'Nothing: when the fragment is rendered again, the page is stored.',
  ],
  // It was to be stored, and was not.
  invalidated: [
    'The page, or something in it, was invalidated while the handler ran, or may have been.',
    'Nothing: the next one is stored. If this happens every time, something invalidates on every request.',
  ],
  'cache-refused': [
    'The store answers, and did not take the page: mostly since it is full.',
    'Check the limits of the store, such as `maxmemory` and `maxmemory-policy` of Redis; `fragcache check` does.',
  ],
  'entry-too-large': [
    'The page is larger than the store takes.',
    'Raise the limit of the store, such as the item size of Memcached (`-I`), or do not cache this handler.',
  ],
  'too-many-tags': [
    'The page depends on more tags than can be stored.',
    'Give what is in the page fewer, coarser tags.',
  ],
  overtaken: [
    'Another response for this page was stored while this handler ran.',
    'Nothing: that one is served. If handlers take longer than `waitSeconds`, make them faster or raise `waitSeconds`.',
  ],
  busy: [
    'Too many responses of this URL are being stored at the same time.',
    'Nothing: one of them is stored. If this happens often, let the page vary on fewer headers.',
  ],
  // It was answered past its time.
  'max-stale': [
    'The request accepts a stale page, and got one.',
    'Nothing: the client asked for that.',
  ],
  'stale-while-revalidate': [
    'The page was stale. It was served once more, while it is rendered again in the background.',
    'Nothing: `staleWhileRevalidate` is on.',
  ],
  'view-failed': [
    'The handler failed, and an older page was served.',
    'Look at the errors of the handler: `staleIfError` hides them from visitors.',
  ],
}

/** By the code of the cause that `Cache-Status` says of a page that was missing and is now stored. */
const CAUSES: Readonly<Record<MissCode, Told>> = {
  'not-stored': [
    'The page was not stored since this process started. Now it is.',
    'Nothing: the next request finds it.',
  ],
  expired: [
    'The page had expired. Now it is stored again.',
    'Raise `seconds`, and invalidate the page when its data changes.',
  ],
  dropped: [
    'One of the page’s tags was invalidated. Now the page is stored again.',
    'Nothing. If it happens often, use narrower tags, or look for the code that invalidates them.',
  ],
  removed: [
    'The page was removed: by its URL, by its key, or with the whole cache.',
    'Nothing. If it happens often, look for the code that removes it.',
  ],
  evicted: [
    'The page should still be there. The store made room or was restarted, or another process removed it.',
    'Give the store more memory, or store fewer variants.',
  ],
  unusable: [
    'The stored page has a hole that nothing can fill here. Now the page is stored again.',
    'Nothing. If it happens often, your processes have different templates or engines.',
  ],
  'other-version': [
    'The page is stored under another version, or in another cache of the site.',
    'Use the same `alias` wherever this page is cached, and the same `version` and `keyPrefix` in its cache.',
  ],
  'other-variant': [
    'The URL has pages, but none for these request headers, language or time zone.',
    'Let the page vary on fewer headers if there are too many variants.',
  ],
  'store-failed': [
    'The store did not answer.',
    'Look at the outages of the cache: the channel `fragcache:outage`, the log, or the inspector.',
  ],
}

/** Of responses without a reason, by outcome. */
const OUTCOMES: Readonly<Record<string, Told>> = {
  miss: [
    'The page was not in the cache. Now it is.',
    'Nothing. If it happens often, the page has a short timeout or too many variants, or it is evicted.',
  ],
  joined: [
    'Another request was producing the page, and this one got the same.',
    'Nothing: this prevents a stampede.',
  ],
}

const ALL: Readonly<Record<string, Told>> = { ...REASONS, ...CAUSES }

const UNKNOWN: Told = [
  'The response did not come from the cache.',
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
    `The handler failed with ${status}, and an older page was served.`,
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
  if (cause === undefined) return explainReason(outcome, reason)
  if (outcome === 'miss') return { ...explainReason(outcome, cause.code), sentence: cause.text }
  const told = explainReason(outcome, reason)
  return outcome === 'stale' ? { ...told, sentence: `${told.sentence} ${cause.text}` } : told
}

/** All there are, for the help. */
export function allReasons(): readonly Explanation[] {
  return [...Object.entries(OUTCOMES), ...Object.entries(ALL), ['unknown', UNKNOWN] as const].map(
    ([code, told]) => explanation(code, told),
  )
}
