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
  const directive = directiveLifetimeSeconds(cacheControl)
  if (directive !== undefined) return directive
  const expires = headerLines(headerOf(headers, 'expires'))
  if (expires.length === 0) return undefined
  const expiresMs = expires.length === 1 ? parseHttpDate(expires[0] ?? '', nowMs) : undefined
  if (expiresMs === undefined) return null
  const dateMs = parseHttpDate(headerText(headers, 'date') ?? '', nowMs) ?? nowMs
  return Math.max(0, (expiresMs - dateMs) / 1000)
}

/** As {@link explicitLifetimeSeconds}, of the directives alone. */
export function directiveLifetimeSeconds(cacheControl: CacheControl): number | null | undefined {
  const shared = readSeconds(cacheControl, 's-maxage')
  return shared !== undefined ? shared : readSeconds(cacheControl, 'max-age')
}

/**
 * How old a response is when it reaches us; not zero if it comes from another cache.
 *
 * @returns Seconds. An `Age` or `Date` that cannot be read counts for nothing, and of several the
 *   first counts.
 * @see RFC 9111 §4.2.3, `corrected_initial_age`; §5.1
 */
export function initialAgeSeconds(headers: HeaderFields, nowMs: number): number {
  const [first] = (headerText(headers, 'age') ?? '').split(',')
  const ageSeconds = parseDeltaSeconds(first?.trim()) ?? 0
  const dateMs = parseHttpDate(headerText(headers, 'date') ?? '', nowMs) ?? nowMs
  // HTTP dates are cut to the second, so that a part of a second is no age.
  const apparentSeconds = Math.max(0, Math.floor((nowMs - dateMs) / 1000))
  return Math.max(apparentSeconds, ageSeconds)
}
