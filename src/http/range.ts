import { headerText, trimWhitespace, type HeaderFields } from './header-values.js'
import { parseHttpDate } from './http-date.js'
import { readList } from './lists.js'

/** Bytes of a body, both ends included, counted from 0. */
export interface ByteRange {
  readonly first: number
  readonly last: number
}

/** More than any player or download manager asks for at once. */
const MAX_RANGES = 16

/**
 * What a `Range` header asks for of a body.
 *
 * @param length - Of the whole body, in bytes.
 * @returns The ranges, in the order asked for. `unsatisfiable`: it asks for nothing that is there,
 *   which a 416 answers. `ignored`: the whole body answers it, since its unit is not `bytes`, it
 *   does not follow the grammar, the body is empty, it has more than 8192 characters, or it asks for
 *   more than 16 ranges or more bytes than the whole has: overlapping ranges would make a short
 *   request a very long answer.
 * @see RFC 9110 §14.1.2, §14.2, §17.15 (denial of service using Range); CVE-2011-3192
 */
export function selectRanges(
  range: string,
  length: number,
): 'ignored' | 'unsatisfiable' | readonly ByteRange[] {
  const set = trimWhitespace(range)
  if (length === 0 || !/^bytes=/i.test(set)) return 'ignored'
  const asked = readList(set.slice('bytes='.length)) ?? []
  if (asked.length === 0 || asked.length > MAX_RANGES) return 'ignored'
  const ranges: ByteRange[] = []
  let total = 0
  for (const spec of asked) {
    const selected = selectRange(spec, length)
    if (selected === undefined) return 'ignored'
    if (selected === 'unsatisfiable') continue
    ranges.push(selected)
    total += selected.last - selected.first + 1
  }
  if (ranges.length === 0) return 'unsatisfiable'
  return total > length ? 'ignored' : ranges
}

/** @returns `undefined` if it does not follow the grammar. */
function selectRange(spec: string, length: number): ByteRange | 'unsatisfiable' | undefined {
  const match = /^(\d*)-(\d*)$/.exec(spec)
  if (match === null) return undefined
  const [, from = '', to = ''] = match
  if (from === '') {
    if (to === '') return undefined
    const count = Math.min(Number(to), length)
    return count === 0 ? 'unsatisfiable' : { first: length - count, last: length - 1 }
  }
  const first = Number(from)
  if (to !== '' && Number(to) < first) return undefined
  if (first >= length) return 'unsatisfiable'
  return { first, last: to === '' ? length - 1 : Math.min(Number(to), length - 1) }
}

/**
 * Whether a request's `Range` counts: it does unless its `If-Range` names another version.
 *
 * @param response - The headers of what is stored.
 * @param nowMs - For dates whose year has two digits.
 * @remarks An ETag is compared strongly. A date has to be the very `Last-Modified`, and that has to
 *   be at least a second before the response's `Date`: within one second a page may have changed
 *   twice.
 * @see RFC 9110 §13.1.5, §8.8.2.2
 */
export function ifRangeHolds(
  request: HeaderFields,
  response: HeaderFields,
  nowMs: number,
): boolean {
  const condition = headerText(request, 'if-range')
  if (condition === undefined) return true
  const validator = trimWhitespace(condition)
  // A weak one begins with W/, and so is no date either.
  if (/^"[\x21\x23-\x7e\x80-\xff]*"$/.test(validator)) {
    return validator === trimWhitespace(headerText(response, 'etag') ?? '')
  }
  const sinceMs = parseHttpDate(validator, nowMs)
  const modifiedMs = parseHttpDate(headerText(response, 'last-modified') ?? '', nowMs)
  const dateMs = parseHttpDate(headerText(response, 'date') ?? '', nowMs)
  if (sinceMs === undefined || modifiedMs === undefined || dateMs === undefined) return false
  return sinceMs === modifiedMs && dateMs - modifiedMs >= 1000
}

/**
 * The value of `Content-Range`.
 *
 * @param range - `undefined`: that of a 416.
 * @param length - Of the whole body, in bytes.
 * @see RFC 9110 §14.4
 */
export function contentRange(range: ByteRange | undefined, length: number): string {
  return range === undefined ? `bytes */${length}` : `bytes ${range.first}-${range.last}/${length}`
}

/**
 * The body that answers several ranges at once, in their order.
 *
 * @param contentType - Of the whole, repeated in each part.
 * @param boundary - Must not occur in the body, so it is random and long. The response's type is
 *   `multipart/byteranges; boundary=` with it.
 * @see RFC 9110 §14.6
 */
export function multipartRanges(
  body: Buffer,
  ranges: readonly ByteRange[],
  contentType: string | undefined,
  boundary: string,
): Buffer {
  const type = contentType === undefined ? '' : `Content-Type: ${contentType}\r\n`
  const pieces: Buffer[] = []
  for (const range of ranges) {
    const start = pieces.length === 0 ? '' : '\r\n'
    const head = `${start}--${boundary}\r\n${type}Content-Range: ${contentRange(range, body.length)}`
    // As header lines are written: each character is a byte.
    pieces.push(Buffer.from(`${head}\r\n\r\n`, 'latin1'))
    pieces.push(body.subarray(range.first, range.last + 1))
  }
  pieces.push(Buffer.from(`\r\n--${boundary}--\r\n`, 'latin1'))
  return Buffer.concat(pieces)
}
