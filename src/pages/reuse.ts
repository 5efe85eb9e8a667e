import { hasDirective, parseCacheControl, readSeconds } from '../http/cache-control.js'
import { headerOf, type HeaderFields } from '../http/header-values.js'
import { currentAgeSeconds, type StoredHead } from '../http/stored-response.js'

/** What a stored response is good for. */
export type Reuse =
  /** It answers. */
  | 'fresh'
  /** It answers, though it is past its time, and is rendered again meanwhile. */
  | 'stale-while-revalidate'
  /** It answers past its time, since the request says that it may. */
  | 'max-stale'
  /** The handler is asked; it may say that nothing changed, or fail where a stale answer may stand in. */
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
 * @param asked - What the request says, if the site listens to that.
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

/** Whether a stale response may stand in for a handler that failed. @see RFC 5861 §4 */
export function standsInForError(stored: StoredHead, nowMs: number): boolean {
  const { freshUntilMs, ifErrorSeconds } = stored
  if (ifErrorSeconds === 0 || stored.mustValidate) return false
  return freshUntilMs === null || nowMs < freshUntilMs + ifErrorSeconds * 1000
}
