import type { IoClient } from './client.js'
import { isSame, type Connections } from './connections.js'

/** Keeps commands from a server until it is known that it may be asked. */
export abstract class Gate {
  readonly #intervalMs: number
  /** Those that commands may go over. */
  #known: Connections | undefined
  #opening: Promise<void> | undefined
  #againMs = 0

  /** @param intervalMs - Milliseconds after which it is looked again, while commands go on. */
  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs
  }

  /**
   * Looks whether a server may be asked.
   *
   * @returns The connections of which that is now known.
   * @throws Error: it may not, or that could not be found out.
   */
  protected abstract look(client: IoClient): Promise<Connections>

  /** Whether commands may be sent now. */
  isOpen(client: IoClient): boolean {
    if (!this.isStill(client)) return false
    if (performance.now() >= this.#againMs) {
      this.#againMs = Infinity
      this.open(client).catch(() => undefined)
    }
    return true
  }

  /** Whether what comes now is the answer of the server that it was open for. */
  isStill(client: IoClient): boolean {
    return this.#known !== undefined && isSame(this.#known, client)
  }

  /** Opens it. @throws Error: it could not be opened. */
  open(client: IoClient): Promise<void> {
    this.#opening ??= this.look(client)
      .then((connections) => {
        this.#known = connections
      })
      .finally(() => {
        this.#opening = undefined
        this.#againMs = performance.now() + this.#intervalMs
      })
    return this.#opening
  }

  protected close(): void {
    this.#known = undefined
  }
}
