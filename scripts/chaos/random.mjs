/** Chance that is the same for the same seed and the same name (mulberry32). */
export class Random {
  #state

  /**
   * @param {number} seed
   * @param {string} name - So that not all do the same.
   */
  constructor(seed, name) {
    this.#state = [...name].reduce((hash, letter) => {
      return (Math.imul(hash, 31) + letter.codePointAt(0)) >>> 0
    }, seed >>> 0)
  }

  /** From 0 to below 1. */
  next() {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }

  between(low, high) {
    return low + this.next() * (high - low)
  }

  pick(list) {
    return list[Math.floor(this.next() * list.length)]
  }
}
