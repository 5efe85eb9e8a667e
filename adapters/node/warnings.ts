import { shortKey, type ShortKey } from '../../src/bounded-memo.js'
import { CacheBackendError } from '../../src/errors.js'
import { textOfError } from '../../src/error-text.js'

const warned = new Set<string>()

function warnOnce(code: string, message: string): void {
  if (warned.has(code)) return
  warned.add(code)
  process.emitWarning(`responseCache: ${message}; said once`, {
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

/** More faults than this are not reported. */
const MAX_FAULTS = 1000

const routesWarned = new Set<ShortKey>()

/**
 * The function `tags` of a `cachePage` threw or gave no list: said once for each route and kind of error.
 *
 * @param route - Such as `GET /countries/:code`: not the URL that was requested.
 */
export function warnOfPageTags(route: string, error: unknown): void {
  const fault = shortKey(`${route} ${error instanceof Error ? error.name : typeof error}`, 256)
  if (routesWarned.has(fault) || routesWarned.size >= MAX_FAULTS) return
  routesWarned.add(fault)
  process.emitWarning(
    `cachePage: tags of ${route}: ${textOfError(error)}; its pages are not kept, give a function that returns a list of texts; said once`,
    { type: 'ResponseCacheWarning', code: 'FRAGCACHE_PAGE_TAGS' },
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
