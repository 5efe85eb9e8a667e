import type { ServerResponse } from 'node:http'
import onHeaders from 'on-headers'
import { MisuseError, show } from '../../src/errors.js'
import {
  patchedCacheControl,
  readDirectives,
  type CacheControlDirectives,
  type NewDirective,
} from '../../src/http/patch-cache-control.js'
import { patchedVary, readHeaderNames } from '../../src/http/patch-headers.js'
import type { Middleware } from './middleware.js'
import { addNeverCacheHeaders, checkResponse } from './header-helpers.js'

/**
 * A middleware that adds directives to the `Cache-Control` of responses from the layers inside of it.
 *
 * @param directives - In camel case; see {@link CacheControlDirectives}.
 * @returns Adds to what the handler has set, just before the headers are sent. A cache around it obeys the
 *   result.
 * @throws TypeError: no directive has such a name, or it cannot have such a value.
 * @remarks To a response with status 400 or more only restricting directives are added, since an error is not
 *   to be kept for as long as a page. In Django an exception passes by the decorator; Express
 *   does not say whether an error handler answers.
 * @see Django 6.1, `django.views.decorators.cache.cache_control`
 */
export function cacheControl(directives: CacheControlDirectives): Middleware {
  const all = readDirectives('cacheControl', directives).map(withNumber)
  const restrictions = all.filter(isRestriction)
  return function cacheControlMiddleware(_req, res, next) {
    checkResponse('cacheControl', res)
    onHeaders(res, () => {
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
    `cacheControl: maxAge: ${show(value)} is no number of seconds; give one such as 3600`,
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
 * A middleware that keeps responses from the layers inside of it out of every cache, including one around it.
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
 * A middleware that adds names to the `Vary` of responses from the layers inside of it. A cache around it
 * keeps a page for each combination of values of these headers.
 *
 * @throws TypeError: no name was given, or something is no name of a header.
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
 * A middleware that adds `Cookie` to the `Vary` of responses from the layers inside of it, so that a cache
 * around it keeps separate pages for each visitor.
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

/** Layers further in are called first, since `on-headers` calls back in reverse order. */
function whenSent(caller: string, res: ServerResponse, patch: () => void): void {
  checkResponse(caller, res)
  onHeaders(res, patch)
}

/** Without this, `app.use(neverCache)` would leave every request without an answer. */
export function refuseArguments(caller: string, given: readonly unknown[]): void {
  if (given.length === 0) return
  throw new MisuseError(
    `${caller}: it takes no arguments; call it where the middleware is used: app.use(${caller}())`,
  )
}
