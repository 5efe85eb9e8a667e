import type { OutgoingHttpHeader } from 'node:http'
import { MisuseError, show } from '../../src/errors.js'
import { formatHttpDate } from '../../src/http/http-date.js'
import {
  patchedCacheControl,
  readDirectives,
  type CacheControlDirectives,
} from '../../src/http/patch-cache-control.js'
import {
  maxAgeOf,
  patchedVary,
  readHeaderNames,
  readSecondsToKeep,
  varyIncludes,
} from '../../src/http/patch-headers.js'

/** A response whose headers are not sent yet: Express's, or that of `node:http`. */
export interface HeadersOfResponse {
  /** As that of `node:http`. */
  getHeader(name: string): OutgoingHttpHeader | undefined
  /** As that of `node:http`. */
  setHeader(name: string, value: string): unknown
  /** As that of `node:http`. */
  hasHeader(name: string): boolean
}

/**
 * Adds directives to a response's `Cache-Control`.
 *
 * @param directives - In camel case; see {@link CacheControlDirectives}. Those that are there stay,
 *   but `public` and `private` take the place of each other, and of two values of `max-age` the
 *   smaller is sent.
 * @throws TypeError: no directive has such a name, it cannot have such a value, or what was given is
 *   no response.
 * @remarks A present `max-age` that cannot be read is taken for 0, where Django throws.
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
 * Adds names to a response's `Vary`, each once, whatever its case. `*` takes the place of all.
 *
 * @throws TypeError: something is no name of a header, or what was given is no response.
 * @see Django 6.1, `django.utils.cache.patch_vary_headers`
 */
export function patchVaryHeaders(res: HeadersOfResponse, names: readonly string[]): void {
  checkResponse('patchVaryHeaders', res)
  const read = readHeaderNames('patchVaryHeaders', names)
  res.setHeader('Vary', patchedVary(res.getHeader('Vary'), read))
}

/**
 * Says how long a response may be kept: sets `Expires`, unless it is there, and `max-age`, unless a
 * smaller one is there.
 *
 * @param seconds - Less than zero counts as zero. Left out or `null`: 600, as Django's
 *   `CACHE_MIDDLEWARE_SECONDS`.
 * @throws TypeError: `seconds` is no number, or what was given is no response.
 * @see Django 6.1, `django.utils.cache.patch_response_headers`
 */
export function patchResponseHeaders(res: HeadersOfResponse, seconds?: number | null): void {
  checkResponse('patchResponseHeaders', res)
  const toKeep = readSecondsToKeep('patchResponseHeaders', seconds)
  if (!res.hasHeader('Expires')) {
    res.setHeader('Expires', formatHttpDate(Date.now() + toKeep * 1000))
  }
  patchCacheControl(res, { maxAge: toKeep })
}

/**
 * Keeps a response out of every cache, ours and those behind it: `Cache-Control` gets
 * `max-age=0, no-cache, no-store, must-revalidate, private`, and `Expires` is now, unless it is set.
 *
 * @throws TypeError: what was given is no response.
 * @see Django 6.1, `django.utils.cache.add_never_cache_headers`
 */
export function addNeverCacheHeaders(res: HeadersOfResponse): void {
  checkResponse('addNeverCacheHeaders', res)
  patchResponseHeaders(res, 0)
  patchCacheControl(res, { noCache: true, noStore: true, mustRevalidate: true, private: true })
}

/**
 * The `max-age` of a response.
 *
 * @returns Seconds; `undefined` if it has none or one that is no whole number.
 * @throws TypeError: what was given is no response.
 * @see Django 6.1, `django.utils.cache.get_max_age`
 */
export function getMaxAge(res: HeadersOfResponse): number | undefined {
  checkResponse('getMaxAge', res)
  return maxAgeOf(res.getHeader('Cache-Control'))
}

/**
 * Whether a response's `Vary` names a header, in any case. `*` names only itself.
 *
 * @throws TypeError: `name` is no text, or what was given is no response.
 * @see Django 6.1, `django.utils.cache.has_vary_header`
 */
export function hasVaryHeader(res: HeadersOfResponse, name: string): boolean {
  checkResponse('hasVaryHeader', res)
  if (typeof name !== 'string') {
    throw new MisuseError(`hasVaryHeader: ${show(name)} is no name of a header; give a string`)
  }
  return varyIncludes(res.getHeader('Vary'), name)
}

/** @throws TypeError: what was given is no response. */
export function checkResponse(caller: string, res: unknown): void {
  const { getHeader, setHeader, hasHeader } = (res ?? {}) as Partial<HeadersOfResponse>
  if ([getHeader, setHeader, hasHeader].every((method) => typeof method === 'function')) return
  throw new MisuseError(
    `${caller}: ${show(res)} is no response; give the res of Express or node:http`,
  )
}
