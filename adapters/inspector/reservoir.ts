/** Something that was seen, and where in the order of all. */
export interface Sampled<T> {
  readonly id: number
  readonly atMs: number
  readonly what: T
}

/**
 * A sample of what is seen, of a fixed size whatever the number: each has the same chance to be in it.
 *
 * @see J. S. Vitter, "Random sampling with a reservoir", 1985, algorithm R
 */
export class Reservoir<T> {
  #sample: Sampled<T>[] = []
  #seen = 0

  constructor(
    private readonly size: number,
    private readonly random: () => number,
  ) {}

  get seen(): number {
    return this.#seen
  }

  add(id: number, atMs: number, what: T): void {
    this.#seen++
    if (this.#sample.length < this.size) {
      this.#sample.push({ id, atMs, what })
      return
    }
    const at = Math.floor(this.random() * this.#seen)
    if (at < this.size) this.#sample[at] = { id, atMs, what }
  }

  /** Takes at most so many out, and begins again. */
  take(limit: number): readonly Sampled<T>[] {
    const taken = this.#sample
    this.#sample = []
    this.#seen = 0
    return taken.length <= limit ? taken : taken.slice(0, limit)
  }
}
