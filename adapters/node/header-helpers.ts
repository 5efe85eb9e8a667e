import type { OutgoingHttpHeader, ServerResponse } from 'node:http'
import { currentMs } from '../../src/current-time.js'
import { MisuseError, show } from '../../src/errors.js'
import { formatHttpDate } from '../../src/http/http-date.js'
import {
  patchedCacheControl,
  readDirectives,
  type CacheControlDirectives,
  type NewDirective,
} from '../../src/http/patch-cache-control.js'
import {
  maxAgeOf,
  patchedVary,
  readHeaderNames,
  readSecondsToKeep,
  varyIncludes,
} from '../../src/http/patch-headers.js'
import type { Middleware } from './middleware.js'
import { onHead } from './taken-headers.js'

/** A response whose headers are not sent yet: one of Express or of `node:http`. */
export interface HeadersOfResponse {
  /** Like `getHeader` of `node:http`. */
  getHeader(name: string): OutgoingHttpHeader | undefined
  /** Like `setHeader` of `node:http`. */
  setHeader(name: string, value: string): unknown
  /** Like `hasHeader` of `node:http`. */
  hasHeader(name: string): boolean
}

/**
 * Adds directives to a response's `Cache-Control`.
 *
 * @param directives - In camel case; see {@link CacheControlDirectives}. Present directives stay, but
 *   `public` and `private` replace each other, and of two values of `max-age` the smaller is sent.
 * @throws TypeError: a directive is unknown or has an invalid value, or `res` is not a response.
 * @remarks A present `max-age` that cannot be read counts as 0; Django throws.
 * @see Django 6.1, `django.utils.cache.patch_cache_control`
 */
export function patchCacheControl(
  res: HeadersOfResponse,
  directives: CacheControlDirectives,
): void {
  checkResponse('patchCacheControl', res)
  const read = readDirectives('patchCacheControl', directives)
  res.setHeader('Cache-Control', patchedCacheControl(res.getHeader('Cache-Control'), read))
}

/**
 * Adds names to a response's `Vary`, each once, whatever its case. `*` replaces all names.
 *
 * @throws TypeError: a name is not the name of a header, or `res` is not a response.
 * @see Django 6.1, `django.utils.cache.patch_vary_headers`
 */
export function patchVaryHeaders(res: HeadersOfResponse, names: readonly string[]): void {
  checkResponse('patchVaryHeaders', res)
  const read = readHeaderNames('patchVaryHeaders', names)
  res.setHeader('Vary', patchedVary(res.getHeader('Vary'), read))
}

/**
 * Sets how long a response may be kept: sets `Expires` unless it is present, and `max-age` unless a smaller
 * one is present.
 *
 * @param seconds - Less than zero counts as zero. Omitted or `null`: 600, as Django's
 *   `CACHE_MIDDLEWARE_SECONDS`.
 * @throws TypeError: `seconds` is not a number, or `res` is not a response.
 * @see Django 6.1, `django.utils.cache.patch_response_headers`
 */
export function patchResponseHeaders(res: HeadersOfResponse, seconds?: number | null): void {
  checkResponse('patchResponseHeaders', res)
  const toKeep = readSecondsToKeep('patchResponseHeaders', seconds)
  if (!res.hasHeader('Expires')) {
    res.setHeader('Expires', formatHttpDate(currentMs() + toKeep * 1000))
  }
  patchCacheControl(res, { maxAge: toKeep })
}

/**
 * Keeps a response out of every cache, this one and those behind it: `Cache-Control` gets
 * `max-age=0, no-cache, no-store, must-revalidate, private`, and `Expires` is now, unless it is set.
 *
 * @throws TypeError: `res` is not a response.
 * @see Django 6.1, `django.utils.cache.add_never_cache_headers`
 */
export function addNeverCacheHeaders(res: HeadersOfResponse): void {
  checkResponse('addNeverCacheHeaders', res)
  patchResponseHeaders(res, 0)
  patchCacheControl(res, { noCache: true, noStore: true, mustRevalidate: true, private: true })
}

/**
 * Returns the `max-age` of a response.
 *
 * @returns Seconds; `undefined` if there is none, or if it is not a whole number.
 * @throws TypeError: `res` is not a response.
 * @see Django 6.1, `django.utils.cache.get_max_age`
 */
export function getMaxAge(res: HeadersOfResponse): number | undefined {
  checkResponse('getMaxAge', res)
  return maxAgeOf(res.getHeader('Cache-Control'))
}

/**
 * Whether a response's `Vary` names a header, in any case. `*` names only itself.
 *
 * @throws TypeError: `name` is not a text, or `res` is not a response.
 * @see Django 6.1, `django.utils.cache.has_vary_header`
 */
export function hasVaryHeader(res: HeadersOfResponse, name: string): boolean {
  checkResponse('hasVaryHeader', res)
  if (typeof name !== 'string') {
    throw new MisuseError(`hasVaryHeader: ${show(name)} is not a header name; give a string`)
  }
  return varyIncludes(res.getHeader('Vary'), name)
}

/** @throws TypeError: what was given is no response. */
export function checkResponse(caller: string, res: unknown): void {
  const { getHeader, setHeader, hasHeader } = (res ?? {}) as Partial<HeadersOfResponse>
  if ([getHeader, setHeader, hasHeader].every((method) => typeof method === 'function')) return
  throw new MisuseError(
    `${caller}: ${show(res)} is not a response; give the res of Express or node:http`,
  )
}

/**
 * Creates a middleware that adds directives to the `Cache-Control` of responses from the layers inside it.
 *
 * @param directives - In camel case; see {@link CacheControlDirectives}.
 * @returns A middleware. It adds to what the handler has set, just before the headers are sent. A cache
 *   around it obeys the result.
 * @throws TypeError: a directive is unknown or has an invalid value.
 * @remarks A response with status 400 or more gets only restricting directives, so that an error is not kept
 *   for as long as a page. In Django an exception bypasses the decorator; Express does not say whether an
 *   error handler answers.
 * @see Django 6.1, `django.views.decorators.cache.cache_control`
 */
export function cacheControl(directives: CacheControlDirectives): Middleware {
  const all = readDirectives('cacheControl', directives).map(withNumber)
  const restrictions = all.filter(isRestriction)
  return function cacheControlMiddleware(_req, res, next) {
    whenSent('cacheControl', res, () => {
      const isError = res.statusCode >= 400
      if (isError && restrictions.length === 0) return
      const present = res.getHeader('Cache-Control')
      const added = isError ? restrictions : all
      res.setHeader('Cache-Control', patchedCacheControl(present, added, 'cacheControl'))
    })
    next()
  }
}

/** A text for `max-age` is refused here, since it could not be refused while the headers are sent. */
function withNumber({ name, value }: NewDirective): NewDirective {
  if (name.toLowerCase() !== 'max-age' || typeof value !== 'string') return { name, value }
  if (/^\d+$/.test(value)) return { name, value: Number(value) }
  throw new MisuseError(
    `cacheControl: maxAge: ${show(value)} is not a number of seconds; give one such as 3600`,
  )
}

const WIDENING = new Set([
  'public',
  'immutable',
  's-maxage',
  'stale-while-revalidate',
  'stale-if-error',
])

function isRestriction({ name, value }: NewDirective): boolean {
  const lower = name.toLowerCase()
  if (lower === 'max-age') return Number(value) <= 0
  return value !== false && !WIDENING.has(lower)
}

/**
 * Creates a middleware that keeps responses from the layers inside it out of every cache, including one
 * around it.
 *
 * @see Django 6.1, `django.views.decorators.cache.never_cache`
 * @see {@link addNeverCacheHeaders}
 */
export function neverCache(): Middleware
export function neverCache(...given: readonly unknown[]): Middleware {
  refuseArguments('neverCache', given)
  return function neverCacheMiddleware(_req, res, next) {
    whenSent('neverCache', res, () => addNeverCacheHeaders(res))
    next()
  }
}

/**
 * Creates a middleware that adds names to the `Vary` of responses from the layers inside it. A cache around
 * it keeps a page for each combination of values of these headers.
 *
 * @throws TypeError: there is no name, or one is not the name of a header.
 * @see Django 6.1, `django.views.decorators.vary.vary_on_headers`
 */
export function varyOnHeaders(...names: readonly string[]): Middleware {
  const read = readHeaderNames('varyOnHeaders', names)
  if (read.length === 0) {
    throw new MisuseError("varyOnHeaders: no header is named; give one such as 'Accept-Language'")
  }
  return function varyOnHeadersMiddleware(_req, res, next) {
    addToVary('varyOnHeaders', res, read)
    next()
  }
}

/**
 * Creates a middleware that adds `Cookie` to the `Vary` of responses from the layers inside it, so that a
 * cache around it keeps separate pages for each visitor.
 *
 * @see Django 6.1, `django.views.decorators.vary.vary_on_cookie`
 */
export function varyOnCookie(): Middleware
export function varyOnCookie(...given: readonly unknown[]): Middleware {
  refuseArguments('varyOnCookie', given)
  return function varyOnCookieMiddleware(_req, res, next) {
    addToVary('varyOnCookie', res, ['Cookie'])
    next()
  }
}

function addToVary(caller: string, res: ServerResponse, names: readonly string[]): void {
  whenSent(caller, res, () => res.setHeader('Vary', patchedVary(res.getHeader('Vary'), names)))
}

function whenSent(caller: string, res: ServerResponse, patch: () => void): void {
  checkResponse(caller, res)
  onHead(res, patch)
}

/** Without this, `app.use(neverCache)` would leave every request without an answer. */
export function refuseArguments(caller: string, given: readonly unknown[]): void {
  if (given.length === 0) return
  throw new MisuseError(
    `${caller}: it takes no arguments; call it where the middleware is used: app.use(${caller}())`,
  )
}
