import { Moments } from './moments.js'

/*
 * What was invalidated lately in this process, by whichever cache: who renders something meanwhile
 * must neither hand it on to those who come later nor keep it where its versions are not known.
 */

let count = 0
const all = new Moments()
const hard = new Moments()

/** The number of invalidations so far. */
export function invalidationsSoFar(): number {
  return count
}

/**
 * Notes that stored tags are being invalidated.
 *
 * @param soft - What has them is stale, not gone.
 */
export function noteInvalidation(tags: readonly string[], soft = false): void {
  count++
  for (const tag of tags) {
    all.note(tag, count)
    if (!soft) hard.note(tag, count)
  }
}

/** Whether one of the tags was invalidated after there had been so many invalidations. */
export function wereInvalidatedSince(tags: Iterable<string>, since: number): boolean {
  return happenedSince(all, tags, since)
}

/** The same, and not softly. */
export function wereLostSince(tags: Iterable<string>, since: number): boolean {
  return happenedSince(hard, tags, since)
}

function happenedSince(moments: Moments, tags: Iterable<string>, since: number): boolean {
  if (count === since) return false
  for (const tag of tags) if (moments.of(tag) > since) return true
  return false
}
