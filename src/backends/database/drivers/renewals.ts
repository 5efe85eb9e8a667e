/** Milliseconds in which connections that may not write are left for others only once. */
const INTERVAL_MS = 5000

/**
 * Which connections of a pool are not to be used again. After a failover they lead to a server that takes no writes any
 * more, and answer for as long as they are used; what reads by one of them does not see what is written by another.
 */
export class Renewals<Connection extends object> {
  /** Connections that were used, and how often all were left until then. */
  readonly #known = new WeakMap<Connection, number>()
  #count = 0
  #lastMs = -Infinity

  /** Leaves those that were used until now. Not at every refused write: there may be no other server. */
  leaveAll(): void {
    const nowMs = performance.now()
    if (nowMs - this.#lastMs < INTERVAL_MS) return
    this.#lastMs = nowMs
    this.#count++
  }

  isLeft(connection: Connection): boolean {
    const known = this.#known.get(connection)
    if (known === undefined) this.#known.set(connection, this.#count)
    return known !== undefined && known < this.#count
  }
}
