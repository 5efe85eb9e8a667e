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

/** How many are sent at once. A server that is back after it hung has to begin a process for each. */
const AT_ONCE = 4

/**
 * Ends what the server does for clients that were given up. While it waits for a lock it does not notice that its
 * client has gone: with the call after call that waits for a table which is locked, all its connections would be
 * taken.
 *
 * @remarks It does not keep the process alive.
 */
export class PgCancellations {
  readonly #waiting: { readonly client: KnownClient; readonly dueMs: number }[] = []
  #underWay = 0

  /** @param limitMs - For how long the server is waited for, and each cancellation waits for its turn. */
  constructor(
    private readonly pool: MakesMessengers,
    private readonly limitMs: number,
  ) {}

  add({ processID, secretKey }: KnownClient): void {
    if (typeof processID !== 'number') return
    const client = { processID, secretKey }
    this.#ask(client)
    // What comes before the server has begun with the statement goes unheard.
    setTimeout(() => this.#ask(client), this.limitMs).unref()
  }

  #ask(client: KnownClient): void {
    this.#waiting.push({ client, dueMs: performance.now() + this.limitMs })
    this.#askNext()
  }

  #askNext(): void {
    while (this.#underWay < AT_ONCE) {
      const next = this.#waiting.shift()
      if (next === undefined) return
      if (next.dueMs < performance.now()) continue
      const connection = this.#send(next.client)
      if (connection === undefined) continue
      this.#underWay++
      connection.on('end', () => {
        this.#underWay--
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
    const timer = setTimeout(() => connection.stream.destroy(), this.limitMs).unref()
    connection.on('end', () => clearTimeout(timer))
    return connection
  }
}

function ignore(): void {
  return undefined
}
