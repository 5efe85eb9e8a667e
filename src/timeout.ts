import { show } from './errors.js'

/** Seconds, fractions allowed. `null`: never expires. Zero or less: not stored. */
export type Timeout = number | null

/** A point in time in milliseconds since the epoch; `null`: never. */
export type Deadline = number | null

/** What {@link toDeadline} answers for a timeout of zero or less. */
export const ALREADY_EXPIRED = 0

/**
 * Checks a timeout.
 *
 * @throws TypeError: not a finite number and not `null`.
 */
export function checkTimeout(timeout: unknown, name = 'timeout'): asserts timeout is Timeout {
  if (timeout === null || (typeof timeout === 'number' && Number.isFinite(timeout))) return
  throw new TypeError(
    `${name}: ${show(timeout)} is not a timeout; give seconds as a finite number, null for never, or leave it out for the cache's default`,
  )
}

/**
 * Turns seconds from now into a deadline.
 *
 * @returns Whole milliseconds, rounded up so that no timeout above zero is lost to rounding, or
 *   {@link ALREADY_EXPIRED}.
 */
export function toDeadline(timeout: Timeout, nowMs: number): Deadline {
  if (timeout === null) return null
  if (timeout <= 0) return ALREADY_EXPIRED
  // The sum alone would lose what is too small beside the date.
  const expiresAtMs = Math.max(Math.ceil(nowMs + timeout * 1000), Math.floor(nowMs) + 1)
  return Math.min(expiresAtMs, Number.MAX_SAFE_INTEGER)
}

/** Compares a deadline with a clock. Nothing else does. An entry is gone at the deadline itself. */
export function isExpired(expiresAtMs: Deadline, nowMs: number): boolean {
  return expiresAtMs !== null && expiresAtMs <= nowMs
}
