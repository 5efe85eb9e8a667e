/** Buckets per doubling: the bound of one is 19 % above that of the one before. */
const PER_DOUBLING = 4
/** From a microsecond to about nineteen hours. */
const BUCKETS = 144

/** How long calls took, in a fixed amount of memory whatever their number. */
export class Latencies {
  readonly #buckets = new Uint32Array(BUCKETS)
  #count = 0
  #sumMs = 0
  /** How often it was reset. */
  #epoch = 0

  add(ms: number): void {
    this.#count++
    this.#sumMs += ms
    const at = ms <= 0.001 ? 0 : Math.ceil(Math.log2(ms * 1000) * PER_DOUBLING)
    const bucket = Math.min(at, BUCKETS - 1)
    this.#buckets[bucket] = (this.#buckets[bucket] as number) + 1
  }

  get count(): number {
    return this.#count
  }

  get meanMs(): number {
    return this.#count === 0 ? 0 : this.#sumMs / this.#count
  }

  /**
   * @param share - 0.99 for what 99 of 100 calls did not exceed.
   * @returns Milliseconds, at most 19 % above the true value; 0 if there was no call.
   */
  quantileMs(share: number): number {
    if (this.#count === 0) return 0
    let left = Math.ceil(this.#count * share)
    for (let i = 0; i < BUCKETS; i++) {
      left -= this.#buckets[i] as number
      if (left <= 0) return 2 ** (i / PER_DOUBLING) / 1000
    }
    return 2 ** ((BUCKETS - 1) / PER_DOUBLING) / 1000
  }

  copy(): Latencies {
    return new Latencies().#set(this, undefined)
  }

  /** Those that came after a copy was made; all of them if it was reset since. */
  since(before: Latencies): Latencies {
    return new Latencies().#set(this, before.#epoch === this.#epoch ? before : undefined)
  }

  #set(all: Latencies, without: Latencies | undefined): this {
    this.#epoch = all.#epoch
    this.#count = all.#count - (without === undefined ? 0 : without.#count)
    this.#sumMs = all.#sumMs - (without === undefined ? 0 : without.#sumMs)
    for (let i = 0; i < BUCKETS; i++) {
      const earlier = without === undefined ? 0 : (without.#buckets[i] as number)
      this.#buckets[i] = (all.#buckets[i] as number) - earlier
    }
    return this
  }

  reset(): void {
    this.#buckets.fill(0)
    this.#epoch++
    this.#count = 0
    this.#sumMs = 0
  }
}
