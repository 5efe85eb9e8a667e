import { show } from '../../src/errors.js'

/** Maximum number of distinct fragment names, unless a site sets another. */
export const MAX_LABELS = 200

/**
 * Upper bounds of the buckets of durations, in seconds: from a look-up in local memory to a server that is
 * about to be given up.
 */
export const SECONDS: readonly number[] = [
  0.000_001, 0.000_005, 0.000_025, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025,
  0.05, 0.1, 0.25, 0.5, 1, 2.5,
]

/** @throws TypeError: no whole number of 1 or more. */
export function checkMaxNames(caller: string, maxNames: number): number {
  if (Number.isSafeInteger(maxNames) && maxNames > 0) return maxNames
  throw new TypeError(`${caller}: maxNames: ${show(maxNames)} is not a whole number of 1 or more`)
}
