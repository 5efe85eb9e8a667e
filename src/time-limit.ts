import { textOfError } from './error-text.js'
import { isPromise, type MaybePromise } from './maybe-promise.js'

interface Waiting {
  readonly dueMs: number
  readonly late: () => void
  previous: Waiting | undefined
  next: Waiting | undefined
}

/**
 * Rejects what is not answered in time. Since the limit is the same for all, calls fall due in the
 * order they came, and one timer serves any number of them.
 */
export class TimeLimit {
  readonly #limitMs: number
  #first: Waiting | undefined
  #last: Waiting | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(limitMs: number) {
    this.#limitMs = limitMs
  }

  /**
   * Gives what the answer gives, if it comes in time.
   *
   * @param succeeded - Called at once with an answer that came in time.
   * @param failed - Makes what the promise rejects with, of a failure in time or of the lack of one.
   * @throws Error: no answer within the limit. What the answer gives afterwards is dropped.
   */
  race<T>(
    answer: Promise<T>,
    succeeded: (value: T) => void = ignore,
    failed: (error: unknown) => Error = asError,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const waiting = this.#add(() => {
        reject(failed(new Error(`no answer within ${this.#limitMs} ms`)))
      })
      answer.then(
        (value) => {
          if (!this.#remove(waiting)) return
          succeeded(value)
          resolve(value)
        },
        (error: unknown) => {
          if (this.#remove(waiting)) reject(failed(error))
        },
      )
    })
  }

  #add(late: () => void): Waiting {
    const previous = this.#last
    const dueMs = performance.now() + this.#limitMs
    const waiting: Waiting = { dueMs, late, previous, next: undefined }
    this.#last = waiting
    if (previous === undefined) {
      this.#first = waiting
      this.#wait(this.#limitMs)
    } else {
      previous.next = waiting
    }
    return waiting
  }

  /** A timer that is already running is early for what is added later; it then goes on. */
  #wait(ms: number): void {
    if (this.#timer === undefined) this.#timer = setTimeout(this.#expire, Math.ceil(ms))
    else this.#timer.ref()
  }

  /** @returns Whether it was still waiting. */
  #remove(waiting: Waiting): boolean {
    const { previous, next } = waiting
    if (previous === undefined) {
      if (this.#first !== waiting) return false
      this.#first = next
    } else {
      previous.next = next
    }
    if (next === undefined) this.#last = previous
    else next.previous = previous
    waiting.previous = waiting.next = undefined
    // An idle cache must not keep the process alive, nor set and clear a timer per call.
    if (this.#first === undefined) this.#timer?.unref()
    return true
  }

  readonly #expire = (): void => {
    // A process that was busy reads only after its timers have fired what has long been there.
    setImmediate(this.#expireDue)
  }

  readonly #expireDue = (): void => {
    this.#timer = undefined
    const nowMs = performance.now()
    for (let due = this.#first; due !== undefined && due.dueMs <= nowMs; due = this.#first) {
      this.#remove(due)
      due.late()
    }
    if (this.#first !== undefined) this.#wait(this.#first.dueMs - nowMs)
  }
}

function ignore(): void {
  return undefined
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(textOfError(error), { cause: error })
}

/** There was no answer in time: the store may be down, or was asked too much at once. */
export class LateError extends Error {
  override readonly name = 'LateError'
}

/** Milliseconds a page waits for a cache that does not answer, each time it is asked. */
export const LIMIT_MS = 2000

/** From how many milliseconds on a timer that fires late tells of a process that was busy. */
const BUSY_MS = 20

/**
 * Rejects if a store does not answer in time: one that hangs must not hang a page. The time for which
 * this process was too busy to look for the answer is given back, up to the limit once more.
 *
 * @param failureOf - Makes what the promise then rejects with.
 */
export function withinLimit<T>(
  answer: MaybePromise<T>,
  limitMs = LIMIT_MS,
  failureOf: (message: string) => Error = (message) => new LateError(message),
): MaybePromise<T> {
  if (!isPromise(answer)) return answer
  return new Promise((resolve, reject) => {
    const dueMs = performance.now() + limitMs
    const fail = () => reject(failureOf(`no answer within ${limitMs} ms`))
    let timer = setTimeout(() => {
      const lateMs = performance.now() - dueMs
      if (lateMs < BUSY_MS) fail()
      else timer = setTimeout(fail, Math.min(lateMs, limitMs))
    }, limitMs)
    answer.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

/**
 * Waits for something that others wait for too.
 *
 * @param limitMs - `Infinity`: as long as it takes.
 * @param late - What is given in its stead if it takes longer. It itself goes on.
 */
export function settledWithin<T>(
  answer: Promise<T>,
  limitMs: number,
  late: () => Promise<T>,
): Promise<T> {
  if (limitMs === Infinity) return answer
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => {
      late().then(resolve, reject)
    }, limitMs)
    answer.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
