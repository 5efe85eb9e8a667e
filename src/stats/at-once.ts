/** Hits that are told of in one message: to make it takes as long as some of them. */
export const HITS_OF_SUM = 1024

/** One in so many is timed: to read the clock twice costs as much as some of them. */
const TIMED = 64

/** What is answered at once: which of it is timed, and how much of it who adds up was told of. */
export class AtOnce {
  /** The key of the last one that was timed, and the milliseconds it took. */
  lastKey: string | undefined
  lastMs = 0
  #nextTimed = 0
  #told = 0

  /**
   * Whether this one is to be timed: by chance, since pages ask in patterns.
   *
   * @param counted - All there were before it.
   */
  isTimed(counted: number): boolean {
    if (counted < this.#nextTimed) return false
    this.#nextTimed = counted + TIMED / 2 + 1 + Math.floor(Math.random() * TIMED)
    return true
  }

  timed(key: string, ms: number): void {
    this.lastKey = key
    this.lastMs = ms
  }

  /** Hits were told of one by one. */
  told(hits: number): void {
    this.#told += hits
  }

  /**
   * @param hits - All there were.
   * @returns How many are to be told of in one sum now; 0 while they are fewer than `atLeast`.
   */
  takeUntold(hits: number, atLeast: number): number {
    const untold = hits - this.#told
    if (untold < atLeast) return 0
    this.#told = hits
    return untold
  }

  reset(): void {
    this.#nextTimed = this.#told = 0
  }
}
