import { isPromise, type MaybePromise } from '../../maybe-promise.js'
import type { Answer } from './driver.js'

/** What takes many statements: gives what each of them gave, and is handed the answer. */
export type Work<T> = Generator<MaybePromise<Answer>, T, Answer>

/**
 * Statements that are run in one go where answers come at once: while they run the process does
 * nothing else. Each of them is to take well below a millisecond.
 */
const PIECE = 8

/** Work that can be left off and gone on with. */
export class Piecework<T> {
  #answer: Answer | undefined
  #result: { readonly value: T } | undefined
  #isWaiting = false

  constructor(private readonly work: Work<T>) {}

  /** What it came to, once it is done. */
  get result(): { readonly value: T } | undefined {
    return this.#result
  }

  /** Goes on for a piece; if the driver is asynchronous, to the end. */
  advance(): MaybePromise<void> {
    if (this.#isWaiting) return undefined
    for (let i = 0; i < PIECE; i++) {
      // Nothing waits for the first of them.
      const { done, value } = this.work.next(this.#answer as Answer)
      if (done === true) {
        this.#result = { value }
        return undefined
      }
      if (isPromise(value)) return this.#advanceLater(value)
      this.#answer = value
    }
    return undefined
  }

  async #advanceLater(answer: Promise<Answer>): Promise<void> {
    this.#isWaiting = true
    for (let coming: MaybePromise<Answer> = answer; ;) {
      const { done, value } = this.work.next(await coming)
      if (done === true) {
        this.#result = { value }
        return
      }
      coming = value
    }
  }
}

/** Does work to the end. What does not fit into one piece leaves pauses for others. */
export function carryOut<T>(work: Work<T>): MaybePromise<T> {
  const pieces = new Piecework(work)
  const begun = pieces.advance()
  if (!isPromise(begun) && pieces.result !== undefined) return pieces.result.value
  return (async () => {
    await begun
    while (pieces.result === undefined) {
      await new Promise((resolve) => setImmediate(resolve))
      await pieces.advance()
    }
    return pieces.result.value
  })()
}
