import { isPromise, type MaybePromise } from '../../maybe-promise.js'
import type { Driver } from './driver.js'

/**
 * A replica, and the primary that answers in its place while it is down. One call at a time finds out
 * whether it is back.
 */
export class Replica {
  #askAgainAtMs: number | undefined

  /**
   * @param limitMs - Milliseconds between two attempts, and the most one may take.
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
      this.#askAgainAtMs = performance.now() + this.limitMs
      return read(this.primary)
    }
    const succeeded = (value: T) => {
      this.#askAgainAtMs = undefined
      return value
    }
    try {
      const answer = read(this.replica)
      return isPromise(answer) ? answer.then(succeeded, failed) : succeeded(answer)
    } catch (error) {
      return failed(error)
    }
  }
}
