import { shortKey, type ShortKey } from './bounded-memo.js'

/** Names that are remembered one by one. */
const MAX_NAMES = 10_000

/** Longer names are kept as digests. */
const MAX_NAME_LENGTH = 64

/**
 * When something last happened to each of many names, by a count that only grows. What cannot be found
 * out again is not merely forgotten: a name that is not remembered counts as one to which it happened
 * when the latest of the forgotten did.
 */
export class Moments {
  readonly #latest = new Map<ShortKey, number>()
  /** Goes on where it was: to look for the oldest from the beginning would pass all that are gone. */
  readonly #oldest = this.#latest.keys()
  #forgotten = 0

  note(name: string, moment: number): void {
    const short = shortKey(name, MAX_NAME_LENGTH)
    this.#latest.delete(short)
    this.#latest.set(short, moment)
    if (this.#latest.size <= MAX_NAMES) return
    const oldest = this.#oldest.next().value as ShortKey
    this.#forgotten = this.#latest.get(oldest) ?? this.#forgotten
    this.#latest.delete(oldest)
  }

  /** At the latest; 0: never. */
  of(name: string): number {
    return this.#latest.get(shortKey(name, MAX_NAME_LENGTH)) ?? this.#forgotten
  }
}
