import type { Request, Response } from 'express'
import type { Caches } from '../../src/caches.js'
import { MisuseError, show } from '../../src/errors.js'
import type { HoleEngine } from '../../src/fragment/holes.js'
import { availableCodings } from '../../src/http/compress-body.js'
import type { Coding } from '../../src/http/content-coding.js'
import { isToken } from '../../src/http/header-values.js'
import { compileQueryRule, type QueryRule } from '../../src/http/query.js'
import { toBeta, toLock, type Lock, type LockOptions } from '../../src/staleness.js'
import { checkEntryTags } from '../../src/tags.js'
import { MAX_VARIANTS } from './page-reader.js'
import { receivedFields } from './received.js'

/** Options of {@link responseCache}. */
export interface ResponseCacheOptions {
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
  readonly language?: ((req: Request) => string | undefined) | undefined
  /** The time zone of a request, as the view will see it. It becomes part of the key. */
  readonly timeZone?: ((req: Request) => string | undefined) | undefined
  /** Larger bodies are passed on, not stored. Default 1 MiB. */
  readonly maxBodyBytes?: number | undefined
  /**
   * Whether a request belongs to one visitor. Its answer is stored, and it is answered from the
   * cache, only where the response says `public`, unless with a time of zero, or varies on `Cookie`.
   * Default: `req.user` or `req.auth` is set, `req.session` holds data or is one that the visitor came
   * with, or something behind the cache reads the visitor's cookies. `false`: no request is.
   */
  readonly isPersonal?: ((req: Request) => boolean) | false | undefined
  /** Response headers that are made again for each request and not kept, such as a request's id. */
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
   * Lets templates have `nocache` blocks in cached pages. Default: they are an error there, outside
   * cached fragments too.
   */
  readonly holes?: PageHoleOptions | undefined
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
export interface PageHoleOptions {
  /** What `registerCache` or `cachePlugin` returned, of each engine that renders pages. */
  readonly engines: readonly HoleEngine[]
  /**
   * The variables of the holes, made for each request from what is there before the view: neither
   * what the view gives to `res.render` nor `res.locals` is seen by a hole.
   */
  readonly context: (req: Request, res: Response) => object | Promise<object>
}

/** Options of `cachePage`. */
export interface CachePageOptions {
  /** The alias of another cache. Default: the factory's. */
  readonly cache?: string | undefined
  /** Default: the factory's. */
  readonly keyPrefix?: string | undefined
  /**
   * What the page depends on besides the fragments in it: `invalidateTags` with one of them drops it.
   * A function is asked when the answer is ready; an invalidation in another process while the view
   * runs is then not seen.
   */
  readonly tags?: PageTags | undefined
  /** Default: the factory's. Inside `cacheSite` only the factory's counts. */
  readonly earlyRefresh?: boolean | number | undefined
}

/** Tags of a page, or a function that gives them when the answer is ready. */
export type PageTags = readonly string[] | ((req: Request, res: Response) => readonly string[])

/** The options with their defaults. */
export interface Settings {
  readonly alias: string
  readonly seconds: number | null
  readonly keyPrefix: string
  readonly language: ((req: Request) => string | undefined) | undefined
  readonly timeZone: ((req: Request) => string | undefined) | undefined
  readonly maxBodyBytes: number
  readonly isPersonal: (req: Request) => boolean
  /** In lower case. */
  readonly excludeHeaders: ReadonlySet<string>
  readonly cacheStatus: boolean
  /** Nobody is personal. */
  readonly isImpersonal: boolean
  /** The site has a rule of its own for who is. */
  readonly hasOwnIsPersonal: boolean
  readonly statuses: ReadonlySet<number>
  /** Whether a query parameter is part of the key; `undefined`: all are. */
  readonly keepsParameter: ((name: string) => boolean) | undefined
  readonly rfc9111: boolean
  readonly honorRequestDirectives: boolean
  readonly maxVariants: number
  readonly staleWhileRevalidate: boolean | number
  readonly staleIfError: boolean | number
  readonly revalidateSeconds: number | undefined
  readonly waitSeconds: number
  readonly precompress: readonly Coding[]
  readonly holes: PageHoleOptions | undefined
  readonly bubbleTimeout: boolean
  readonly lock: Lock
  /** Beta of XFetch; 0: not at all. */
  readonly earlyRefresh: number
}

const OPTIONS = [
  'alias',
  'seconds',
  'keyPrefix',
  'language',
  'timeZone',
  'maxBodyBytes',
  'isPersonal',
  'excludeHeaders',
  'cacheStatus',
  'statuses',
  'query',
  'rfc9111',
  'honorRequestDirectives',
  'maxVariants',
  'staleWhileRevalidate',
  'staleIfError',
  'revalidateSeconds',
  'waitSeconds',
  'precompress',
  'holes',
  'bubbleTimeout',
  'lock',
  'earlyRefresh',
]
const PAGE_OPTIONS = ['cache', 'keyPrefix', 'tags', 'earlyRefresh']

/** Three minutes are more than any proxy waits. */
const MAX_WAIT_SECONDS = 180

/**
 * Checks the options and fills in the defaults.
 *
 * @throws TypeError: an option is unknown or of the wrong kind.
 * @throws InvalidCacheBackendError: no cache has the alias.
 */
export function resolveOptions(caches: Caches, options: ResponseCacheOptions): Settings {
  checkCaches(caches)
  checkNames('responseCache', options, OPTIONS)
  const {
    alias = 'default',
    seconds = 600,
    keyPrefix = '',
    language,
    timeZone,
    maxBodyBytes = 1024 * 1024,
    isPersonal = looksPersonal,
    excludeHeaders = [],
    cacheStatus = true,
    statuses = [200],
    query,
    rfc9111 = false,
    honorRequestDirectives = rfc9111,
    maxVariants = MAX_VARIANTS,
    staleWhileRevalidate = rfc9111,
    staleIfError = rfc9111,
    revalidateSeconds,
    waitSeconds = 5,
    precompress = [],
    holes,
    bubbleTimeout = false,
    lock = false,
  } = options
  caches.get(alias)
  checkSeconds('responseCache', seconds)
  checkKeyPrefix('responseCache', keyPrefix)
  checkFunction('language', language, '(req) => req.language')
  checkFunction('timeZone', timeZone, '(req) => req.timeZone')
  if (isPersonal !== false) {
    checkFunction('isPersonal', isPersonal, '(req) => req.user !== undefined, or false')
  }
  if (!Number.isSafeInteger(maxBodyBytes) || maxBodyBytes < 0) {
    refuse('responseCache', 'maxBodyBytes', maxBodyBytes, 'a whole number of bytes, 0 or more')
  }
  checkBoolean('cacheStatus', cacheStatus)
  checkBoolean('rfc9111', rfc9111)
  checkBoolean('honorRequestDirectives', honorRequestDirectives)
  if (!Number.isSafeInteger(maxVariants) || maxVariants < 1) {
    refuse('responseCache', 'maxVariants', maxVariants, 'a whole number, 1 or more')
  }
  checkBoolean('bubbleTimeout', bubbleTimeout)
  checkStale('staleWhileRevalidate', staleWhileRevalidate)
  checkStale('staleIfError', staleIfError)
  if (revalidateSeconds !== undefined && !isDuration(revalidateSeconds)) {
    refuse(
      'responseCache',
      'revalidateSeconds',
      revalidateSeconds,
      'a number of seconds, 0 or more',
    )
  }
  if (!isDuration(waitSeconds) || waitSeconds > MAX_WAIT_SECONDS) {
    const wanted = `a number of seconds from 0 to ${MAX_WAIT_SECONDS}`
    refuse('responseCache', 'waitSeconds', waitSeconds, wanted)
  }
  return {
    alias,
    seconds,
    keyPrefix,
    language,
    timeZone,
    maxBodyBytes,
    isPersonal: isPersonal === false ? () => false : isPersonal,
    isImpersonal: isPersonal === false,
    hasOwnIsPersonal: typeof options.isPersonal === 'function',
    excludeHeaders: resolveHeaderNames(excludeHeaders),
    cacheStatus,
    statuses: resolveStatuses(statuses),
    keepsParameter: query === undefined ? undefined : compileQueryRule(query),
    rfc9111,
    honorRequestDirectives,
    maxVariants,
    staleWhileRevalidate,
    staleIfError,
    revalidateSeconds,
    waitSeconds,
    precompress: resolveCodings(precompress),
    holes: resolveHoles(holes),
    bubbleTimeout,
    lock: resolveLock(lock, waitSeconds),
    earlyRefresh: resolveEarlyRefresh('responseCache', options.earlyRefresh),
  }
}

/**
 * Checks the arguments of `cachePage`.
 *
 * @throws TypeError: `seconds` is none, or an option is unknown or of the wrong kind.
 * @throws InvalidCacheBackendError: no cache has the alias.
 */
export function resolvePageOptions(
  caches: Caches,
  seconds: number | null,
  options: CachePageOptions,
  settings: Settings,
): {
  readonly alias: string
  readonly keyPrefix: string
  readonly tags: readonly string[] | ((req: Request, res: Response) => readonly string[])
  readonly earlyRefresh: number
} {
  if (typeof seconds === 'object' && (seconds as unknown) !== null) {
    const wanted = 'a finite number or null; did you forget to call it: cachePage(60)?'
    refuse('cachePage', 'seconds', seconds, wanted)
  }
  checkSeconds('cachePage', seconds)
  checkNames('cachePage', options, PAGE_OPTIONS)
  const { cache: alias = settings.alias, keyPrefix = settings.keyPrefix, tags = [] } = options
  caches.get(alias)
  checkKeyPrefix('cachePage', keyPrefix)
  const { earlyRefresh } = options
  return {
    alias,
    keyPrefix,
    tags: typeof tags === 'function' ? tags : checkEntryTags(tags),
    earlyRefresh:
      earlyRefresh === undefined
        ? settings.earlyRefresh
        : resolveEarlyRefresh('cachePage', earlyRefresh),
  }
}

/**
 * Whether somebody is known to the site, as far as the usual middlewares tell.
 *
 * @remarks A session that was only just opened does not count. One that holds anything does: what a
 *   visitor did, a flash message, the secret behind a form's token; and so does an empty one that the
 *   visitor came with, since a layer may have taken out what it held in order to show it.
 */
function looksPersonal(req: Request): boolean {
  const { user, auth, session, sessionID } = req as {
    user?: unknown
    auth?: unknown
    session?: unknown
    sessionID?: unknown
  }
  if (isSet(user) || isSet(auth)) return true
  // express-session; it has made another id where the visitor's is not known to it.
  if (typeof sessionID === 'string' && hasCookieWith(req, sessionID)) return true
  if (typeof session !== 'object' || session === null) return false
  // cookie-session
  if ((session as { readonly isNew?: unknown }).isNew === false) return true
  return Object.keys(session).some((name) => name !== 'cookie')
}

function hasCookieWith(req: Request, text: string): boolean {
  const cookie = receivedFields(req)['cookie']
  if (typeof cookie !== 'string' || text === '') return false
  return cookie.includes(text) || cookie.includes(encodeURIComponent(text))
}

function isSet(value: unknown): boolean {
  return value !== undefined && value !== null && value !== false
}

function checkCaches(caches: unknown): void {
  const { get, aliases } = (caches ?? {}) as Partial<Caches>
  if (typeof get === 'function' && aliases !== undefined) return
  throw new MisuseError(
    `responseCache: ${show(caches)} are no caches; give what createCaches returned`,
  )
}

function checkNames(what: string, options: unknown, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null) {
    throw new MisuseError(`${what}: ${show(options)} are no options; give an object`)
  }
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue
    throw new MisuseError(
      `${what}: unknown option ${show(name)}; known options are ${known.join(', ')}`,
    )
  }
}

function checkSeconds(what: string, seconds: unknown): void {
  if (seconds === null || (typeof seconds === 'number' && Number.isFinite(seconds))) return
  refuse(what, 'seconds', seconds, 'a finite number or null')
}

function checkKeyPrefix(what: string, keyPrefix: unknown): void {
  if (typeof keyPrefix !== 'string') refuse(what, 'keyPrefix', keyPrefix, 'a text')
}

function checkFunction(name: string, value: unknown, example: string): void {
  if (value === undefined || typeof value === 'function') return
  refuse('responseCache', name, value, `a function such as ${example}`)
}

function checkBoolean(name: string, value: unknown): void {
  if (typeof value !== 'boolean') refuse('responseCache', name, value, 'true or false')
}

function isDuration(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0
}

function checkStale(name: string, value: unknown): void {
  if (typeof value === 'boolean' || isDuration(value)) return
  refuse('responseCache', name, value, 'true, false or a number of seconds, 0 or more')
}

/** Parts of a whole, and answers to conditions, are no pages. */
const UNSTORABLE_STATUSES: readonly number[] = [206, 304, 412]

function resolveStatuses(statuses: unknown): ReadonlySet<number> {
  if (!Array.isArray(statuses)) {
    return refuse('responseCache', 'statuses', statuses, 'a list such as [200, 404]')
  }
  for (const status of statuses as unknown[]) {
    const isFinal =
      Number.isInteger(status) && (status as number) >= 200 && (status as number) < 600
    if (isFinal && !UNSTORABLE_STATUSES.includes(status as number)) continue
    refuse(
      'responseCache',
      'statuses',
      status,
      'a status from 200 to 599 other than 206, 304 and 412',
    )
  }
  return new Set(statuses as number[])
}

const CODINGS: readonly Coding[] = ['br', 'gzip', 'zstd']

function resolveCodings(codings: unknown): readonly Coding[] {
  if (!Array.isArray(codings)) {
    return refuse('responseCache', 'precompress', codings, "a list such as ['br', 'gzip']")
  }
  for (const coding of codings as unknown[]) {
    if (CODINGS.includes(coding as Coding)) continue
    refuse('responseCache', 'precompress', coding, `one of ${CODINGS.join(', ')}`)
  }
  return availableCodings([...new Set(codings as Coding[])])
}

function resolveLock(lock: unknown, waitSeconds: number): Lock {
  if (typeof lock !== 'boolean' && (typeof lock !== 'object' || lock === null)) {
    refuse('responseCache', 'lock', lock, 'true, false or an object such as { wait: 5, lease: 10 }')
  }
  let resolved: Lock
  try {
    resolved = toLock(lock)
  } catch (error) {
    throw new MisuseError(`responseCache: ${(error as Error).message}`)
  }
  if (resolved !== false && waitSeconds === 0) {
    throw new MisuseError(
      'responseCache: lock: with waitSeconds 0 each request runs the view; leave one of the two out',
    )
  }
  return resolved
}

function resolveEarlyRefresh(what: string, earlyRefresh: unknown): number {
  try {
    return toBeta(earlyRefresh)
  } catch (error) {
    throw new MisuseError(`${what}: ${(error as Error).message}`)
  }
}

function resolveHoles(holes: unknown): PageHoleOptions | undefined {
  if (holes === undefined) return undefined
  const example =
    'an object such as { engines: [registerCache(env, caches)], context: (req) => ({ user: req.user }) }'
  if (typeof holes !== 'object' || holes === null) {
    return refuse('responseCache', 'holes', holes, example)
  }
  checkNames('responseCache: holes', holes, ['engines', 'context'])
  const { engines, context } = holes as Partial<PageHoleOptions>
  if (!Array.isArray(engines) || engines.length === 0) {
    return refuse(
      'responseCache',
      'holes.engines',
      engines,
      'a list such as [registerCache(env, caches)]',
    )
  }
  for (const engine of engines as unknown[]) {
    if (typeof (engine as Partial<HoleEngine> | null)?.holes === 'function') continue
    refuse('responseCache', 'holes.engines', engine, 'what registerCache or cachePlugin returned')
  }
  if (typeof context !== 'function') {
    return refuse(
      'responseCache',
      'holes.context',
      context,
      'a function such as (req) => ({ user: req.user })',
    )
  }
  return { engines: [...(engines as readonly HoleEngine[])], context }
}

function resolveHeaderNames(names: unknown): ReadonlySet<string> {
  if (!Array.isArray(names)) {
    return refuse('responseCache', 'excludeHeaders', names, "a list such as ['X-Request-Id']")
  }
  for (const name of names as unknown[]) {
    if (typeof name === 'string' && isToken(name)) continue
    refuse('responseCache', 'excludeHeaders', name, 'the name of a header')
  }
  return new Set((names as string[]).map((name) => name.toLowerCase()))
}

function refuse(what: string, name: string, value: unknown, wanted: string): never {
  throw new MisuseError(`${what}: ${name}: ${show(value)} is not ${wanted}`)
}
