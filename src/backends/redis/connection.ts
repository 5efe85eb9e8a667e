import { createClient, withoutArguments, type IoClient } from './client.js'
import type { ClientSource } from './link.js'

/** How a connection of this backend's own is made. */
export interface ConnectionSettings {
  /** What the messages of errors call the server. */
  readonly name: string
  /** Milliseconds a call may take. */
  readonly limitMs: number
  /** Milliseconds to connect and be welcomed. */
  readonly connectLimitMs: number
  /** Given when it is opened, since the name of the cache is not known earlier. */
  readonly options: () => object
  /** Default: a new client of the package. */
  readonly make?: (options: object) => IoClient | Promise<IoClient>
}

/** A connection is for many calls: where they may take little, it may still take this long. */
const LEAST_CONNECT_LIMIT_MS = 500

/** Milliseconds that connecting may take where nobody says it. */
export function connectLimitOf(limitMs: number): number {
  return Math.max(LEAST_CONNECT_LIMIT_MS, Math.ceil(limitMs / 2))
}

/** Milliseconds until the first attempt to connect again; the next ones come later. */
const RETRY_MS = 50

/** Most milliseconds between two attempts to connect. */
const MAX_RETRY_MS = 250

/** What the client library has to be told so that it neither hangs nor repeats. */
export function failFast(limitMs: number, connectLimitMs: number): object {
  const retryStrategy = (attempts: number) => Math.min(RETRY_MS * attempts, MAX_RETRY_MS)
  return {
    lazyConnect: true,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    connectTimeout: connectLimitMs,
    socketTimeout: limitMs,
    retryStrategy,
    sentinelRetryStrategy: retryStrategy,
    reconnectOnError: reconnectsFor(),
  }
}

/** Milliseconds in which a server that takes no writes is left for it only once. */
const READONLY_MS = 5000

/**
 * A leader that has become a replica: ask again who leads. Not at every refused write, since what else
 * is under way goes with the connection.
 */
function reconnectsFor(): (error: Error) => boolean {
  let lastMs = -Infinity
  return (error) => {
    if (!error.message.startsWith('READONLY')) return false
    const nowMs = performance.now()
    if (nowMs - lastMs < READONLY_MS) return false
    lastMs = nowMs
    return true
  }
}

/** Whether the server refused the db: there is no such one, or the user may not choose. */
function isOfSelect(error: Error): boolean {
  const { command } = error as { readonly command?: { readonly name?: unknown } }
  return command?.name === 'select'
}

/** A client that is opened on first use, connects again by itself, and keeps no process alive. */
export class Connection implements ClientSource {
  readonly #settings: ConnectionSettings
  #client: IoClient | undefined
  #opening: Promise<IoClient> | undefined
  #lastError: unknown

  constructor(settings: ConnectionSettings) {
    this.#settings = settings
  }

  get name(): string {
    return this.#settings.name
  }

  get limitMs(): number {
    return this.#settings.limitMs
  }

  get connectLimitMs(): number {
    return this.#settings.connectLimitMs
  }

  get current(): IoClient | undefined {
    return this.#client
  }

  get lastError(): unknown {
    return this.#lastError
  }

  open(): Promise<IoClient> {
    if (this.#client !== undefined) return Promise.resolve(this.#client)
    const opening = (this.#opening ??= this.#make().finally(() => {
      if (this.#opening === opening) this.#opening = undefined
    }))
    return opening
  }

  async #make(): Promise<IoClient> {
    const { make = createClient, options } = this.#settings
    const client = await make(options())
    this.#client = client
    this.#watch(client)
    return client
  }

  #watch(client: IoClient): void {
    const { connectLimitMs } = this.#settings
    const { socketTimeout } = client.options
    const allowSilence = (ms: number) => {
      if (socketTimeout !== undefined) client.options.socketTimeout = Math.max(socketTimeout, ms)
    }
    // The welcome has a limit of its own, which is longer than that of a call.
    allowSilence(connectLimitMs)
    let welcome: NodeJS.Timeout | undefined
    const isCurrent = () => this.#client === client
    const { reconnectOnError } = client.options
    if (typeof reconnectOnError === 'function') {
      client.options.reconnectOnError = (error) => {
        const leaves = reconnectOnError(error)
        if (leaves !== false && isCurrent()) this.#lastError = withoutArguments(error)
        return leaves
      }
    }
    client.on('error', (error: Error) => {
      withoutArguments(error)
      if (isCurrent()) this.#lastError = error
      // The library goes on, and everything would be read from db 0, written there and cleared there.
      if (isOfSelect(error)) client.stream?.destroy(error)
    })
    client.on('connect', () => {
      const { stream } = client
      // Who waits for an answer keeps the process alive by the time limit of the call.
      stream?.unref?.()
      welcome = setTimeout(() => {
        stream?.destroy(new Error(`no welcome within ${connectLimitMs} ms`))
      }, connectLimitMs).unref()
    })
    client.on('ready', () => {
      clearTimeout(welcome)
      allowSilence(0)
      this.#lastError = undefined
    })
    client.on('close', () => {
      clearTimeout(welcome)
      allowSilence(connectLimitMs)
      // ioredis 5 leaves it running, and it would end the next connection.
      clearTimeout(client.socketTimeoutTimer)
      client.socketTimeoutTimer = undefined
      if (isCurrent()) this.#lastError ??= new Error('the connection was closed')
    })
    client.on('reconnecting', () => {
      client.reconnectTimeout?.unref?.()
    })
    client.on('end', () => {
      // It does not come back by itself; the next call makes another.
      if (!isCurrent()) return
      this.#client = undefined
      this.#lastError = undefined
    })
  }

  /** Waits for what was asked, then closes. The next call opens it again. */
  async close(): Promise<void> {
    const client = this.#client ?? (await this.#opening?.catch(() => undefined))
    this.#client = undefined
    this.#lastError = undefined
    if (client === undefined) return
    if (client.status === 'ready') await this.#farewell(client)
    const { stream } = client
    client.disconnect()
    stream?.destroy()
  }

  /** The server answers in order: when this is answered, so is everything before. */
  async #farewell(client: IoClient): Promise<void> {
    let late: NodeJS.Timeout | undefined
    const limit = new Promise<void>((resolve) => {
      late = setTimeout(resolve, this.#settings.limitMs)
    })
    const answered = client.quit().catch(() => undefined)
    await Promise.race([answered, limit])
    clearTimeout(late)
  }
}

/** The client of somebody else: neither closed nor changed. */
export class GivenClient implements ClientSource {
  readonly name = 'the client that was given'
  readonly lastError = undefined

  constructor(
    readonly current: IoClient,
    readonly limitMs: number,
  ) {}

  get connectLimitMs(): number {
    return connectLimitOf(this.limitMs)
  }

  open(): Promise<IoClient> {
    return Promise.resolve(this.current)
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}
