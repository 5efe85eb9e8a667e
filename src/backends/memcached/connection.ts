import { connect, type Socket } from 'node:net'
import { connectionError } from './faults.js'
import type { ServerLocation } from './location.js'
import { Outbox } from './outbox.js'
import type { Protocol } from './protocol.js'
import { failRequest, type Request } from './request.js'
import type { Seen } from './seen.js'
import { SentRequests } from './sent-requests.js'

/** How the connections to a server are made. */
export interface ConnectionSettings {
  readonly location: ServerLocation
  /** Without a byte for so long while answers are due, the connection is given up. */
  readonly timeLimitMs: number
  /** Finds out which protocol to speak; calls `ready` when commands may follow. */
  readonly handshake: (connection: Connection, ready: () => void) => Protocol
}

/** Hears about the events of a connection. */
export interface ConnectionListener {
  ready(connection: Connection): void
  /** @param error - Left out if it ended in order while nothing was asked. */
  closed(connection: Connection, error: Error | undefined): void
}

/**
 * One connection to a server. Commands are answered in the order they were sent; those sent in one
 * turn of the event loop go out in one write. One that got no answer in time, or an answer that
 * cannot be its own, ends the connection and with it everything that is still unanswered.
 *
 * @remarks It keeps the process alive only while answers are due.
 */
export class Connection {
  readonly #location: ServerLocation
  readonly #limitMs: number
  readonly #listener: ConnectionListener
  readonly #protocol: Protocol
  readonly #socket: Socket
  readonly #out = new Outbox()
  readonly #sent = new SentRequests()
  #state: 'opening' | 'ready' | 'closed' = 'opening'
  /** Sent while opening. */
  #waiting: Request[] = []
  /** When the last byte came, and the last answer that was complete; else when one fell due. */
  #lastSignMs = performance.now()
  #lastAnswerMs = this.#lastSignMs
  #timer: NodeJS.Timeout | undefined
  /** Somebody waits for the last answer, and then for its end. */
  #whenEnded: (() => void) | undefined

  /** What the record of generations said at the time of the commands that now gather. */
  seen: Seen | undefined

  constructor(settings: ConnectionSettings, listener: ConnectionListener) {
    this.#location = settings.location
    this.#limitMs = settings.timeLimitMs * SHARE_OF_LIMIT
    this.#listener = listener
    this.#socket = connect({ ...settings.location.target, noDelay: true, keepAlive: true })
    this.#socket.unref()
    this.#protocol = settings.handshake(this, () => {
      this.#open()
    })
    this.#socket.on('data', (chunk: Buffer) => {
      this.#receive(chunk)
    })
    this.#socket.on('error', (error) => {
      this.destroy(error)
    })
    this.#socket.on('close', () => {
      this.destroy(this.pending > 0 || !this.isReady ? CLOSED : undefined)
    })
    this.#watch()
  }

  get isReady(): boolean {
    return this.#state === 'ready'
  }

  get isClosed(): boolean {
    return this.#state === 'closed'
  }

  /** Requests without an answer. */
  get pending(): number {
    return this.#sent.unanswered + this.#waiting.length
  }

  /** How much is under way: requests, and kilobytes to be sent. */
  get load(): number {
    return this.pending + this.#sent.kilobytes
  }

  /** Sends a command once the connection is ready. */
  send(request: Request): void {
    if (this.#state === 'ready') {
      this.#write(request)
      return
    }
    if (this.#state === 'closed') {
      failRequest(request, connectionError(this.#location.name, CLOSED))
      return
    }
    if (this.#waiting.length === 0) this.#socket.ref()
    this.#waiting.push(request)
  }

  /** For the handshake: sends a command before the connection is ready. */
  sendFirst(request: Request): void {
    if (this.#state === 'opening') this.#write(request)
  }

  /**
   * Waits for the answers that are due, then ends it.
   *
   * @param cause - What to reject commands with that could not be sent, since it was still opening.
   */
  end(cause: Error): Promise<void> {
    if (!this.isReady || this.pending === 0) this.destroy(cause)
    if (this.isClosed) return Promise.resolve()
    return new Promise((resolve) => {
      this.#whenEnded = resolve
    })
  }

  /** Ends it, and everything that is not answered. */
  destroy(cause?: Error): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    clearTimeout(this.#timer)
    this.#socket.destroy()
    const unanswered = [...this.#sent.drain(), ...this.#waiting]
    this.#waiting = []
    const error = connectionError(this.#location.name, cause ?? CLOSED)
    this.#listener.closed(this, cause === undefined ? undefined : error)
    for (const request of unanswered) failRequest(request, error)
    this.#whenEnded?.()
  }

  #open(): void {
    if (this.#state !== 'opening') return
    this.#state = 'ready'
    const waiting = this.#waiting
    this.#waiting = []
    for (const request of waiting) this.#write(request)
    this.#listener.ready(this)
  }

  #write(request: Request): void {
    if (this.#sent.unanswered === 0) {
      this.#lastSignMs = this.#lastAnswerMs = performance.now()
      if (this.#state === 'ready') this.#socket.ref()
      if (this.#timer === undefined) this.#watch()
    }
    const gathered = this.#sent.push(request)
    if (gathered === 1) process.nextTick(this.#flush)
  }

  readonly #flush = (): void => {
    this.seen = undefined
    if (this.#state === 'closed') return
    this.#protocol.encode(this.#sent.takeGathered(), this.#out)
    this.#out.sendTo(this.#socket)
  }

  #receive(chunk: Buffer): void {
    if (this.#state === 'closed') return
    this.#lastSignMs = performance.now()
    try {
      this.#protocol.receive(chunk, this.#next, this.#pop)
    } catch (error) {
      this.destroy(error instanceof Error ? error : new Error(String(error)))
    }
  }

  readonly #next = (): Request | undefined => this.#sent.next()

  readonly #pop = (): void => {
    this.#lastAnswerMs = this.#lastSignMs
    this.#sent.pop()
    if (this.pending > 0) return
    this.#socket.unref()
    if (this.#whenEnded !== undefined) this.destroy()
  }

  #watch(ms = this.#limitMs): void {
    this.#timer = setTimeout(this.#check, Math.max(1, Math.ceil(ms))).unref()
  }

  readonly #check = (): void => {
    this.#timer = undefined
    // A process that was busy reads what has long been there only after its timers have fired.
    if (this.#isOverdue()) setImmediate(this.#giveUp)
    else if (!this.isClosed && (this.pending > 0 || !this.isReady)) {
      this.#watch(this.#limitMs - (performance.now() - this.#lastSignMs))
    }
  }

  #isOverdue(): boolean {
    if (this.#state === 'closed' || (this.pending === 0 && this.isReady)) return false
    const nowMs = performance.now()
    // What trickles in never ends, while nobody waits for it any more.
    const isTrickle = nowMs - this.#lastAnswerMs > TRICKLE_LIMITS * this.#limitMs
    return isTrickle || nowMs - this.#lastSignMs >= this.#limitMs
  }

  readonly #giveUp = (): void => {
    if (this.#isOverdue())
      this.destroy(new Error(`no answer within ${Math.round(this.#limitMs)} ms`))
    else if (this.#timer === undefined && this.#state !== 'closed') this.#check()
  }
}

/** So many time limits may one answer take, while its bytes come. */
const TRICKLE_LIMITS = 4

/** Before the caller's own limit ends, so that it hears which server it was. */
const SHARE_OF_LIMIT = 0.95

const CLOSED = new Error('the connection was closed')
