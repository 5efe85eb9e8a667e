/** Failures in a row after which a store is no longer asked. */
const FAILURES_TO_OPEN = 3

/** Milliseconds between two attempts to find out whether the store is back. */
const PROBE_INTERVAL_MS = 100

/**
 * Lets calls to a store that is down fail at once. While it is open, the circuit asks the store by
 * itself, so that no caller has to wait for the attempt; the first answer closes it.
 *
 * @remarks Its timer does not keep the process alive.
 */
export class Circuit {
  readonly #probe: () => Promise<unknown>
  readonly #closed: () => void
  readonly #mostProbes: number
  #probes = 0
  #failures = 0
  #timer: NodeJS.Timeout | undefined
  #lastError: unknown

  /**
   * @param probe - Asks the store; settles within the time limit of a call.
   * @param closed - Called when a probe was answered.
   * @param mostProbes - That wait for an answer at the same time. Default: any number, since one that hangs does not
   *   keep the next from being answered, which may be sent on a new connection.
   */
  constructor(probe: () => Promise<unknown>, closed: () => void, mostProbes = Infinity) {
    this.#probe = probe
    this.#closed = closed
    this.#mostProbes = mostProbes
  }

  get isOpen(): boolean {
    return this.#failures >= FAILURES_TO_OPEN
  }

  /** What the last call failed with. */
  get lastError(): unknown {
    return this.#lastError
  }

  failed(error: unknown): void {
    this.#lastError = error
    if (++this.#failures >= FAILURES_TO_OPEN) this.ask()
  }

  succeeded(): void {
    if (this.#failures !== 0 || this.#timer !== undefined) this.close()
  }

  /** Stops asking, and lets calls through. */
  close(): void {
    this.#failures = 0
    this.#lastError = undefined
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** Asks the store until it answers, or until {@link close}. Calls that are let through still are. */
  ask(): void {
    this.#timer ??= setInterval(() => {
      if (this.#probes < this.#mostProbes) void this.#askOnce()
    }, PROBE_INTERVAL_MS).unref()
  }

  async #askOnce(): Promise<void> {
    this.#probes++
    try {
      await this.#probe()
    } catch {
      // The next probe follows.
      return
    } finally {
      this.#probes--
    }
    if (this.#timer === undefined) return
    this.close()
    this.#closed()
  }
}
