import type { ServerResponse } from 'node:http'
import { headerText, type HeaderFields } from '../../src/http/header-values.js'
import { isPromise, type MaybePromise } from '../../src/maybe-promise.js'
import { keepLetters } from './replay.js'
import type { RecordingFault } from '../../src/pages/reasons.js'
import { isGone } from './protocol.js'
import { bytesOf, callbackOf, isBodyWrapped, toSend } from './sent-body.js'

/** A stream that was piped into a response. */
interface Source {
  readonly readableEnded?: boolean
  readonly errored?: unknown
}

/** What a promise of a substitute gives where the handler's own response is sent after all. */
export const HANDLERS_OWN: unique symbol = Symbol('the response of the handler')

/** May send another body in place of the handler's. */
export interface Substitute {
  /**
   * Called before the first byte, while the headers can still be changed.
   *
   * @param isEnd - This part is the whole body.
   * @param first - The first part of the body, as `res.write` and `res.end` take it.
   */
  beforeHeaders(isEnd: boolean, first: readonly unknown[]): void
  /** What is sent in place of what the handler writes; `undefined`: what it writes is sent. */
  readonly substitute:
    | {
        /**
         * `undefined`: no body. While it is a promise, which never rejects, the response is held back; if
         * that gives `HANDLERS_OWN`, what the handler wrote is sent after all.
         */
        readonly body: MaybePromise<Buffer | typeof HANDLERS_OWN | undefined>
        /** What the handler writes is still recorded. */
        readonly isRecorded?: boolean
      }
    | undefined
}

/**
 * Copies what is written to a response and passes it on at once. The copy is bounded, and dropped as soon as it
 * is clear that it will not be stored.
 */
export class BodyRecorder {
  #parts: Buffer[] | undefined
  #length = 0
  #expectedLength: number | undefined
  #isInEnd = false
  /** What the handler wrote while the substitute was a promise; `undefined`: it was too much to hold. */
  #held: (readonly unknown[])[] | undefined = []
  #heldBytes = 0
  #wastedBytes = 0
  /** The handler has ended the response, and the substitute is still a promise. */
  #isHeldBack = false
  readonly #sources: Source[] = []

  /**
   * @param maxBodyBytes - A longer body is not recorded.
   * @param onFault - Called at most once, if a recording that was started fails.
   * @param onEnd - Called when the whole body was passed to the server and the headers are sent.
   */
  constructor(
    private readonly res: ServerResponse,
    private readonly maxBodyBytes: number,
    private readonly onFault: (fault: RecordingFault) => void,
    private readonly onEnd: (body: readonly Buffer[]) => void,
    private readonly instead: Substitute,
  ) {
    this.#wrap()
  }

  #wrap(): void {
    const { res } = this
    const isWrapped = isBodyWrapped(res)
    const write = res.write.bind(res) as (...args: unknown[]) => boolean
    const endInside = res.end.bind(res) as (...args: unknown[]) => ServerResponse
    // Over HTTP/2, and in some layers around the cache, `res.end` calls `res.write`.
    let isWritten = false
    const end = (...args: unknown[]): ServerResponse => {
      isWritten = true
      try {
        return endInside(...args)
      } finally {
        isWritten = false
      }
    }
    /** Passes on and records a part of the body as the handler wrote it. */
    const pass = <T>(send: (...args: unknown[]) => T, args: readonly unknown[]): T => {
      const [chunk, ...rest] = args
      const isChangeable = isWrapped && chunk instanceof Uint8Array
      const written = isChangeable ? [Buffer.from(chunk), ...rest] : args
      const sent = send(...args)
      this.#record(written)
      return sent
    }
    /** @returns `false` if some of it was dropped: the connection is then closed, since a part is no response. */
    const sendHeld = (): boolean => {
      const held = this.#held
      this.#held = []
      if (held === undefined) res.destroy()
      for (const args of held ?? []) pass(write, args)
      return held !== undefined
    }
    res.write = (...args: unknown[]) => {
      if (isWritten) return write(...args)
      if (!res.headersSent && !this.#isInEnd) this.instead.beforeHeaders(false, args)
      if (this.instead.substitute !== undefined) {
        if (isPromise(this.instead.substitute.body) && !this.#isInEnd) this.#hold(args)
        if (this.instead.substitute.isRecorded === true && !this.#isInEnd) this.#record(args)
        if (this.instead.substitute.body === undefined) this.#waste(args, end)
        const callback = callbackOf(args)
        if (callback !== undefined) process.nextTick(callback)
        return !res.writableEnded
      }
      if (this.#held?.length !== 0 && !sendHeld()) return false
      // A layer around the cache may write these bytes from within `res.end`.
      return this.#isInEnd ? write(...args) : pass(write, args)
    }
    res.end = (...args: unknown[]) => {
      if (this.#isInEnd) {
        const hasMore = (bytesOf(args)?.length ?? 0) > 0
        // A second end without a body only adds a callback; with one, another layer answers.
        return this.#isHeldBack && !hasMore ? this.#onFinish(args) : end(...args)
      }
      this.#isInEnd = true
      // Where a request was injected, the response is destroyed as soon as it has ended.
      const wasGone = isGone(res)
      if (!res.headersSent) this.instead.beforeHeaders(true, args)
      const { substitute } = this.instead
      if (substitute !== undefined) {
        const callback = args.filter((arg) => typeof arg === 'function')
        const finish = (body: Buffer | typeof HANDLERS_OWN | undefined) => {
          this.#isHeldBack = false
          if (isGone(res)) return res
          if (body === undefined) return end(...callback)
          if (body !== HANDLERS_OWN) {
            keepLetters(res)
            return end(toSend(body, isWrapped), ...callback)
          }
          if (!sendHeld()) return res
          pass(end, args)
          this.#finish(false)
          return res
        }
        const { body } = substitute
        this.#isHeldBack = isPromise(body)
        const ended = isPromise(body) ? res : finish(body)
        if (isPromise(body)) void body.then(finish)
        if (substitute.isRecorded === true) {
          this.#record(args)
          this.#finish(wasGone)
        }
        return ended
      }
      if (this.#held?.length !== 0 && !sendHeld()) return res
      const result = pass(end, args)
      this.#finish(wasGone)
      return result
    }
    res.on('pipe', (source: Source) => void this.#sources.push(source))
  }

  /** Begins to copy, when the headers are about to be sent. */
  start(headers: HeaderFields): void {
    const length = headerText(headers, 'content-length')
    this.#expectedLength = length === undefined ? undefined : Number(length)
    this.#parts = []
  }

  /** Drops the copy. */
  stop(): void {
    this.#parts = undefined
  }

  /** Calls back as `response.end` does on a response that has ended. */
  #onFinish(args: readonly unknown[]): ServerResponse {
    const callback = callbackOf(args)
    if (callback !== undefined) this.res.on('finish', callback)
    return this.res
  }

  /** Holds what the handler writes back until it is known whether it is sent. */
  #hold(args: readonly unknown[]): void {
    const bytes = bytesOf(args)
    if (bytes === undefined || this.#held === undefined) return
    this.#heldBytes += bytes.length
    if (this.#heldBytes > this.maxBodyBytes) this.#held = undefined
    else this.#held.push([bytes])
  }

  /** Ends the response early where much is written that is neither sent nor recorded. */
  #waste([chunk]: readonly unknown[], end: () => unknown): void {
    if (this.#parts !== undefined || this.res.writableEnded) return
    if (typeof chunk === 'string' || chunk instanceof Uint8Array) this.#wastedBytes += chunk.length
    if (this.#wastedBytes > this.maxBodyBytes) end()
  }

  /** Another layer ends what the handler began: the body is not the handler's whole body. */
  breakOff(): void {
    if (!this.#isInEnd) this.#fail('incomplete')
  }

  /** The response has trailers, which cannot be stored. */
  addTrailers(): void {
    this.#fail('trailers')
  }

  /** The connection is gone, so that the body will not be complete. */
  giveUp(): void {
    this.#fail('incomplete')
  }

  #fail(fault: RecordingFault): void {
    if (this.#parts === undefined) return
    this.#parts = undefined
    this.onFault(fault)
  }

  #record(args: readonly unknown[]): void {
    if (this.#parts === undefined) return
    const bytes = bytesOf(args)
    if (bytes !== undefined) this.#keep(this.#parts, bytes)
  }

  #keep(parts: Buffer[], part: Buffer): void {
    this.#length += part.length
    if (this.#length > this.maxBodyBytes) this.#fail('too-large')
    else parts.push(part)
  }

  #finish(wasGone: boolean): void {
    const parts = this.#parts
    if (parts === undefined) return
    // The server destroys the response once the client is gone.
    if (wasGone || !this.#sources.every(isWhole)) return this.#fail('incomplete')
    if (this.#expectedLength !== undefined && this.#expectedLength !== this.#length) {
      return this.#fail('content-length')
    }
    // A layer around the cache may delay the end, as express-session does, and still set a cookie.
    if (this.res.headersSent) this.#hand(parts)
    else this.res.on('finish', () => this.#hand(parts))
  }

  #hand(parts: Buffer[]): void {
    if (this.#parts === undefined) return
    this.#parts = undefined
    this.onEnd(parts)
  }
}

/** Whether a stream was piped to its end: one that broke off was not, even if the response was ended. */
function isWhole({ readableEnded, errored }: Source): boolean {
  return readableEnded !== false && (errored === undefined || errored === null)
}
