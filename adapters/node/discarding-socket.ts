import type { AddressInfo, Socket } from 'node:net'
import { Duplex } from 'node:stream'

type Done = (error?: Error | null) => void

/**
 * Properties that tell about the two ends of the original connection. `alpnProtocol` is not one of them: it
 * says what is spoken on a connection, and on this one that is HTTP/1.1 also where the client speaks HTTP/2.
 */
const ENDS = [
  'remoteAddress',
  'remotePort',
  'remoteFamily',
  'localAddress',
  'localPort',
  'localFamily',
  // Of one with TLS
  'encrypted',
  'authorized',
  'authorizationError',
  'servername',
] as const

/** Methods of a TLS socket that tell about the other end. */
const QUESTIONS = [
  'getCipher',
  'getPeerCertificate',
  'getPeerX509Certificate',
  'getProtocol',
  'getSession',
  'isSessionReused',
] as const

/**
 * Takes the place of a client's socket: it reports the same addresses, accepts every byte and sends none.
 *
 * @remarks Nothing arrives on it. It never holds a process open.
 */
export class DiscardingSocket extends Duplex {
  readonly connecting = false
  readonly pending = false
  bytesRead = 0
  bytesWritten = 0
  timeout = 0
  /** The server that the application listens with. */
  readonly server: unknown
  #idle: NodeJS.Timeout | undefined

  constructor(original: Socket) {
    super()
    const source = original as unknown as Record<string, unknown>
    this.server = source['server']
    for (const name of ENDS) {
      // Read now, since a socket forgets them when it closes.
      const value = source[name]
      if (value !== undefined) this.#define(name, value)
    }
    for (const name of QUESTIONS) {
      const answer = source[name]
      if (typeof answer !== 'function') continue
      this.#define(name, (...args: unknown[]) => Reflect.apply(answer, original, args) as unknown)
    }
  }

  #define(name: string, value: unknown): void {
    Object.defineProperty(this, name, { value, configurable: true, enumerable: true })
  }

  get readyState(): string {
    return this.destroyed ? 'closed' : 'open'
  }

  address(): AddressInfo | Record<string, never> {
    const { localAddress, localFamily, localPort } = this as unknown as Partial<Socket>
    if (localAddress === undefined) return {}
    return { address: localAddress, family: localFamily ?? '', port: localPort ?? 0 }
  }

  /** @see Node, `socket.setTimeout` */
  setTimeout(timeoutMs: number, listener?: () => void): this {
    this.timeout = timeoutMs
    clearTimeout(this.#idle)
    this.#idle = undefined
    if (timeoutMs > 0) {
      this.#idle = setTimeout(() => this.emit('timeout'), timeoutMs)
      this.#idle.unref()
      if (listener !== undefined) this.once('timeout', listener)
    } else if (listener !== undefined) {
      this.removeListener('timeout', listener)
    }
    return this
  }

  setKeepAlive(): this {
    return this
  }

  setNoDelay(): this {
    return this
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }

  /** Node's server asks for it when a response is the connection's last. */
  destroySoon(): void {
    if (this.writable) this.end()
    if (this.writableFinished) this.destroy()
    else this.once('finish', () => void this.destroy())
  }

  override _read(): void {
    // Nothing arrives.
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#take(chunk.length, done)
  }

  override _writev(chunks: { readonly chunk: Buffer }[], done: Done): void {
    this.#take(
      chunks.reduce((length, { chunk }) => length + chunk.length, 0),
      done,
    )
  }

  #take(length: number, done: Done): void {
    this.bytesWritten += length
    this.#idle?.refresh()
    // In a later turn of the event loop, so that a handler that never stops writing does not block it.
    setImmediate(done)
  }

  override _destroy(error: Error | null, done: Done): void {
    clearTimeout(this.#idle)
    done(error)
  }
}
