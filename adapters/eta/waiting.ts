import type { TagPosition } from '../../src/errors.js'
import { etaFaults } from './faults.js'
import type { Waiter, Writing } from './writing.js'

type Result = { readonly text: string } | { readonly error: unknown }

/**
 * A text that comes later and is added to the template's where its code is. That code awaits
 * {@link wait}, and calls {@link end} after it.
 */
export class WaitingText implements Waiter {
  readonly #writing: Writing
  readonly #text: Promise<string>
  #before = ''
  #result: Result | undefined

  constructor(
    writing: Writing,
    readonly site: TagPosition,
    readonly isFragment: boolean,
    text: Promise<string>,
  ) {
    this.#writing = writing
    this.#text = text
    // If the code cannot wait, nobody does.
    text.catch(() => undefined)
  }

  /** Never rejects. Where the code is in a function that is not async, it is not called. */
  async wait(): Promise<void> {
    this.#before = this.#writing.buffer.res
    this.#writing.suspend(this)
    try {
      this.#result = { text: await this.#text }
    } catch (error) {
      this.#result = { error }
    }
  }

  /**
   * @throws CacheTagError: it cannot be waited for here, or texts were mixed up.
   * @throws What the text could not be made for.
   */
  end(): void {
    if (this.#result === undefined) throw etaFaults.holeInFunction(this.site)
    if (!this.#writing.resume(this, this.#before)) return
    if ('error' in this.#result) throw this.#result.error
    this.#writing.buffer.res += this.#result.text
  }
}
