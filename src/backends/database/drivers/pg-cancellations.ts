/** A client that only says which statement of another one the server is to end. */
interface Messenger {
  readonly connection?: {
    readonly stream: { destroy(): void; unref?(): void }
    on(event: 'error' | 'end', listener: () => void): unknown
  }
  readonly cancel?: (client: object, query: undefined) => void
}

/** How a pool makes its clients. */
export interface MakesMessengers {
  readonly Client?: new (options: unknown) => Messenger
  readonly options?: unknown
}

/** By which its server knows a client. */
export interface KnownClient {
  readonly processID?: unknown
  readonly secretKey?: unknown
}

interface Cancellation {
  readonly client: KnownClient
  readonly dueMs: number
  readonly told: () => void
}

/** How many are sent at once. A server that is back after it hung has to begin a process for each. */
const AT_ONCE = 4

/**
 * Milliseconds that each is left at least. PgBouncer before 1.19.1 may crash when one is closed while it is being
 * passed on.
 */
const LEAST_MS = 10_000

/**
 * Ends what the server does for clients that were given up. While it waits for a lock it does not notice that its
 * client has gone: with the call after call that waits for a table which is locked, all its connections would be
 * taken.
 *
 * @remarks It does not keep the process alive.
 */
export class PgCancellations {
  readonly #waiting: Cancellation[] = []
  #underWay = 0

  /** @param limitMs - For how long a client is kept, and each cancellation waits for its turn. */
  constructor(
    private readonly pool: MakesMessengers,
    private readonly limitMs: number,
  ) {}

  /**
   * @returns Resolves once the server was told, or could not be in time. Only then may the client's connection be
   *   ended: PgBouncer does not pass on what concerns clients that have gone.
   */
  add({ processID, secretKey }: KnownClient): Promise<void> {
    if (typeof processID !== 'number') return Promise.resolve()
    const client = { processID, secretKey }
    return new Promise((told) => {
      this.#ask(client, told)
      setTimeout(() => {
        told()
        // What came before the server had begun with the statement went unheard.
        this.#ask(client, ignore)
      }, this.limitMs).unref()
    })
  }

  #ask(client: KnownClient, told: () => void): void {
    this.#waiting.push({ client, told, dueMs: performance.now() + this.limitMs })
    this.#askNext()
  }

  #askNext(): void {
    while (this.#underWay < AT_ONCE) {
      const next = this.#waiting.shift()
      if (next === undefined) return
      const isLate = next.dueMs < performance.now()
      const connection = isLate ? undefined : this.#send(next.client)
      if (connection === undefined) {
        next.told()
        continue
      }
      this.#underWay++
      connection.on('end', () => {
        this.#underWay--
        next.told()
        this.#askNext()
      })
    }
  }

  /** @returns What ends once the server was told, or did not answer. `undefined`: it cannot be told. */
  #send(client: KnownClient): Messenger['connection'] {
    const { Client, options } = this.pool
    const messenger = Client && new Client(options)
    const connection = messenger?.connection
    if (connection === undefined || messenger?.cancel === undefined) return undefined
    connection.on('error', ignore)
    // It has no statement under way, as far as `pg` is to know: then it asks the server to end the one that has.
    messenger.cancel({ ...client, activeQuery: undefined }, undefined)
    connection.stream.unref?.()
    const mostMs = Math.max(this.limitMs, LEAST_MS)
    const timer = setTimeout(() => connection.stream.destroy(), mostMs).unref()
    connection.on('end', () => clearTimeout(timer))
    return connection
  }
}

function ignore(): void {
  return undefined
}
