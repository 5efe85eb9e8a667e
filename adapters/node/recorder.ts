import type { ServerResponse } from 'node:http'
import { headerText, type HeaderFields } from '../../src/http/header-values.js'
import { isPromise, type MaybePromise } from '../../src/maybe-promise.js'
import { keepLetters } from './replay.js'
import type { RecordingFault } from '../../src/pages/reasons.js'
import { isGone } from './protocol.js'

/** A stream that was piped into a response. */
interface Source {
  readonly readableEnded?: boolean
  readonly errored?: unknown
}

/** What stands for the view's own answer where something was to be sent instead of it. */
export const VIEWS_OWN: unique symbol = Symbol('the answer of the view')

/** Somebody who may answer in the place of the view. */
export interface Substitute {
  /**
   * Called before the first byte, while the headers can still be changed.
   *
   * @param isEnd - What comes now is all.
   * @param first - What comes now, as `res.write` and `res.end` take it.
   */
  beforeHeaders(isEnd: boolean, first: readonly unknown[]): void
  /** What is sent instead of what the view writes; `undefined`: that itself. */
  readonly substitute:
    | {
        /**
         * A promise holds the answer back, and never rejects. Where it gives `VIEWS_OWN` there is no
         * substitute any more, and what the view writes is sent after all.
         */
        readonly body: MaybePromise<Buffer | typeof VIEWS_OWN | undefined>
        /** What the view writes is kept all the same. */
        readonly isRecorded?: boolean
      }
    | undefined
}

/**
 * Copies what is written to a response, passing it on at once. What is copied is bounded, and
 * given up as soon as it is clear that it will not be kept.
 */
export class BodyRecorder {
  #parts: Buffer[] | undefined
  #length = 0
  #expectedLength: number | undefined
  #isInEnd = false
  /** What the view wrote while it was not known whether that is sent; `undefined`: too much. */
  #held: (readonly unknown[])[] | undefined = []
  #heldBytes = 0
  #wastedBytes = 0
  /** The view has ended, and it is not known yet what is sent. */
  #isHeldBack = false
  readonly #sources: Source[] = []

  /**
   * @param maxBodyBytes - More is not kept.
   * @param onFault - Called once if a recording that was begun fails.
   * @param onEnd - Called when the whole body was handed to the server and the headers are out.
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
    const write = res.write.bind(res) as (...args: unknown[]) => boolean
    const endInside = res.end.bind(res) as (...args: unknown[]) => ServerResponse
    // Over HTTP/2, and in some layers around us, what is ended with is written by `res.write`.
    let isWritten = false
    const end = (...args: unknown[]): ServerResponse => {
      isWritten = true
      try {
        return endInside(...args)
      } finally {
        isWritten = false
      }
    }
    const addTrailers = res.addTrailers.bind(res)
    /** @returns Whether it can be: else a part of the answer would pass for the whole. */
    const sendHeld = (): boolean => {
      const held = this.#held
      this.#held = []
      if (held === undefined) res.destroy()
      for (const args of held ?? []) {
        write(...args)
        this.#record(args)
      }
      return held !== undefined
    }
    res.write = (...args: unknown[]) => {
      if (isWritten) return write(...args)
      if (!res.headersSent && !this.#isInEnd) this.instead.beforeHeaders(false, args)
      if (this.instead.substitute !== undefined) {
        if (isPromise(this.instead.substitute.body) && !this.#isInEnd) this.#hold(args)
        if (this.instead.substitute.isRecorded === true && !this.#isInEnd) this.#record(args)
        if (this.instead.substitute.body === undefined) this.#waste(args, end)
        const callback = args.find((arg) => typeof arg === 'function')
        if (callback !== undefined) process.nextTick(callback)
        return !res.writableEnded
      }
      if (this.#held?.length !== 0 && !sendHeld()) return false
      const flushed = write(...args)
      // Where a layer around us ends by writing, the bytes are the same ones.
      if (!this.#isInEnd) this.#record(args)
      return flushed
    }
    res.end = (...args: unknown[]) => {
      if (this.#isInEnd) {
        const hasMore = (bytesOf(args)?.length ?? 0) > 0
        // As after any end; with more than that, somebody else answers.
        return this.#isHeldBack && !hasMore ? this.#onFinish(args) : end(...args)
      }
      this.#isInEnd = true
      if (!res.headersSent) this.instead.beforeHeaders(true, args)
      const { substitute } = this.instead
      if (substitute !== undefined) {
        const callback = args.filter((arg) => typeof arg === 'function')
        const finish = (body: Buffer | typeof VIEWS_OWN | undefined) => {
          this.#isHeldBack = false
          if (isGone(res)) return res
          if (body === undefined) return end(...callback)
          if (body !== VIEWS_OWN) {
            keepLetters(res)
            return end(body, ...callback)
          }
          if (!sendHeld()) return res
          end(...args)
          this.#record(args)
          this.#finish()
          return res
        }
        const { body } = substitute
        this.#isHeldBack = isPromise(body)
        const ended = isPromise(body) ? res : finish(body)
        if (isPromise(body)) void body.then(finish)
        if (substitute.isRecorded === true) {
          this.#record(args)
          this.#finish()
        }
        return ended
      }
      if (this.#held?.length !== 0 && !sendHeld()) return res
      const result = end(...args)
      this.#record(args)
      this.#finish()
      return result
    }
    res.addTrailers = (headers) => {
      this.#fail('trailers')
      addTrailers(headers)
    }
    res.on('pipe', (source: Source) => void this.#sources.push(source))
  }

  /** Begins to copy, when the headers are about to be sent. */
  start(headers: HeaderFields): void {
    const length = headerText(headers, 'content-length')
    this.#expectedLength = length === undefined ? undefined : Number(length)
    this.#parts = []
  }

  /** Lets go of what was copied. */
  stop(): void {
    this.#parts = undefined
  }

  /** @see Node, `response.end` of one that has ended */
  #onFinish(args: readonly unknown[]): ServerResponse {
    const callback = args.find((arg) => typeof arg === 'function')
    if (callback !== undefined) this.res.on('finish', callback as () => void)
    return this.res
  }

  /** Keeps what the view writes until it is known whether it is sent. */
  #hold(args: readonly unknown[]): void {
    const bytes = bytesOf(args)
    if (bytes === undefined || this.#held === undefined) return
    this.#heldBytes += bytes.length
    if (this.#heldBytes > this.maxBodyBytes) this.#held = undefined
    else this.#held.push([bytes])
  }

  /** What the client does not want and nobody keeps is not waited for to the end, if there is much of it. */
  #waste([chunk]: readonly unknown[], end: () => unknown): void {
    if (this.#parts !== undefined || this.res.writableEnded) return
    if (typeof chunk === 'string' || chunk instanceof Uint8Array) this.#wastedBytes += chunk.length
    if (this.#wastedBytes > this.maxBodyBytes) end()
  }

  /** Somebody else goes on with what the view began: whatever comes now is not its whole. */
  breakOff(): void {
    if (!this.#isInEnd) this.#fail('incomplete')
  }

  /** The connection is gone: what did not end by now never will. */
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

  #finish(): void {
    const parts = this.#parts
    if (parts === undefined) return
    // The server destroys the response once the client is gone.
    if (isGone(this.res) || !this.#sources.every(isWhole)) return this.#fail('incomplete')
    if (this.#expectedLength !== undefined && this.#expectedLength !== this.#length) {
      return this.#fail('content-length')
    }
    // A layer around us may hold the end back, as express-session does, and still set a cookie.
    if (this.res.headersSent) this.#hand(parts)
    else this.res.on('finish', () => this.#hand(parts))
  }

  #hand(parts: Buffer[]): void {
    if (this.#parts === undefined) return
    this.#parts = undefined
    this.onEnd(parts)
  }
}

/**
 * A copy of what `res.write` or `res.end` is given, since the view may use its buffer again.
 *
 * @returns `undefined`: it is given nothing.
 */
export function bytesOf([chunk, encoding]: readonly unknown[]): Buffer | undefined {
  if (typeof chunk === 'string') {
    return Buffer.from(chunk, typeof encoding === 'string' ? (encoding as BufferEncoding) : 'utf8')
  }
  return chunk instanceof Uint8Array ? Buffer.from(chunk) : undefined
}

/** A stream that broke off was not piped to its end, though somebody ended the response. */
function isWhole({ readableEnded, errored }: Source): boolean {
  return readableEnded !== false && (errored === undefined || errored === null)
}
