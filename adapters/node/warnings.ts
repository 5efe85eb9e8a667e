import { shortKey, type ShortKey } from '../../src/bounded-memo.js'
import { CacheBackendError, show } from '../../src/errors.js'
import { textOfError } from '../../src/error-text.js'

const warned = new Set<string>()

function warnOnce(code: string, message: string): void {
  if (warned.has(code)) return
  warned.add(code)
  process.emitWarning(`responseCache: ${message}; reported once`, {
    type: 'ResponseCacheWarning',
    code,
  })
}

/** An error in the cache itself: reported and not thrown, since the page is sent without the cache. */
export function warnOfFault(error: unknown): void {
  const message = `an unexpected error, pages may not be cached: ${textOfError(error)}`
  warnOnce('FRAGCACHE_RESPONSE_CACHE', message)
}

/** For errors of a cache, which has reported its outage itself. */
export function ignoreOutage(error: unknown): void {
  if (!(error instanceof CacheBackendError)) warnOfFault(error)
}

/** More than this is not said of routes. */
const MAX_OF_ROUTES = 1000

const routesWarned = new Set<ShortKey>()

/** @param subject - What it is said of, once: a route and what is wrong with it. */
function warnOfRoute(code: string, subject: string, message: string): void {
  const key = shortKey(`${code} ${subject}`, 256)
  if (routesWarned.has(key) || routesWarned.size >= MAX_OF_ROUTES) return
  routesWarned.add(key)
  process.emitWarning(message, { type: 'ResponseCacheWarning', code })
}

/**
 * The function `tags` of a `cachePage` threw or gave no list: said once for each route and kind of error.
 *
 * @param route - Such as `GET /countries/:code`: not the URL that was requested.
 */
export function warnOfPageTags(route: string, error: unknown): void {
  warnOfRoute(
    'FRAGCACHE_PAGE_TAGS',
    `${route} ${error instanceof Error ? error.name : typeof error}`,
    `cachePage: tags of ${route}: ${textOfError(error)}; its pages are not kept, give a function that returns a list of strings; reported once`,
  )
}

/**
 * A handler failed, and the older page cannot take its place since what fills its holes fails too: the visitor gets the
 * handler's failure, which says nothing of this one.
 *
 * @param route - Such as `GET /countries/:code`.
 */
export function warnOfOlderHoles(route: string, error: unknown): void {
  warnOfRoute(
    'FRAGCACHE_OLDER_HOLES',
    `${route} ${error instanceof Error ? error.name : typeof error}`,
    `responseCache: ${route}: its handler failed, and the older page could not be sent in its place, since a hole in it or the function \`context\` failed too: ${textOfError(error)}; reported once for each route and kind of error`,
  )
}

/**
 * A page was not stored since its visitor became known behind the cache.
 *
 * @param route - Such as `GET /countries/:code`.
 * @param sign - What the visitor is known by, such as `req.session`.
 */
export function warnOfVisitorBehind(route: string, sign: string): void {
  warnOfRoute(
    'FRAGCACHE_VISITOR_BEHIND_CACHE',
    route,
    `responseCache: ${route}: a page was not stored, since ${sign} came from a layer behind the cache, which did not know the visitor when it was asked; put sessions and sign-ins in front: app.use(session(…)), then app.use(pages.cacheSite()), or app.get(path, signIn, pages.cachePage(60), handler); reported once for each route`,
  )
}

/**
 * A page was not stored since its response sets cookies: once for each cookie, since a layer that sets one
 * mostly does so on every route. Not in production, where it is how the site is.
 *
 * @param route - Such as `GET /countries/:code`.
 * @param fields - The fields of `Set-Cookie`.
 */
export function warnOfSetCookie(route: string, fields: readonly string[]): void {
  if (process.env['NODE_ENV'] === 'production') return
  for (const field of fields) {
    const name = field.split('=', 1)[0] as string
    warnOfRoute(
      'FRAGCACHE_SET_COOKIE',
      name,
      `responseCache: ${route}: a page was not stored, since its response sets the cookie ${show(name)}; set a cookie only when it changes, with express-session by saveUninitialized: false, resave: false and rolling: false; reported once for each cookie`,
    )
  }
}

/** @param route - Such as `GET /countries/:code`. */
export function warnOfPageBehind(route: string): void {
  warnOfRoute(
    'FRAGCACHE_CACHE_BEHIND_HANDLER',
    route,
    `cachePage: ${route}: it is behind the handler, which has answered without it, so that nothing is cached; put it in front: app.get(path, pages.cachePage(60), handler); reported once for each route`,
  )
}

/** @param half - The one that did not find the other. */
export function warnOfHalf(route: string, half: 'updateCache' | 'fetchFromCache'): void {
  const fault =
    half === 'updateCache'
      ? 'updateCache has no fetchFromCache behind it'
      : 'fetchFromCache has no updateCache in front of it'
  warnOfRoute(
    'FRAGCACHE_HALF_CACHE',
    `${route} ${half}`,
    `responseCache: ${route}: nothing is cached, since ${fault}; write app.use(pages.updateCache()), then app.use(pages.fetchFromCache()), or app.use(pages.cacheSite()) in place of both; reported once`,
  )
}

export function warnOfNonce(): void {
  const message =
    'a page with a nonce in its Content-Security-Policy is stored, and a nonce that many get is none; use hashes instead'
  warnOnce('FRAGCACHE_CSP_NONCE', message)
}

export function warnOfTrust(): void {
  const message =
    'a page is not stored, since it was keyed under one `trust proxy` and made by a mounted application under another, which takes X-Forwarded-Host or X-Forwarded-Proto of any client; set `trust proxy` on the outermost application alone'
  warnOnce('FRAGCACHE_TRUST_PROXY', message)
}

export function warnOfHolesInFront(): void {
  const message =
    'the option `holes` needs the cache inside the application, where the visitor is known; use cacheSite or cachePage there, the listener in front hands everything on'
  warnOnce('FRAGCACHE_HOLES_IN_FRONT', message)
}
