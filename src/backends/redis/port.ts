import { replyError } from './reply-error.js'

/** The commands that a {@link RedisPort} has to send. */
export type RedisCommand =
  | 'MGET'
  | 'SET'
  | 'UNLINK'
  | 'EXISTS'
  | 'PERSIST'
  | 'PEXPIRE'
  | 'PTTL'
  | 'EVAL'
  | 'SCAN'
  | 'FLUSHDB'
  | 'INFO'
  | 'DBSIZE'
  | 'TIME'
  | 'WAIT'

/** The reply to a command. Texts may be bytes; those of `MGET` must be. */
export type RedisReply = string | number | bigint | Uint8Array | null | readonly RedisReply[]

/**
 * What a `RedisCache` needs from a client: it sends one of a dozen commands to one server. You can pass
 * clients of ioredis, `redis` and `@valkey/valkey-glide` directly. Implement this interface for any other
 * client.
 */
export interface RedisPort {
  /** Whether a command would be sent now. Omitted: always. */
  readonly isReady?: boolean | undefined
  /**
   * A different object for every new connection, so that a restarted or replaced server is noticed at once.
   * Omitted: it is noticed within ten seconds.
   */
  readonly connection?: object | undefined
  /** Connects if necessary, and resolves once commands can be sent. Rejects if that fails. */
  connect?(): Promise<unknown>
  /**
   * Sends a command. Preferably send the calls of one turn of the event loop together.
   *
   * @returns The reply. If the server refuses the command, the promise rejects with an error whose `name` is
   *   `ReplyError` and whose `message` is the server's. Any other failure counts as an outage.
   */
  send(command: RedisCommand, args: readonly (string | Uint8Array)[]): Promise<unknown>
}

/** A client of the package `redis` (node-redis), reduced to what is used here. */
export interface NodeRedisClient {
  readonly isOpen: boolean
  readonly isReady: boolean
  /** Like `connect` of `redis`. */
  connect(): Promise<unknown>
  /** Like `on` of `redis`. */
  on(event: string, listener: (error: Error) => void): unknown
  /** Like `sendCommand` of `redis`. */
  sendCommand(args: readonly (string | Buffer)[], options?: object): Promise<unknown>
}

/** A `GlideClient` of the package `@valkey/valkey-glide`, reduced to what is used here. */
export interface GlideClient {
  /** Like `customCommand` of `@valkey/valkey-glide`. */
  customCommand(args: (string | Buffer)[], options?: object): Promise<unknown>
}

export function isPort(client: unknown): client is RedisPort {
  return has(client, 'send')
}

/**
 * The port of a client of one of these packages.
 *
 * @returns `undefined`: it is none, or one of several servers.
 */
export function portOf(client: unknown): RedisPort | undefined {
  if (!has(client, 'customCommand') && !(has(client, 'sendCommand') && 'isReady' in client)) {
    return undefined
  }
  if (isOfSeveral(client)) return undefined
  const port = ports.get(client) ?? makePort(client)
  ports.set(client, port)
  return port
}

/** Several caches may share a client. */
const ports = new WeakMap<object, RedisPort>()

function makePort(client: object): RedisPort {
  return 'customCommand' in client
    ? new GlidePort(client as GlideClient)
    : new NodeRedisPort(client as NodeRedisClient)
}

function has(client: unknown, method: string): client is Readonly<Record<string, unknown>> {
  if (typeof client !== 'object' || client === null) return false
  return typeof (client as Readonly<Record<string, unknown>>)[method] === 'function'
}

/** Its commands are routed: to where their keys are, or to the leader or a replica that Sentinels know. */
function isOfSeveral(client: object): boolean {
  return client.constructor.name.includes('Cluster') || has(client, 'getMasterNode')
}

/** RESP's type of binary-safe texts, `$`: they are to come as bytes. */
const BYTES = { typeMapping: { ['$'.charCodeAt(0)]: Buffer } }

interface Waiting {
  readonly promise: Promise<void>
  readonly settle: (error?: Error) => void
}

class NodeRedisPort implements RedisPort {
  readonly #client: NodeRedisClient
  #connection: object | undefined
  /** Those who wait for it, settled together: a listener each would stay for ever. */
  #waiting: Waiting | undefined

  constructor(client: NodeRedisClient) {
    this.#client = client
    if (client.isReady) this.#connection = {}
    client.on('ready', () => {
      this.#connection = {}
      this.#waiting?.settle()
    })
    client.on('end', () => (this.#connection = undefined))
    client.on('error', (error) => {
      this.#connection = undefined
      this.#waiting?.settle(error)
    })
  }

  get isReady(): boolean {
    return this.#client.isReady
  }

  get connection(): object | undefined {
    return this.#connection
  }

  async connect(): Promise<void> {
    if (!this.#client.isOpen) await this.#client.connect()
    if (this.#client.isReady) return
    this.#waiting ??= this.#wait()
    await this.#waiting.promise
  }

  #wait(): Waiting {
    let settle!: Waiting['settle']
    const promise = new Promise<void>((resolve, reject) => {
      settle = (error) => {
        this.#waiting = undefined
        if (error === undefined) resolve()
        else reject(error)
      }
    })
    return { promise, settle }
  }

  async send(command: RedisCommand, args: readonly (string | Uint8Array)[]): Promise<unknown> {
    try {
      return await this.#client.sendCommand([command, ...args.map(toSend)], BYTES)
    } catch (error) {
      throw error instanceof Error && isErrorReply(error) ? replyError(error.message) : error
    }
  }
}

/** `ErrorReply` and what extends it. */
function isErrorReply(error: Error): boolean {
  for (
    let at: object | null = error;
    at !== null;
    at = Object.getPrototypeOf(at) as object | null
  ) {
    if (at.constructor.name === 'ErrorReply') return true
  }
  return false
}

/** The package's own number for answers in bytes. */
const GLIDE_BYTES = { decoder: 0 }

class GlidePort implements RedisPort {
  readonly #client: GlideClient

  constructor(client: GlideClient) {
    this.#client = client
  }

  async send(command: RedisCommand, args: readonly (string | Uint8Array)[]): Promise<unknown> {
    try {
      return await this.#client.customCommand([command, ...args.map(toSend)], GLIDE_BYTES)
    } catch (error) {
      if (!(error instanceof Error) || error.constructor.name !== 'RequestError') throw error
      // It puts words of its own in front of what the server said.
      throw replyError(error.message.replace(/^An error was signalled by the server: - /, ''))
    }
  }
}

function toSend(argument: string | Uint8Array): string | Buffer {
  if (typeof argument === 'string' || Buffer.isBuffer(argument)) return argument
  return Buffer.from(argument.buffer, argument.byteOffset, argument.byteLength)
}
