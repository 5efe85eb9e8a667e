/** The mean of what is added. */
export class Mean {
  #count = 0
  #sum = 0

  add(value: number): void {
    this.#count++
    this.#sum += value
  }

  /** 0 if nothing was added. */
  get value(): number {
    return this.#count === 0 ? 0 : this.#sum / this.#count
  }

  reset(): void {
    this.#count = this.#sum = 0
  }
}
