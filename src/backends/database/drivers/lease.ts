import { TimeLimit } from '../../../time-limit.js'
import { asError } from '../driver.js'

/**
 * One call's use of a connection of a pool. When no answer comes in time the connection is given up,
 * so that a server that hangs does not keep the whole pool.
 */
export class Lease {
  #isOver = false
  #release: ((isBroken: boolean) => void) | undefined

  /** Whether the call has ended or was given up. */
  get isOver(): boolean {
    return this.#isOver
  }

  /**
   * @returns `false` where the call was given up while it waited for a connection: then nothing may
   *   be asked any more, since the caller was told that it failed.
   */
  take(release: (isBroken: boolean) => void): boolean {
    if (this.#isOver) {
      release(false)
      return false
    }
    this.#release = release
    return true
  }

  /** Gives the connection back, or away if it is of no more use. The second time nothing happens. */
  end(isBroken: boolean): void {
    this.#isOver = true
    const release = this.#release
    this.#release = undefined
    release?.(isBroken)
  }
}

/** Lends connections for as long as a call may take. */
export class Lender {
  readonly #limit: TimeLimit

  /** @param late - Called when a call was given up. */
  constructor(
    limitMs: number,
    private readonly late: () => void,
  ) {
    this.#limit = new TimeLimit(limitMs)
  }

  lend<T>(isUnlimited: boolean, use: (lease: Lease) => Promise<T>): Promise<T> {
    const lease = new Lease()
    const answer = use(lease)
    if (isUnlimited) return answer
    return this.#limit.race(answer, undefined, (error) => {
      if (!lease.isOver) {
        lease.end(true)
        this.late()
      }
      return asError(error)
    })
  }
}
