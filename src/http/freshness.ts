import {
  parseCacheControl,
  parseDeltaSeconds,
  readSeconds,
  type CacheControl,
} from './cache-control.js'
import { headerLines, headerOf, headerText, type HeaderFields } from './header-values.js'
import { parseHttpDate } from './http-date.js'

/**
 * How long a response says it is fresh: `s-maxage`, else `max-age`, else `Expires`.
 *
 * @returns Seconds; `undefined` if it does not say; `null` if what it says cannot be read, which is
 *   no freshness at all.
 * @see RFC 9111 §4.2.1
 */
export function explicitLifetimeSeconds(
  headers: HeaderFields,
  nowMs: number,
  cacheControl: CacheControl = parseCacheControl(headerOf(headers, 'cache-control')),
): number | null | undefined {
  const shared = readSeconds(cacheControl, 's-maxage')
  if (shared !== undefined) return shared
  const maxAge = readSeconds(cacheControl, 'max-age')
  if (maxAge !== undefined) return maxAge
  const expires = headerLines(headerOf(headers, 'expires'))
  if (expires.length === 0) return undefined
  const expiresMs = expires.length === 1 ? parseHttpDate(expires[0] ?? '', nowMs) : undefined
  if (expiresMs === undefined) return null
  const dateMs = parseHttpDate(headerText(headers, 'date') ?? '', nowMs) ?? nowMs
  return Math.max(0, (expiresMs - dateMs) / 1000)
}

/**
 * How old a response is when it reaches us; not zero if it comes from another cache.
 *
 * @returns Seconds. An `Age` or `Date` that cannot be read counts for nothing.
 * @see RFC 9111 §4.2.3, `corrected_initial_age`
 */
export function initialAgeSeconds(headers: HeaderFields, nowMs: number): number {
  const [first] = (headerText(headers, 'age') ?? '').split(',')
  const ageSeconds = parseDeltaSeconds(first?.trim()) ?? 0
  const dateMs = parseHttpDate(headerText(headers, 'date') ?? '', nowMs) ?? nowMs
  // HTTP dates are cut to the second, so that a part of a second is no age.
  const apparentSeconds = Math.max(0, Math.floor((nowMs - dateMs) / 1000))
  return Math.max(apparentSeconds, ageSeconds)
}
