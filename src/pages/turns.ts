import { answeredInTime } from './ask-cache.js'

/** At most so many writes of one URI wait for each other. */
const MAX_WAITING = 16

/** Writes of one URI in this process, one at a time. */
export class PageTurns {
  readonly #writes = new Map<string, { last: Promise<unknown>; count: number }>()

  /** Settles when the writes that are under way are done; `undefined`: there are none. */
  of(uri: string): Promise<unknown> | undefined {
    return this.#writes.get(uri)?.last
  }

  /** @throws CacheBackendError: the cache failed, or took too long. */
  take<T>(uri: string, write: () => Promise<T>): Promise<T | { readonly outcome: 'busy' }> {
    const turn = this.#writes.get(uri)
    if (turn !== undefined && turn.count >= MAX_WAITING) {
      return Promise.resolve({ outcome: 'busy' as const })
    }
    const entry = turn ?? { last: Promise.resolve(), count: 0 }
    this.#writes.set(uri, entry)
    entry.count++
    const result = entry.last.then(() => answeredInTime(write()))
    entry.last = result
      .then(ignore, ignore)
      .then(() => void (--entry.count === 0 && this.#writes.delete(uri)))
    return result
  }
}

function ignore(): void {
  // The caller of `take` gets the error.
}
