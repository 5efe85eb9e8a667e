import { nodeCrypto } from './node-crypto.js'

/*
 * A store counts its invalidations in one entry, a raw whole number: its clock. Each tag version says
 * what the clock showed when it was made, so that it can be told whether a tag was invalidated after
 * something began.
 *
 * The clock may be lost, as everything in a cache may. It then begins again at a random number, so far
 * from the others that the upper bits tell one life of the clock from another.
 */

/** What a clock showed; only numbers of the same life can be compared. */
export type ClockTime = number

/** Invalidations in one life of a clock; with one more the next one begins. */
const LIFE = 2 ** 30

/** Lives, of which the times are all of 15 digits. */
const FIRST_LIFE = 2 ** 19
const LAST_LIFE = 930_000

/** What a clock shows at first. */
export function firstTime(): ClockTime {
  return nodeCrypto().randomInt(FIRST_LIFE, LAST_LIFE) * LIFE
}

export function isSameLife(a: ClockTime, b: ClockTime): boolean {
  return Math.floor(a / LIFE) === Math.floor(b / LIFE)
}

/** The later of two; where they cannot be compared, the second. */
export function laterOf(known: ClockTime | undefined, seen: ClockTime): ClockTime {
  return known !== undefined && isSameLife(known, seen) ? Math.max(known, seen) : seen
}
