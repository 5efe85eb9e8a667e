/*
 * What was invalidated lately in this process, by whichever cache: who renders something meanwhile
 * must neither hand it on to those who come later nor keep it where its versions are not known.
 */

/** Tags that are remembered one by one; what is older counts as invalidated. */
const MAX_REMEMBERED = 10_000

/** When tags were last invalidated, by the count of all invalidations. */
class Moments {
  readonly #latest = new Map<string, number>()
  #forgotten = 0

  note(tags: readonly string[]): void {
    if (tags.length > MAX_REMEMBERED) {
      this.#latest.clear()
      this.#forgotten = count
      return
    }
    for (const tag of tags) {
      this.#latest.delete(tag)
      this.#latest.set(tag, count)
    }
    for (const [tag, at] of this.#latest) {
      if (this.#latest.size <= MAX_REMEMBERED) return
      this.#latest.delete(tag)
      this.#forgotten = at
    }
  }

  has(tags: Iterable<string>, since: number): boolean {
    if (count === since) return false
    for (const tag of tags) if ((this.#latest.get(tag) ?? this.#forgotten) > since) return true
    return false
  }
}

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
  all.note(tags)
  if (!soft) hard.note(tags)
}

/** Whether one of the tags was invalidated after there had been so many invalidations. */
export function wereInvalidatedSince(tags: Iterable<string>, since: number): boolean {
  return all.has(tags, since)
}

/** The same, and not softly. */
export function wereLostSince(tags: Iterable<string>, since: number): boolean {
  return hard.has(tags, since)
}
