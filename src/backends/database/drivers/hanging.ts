/**
 * Finds the connections of a pool that do not get through. Unless the user has set a limit, a pool
 * waits for them for ever, and with all its places taken it would go on failing when the server is
 * back.
 */
export class HangingConnections {
  readonly #sinceMs = new WeakMap<object, number>()

  constructor(
    private readonly limitMs: number,
    private readonly openings: () => Iterable<object>,
    private readonly destroy: (connection: object) => void,
  ) {}

  /** Notes which connections are being opened. */
  note(): void {
    const nowMs = performance.now()
    for (const one of this.openings()) if (!this.#sinceMs.has(one)) this.#sinceMs.set(one, nowMs)
  }

  /** Ends those that have been at it for as long as a call may take. */
  end(): void {
    const untilMs = performance.now() - this.limitMs
    for (const one of this.openings()) {
      if ((this.#sinceMs.get(one) ?? Infinity) <= untilMs) this.destroy(one)
    }
    this.note()
  }
}
