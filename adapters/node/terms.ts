import type { PageTags } from './settings.js'
import type { Place } from './place.js'

/** For how long a page is kept and with which tags: middlewares further in may want it for a shorter time. */
export class Terms {
  #seconds: number | null | undefined
  #tags: PageTags

  constructor({ pageSeconds, tags }: Place) {
    this.#seconds = pageSeconds
    this.#tags = tags
  }

  /** `undefined`: no time is given; `null`: without end. */
  get seconds(): number | null | undefined {
    return this.#seconds
  }

  get tags(): PageTags {
    return this.#tags
  }

  /** Those whose versions have to be read before the handler runs. */
  get earlyTags(): readonly string[] {
    return typeof this.#tags === 'function' ? [] : this.#tags
  }

  /** Keeps what a middleware further in wants. */
  absorb({ pageSeconds, tags }: Place): void {
    this.#seconds = shorter(this.#seconds, pageSeconds)
    if (typeof tags === 'function') this.#tags = tags
  }
}

function shorter(
  a: number | null | undefined,
  b: number | null | undefined,
): number | null | undefined {
  if (a === undefined || b === undefined) return a === undefined ? b : a
  if (a === null || b === null) return a === null ? b : a
  return Math.min(a, b)
}
