/** What is to become of a connection: it is used again, or ended, also while it still works at a statement. */
export type Fate = 'kept' | 'broken' | 'unanswered'

export type Release = (fate: Fate) => void

/**
 * One call's use of a connection of a pool. When no answer comes in time the connection is given up,
 * so that a server that hangs does not keep the whole pool.
 */
export class ConnectionUse {
  #isOver = false
  #release: Release | undefined
  #late: (() => void) | undefined

  /**
   * @param dueMs - By `performance.now()`.
   * @param late - Called when it is given up.
   */
  constructor(
    readonly dueMs: number,
    late: () => void,
  ) {
    this.#late = late
  }

  /** Whether the call has ended or was given up. */
  get isOver(): boolean {
    return this.#isOver
  }

  /**
   * @returns `false` where the call was given up while it waited for a connection: then nothing may
   *   be asked any more, since the caller was told that it failed.
   */
  take(release: Release): boolean {
    if (!this.#isOver && performance.now() >= this.dueMs) this.giveUp()
    if (this.#isOver) {
      release('kept')
      return false
    }
    this.#release = release
    return true
  }

  /** Gives the connection back, or away if it is of no more use. The second time nothing happens. */
  end(fate: Fate): void {
    this.#isOver = true
    const release = this.#release
    // The lender holds it for a while after its end, and must not hold what it gave for as long.
    this.#release = undefined
    this.#late = undefined
    release?.(fate)
  }

  giveUp(): void {
    const late = this.#late
    this.end('unanswered')
    late?.()
  }
}

/** How often within the time limit is looked for what is late: the caller has its own, exact limit. */
const LOOKS = 8

/** Lends connections for as long as a call may take. Its timer does not keep the process alive. */
export class Lender {
  #leases: ConnectionUse[] = []
  #timer: NodeJS.Timeout | undefined

  /** @param late - Called when calls were given up. */
  constructor(
    private readonly limitMs: number,
    private readonly late: () => void,
  ) {}

  /**
   * @param callDueMs - When the call ends that this is a part of; left out: after the limit.
   * @param use - Settles the promise with what the call gives.
   */
  lend<T>(
    callDueMs: number | undefined,
    use: (
      lease: ConnectionUse,
      resolve: (value: T) => void,
      reject: (error: Error) => void,
    ) => void,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const { limitMs } = this
      const dueMs = callDueMs ?? performance.now() + limitMs
      const lease = new ConnectionUse(dueMs, () =>
        reject(new Error(`no answer within ${limitMs} ms`)),
      )
      if (dueMs !== Infinity) {
        this.#leases.push(lease)
        this.#timer ??= setInterval(this.#look, Math.ceil(limitMs / LOOKS)).unref()
      }
      use(lease, resolve, reject)
    })
  }

  readonly #look = (): void => {
    const nowMs = performance.now()
    let isLate = false
    this.#leases = this.#leases.filter((lease) => {
      if (lease.isOver) return false
      if (nowMs < lease.dueMs) return true
      lease.giveUp()
      isLate = true
      return false
    })
    if (isLate) this.late()
    if (this.#leases.length > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
