import { Moments } from '../../moments.js'

/**
 * Which entries were removed by callers, and when: what is evicted, or ends, does not count. What was begun
 * before must not be stored under their keys.
 */
export class Removals {
  readonly #latest = new Moments()
  #count = 0
  #clearedAt = 0

  /** How often entries were removed. */
  get count(): number {
    return this.#count
  }

  note(key: string): void {
    this.#latest.note(key, ++this.#count)
  }

  /** Everything was removed. */
  noteAll(): void {
    this.#clearedAt = ++this.#count
  }

  /** Whether an entry was removed, alone or with all others, after there had been so many removals. */
  wasRemovedSince(key: string, count: number): boolean {
    return this.#clearedAt > count || this.#latest.of(key) > count
  }
}
