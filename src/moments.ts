import { shortKey, type ShortKey } from './bounded-memo.js'

/** At least so many names are remembered one by one, and at most twice as many. */
const MAX_NAMES = 10_000

/** Longer names are kept as digests. */
const MAX_NAME_LENGTH = 64

/**
 * When something last happened to each of many names, by a count that only grows. What cannot be found
 * out again is not merely forgotten: a name that is not remembered counts as one to which it happened
 * when the latest of the forgotten did.
 *
 * @remarks In two generations, as in a `MemoBudget`, so that nothing is kept in order: an order would cost each
 *   note a deletion, and an iterator that is kept to find the oldest holds every table that its `Map` ever had.
 */
export class Moments {
  #recent = new Map<ShortKey, number>()
  #older: ReadonlyMap<ShortKey, number> = new Map()
  #latest = 0
  /** The latest of the older generation. */
  #olderUntil = 0
  #forgottenUntil = 0

  note(name: string, moment: number): void {
    if (this.#recent.size === MAX_NAMES) this.#turn()
    this.#recent.set(shortKey(name, MAX_NAME_LENGTH), moment)
    this.#latest = moment
  }

  #turn(): void {
    this.#forgottenUntil = this.#olderUntil
    this.#olderUntil = this.#latest
    this.#older = this.#recent
    this.#recent = new Map()
  }

  /** At the latest; 0: never. */
  of(name: string): number {
    const short = shortKey(name, MAX_NAME_LENGTH)
    return this.#recent.get(short) ?? this.#older.get(short) ?? this.#forgottenUntil
  }
}
