/** A header's value as `node:http` keeps it: one line, or one element per line. */
export type HeaderValue = string | number | readonly string[]

/** Headers by lower-case name, as `req.headers` and `res.getHeaders()` give them. */
export type HeaderFields = Readonly<Record<string, HeaderValue | undefined>>

const NO_LINES: readonly string[] = Object.freeze([])

/** A value that stays the same though `appendHeader` of a response adds to its list where it is. */
export function copiedValue(value: HeaderValue): string | number | string[] {
  return typeof value === 'object' ? [...value] : value
}

/** The lines of a header, none if it is absent. */
export function headerLines(value: HeaderValue | undefined): readonly string[] {
  if (value === undefined) return NO_LINES
  if (typeof value === 'string') return [value]
  return typeof value === 'number' ? [String(value)] : value
}

/**
 * A header by its lower-case name.
 *
 * @remarks Own properties only: `Vary: constructor` must not find what every object has.
 */
export function headerOf(headers: HeaderFields, name: string): HeaderValue | undefined {
  return Object.hasOwn(headers, name) ? headers[name] : undefined
}

/** A header's lines as one text, joined as RFC 9110 §5.3 allows; `undefined` if it is absent. */
export function headerText(headers: HeaderFields, name: string): string | undefined {
  const value = headerOf(headers, name)
  if (value === undefined || typeof value === 'string') return value
  return typeof value === 'number' ? String(value) : value.join(', ')
}

/** Whether a text is a token. @see RFC 9110 §5.6.2 */
export function isToken(text: string): boolean {
  return /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(text)
}

/** Cuts spaces and tabs from both ends, nothing else. @see RFC 9110 §5.6.3 */
export function trimWhitespace(text: string): string {
  return trimmedPart(text, 0, text.length)
}

/** A part of a text, as {@link trimWhitespace} cuts it. */
export function trimmedPart(text: string, from: number, to: number): string {
  const start = skipBlanks(text, from, to)
  let end = to
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--
  return text.slice(start, end)
}

/** The end of the spaces and tabs that begin at a position. */
export function skipBlanks(text: string, from: number, to = text.length): number {
  let end = from
  while (end < to && isBlank(text.charCodeAt(end))) end++
  return end
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09
}
