/** One in so many is timed: to read the clock twice costs as much as some of them. */
const TIMED = 64

/** Of what is answered at once: which is timed, and for how many that one stands. */
export class TimingSample {
  /** Milliseconds that the last one took that was timed. */
  lastMs = 0
  #untimed = 0
  #told = 0

  /**
   * Whether the next one is to be timed: by chance, since pages ask in patterns.
   *
   * @param keys - For how many it asks.
   */
  isTimed(keys = 1): boolean {
    if (this.#untimed >= keys) {
      this.#untimed -= keys
      return false
    }
    this.#untimed = TIMED / 2 + Math.floor(Math.random() * TIMED)
    return true
  }

  /**
   * @param total - All there were, with the one that was timed.
   * @returns How many came since this was asked last.
   */
  takeUntold(total: number): number {
    const untold = total - this.#told
    this.#told = total
    return untold
  }
}
