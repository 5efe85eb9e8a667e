import type { HoleEngine } from '../../src/fragment/holes.js'
import type { Coding } from '../../src/http/content-coding.js'
import type { QueryRule } from '../../src/http/query.js'
import type { LockOptions } from '../../src/staleness.js'

/**
 * Options of `responseCache`, for requests and responses of any kind.
 *
 * @typeParam Req - The request that the site's functions receive.
 * @typeParam A - The configured aliases.
 */
export interface CommonOptions<Req, A extends string = string> {
  /** The alias of the cache that stores the responses. Default `default`. */
  readonly alias?: A | undefined
  /**
   * Seconds for responses that do not say how long they are fresh. Default 600. `null`: only responses that
   * do say so are stored. Zero or less: the others are not stored.
   */
  readonly seconds?: number | null | undefined
  /** A part of every key, so that sites can share a cache. Default: none. */
  readonly keyPrefix?: string | undefined
  /**
   * Returns the language of a request, as the handler will see it. The language becomes part of the key, and
   * `Accept-Language` in a response's `Vary` no longer counts.
   */
  readonly language?: ((req: Req) => string | undefined) | undefined
  /**
   * Returns the time zone of a request, as the handler will see it. The time zone becomes part of the key.
   */
  readonly timeZone?: ((req: Req) => string | undefined) | undefined
  /** Maximum size of a stored body. Larger bodies are sent but not stored. Default 1 MiB. */
  readonly maxBodyBytes?: number | undefined
  /**
   * Whether a request is per-user. A per-user request uses the cache, and its response is stored, only if the
   * response says `public` (with a time above zero, if it names one) or varies on `Cookie`. Default: a
   * request is per-user if `req.user` or `req.auth` is set, if `req.session` holds data or existed before
   * this request, or if a layer behind the cache reads the request's cookies. `false`: no request is. A page
   * that shows a token of the request's cookies, or whose user was set behind the cache, is never shared.
   */
  readonly isPersonal?: ((req: Req) => boolean) | false | undefined
  /**
   * Names of the template variables that differ per visitor: `['user', 'session.cart']`. If a template reads
   * one of them outside of its nocache blocks and finds a value, the page is not stored unless it says
   * `Vary: Cookie` or `Vary: Authorization`. This applies to engines whose tags are registered. Their option
   * of the same name applies to fragments. Default: none; in development a page that is kept and shows one of
   * the engine's names, or of the usual ones, is warned of. `[]`: nothing differs.
   */
  readonly personal?: readonly string[] | undefined
  /**
   * Whether such a read, in a page that would be stored, throws in its template. Otherwise the page is only
   * not stored. Default: with `personal`, `true` unless `NODE_ENV` is `production`; without it, `false` for
   * what `guard(req)` finds.
   */
  readonly strict?: boolean | undefined
  /**
   * Response headers that are not stored because they are set for each request, such as a request's id.
   */
  readonly excludeHeaders?: readonly string[] | undefined
  /**
   * Whether responses have a `Cache-Status` header, which explains their outcome. Default `true`. @see RFC
   * 9211
   */
  readonly cacheStatus?: boolean | undefined
  /** The statuses of responses that may be stored. Default: 200 alone. */
  readonly statuses?: readonly number[] | undefined
  /**
   * Query parameters that are not part of a page's key. They are removed before its handler runs. `ignore`:
   * removes these; a trailing `*` stands for any ending. `only`: removes all others. Default: each query has
   * its own page.
   */
  readonly query?: QueryRule | undefined
  /**
   * Whether the cache follows RFC 9111 to the letter instead of Django's rules. It then stores responses that
   * say how long they are fresh or when they last changed, whatever their status, also with `Set-Cookie`. It
   * stores `no-cache` responses and validates them each time. The `Cache-Control` of requests counts. Default
   * `false`.
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
  /**
   * Maximum number of variants of one URL, for `Vary`. The oldest variant is dropped first. Default 256.
   */
  readonly maxVariants?: number | undefined
  /**
   * How long an expired response may be served while it is rendered again in the background. `true`: as long
   * as its `stale-while-revalidate` says. A number: seconds; it caps what the response says, and applies if
   * the response says nothing. Default: not at all; with `rfc9111`, `true`.
   *
   * @see RFC 5861 §3
   */
  readonly staleWhileRevalidate?: boolean | number | undefined
  /**
   * Like `staleWhileRevalidate`, but for when the handler fails (5xx), with `stale-if-error`. @see RFC 5861
   * §4
   */
  readonly staleIfError?: boolean | number | undefined
  /**
   * Seconds for which an expired response with an `ETag` or a `Last-Modified` is kept, so that its handler
   * can confirm it with a 304. Default: as long as it was fresh, at least a minute and at most an hour.
   */
  readonly revalidateSeconds?: number | undefined
  /**
   * Maximum number of seconds that a request waits while the handler runs for another request of the same
   * page. Default 5. Zero: the handler runs for each request.
   */
  readonly waitSeconds?: number | undefined
  /**
   * Milliseconds that a handler may take before it begins its response. After that, an older page is sent if
   * `staleIfError` allows it. Otherwise the request fails with a `ProducerTimeoutError`: in Express through
   * `next`, with the status 504; elsewhere the cache answers with a 504. What the handler writes after that
   * answer is dropped. `null`: no limit (the default).
   */
  readonly producerTimeoutMs?: number | null | undefined
  /**
   * Codings in which a page is also stored, the best first. A compressed hit then costs no more than a plain
   * one. Default: none. A coding that this version of Node lacks (`zstd` before 22.15) is ignored.
   */
  readonly precompress?: readonly Coding[] | undefined
  /**
   * Whether a page expires as soon as one of the fragments and `getOrSet` values in it does. Default `false`.
   */
  readonly bubbleTimeout?: boolean | undefined
  /**
   * Whether only one process at a time runs the handler of a page, if several share its cache. That process
   * holds a lease. The others wait `wait` seconds (default 5) for its page before they run the handler too.
   * If the process dies, its lease ends after `lease` seconds (default 10). Default `false`.
   */
  readonly lock?: boolean | LockOptions | undefined
  /**
   * Whether a page that takes long to render is rendered again in the background shortly before it expires,
   * at random, so that a page under constant load never expires. A number above 1 makes that earlier, one
   * below 1 later; `true` is 1. Default `false`.
   */
  readonly earlyRefresh?: boolean | number | undefined
}

/**
 * Fills the holes that `nocache` blocks leave in a page, on each request.
 *
 * @remarks A page with holes is sent with `Cache-Control: private, no-cache` and without validators.
 */
export interface HoleOptions<Req, Res> {
  /** What `registerCache` or `cachePlugin` returned, for each engine that renders pages. */
  readonly engines: readonly HoleEngine[]
  /**
   * Returns the variables of the holes. It is called for each request, before the handler runs. A hole sees
   * neither what the handler passes to `res.render` nor what the handler adds to `res.locals`.
   */
  readonly context: (req: Req, res: Res) => object | Promise<object>
}

/** Options of a page, or of the pages behind one handler. */
export interface PageOptions<Req, Res, A extends string = string> {
  /** The alias of another cache. Default: that of `responseCache`. */
  readonly cache?: A | undefined
  /** The key prefix. Default: that of `responseCache`. */
  readonly keyPrefix?: string | undefined
  /**
   * Tags of the page, in addition to those of the fragments in it. `invalidateTags` with one of them drops
   * the page. A function is called when the response is ready. The page is then stored only if none of its tags
   * was invalidated since the handler began, by any process.
   */
  readonly tags?: TagsOf<Req, Res> | undefined
  /**
   * As in `responseCache`. Default: that of `responseCache`. Inside `cacheSite`, only that one counts.
   */
  readonly earlyRefresh?: boolean | number | undefined
}

/** Tags of a page, or a function that returns them when the response is ready. */
export type TagsOf<Req, Res> = readonly string[] | ((req: Req, res: Res) => readonly string[])
