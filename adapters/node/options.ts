import type { HoleEngine } from '../../src/fragment/holes.js'
import type { Coding } from '../../src/http/content-coding.js'
import type { QueryRule } from '../../src/http/query.js'
import type { LockOptions } from '../../src/staleness.js'

/**
 * Options of `responseCache`, whatever its requests and responses are.
 *
 * @typeParam Req - What the site's functions are given as a request.
 */
export interface CommonOptions<Req> {
  /** The cache that keeps the responses. Default `default`. */
  readonly alias?: string | undefined
  /**
   * Seconds for responses that do not say themselves how long they are fresh. Default 600. `null`:
   * only those that do are kept. Zero or less: nothing is.
   */
  readonly seconds?: number | null | undefined
  /** Part of every key, so that sites can share a cache. Default: none. */
  readonly keyPrefix?: string | undefined
  /**
   * The language of a request, as the view will see it. It becomes part of the key, and
   * `Accept-Language` in a response's `Vary` no longer counts.
   */
  readonly language?: ((req: Req) => string | undefined) | undefined
  /** The time zone of a request, as the view will see it. It becomes part of the key. */
  readonly timeZone?: ((req: Req) => string | undefined) | undefined
  /** Larger bodies are passed on, not stored. Default 1 MiB. */
  readonly maxBodyBytes?: number | undefined
  /**
   * Whether a request belongs to one visitor. Its answer is stored, and it is answered from the
   * cache, only where the response says `public`, unless with a time of zero, or varies on `Cookie`.
   * Default: `req.user` or `req.auth` is set, `req.session` holds data or is one that the visitor came
   * with, or something behind the cache reads the visitor's cookies. `false`: no request is.
   */
  readonly isPersonal?: ((req: Req) => boolean) | false | undefined
  /** ServerResponse headers that are made again for each request and not kept, such as a request's id. */
  readonly excludeHeaders?: readonly string[] | undefined
  /** Whether responses say in `Cache-Status` how they came about. Default `true`. */
  readonly cacheStatus?: boolean | undefined
  /** Statuses of responses that may be stored. Default: 200 alone. */
  readonly statuses?: readonly number[] | undefined
  /**
   * Query parameters that are no part of a page's key, and that its view does not see. `ignore`:
   * these, a trailing `*` stands for any ending; `only`: all others. Default: every query is its own
   * page.
   */
  readonly query?: QueryRule | undefined
  /**
   * RFC 9111 to the letter instead of Django's rules: only responses that say how long they are
   * fresh, or when they last changed, any status, `Set-Cookie` too; `no-cache` is kept and validated
   * each time; requests are listened to. Default `false`.
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
   * How long an expired response may be served while one request makes it again: `true`, as long as
   * the response's `stale-while-revalidate` says; or seconds, which are the most it may say, and what
   * counts where it says nothing. Default: not at all; with `rfc9111`, `true`.
   *
   * @see RFC 5861 §3
   */
  readonly staleWhileRevalidate?: boolean | number | undefined
  /** The same for a view that fails (5xx), and `stale-if-error`. @see RFC 5861 §4 */
  readonly staleIfError?: boolean | number | undefined
  /**
   * Seconds for which an expired response with an ETag or a Last-Modified is kept, so that its view
   * can say that nothing changed. Default: as long as it was fresh, a minute at least and an hour at
   * most.
   */
  readonly revalidateSeconds?: number | undefined
  /**
   * Seconds that a request waits at most for another request's view of the same page. Default 5. Zero:
   * each request runs the view.
   */
  readonly waitSeconds?: number | undefined
  /**
   * Codings in which a page is kept besides as it is, the best first: a compressed hit costs no more
   * than a plain one. Default: none. One that this Node has not (`zstd` before 22.15) is left out.
   */
  readonly precompress?: readonly Coding[] | undefined
  /**
   * Whether a page lives no longer than what is in it: fragments, and values read by `getOrSet`.
   * Default `false`.
   */
  readonly bubbleTimeout?: boolean | undefined
  /**
   * Whether one process at a time makes a page, where several share its cache: by a lease, for which
   * others wait as long as `wait` says, 5 seconds unless told otherwise, before they run the view
   * themselves. A lease whose holder died is free after `lease` seconds, 10 unless told otherwise.
   * Default `false`.
   */
  readonly lock?: boolean | LockOptions | undefined
  /**
   * Whether a page that takes long to make is made again a little before its end, by chance and in the
   * background, so that one that is asked for all the time never ends: `true`, or a number by which it
   * gets earlier. Default `false`.
   */
  readonly earlyRefresh?: boolean | number | undefined
}

/**
 * What fills the holes that `nocache` makes in a page, for each visitor again.
 *
 * @remarks A page with holes is sent as `private, no-cache`, and without validators.
 */
export interface HoleOptions<Req, Res> {
  /** What `registerCache` or `cachePlugin` returned, of each engine that renders pages. */
  readonly engines: readonly HoleEngine[]
  /**
   * The variables of the holes, made for each request from what is there before the view: neither
   * what the view gives to `res.render` nor `res.locals` is seen by a hole.
   */
  readonly context: (req: Req, res: Res) => object | Promise<object>
}

/** Options of a page, or of the pages behind one handler. */
export interface PageOptions<Req, Res> {
  /** The alias of another cache. Default: the factory's. */
  readonly cache?: string | undefined
  /** Default: the factory's. */
  readonly keyPrefix?: string | undefined
  /**
   * What the page depends on besides the fragments in it: `invalidateTags` with one of them drops it.
   * A function is asked when the answer is ready; an invalidation in another process while the view
   * runs is then not seen.
   */
  readonly tags?: TagsOf<Req, Res> | undefined
  /** Default: the factory's. Inside `cacheSite` only the factory's counts. */
  readonly earlyRefresh?: boolean | number | undefined
}

/** Tags of a page, or a function that gives them when the answer is ready. */
export type TagsOf<Req, Res> = readonly string[] | ((req: Req, res: Res) => readonly string[])
