import type { HoleEngine } from '../../src/fragment/holes.js'
import type { Coding } from '../../src/http/content-coding.js'
import type { QueryRule } from '../../src/http/query.js'
import type { LockOptions } from '../../src/staleness.js'

/**
 * Options of `responseCache`, whatever its requests and responses are.
 *
 * @typeParam Req - What the site's functions are given as a request.
 * @typeParam A - The aliases that there are.
 */
export interface CommonOptions<Req, A extends string = string> {
  /** The cache that keeps the responses. Default `default`. */
  readonly alias?: A | undefined
  /**
   * Seconds for responses that do not say how long they are fresh. Default 600. `null`: only responses
   * that say so are stored. Zero or less: none of the others is.
   */
  readonly seconds?: number | null | undefined
  /** Part of every key, so that sites can share a cache. Default: none. */
  readonly keyPrefix?: string | undefined
  /**
   * The language of a request, as the handler will see it. It becomes part of the key, and
   * `Accept-Language` in a response's `Vary` no longer counts.
   */
  readonly language?: ((req: Req) => string | undefined) | undefined
  /** The time zone of a request, as the handler will see it. It becomes part of the key. */
  readonly timeZone?: ((req: Req) => string | undefined) | undefined
  /** Larger bodies are passed on, not stored. Default 1 MiB. */
  readonly maxBodyBytes?: number | undefined
  /**
   * Whether a request is per-user. Its response is stored, and it is answered from the cache, only where the
   * response says `public` (with a time above zero, if it names one) or varies on `Cookie`. Default:
   * `req.user` or `req.auth` is set, `req.session` holds data or existed before this request, or a layer
   * behind the cache reads the request's cookies. `false`: no request is.
   */
  readonly isPersonal?: ((req: Req) => boolean) | false | undefined
  /**
   * Names of what differs per visitor in what templates are given: `['user', 'session.cart']`. A page whose template
   * reads one outside of its nocache blocks, and finds something there, is not stored unless it says `Vary: Cookie`
   * or `Vary: Authorization`. Of the engines whose tags are registered; of fragments they have an option of the same
   * name. Default: none.
   */
  readonly personal?: readonly string[] | undefined
  /**
   * Whether such a read, of a page that is to be kept, throws in its template in place of keeping the page from being
   * stored. Default: with `personal`, unless `NODE_ENV` is `production`; without it, for what `guard(req)` finds, `false`.
   */
  readonly strict?: boolean | undefined
  /** Response headers that are not stored, since they are set for each request, such as a request's id. */
  readonly excludeHeaders?: readonly string[] | undefined
  /** Whether responses have a `Cache-Status`, which says how they came about. Default `true`. @see RFC 9211 */
  readonly cacheStatus?: boolean | undefined
  /** Statuses of responses that may be stored. Default: 200 alone. */
  readonly statuses?: readonly number[] | undefined
  /**
   * Query parameters that are not part of a page's key and are removed before its handler runs. `ignore`:
   * these, where a trailing `*` stands for any ending; `only`: all others. Default: each query has its own
   * page.
   */
  readonly query?: QueryRule | undefined
  /**
   * RFC 9111 to the letter instead of Django's rules: stored are responses that say how long they are fresh,
   * or when they last changed, whatever their status, and with `Set-Cookie` too; `no-cache` is stored and
   * validated each time; the `Cache-Control` of requests counts. Default `false`.
   *
   * @see RFC 9111
   */
  readonly rfc9111?: boolean | undefined
  /**
   * Whether the `Cache-Control` of requests counts (`no-cache`, `no-store`, `max-age`, `max-stale`,
   * `min-fresh`, `only-if-cached`). Default: only with `rfc9111`.
   *
   * @see RFC 9111 §5.2.1
   */
  readonly honorRequestDirectives?: boolean | undefined
  /** Variants of one URL that are kept, for `Vary`; the oldest goes. Default 256. */
  readonly maxVariants?: number | undefined
  /**
   * How long an expired response may be served while it is rendered again in the background. `true`: as long
   * as its `stale-while-revalidate` says. Seconds: the most that counts of what it says, and the time where
   * it says nothing. Default: not at all; with `rfc9111`, `true`.
   *
   * @see RFC 5861 §3
   */
  readonly staleWhileRevalidate?: boolean | number | undefined
  /** The same where the handler fails (5xx), with `stale-if-error`. @see RFC 5861 §4 */
  readonly staleIfError?: boolean | number | undefined
  /**
   * Seconds for which an expired response with an `ETag` or a `Last-Modified` is kept, so that its handler can
   * confirm it with a 304. Default: as long as it was fresh, at least a minute and at most an hour.
   */
  readonly revalidateSeconds?: number | undefined
  /**
   * Seconds that a request waits at most while the handler runs for another request of the same page.
   * Default 5. Zero: the handler runs for each request.
   */
  readonly waitSeconds?: number | undefined
  /**
   * Milliseconds that a handler may take until it begins its response. Then an older page is sent, where
   * `staleIfError` allows it, and otherwise the request fails with a `ProducerTimeoutError` (in Express through
   * `next`, with the status 504; elsewhere with a 504 of its own). What the handler writes after that answer is dropped.
   * `null`: without end (the default).
   */
  readonly producerTimeoutMs?: number | null | undefined
  /**
   * Codings in which a page is also stored, the best first: a compressed hit then costs no more than a plain
   * one. Default: none. A coding that this version of Node lacks (`zstd` before 22.15) is left out.
   */
  readonly precompress?: readonly Coding[] | undefined
  /**
   * Whether a page ends as soon as one of the fragments and `getOrSet` values in it ends.
   * Default `false`.
   */
  readonly bubbleTimeout?: boolean | undefined
  /**
   * Whether only one process at a time runs the handler of a page, where several share its cache. It holds a
   * lease; the others wait `wait` seconds (default 5) for its page before they run the handler too. The lease
   * of a process that died is free after `lease` seconds (default 10). Default `false`.
   */
  readonly lock?: boolean | LockOptions | undefined
  /**
   * Whether a page that takes long to render is rendered again in the background a little before it expires,
   * by chance, so that a page that is requested all the time never expires. A number above 1 makes that
   * earlier, one below 1 later; `true` is 1. Default `false`.
   */
  readonly earlyRefresh?: boolean | number | undefined
}

/**
 * What fills the holes that `nocache` blocks leave in a page, on each request.
 *
 * @remarks A page with holes is sent with `Cache-Control: private, no-cache` and without validators.
 */
export interface HoleOptions<Req, Res> {
  /** What `registerCache` or `cachePlugin` returned, for each engine that renders pages. */
  readonly engines: readonly HoleEngine[]
  /**
   * Gives the variables of the holes, for each request, before its handler runs: a hole sees neither what the
   * handler passes to `res.render` nor what it adds to `res.locals`.
   */
  readonly context: (req: Req, res: Res) => object | Promise<object>
}

/** Options of a page, or of the pages behind one handler. */
export interface PageOptions<Req, Res, A extends string = string> {
  /** The alias of another cache. Default: that of `responseCache`. */
  readonly cache?: A | undefined
  /** Default: that of `responseCache`. */
  readonly keyPrefix?: string | undefined
  /**
   * Tags of the page, besides those of the fragments in it: `invalidateTags` with one of them drops the page.
   * A function is called when the response is ready; an invalidation by another process while the handler
   * runs is then not noticed.
   */
  readonly tags?: TagsOf<Req, Res> | undefined
  /** Default: that of `responseCache`, which alone counts inside of `cacheSite`. */
  readonly earlyRefresh?: boolean | number | undefined
}

/** Tags of a page, or a function that gives them when the response is ready. */
export type TagsOf<Req, Res> = readonly string[] | ((req: Req, res: Res) => readonly string[])
