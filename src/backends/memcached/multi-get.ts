import { VALUE, type GetRequest, type Item, type Request } from './request.js'
import { readDigits, unexpected, type TextFrame } from './text-frames.js'

/**
 * Bytes of a line with several keys. What is longer than 2048 the server reads into a buffer that it makes for
 * the purpose.
 */
const MAX_LINE = 1_900

const BEFORE_KEY = 'VALUE '.length
const SPACE = 0x20

/** Whether a request asks for nothing that a read of several keys does not tell. */
function isPlain(request: Request | undefined): request is GetRequest {
  if (request?.type !== 'get') return false
  return request.wish === VALUE && request.isAlone !== true
}

/**
 * A read of several keys by one command. A server interrupts itself after 20 commands of a connection, so that as
 * many reads by commands of their own take several packets, and wake both sides as often. What several requests ask
 * alike is asked once.
 */
export class MultiGet {
  readonly requests: GetRequest[] = []
  /** Each key, and its place in the line. */
  readonly #places = new Map<string, number>()
  readonly #keys: string[] = []
  /** What was found so far, by the place of its key. */
  readonly #items: (Item | undefined)[] = []
  #length = 'get\r\n'.length
  #at = 0

  /** @param first - The number of the first request. */
  private constructor(readonly first: number) {}

  /**
   * Of the requests that go out together, those from a place on that one command can ask for.
   *
   * @param number - Of the request at that place.
   * @returns `undefined`: fewer than two.
   */
  static of(requests: readonly Request[], at: number, number: number): MultiGet | undefined {
    if (!isPlain(requests[at + 1])) return undefined
    const several = new MultiGet(number)
    let i = at
    while (several.#takes(requests[i])) i++
    return i - at > 1 ? several : undefined
  }

  /** Adds a request, if there is room for it. */
  #takes(request: Request | undefined): boolean {
    if (!isPlain(request)) return false
    const { key } = request
    if (!this.#places.has(key)) {
      if (this.#length + 1 + key.length > MAX_LINE) return false
      this.#length += 1 + key.length
      this.#places.set(key, this.#keys.push(key) - 1)
    }
    this.requests.push(request)
    return true
  }

  get line(): string {
    return `get ${this.#keys.join(' ')}\r\n`
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
      return this.requests.map(({ key }) => this.#items[this.#places.get(key) as number])
    }
    while (!this.#isOf(frame, this.#keys[this.#at])) this.#at++
    const flagsAt = frame.start + BEFORE_KEY + (this.#keys[this.#at] as string).length
    const flags = readDigits(frame, flagsAt + 1)
    if (Number.isNaN(flags)) throw unexpected(frame.line)
    this.#items[this.#at++] = { value: body, flags, cas: undefined, secondsLeft: undefined }
    return undefined
  }

  #isOf(frame: TextFrame, key: string | undefined): boolean {
    if (key === undefined) throw unexpected(frame.line)
    const start = frame.start + BEFORE_KEY
    const end = start + key.length
    return frame.bytes[end] === SPACE && frame.bytes.toString('latin1', start, end) === key
  }
}
