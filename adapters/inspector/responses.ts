import type { ResponseTold } from '../../src/observe/watch.js'
import type { ResponseRow } from './api.js'
import { explainResponse } from '../../src/pages/explanations.js'
import { cutText } from './text.js'

const MAX_RESPONSES = 200

/** The latest responses that were not answered from the cache. */
export class Responses {
  /** A ring: the place of the next one is after the latest. */
  readonly #told: { readonly id: number; readonly atMs: number; readonly told: ResponseTold }[] = []
  #count = 0

  add(told: ResponseTold, atMs: number): void {
    if (told.outcome === 'hit') return
    this.#told[this.#count % MAX_RESPONSES] = { id: ++this.#count, atMs, told }
  }

  clear(): void {
    this.#told.length = 0
    this.#count = 0
  }

  /** The latest first. */
  rows(): readonly ResponseRow[] {
    return this.#told
      .toSorted((a, b) => b.id - a.id)
      .map(({ id, atMs, told }) => {
        const { method, url, key, alias, outcome, reason } = told
        const { code, sentence } = explainResponse(told)
        return {
          id,
          atMs,
          method: cutText(method),
          url: cutText(url),
          alias,
          outcome,
          ...(reason !== undefined && { reason }),
          sentence,
          href: `help#${code}`,
          key: cutText(key),
        }
      })
  }
}
