/**
 * One reply of the text protocol, or a part of one, where it lies among what was received. It is
 * looked at before anything else is read: then it is another.
 */
export class TextFrame {
  bytes = EMPTY
  /** The line, without its end. */
  start = 0
  end = 0
  /** What follows `VA` and `VALUE` lines, whatever bytes it has. */
  hasBody = false
  bodyBytes = EMPTY
  bodyStart = 0
  bodyEnd = 0

  get body(): Buffer | undefined {
    return this.hasBody ? this.bodyBytes.subarray(this.bodyStart, this.bodyEnd) : undefined
  }

  get line(): string {
    return this.bytes.toString('latin1', this.start, this.end)
  }
}

const EMPTY: Buffer = Buffer.alloc(0)

const LINE_FEED = 10
const CARRIAGE_RETURN = 13

/** Longer than any line a server sends, key and flags included. */
const MAX_LINE = 4096

/** The largest value a server can be set up for. */
const MAX_BODY = 2 ** 30

/** Splits what a server sends into lines and values. Only its length marks a value. */
export class TextFrames {
  #buffer: Buffer = EMPTY
  #position = 0
  /** Parts of a value that has not arrived in full, and the bytes they have together. */
  #parts: Buffer[] = []
  #partsLength = 0
  /** The line has been read, and its value of so many bytes, its end included, is awaited. */
  #isAwaited = false
  #needed = 0
  readonly #frame = new TextFrame()

  push(chunk: Buffer): void {
    if (this.#parts.length > 0) {
      this.#parts.push(chunk)
      this.#partsLength += chunk.length
      return
    }
    this.#buffer =
      this.#position === this.#buffer.length
        ? chunk
        : Buffer.concat([this.#buffer.subarray(this.#position), chunk])
    this.#position = 0
  }

  /**
   * The next frame that has arrived in full.
   *
   * @throws Error: the bytes are not those of the protocol.
   */
  next(): TextFrame | undefined {
    const frame = this.#frame
    if (!this.#isAwaited) {
      if (!this.#takeLine(frame)) return undefined
      const length = bodyLength(frame)
      frame.hasBody = false
      if (length === undefined) return frame
      this.#isAwaited = true
      this.#needed = length + 2
    }
    if (!this.#takeBody(frame)) return undefined
    this.#isAwaited = false
    return frame
  }

  #takeLine(frame: TextFrame): boolean {
    const start = this.#position
    const end = this.#buffer.indexOf(LINE_FEED, start)
    if (end === -1) {
      if (this.#buffer.length - start > MAX_LINE) throw new Error('endless line')
      return false
    }
    if (end === start || this.#buffer[end - 1] !== CARRIAGE_RETURN || end - start > MAX_LINE) {
      throw new Error('damaged line')
    }
    this.#position = end + 1
    frame.bytes = this.#buffer
    frame.start = start
    frame.end = end - 1
    return true
  }

  #takeBody(frame: TextFrame): boolean {
    const needed = this.#needed
    if (this.#parts.length > 0) {
      if (this.#partsLength < needed) return false
      this.#buffer = Buffer.concat(this.#parts)
      this.#position = 0
      this.#parts = []
    } else if (this.#buffer.length - this.#position < needed) {
      this.#parts = [this.#buffer.subarray(this.#position)]
      this.#partsLength = this.#buffer.length - this.#position
      this.#buffer = EMPTY
      this.#position = 0
      return false
    }
    const start = this.#position
    const end = start + needed - 2
    if (this.#buffer[end] !== CARRIAGE_RETURN || this.#buffer[end + 1] !== LINE_FEED) {
      throw new Error('a value of another length than announced')
    }
    this.#position = end + 2
    frame.bodyBytes = this.#buffer
    frame.bodyStart = start
    frame.bodyEnd = end
    frame.hasBody = true
    return true
  }
}

const LETTER_V = 0x56
const LETTER_A = 0x41
const LETTER_L = 0x4c
const SPACE = 0x20
const ZERO = 0x30

/** The length of the value behind a line, if there is one. */
function bodyLength(frame: TextFrame): number | undefined {
  const { bytes, start } = frame
  if (bytes[start] !== LETTER_V || bytes[start + 1] !== LETTER_A) return undefined
  const length =
    bytes[start + 2] === LETTER_L
      ? readDigits(frame, placeOfLength(frame))
      : readDigits(frame, start + 3)
  if (length <= MAX_BODY) return length
  throw new Error(`damaged line ${JSON.stringify(frame.line.slice(0, 80))}`)
}

/** Of a `VALUE` line: behind the word, the key and the flags. */
function placeOfLength({ bytes, start, end }: TextFrame): number {
  let i = start
  for (let spaces = 0; spaces < 3 && i < end; i++) if (bytes[i] === SPACE) spaces++
  return i
}

/** The number that begins there and ends at a space or with the line; `NaN`: there is none. */
export function readDigits({ bytes, end }: TextFrame, start: number): number {
  let number = 0
  let i = start
  for (; i < end; i++) {
    const digit = (bytes[i] as number) - ZERO
    if (digit < 0 || digit > 9) break
    number = number * 10 + digit
  }
  return i > start && i - start <= 10 && (i === end || bytes[i] === SPACE) ? number : NaN
}

export function unexpected(line: string): Error {
  return new Error(`unexpected answer ${JSON.stringify(line.slice(0, 80))}`)
}
