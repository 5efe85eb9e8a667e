import { EventEmitter } from 'node:events'
import type { Argument, IoClient, Reply } from './client.js'
import type { RedisCommand, RedisPort } from './port.js'
import { replyError } from './reply-error.js'

type Arguments = readonly (Argument | readonly Argument[])[]

/**
 * A port as the links of this backend use a client.
 *
 * @remarks It only knows what a port tells it: no replicas, no cluster, and no connection of its own.
 */
export class PortClient implements IoClient {
  readonly isCluster = false
  readonly options = {}
  readonly #events = new EventEmitter<Record<string, never[]>>()
  readonly #port: RedisPort
  /** Whether a port that says nothing of itself has connected. */
  #hasConnected = false
  readonly #streams = new WeakMap<object, NonNullable<IoClient['stream']>>()

  constructor(port: RedisPort) {
    this.#events.setMaxListeners(0)
    this.#port = port
    this.#hasConnected = port.connect === undefined
  }

  get status(): string {
    const { isReady = this.#hasConnected } = this.#port
    return isReady ? 'ready' : 'wait'
  }

  /** Stands for the connection, which is another one when it is back. */
  get stream(): NonNullable<IoClient['stream']> | undefined {
    const { connection } = this.#port
    if (connection === undefined) return undefined
    let stream = this.#streams.get(connection)
    if (stream === undefined) this.#streams.set(connection, (stream = { destroy: () => undefined }))
    return stream
  }

  async connect(): Promise<void> {
    try {
      await this.#port.connect?.()
      this.#hasConnected = true
      this.#events.emit('ready')
    } catch {
      this.#events.emit('close')
    }
  }

  on(event: string, listener: (...args: never[]) => void): void {
    this.#events.on(event, listener)
  }

  once(event: string, listener: (...args: never[]) => void): void {
    this.#events.once(event, listener)
  }

  off(event: string, listener: (...args: never[]) => void): void {
    this.#events.off(event, listener)
  }

  quit(): Promise<unknown> {
    return Promise.resolve()
  }

  disconnect(): void {
    // It is somebody else's.
  }

  mgetBuffer(...args: Arguments): Promise<Reply> {
    return this.#send('MGET', args).then((reply) =>
      (reply as readonly unknown[]).map((one) => toBuffer(one)),
    )
  }

  /** A port is not asked for what its type does not name. */
  getrangeBuffer(): Promise<Reply> {
    return Promise.resolve(null)
  }

  /** What the server knows a script by may be told in as many ways as there are clients. */
  evalsha(): Promise<Reply> {
    return Promise.reject(replyError('NOSCRIPT the whole text is sent'))
  }

  readonly set = this.#texts('SET')
  readonly unlink = this.#texts('UNLINK')
  readonly exists = this.#texts('EXISTS')
  readonly persist = this.#texts('PERSIST')
  readonly pexpire = this.#texts('PEXPIRE')
  readonly pttl = this.#texts('PTTL')
  readonly eval = this.#texts('EVAL')
  readonly scan = this.#texts('SCAN')
  readonly flushdb = this.#texts('FLUSHDB')
  readonly info = this.#texts('INFO')
  readonly dbsize = this.#texts('DBSIZE')
  readonly time = this.#texts('TIME')
  readonly wait = this.#texts('WAIT')

  #texts(command: RedisCommand): (...args: Arguments) => Promise<Reply> {
    return (...args) => this.#send(command, args).then(toReply)
  }

  async #send(command: RedisCommand, args: Arguments): Promise<unknown> {
    const flat = args.flatMap((one): readonly Argument[] => (isList(one) ? one : [one]))
    const sent = flat.map((one) => (typeof one === 'number' ? String(one) : one))
    return this.#port.send(command, sent)
  }
}

function isList(argument: Argument | readonly Argument[]): argument is readonly Argument[] {
  return Array.isArray(argument)
}

function toReply(reply: unknown): Reply {
  if (reply === null || reply === undefined) return null
  if (Array.isArray(reply)) return reply.map(toReply)
  if (reply instanceof Uint8Array) return Buffer.from(reply).toString()
  return typeof reply === 'string' ? reply : Number(reply)
}

function toBuffer(value: unknown): Buffer | null {
  if (value instanceof Uint8Array) {
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  }
  return typeof value === 'string' ? Buffer.from(value) : null
}
