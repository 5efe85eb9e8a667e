import type { ServerResponse } from 'node:http'
import { isFilling } from './visitor-holes.js'

/** Headers that say nothing of what is in the body, or that a page with holes is sent without. */
const OF_ANY_TEXT: ReadonlySet<string> = new Set([
  'cache-control',
  'content-length',
  'content-type',
  'etag',
  'expires',
  'last-modified',
  'vary',
])

/** The headers of a response that are set while its holes are filled: they are per-user. */
export class HoleHeaders {
  /** Their names in lower case. */
  readonly names = new Set<string>()
  readonly #cookies = new Set<string>()
  /** The status when the handler was first given a text with filled holes. */
  #statusBefore: number | undefined
  #isAnyOfText = false

  /** Watches the headers from now on. */
  constructor(private readonly res: ServerResponse) {
    const setHeader = res.setHeader.bind(res)
    const appendHeader = res.appendHeader.bind(res)
    res.setHeader = (name, value) => {
      this.#note(name, value)
      return setHeader(name, value)
    }
    res.appendHeader = (name, value) => {
      this.#note(name, value)
      return appendHeader(name, value)
    }
  }

  #note(name: string, value: number | string | readonly string[]): void {
    const lower = name.toLowerCase()
    if (!isFilling()) return this.#noteOfText(lower, value)
    // To vary on one more header is always safe.
    if (lower !== 'vary') this.names.add(lower)
    if (lower !== 'set-cookie') return
    const before = new Set(cookiesOf(this.res))
    for (const line of [value].flat().map(String)) if (!before.has(line)) this.#cookies.add(line)
  }

  #noteOfText(name: string, value: number | string | readonly string[]): void {
    if (this.#statusBefore === undefined || OF_ANY_TEXT.has(name)) return
    if (String(value) !== String(this.res.getHeader(name))) this.#isAnyOfText = true
  }

  /** Notes that the handler is given a text with filled holes, which it may put anywhere. */
  handOver(): void {
    this.#statusBefore ??= this.res.statusCode
  }

  /** Whether the status or a header may contain something from a text with filled holes. */
  get mayBeOfText(): boolean {
    if (this.#statusBefore === undefined) return false
    return this.#isAnyOfText || this.res.statusCode !== this.#statusBefore
  }

  /** The cookies among them. */
  get cookies(): readonly string[] {
    return cookiesOf(this.res).filter((line) => this.#cookies.has(line))
  }

  /** Whether the response sets cookies, and all of them are those of its holes. */
  get haveAllCookies(): boolean {
    const cookies = cookiesOf(this.res)
    return cookies.length > 0 && cookies.every((line) => this.#cookies.has(line))
  }
}

function cookiesOf(res: ServerResponse): readonly string[] {
  const cookies = res.getHeader('Set-Cookie')
  return cookies === undefined ? [] : [cookies].flat().map(String)
}
