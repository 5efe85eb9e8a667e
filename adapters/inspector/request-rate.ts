/** How many requests there are in a second. */
export class RequestRate {
  #count = 0
  #atMs: number | undefined
  #perSecond = 0

  add(): void {
    this.#count++
  }

  /** From now on, the figure is what came since the sample before. */
  sample(atMs: number): void {
    const seconds = (atMs - (this.#atMs ?? atMs)) / 1000
    this.#perSecond = seconds > 0 ? this.#count / seconds : 0
    this.#count = 0
    this.#atMs = atMs
  }

  get perSecond(): number {
    return this.#perSecond
  }
}
