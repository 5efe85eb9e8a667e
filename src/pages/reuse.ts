import { hasDirective, parseCacheControl, readSeconds } from '../http/cache-control.js'
import { headerOf, type HeaderFields } from '../http/header-values.js'
import { currentAgeSeconds, type StoredHead } from '../http/stored-response.js'

/** What a stored response is good for. */
export type Reuse =
  /** It answers. */
  | 'fresh'
  /** It answers although it is stale, and is rendered again in the background. */
  | 'stale-while-revalidate'
  /** It answers although it is stale, since the request allows that. */
  | 'max-stale'
  /** The handler is asked: it may confirm the response, or fail, where the stale response may be sent instead. */
  | 'validate'

/** What a request asks of the cache. @see RFC 9111 §5.2.1 */
export interface RequestDirectives {
  readonly noStore: boolean
  readonly noCache: boolean
  readonly onlyIfCached: boolean
  readonly maxAgeSeconds: number | undefined
  readonly minFreshSeconds: number | undefined
  /** `Infinity` without a number. */
  readonly maxStaleSeconds: number | undefined
}

/** Reads the `Cache-Control` of a request; what cannot be read counts for nothing. */
export function requestDirectives(headers: HeaderFields): RequestDirectives | undefined {
  const value = headerOf(headers, 'cache-control')
  if (value === undefined) return undefined
  const control = parseCacheControl(value)
  const stale = readSeconds(control, 'max-stale')
  const isAnyStale = control.directives.some((one) => one.name === 'max-stale' && !one.value)
  return {
    noStore: hasDirective(control, 'no-store'),
    noCache: hasDirective(control, 'no-cache'),
    onlyIfCached: hasDirective(control, 'only-if-cached'),
    maxAgeSeconds: readSeconds(control, 'max-age') ?? undefined,
    minFreshSeconds: readSeconds(control, 'min-fresh') ?? undefined,
    maxStaleSeconds: isAnyStale ? Infinity : (stale ?? undefined),
  }
}

/**
 * Decides what a stored response is good for.
 *
 * @param asked - The request's `Cache-Control`, if it counts.
 * @see RFC 9111 §4, §4.2.4; RFC 5861 §3
 */
export function judgeReuse(
  stored: StoredHead,
  asked: RequestDirectives | undefined,
  nowMs: number,
): Reuse {
  if (stored.mustValidate || asked?.noCache === true) return 'validate'
  const { freshUntilMs } = stored
  const leftSeconds = freshUntilMs === null ? Infinity : (freshUntilMs - nowMs) / 1000
  if (asked !== undefined) {
    const { maxAgeSeconds, minFreshSeconds, maxStaleSeconds } = asked
    if (maxAgeSeconds !== undefined && currentAgeSeconds(stored, nowMs) > maxAgeSeconds) {
      return 'validate'
    }
    if (minFreshSeconds !== undefined && leftSeconds < minFreshSeconds) return 'validate'
    if (leftSeconds <= 0 && maxStaleSeconds !== undefined && stored.mayBeStale) {
      if (-leftSeconds <= maxStaleSeconds) return 'max-stale'
    }
  }
  if (leftSeconds > 0) return 'fresh'
  return -leftSeconds < stored.whileRevalidateSeconds ? 'stale-while-revalidate' : 'validate'
}

/** Whether a stale response may be sent in place of a handler that failed. @see RFC 5861 §4 */
export function standsInForError(stored: StoredHead, nowMs: number): boolean {
  const { freshUntilMs, ifErrorSeconds } = stored
  if (ifErrorSeconds === 0 || stored.mustValidate) return false
  return freshUntilMs === null || nowMs < freshUntilMs + ifErrorSeconds * 1000
}
