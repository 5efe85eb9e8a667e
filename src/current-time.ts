/** Of this process, for all copies of the package in it. */
interface TestTime {
  /** How far a test has moved the time of the caches ahead. */
  aheadMs: number
}

const TIME = Symbol.for('fragcache.time.1')

const scope = globalThis as { [TIME]?: TestTime }

/** Only a test changes it: see `useTestClock` of `fragcache/testing`. */
export const testTime: TestTime = (scope[TIME] ??= { aheadMs: 0 })

/**
 * The current time for what is stored, in milliseconds since the epoch. Deadlines and ages use it alone. What
 * is compared with the clock of a file system or a server, or shown to people, uses `Date.now`.
 */
export function currentMs(): number {
  return Date.now() + testTime.aheadMs
}
