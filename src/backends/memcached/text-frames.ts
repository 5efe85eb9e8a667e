/** One reply of the text protocol, or a part of one. */
export interface TextFrame {
  /** Without its line end. */
  readonly line: string
  /** What follows `VA` and `VALUE` lines, whatever bytes it has. */
  readonly body: Buffer | undefined
}

const LINE_FEED = 10
const CARRIAGE_RETURN = 13

/** Longer than any line a server sends, key and flags included. */
const MAX_LINE = 4096

/** The largest value a server can be set up for. */
const MAX_BODY = 2 ** 30

/** Cuts what a server sends into lines and values. Values are told by their length alone. */
export class TextFrames {
  #buffer: Buffer = EMPTY
  #position = 0
  /** Parts of a value that has not arrived in full, and the bytes they have together. */
  #parts: Buffer[] = []
  #partsLength = 0
  /** The line whose value is awaited, and that value's length with its line end. */
  #line: string | undefined
  #needed = 0

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
    if (this.#line === undefined) {
      const line = this.#takeLine()
      if (line === undefined) return undefined
      const length = bodyLength(line)
      if (length === undefined) return { line, body: undefined }
      this.#line = line
      this.#needed = length + 2
    }
    const body = this.#takeBody()
    if (body === undefined) return undefined
    const line = this.#line
    this.#line = undefined
    return { line, body }
  }

  #takeLine(): string | undefined {
    const end = this.#buffer.indexOf(LINE_FEED, this.#position)
    if (end === -1) {
      if (this.#buffer.length - this.#position > MAX_LINE) throw new Error('endless line')
      return undefined
    }
    const start = this.#position
    if (end === start || this.#buffer[end - 1] !== CARRIAGE_RETURN || end - start > MAX_LINE) {
      throw new Error('damaged line')
    }
    this.#position = end + 1
    return this.#buffer.toString('latin1', start, end - 1)
  }

  #takeBody(): Buffer | undefined {
    const needed = this.#needed
    if (this.#parts.length > 0) {
      if (this.#partsLength < needed) return undefined
      this.#buffer = Buffer.concat(this.#parts)
      this.#position = 0
      this.#parts = []
    } else if (this.#buffer.length - this.#position < needed) {
      this.#parts = [this.#buffer.subarray(this.#position)]
      this.#partsLength = this.#buffer.length - this.#position
      this.#buffer = EMPTY
      this.#position = 0
      return undefined
    }
    const start = this.#position
    const end = start + needed - 2
    if (this.#buffer[end] !== CARRIAGE_RETURN || this.#buffer[end + 1] !== LINE_FEED) {
      throw new Error('a value of another length than announced')
    }
    this.#position = end + 2
    return this.#buffer.subarray(start, end)
  }
}

const EMPTY = Buffer.alloc(0)

/** The length of the value behind a line, if there is one. */
function bodyLength(line: string): number | undefined {
  if (!line.startsWith('VA')) return undefined
  const digits = line.startsWith('VA ')
    ? /^VA (\d{1,10})(?: |$)/.exec(line)?.[1]
    : /^VALUE [^ ]+ \d+ (\d{1,10})(?: |$)/.exec(line)?.[1]
  const length = digits === undefined ? NaN : Number(digits)
  if (!(length <= MAX_BODY)) throw new Error(`damaged line ${JSON.stringify(line.slice(0, 80))}`)
  return length
}
