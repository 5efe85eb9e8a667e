/*
 * What was invalidated lately in this process, by whichever cache: who renders something meanwhile
 * must neither hand it on to those who come later nor keep it where its versions are not known.
 */

/** Tags that are remembered one by one; what is older counts as invalidated. */
const MAX_REMEMBERED = 10_000

const latest = new Map<string, number>()
let count = 0
let forgotten = 0

/** The number of invalidations so far. */
export function invalidationsSoFar(): number {
  return count
}

/** Notes that stored tags are being invalidated. */
export function noteInvalidation(tags: readonly string[]): void {
  count++
  for (const tag of tags) {
    latest.delete(tag)
    latest.set(tag, count)
  }
  for (const [tag, at] of latest) {
    if (latest.size <= MAX_REMEMBERED) return
    latest.delete(tag)
    forgotten = at
  }
}

/** Whether one of the tags was invalidated after there had been so many invalidations. */
export function wereInvalidatedSince(tags: Iterable<string>, since: number): boolean {
  if (count === since) return false
  for (const tag of tags) if ((latest.get(tag) ?? forgotten) > since) return true
  return false
}
