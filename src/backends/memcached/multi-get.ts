import type { GetRequest, Item, Request } from './request.js'
import { readDigits, unexpected, type TextFrame } from './text-frames.js'

/**
 * Bytes of a line with several keys. What is longer than 2048 the server reads into a buffer that it makes for
 * the purpose.
 */
const MAX_LINE = 1_900

const VALUE = 'VALUE '
const SPACE = 0x20

/** Whether a request asks for nothing that a read of several keys does not tell. */
function isPlain(request: Request | undefined): request is GetRequest {
  if (request?.type !== 'get') return false
  const { withValue, withCas, withSecondsLeft, isAlone } = request
  return withValue && !withCas && !withSecondsLeft && isAlone !== true
}

/**
 * A read of several keys by one command. A server interrupts itself after 20 commands of a connection, so that as
 * many reads by commands of their own take several packets, and wake both sides as often.
 */
export class MultiGet {
  /** What was found so far, by the place of its request. */
  readonly #items: (Item | undefined)[]
  #at = 0

  /** @param first - The number of the first request. */
  private constructor(
    readonly requests: readonly GetRequest[],
    readonly first: number,
  ) {
    this.#items = new Array<Item | undefined>(requests.length)
  }

  /**
   * Of the requests that go out together, those from a place on that one command can ask for.
   *
   * @param number - Of the request at that place.
   * @returns `undefined`: fewer than two.
   */
  static of(requests: readonly Request[], at: number, number: number): MultiGet | undefined {
    const asked: GetRequest[] = []
    let length = 'get\r\n'.length
    for (let i = at; ; i++) {
      const request = requests[i]
      if (!isPlain(request)) break
      length += 1 + request.key.length
      if (length > MAX_LINE) break
      asked.push(request)
    }
    return asked.length > 1 ? new MultiGet(asked, number) : undefined
  }

  get line(): string {
    let line = 'get'
    for (const { key } of this.requests) line += ` ${key}`
    return `${line}\r\n`
  }

  /**
   * Takes a part of the answer. Each value names its key.
   *
   * @returns What was found, in the order of the requests; `undefined`: the answer goes on.
   * @throws Error: it is no part of it.
   */
  take(frame: TextFrame): readonly (Item | undefined)[] | undefined {
    const { body } = frame
    if (body === undefined) {
      if (frame.line !== 'END') throw unexpected(frame.line)
      return this.#items
    }
    while (!this.#isOf(frame, this.requests[this.#at])) this.#at++
    const flagsAt = frame.start + VALUE.length + (this.requests[this.#at] as GetRequest).key.length
    const flags = readDigits(frame, flagsAt + 1)
    if (Number.isNaN(flags)) throw unexpected(frame.line)
    this.#items[this.#at++] = { value: body, flags, cas: undefined, secondsLeft: undefined }
    return undefined
  }

  #isOf(frame: TextFrame, request: GetRequest | undefined): boolean {
    if (request === undefined) throw unexpected(frame.line)
    const start = frame.start + VALUE.length
    const end = start + request.key.length
    return frame.bytes[end] === SPACE && frame.bytes.toString('latin1', start, end) === request.key
  }
}
