import type { Request } from './request.js'

/** So many answered requests are kept before the list is cut. */
const MOST_ANSWERED = 1024

/** Requests that were sent, in the order in which they are answered. */
export class SentRequests {
  /** Those from `#answered` on have no answer yet. */
  #all: Request[] = []
  #answered = 0
  /** The last of them, which have not gone out yet. */
  #gathered = 0
  #kilobytes = 0

  get unanswered(): number {
    return this.#all.length - this.#answered
  }

  /** What was sent since nothing was unanswered. */
  get kilobytes(): number {
    return this.#kilobytes
  }

  /** @returns How many are to go out together. */
  push(request: Request): number {
    this.#all.push(request)
    if (request.type === 'store') this.#kilobytes += request.value.length / 1024
    return ++this.#gathered
  }

  /** @returns Those that are to go out together, and do so now. */
  takeGathered(): readonly Request[] {
    const gathered = this.#all.slice(this.#all.length - this.#gathered)
    this.#gathered = 0
    return gathered
  }

  /** The one that is answered next. What has not even gone out cannot have its answer. */
  next(): Request | undefined {
    return this.unanswered > this.#gathered ? this.#all[this.#answered] : undefined
  }

  /** That one has its answer. */
  pop(): void {
    this.#answered++
    if (this.unanswered === 0) this.drain()
    else if (this.#answered >= MOST_ANSWERED) {
      this.#all = this.#all.slice(this.#answered)
      this.#answered = 0
    }
  }

  /** Empties it. @returns What has no answer. */
  drain(): Request[] {
    const unanswered = this.#all.slice(this.#answered)
    this.#all = []
    this.#answered = 0
    this.#kilobytes = 0
    return unanswered
  }
}
