import { isPromise, type MaybePromise } from '../../maybe-promise.js'
import type { Driver } from './driver.js'

/** Where the replica gave no answer in time. */
const LATE = Symbol('late')

/**
 * A replica, and the primary that answers in its place while it is down. One call at a time finds out
 * whether it is back.
 */
export class Replica {
  #askAgainAtMs: number | undefined

  /**
   * @param limitMs - Milliseconds between two attempts, and the most a call may take: half of it is
   *   the replica's, so that the primary can still answer.
   * @param isDown - Whether a failure says that the replica is down.
   */
  constructor(
    private readonly primary: Driver,
    private readonly replica: Driver,
    private readonly limitMs: number,
    private readonly isDown: (error: unknown) => boolean,
  ) {}

  read<T>(read: (driver: Driver) => MaybePromise<T>): MaybePromise<T> {
    if (this.#askAgainAtMs !== undefined) {
      const nowMs = performance.now()
      if (nowMs < this.#askAgainAtMs) return read(this.primary)
      this.#askAgainAtMs = nowMs + this.limitMs
    }
    const failed = (error: unknown): MaybePromise<T> => {
      if (!this.isDown(error)) throw error
      return this.#replace(read)
    }
    const succeeded = (value: T) => {
      this.#askAgainAtMs = undefined
      return value
    }
    try {
      const answer = read(this.replica)
      if (!isPromise(answer)) return succeeded(answer)
      return this.#inTime(answer).then(
        (value) => (value === LATE ? this.#replace(read) : succeeded(value)),
        failed,
      )
    } catch (error) {
      return failed(error)
    }
  }

  #replace<T>(read: (driver: Driver) => MaybePromise<T>): MaybePromise<T> {
    this.#askAgainAtMs = performance.now() + this.limitMs
    return read(this.primary)
  }

  /** What comes later than that is of no interest any more, an error included. */
  #inTime<T>(answer: Promise<T>): Promise<T | typeof LATE> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => resolve(LATE), this.limitMs / 2)
      answer.then(resolve, reject).finally(() => clearTimeout(timer))
    })
  }
}
