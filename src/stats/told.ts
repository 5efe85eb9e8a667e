/** Hits that are answered at once and told of in one message: to make it takes as long as some of them. */
export const HITS_OF_SUM = 1024

/** How many of the hits that were counted were told of one by one, in a sum, or to nobody. */
export class Told {
  #hits = 0

  /** Of hits that were told of one by one. */
  add(hits: number): void {
    this.#hits += hits
  }

  /**
   * @param counted - All hits there were.
   * @returns How many are to be told of in one sum now; 0 while they are fewer than that.
   */
  takeRest(counted: number, atLeast: number): number {
    const rest = counted - this.#hits
    if (rest < atLeast) return 0
    this.#hits = counted
    return rest
  }

  reset(): void {
    this.#hits = 0
  }
}
