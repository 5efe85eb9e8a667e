import { decodeBody } from '../../src/http/decode-body.js'
import { headerText } from '../../src/http/header-values.js'
import { fieldsOf, type StoredHeader } from '../../src/http/stored-response.js'

/** Shorter texts are words, numbers and dates, which pages show too. */
const MIN_LENGTH = 12

/** What is between the parts of a cookie's value, of which a page may show one alone. */
const BETWEEN = /[^\w+/-]+/

/** Who sends more is not looked for: a long header and a long page would take long. */
const MAX_TOKENS = 64

/**
 * What a request's cookies say that no word does, such as a token against forged requests.
 *
 * @param header - `Cookie`.
 * @returns Each in its {@link normalForm}: whole values, and their parts.
 */
export function tokensIn(header: string): ReadonlySet<string> {
  const tokens = new Set<string>()
  for (const cookie of header.split(';')) {
    const value = decoded(cookie.slice(cookie.indexOf('=') + 1).trim())
    for (const text of [value, ...value.split(BETWEEN)]) {
      if (text.length < MIN_LENGTH || !isRandom(text)) continue
      const token = normalForm(Buffer.from(text)).toString('latin1')
      if (token.length >= MIN_LENGTH) tokens.add(token)
    }
  }
  return tokens
}

/**
 * Whether a text may show one of the tokens, which is a cookie and in the form.
 *
 * @param text - A page without its content coding, or a header; `undefined`: it cannot be read.
 * @returns `true` also where there are too many to look for.
 */
export function showsToken(tokens: ReadonlySet<string>, text: Buffer | undefined): boolean {
  if (text === undefined || tokens.size > MAX_TOKENS) return true
  const normal = normalForm(text)
  for (const token of tokens) if (normal.includes(token, 0, 'latin1')) return true
  return false
}

/** The cookies of a request, which its page may show. */
export class ShownCookies {
  #tokens: ReadonlySet<string> | undefined

  /**
   * @param header - `Cookie`, if there was one.
   * @param maxBodyBytes - What is larger is not searched: it is not stored.
   */
  constructor(
    private readonly header: string | undefined,
    private readonly maxBodyBytes: number,
  ) {}

  /** Whether there is anything to be looked for. */
  get haveTokens(): boolean {
    return this.#all.size > 0
  }

  /**
   * Whether a response shows any of them.
   *
   * @param body - As it would be stored; left out: it is not known yet.
   * @returns `undefined`: the headers show none, and the body is not known.
   */
  areShown(
    headers: readonly StoredHeader[],
    body: (() => Buffer) | undefined,
  ): boolean | undefined {
    const values = headers.flatMap(([, value]) => value).join('\n')
    if (showsToken(this.#all, Buffer.from(values))) return true
    return body && showsToken(this.#all, this.#readable(headers, body()))
  }

  get #all(): ReadonlySet<string> {
    return (this.#tokens ??= tokensIn(this.header ?? ''))
  }

  /** The body without its content coding; `undefined`: the coding is not known, or it is too large. */
  #readable(headers: readonly StoredHeader[], body: Buffer): Buffer | undefined {
    const { maxBodyBytes } = this
    if (body.length > maxBodyBytes) return undefined
    const coding = headerText(fieldsOf({ headers }), 'content-encoding') ?? ''
    return decodeBody(coding, body, maxBodyBytes)
  }
}

/** Words have no digits and letters of one case. */
function isRandom(text: string): boolean {
  return /\d/.test(text) || (/[a-z]/.test(text) && /[A-Z]/.test(text))
}

/** As parsers do, which leave a value as it is where any of it cannot be decoded. */
function decoded(value: string): string {
  try {
    return decodeURIComponent(value)
  } catch {
    return value
  }
}

/**
 * Letters in lower case and digits, all of ASCII. What is escaped is left out as what need not be is (`%2F`, `\u002F`,
 * `&#x2F;`, `/`), so that a text is the same however it was escaped, and in characters of one byte or two.
 */
function normalForm(text: Buffer): Buffer {
  const normal = Buffer.allocUnsafe(text.length)
  let length = 0
  for (let i = 0; i < text.length; i++) {
    const code = text[i] as number
    if ((code >= 0x30 && code <= 0x39) || (code >= 0x61 && code <= 0x7a)) normal[length++] = code
    else if (code >= 0x41 && code <= 0x5a) normal[length++] = code + 0x20
    else if (code === 0x25 || code === 0x5c || code === 0x26) i += escapedAfter(text, i)
  }
  return normal.subarray(0, length)
}

const ESCAPED =
  /^(?:%[\da-f]{2}|\\u[\da-f]{4}|\\x[\da-f]{2}|&(?:#\d{1,7}|#x[\da-f]{1,6}|[a-z]{2,6});)/i

/** The number of characters of an escape behind its first one; 0: there is none. */
function escapedAfter(text: Buffer, at: number): number {
  const found = ESCAPED.exec(text.toString('latin1', at, at + 10))
  return found === null ? 0 : found[0].length - 1
}
