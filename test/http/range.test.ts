import { describe, expect, it } from 'vitest'
import {
  contentRange,
  ifRangeHolds,
  multipartRanges,
  selectRanges,
  type ByteRange,
} from '../../src/http/range.js'
import { fc } from '../support/random.js'

const T = Date.UTC(2026, 0, 1)

/** `0-4 9-9` for two ranges. */
const shown = (selected: ReturnType<typeof selectRanges>) =>
  typeof selected === 'string'
    ? selected
    : selected.map(({ first, last }) => `${first}-${last}`).join(' ')

describe('the ranges of a Range header', () => {
  it.each([
    // the examples of RFC 9110 §14.1.2, of a body of 10000 bytes
    ['bytes=0-499', 10000, '0-499'],
    ['bytes=500-999', 10000, '500-999'],
    ['bytes=-500', 10000, '9500-9999'],
    ['bytes=9500-', 10000, '9500-9999'],
    ['bytes=0-0,-1', 10000, '0-0 9999-9999'],
    ['bytes=0-0, -1', 10000, '0-0 9999-9999'],
    ['bytes= 0-999, 4500-5499, -1000', 10000, '0-999 4500-5499 9000-9999'],
    ['bytes=500-600,601-999', 10000, '500-600 601-999'],
    ['bytes=500-700,601-999', 10000, '500-700 601-999'],
    // ends
    ['bytes=0-', 10, '0-9'],
    ['bytes=0-9', 10, '0-9'],
    ['bytes=0-10', 10, '0-9'],
    ['bytes=9-9', 10, '9-9'],
    ['bytes=9-', 10, '9-9'],
    ['bytes=-10', 10, '0-9'],
    ['bytes=-11', 10, '0-9'],
    ['bytes=0-99999999999999999999999999', 10, '0-9'],
    [`bytes=-${'9'.repeat(400)}`, 10, '0-9'],
    // the order is the client's
    ['bytes=8-9,0-1', 10, '8-9 0-1'],
    // the unit's case does not matter, nor do empty members or spaces around the commas
    ['Bytes=1-2', 10, '1-2'],
    ['bytes=,1-2 ,, \t3-4,', 10, '1-2 3-4'],
    [' bytes=1-2 ', 10, '1-2'],
    [`bytes=1-2${','.repeat(200)}3-4`, 10, '1-2 3-4'],
    // what is not there is left out
    ['bytes=10-', 10, 'unsatisfiable'],
    ['bytes=10-20', 10, 'unsatisfiable'],
    ['bytes=-0', 10, 'unsatisfiable'],
    [`bytes=${'9'.repeat(400)}-`, 10, 'unsatisfiable'],
    ['bytes=20-30,2-3,-0', 10, '2-3'],
    ['bytes=20-30,40-', 10, 'unsatisfiable'],
    // not understood
    ['items=0-1', 10, 'ignored'],
    ['bytes', 10, 'ignored'],
    ['bytes=', 10, 'ignored'],
    ['bytes=,', 10, 'ignored'],
    ['bytes=-', 10, 'ignored'],
    ['bytes=1', 10, 'ignored'],
    ['bytes=5-4', 10, 'ignored'],
    ['bytes=0-1,5-4', 10, 'ignored'],
    ['bytes=0-1,x', 10, 'ignored'],
    ['bytes=a-b', 10, 'ignored'],
    ['bytes=0 - 1', 10, 'ignored'],
    ['bytes=--1', 10, 'ignored'],
    ['bytes=+0-1', 10, 'ignored'],
    ['bytes=0x0-1', 10, 'ignored'],
    ['bytes=0-1.5', 10, 'ignored'],
    ['bytes=1e1-', 10, 'ignored'],
    ['bytes =0-1', 10, 'ignored'],
    ['bytes=0-1;2-3', 10, 'ignored'],
    ['bytes=٠-١', 10, 'ignored'],
    ['', 10, 'ignored'],
    // nothing is empty in parts
    ['bytes=0-', 0, 'ignored'],
    ['bytes=-5', 0, 'ignored'],
    // more than there is, and too many
    ['bytes=0-,0-', 10, 'ignored'],
    ['bytes=0-9,9-9', 10, 'ignored'],
    ['bytes=0-4,0-4', 10, '0-4 0-4'],
    [`bytes=${Array.from({ length: 16 }, (_, i) => `${i}-${i}`).join()}`, 100, /^0-0 .* 15-15$/],
    [`bytes=${Array.from({ length: 17 }, (_, i) => `${i}-${i}`).join()}`, 100, 'ignored'],
    [`bytes=0-${',5-'.repeat(1300)}`, 1_000_000, 'ignored'],
    [`bytes=${'0-0,'.repeat(4000)}`, 1_000_000, 'ignored'],
  ])('%s of %i bytes: %s', (range, length, expected) => {
    if (expected instanceof RegExp) expect(shown(selectRanges(range, length))).toMatch(expected)
    else expect(shown(selectRanges(range, length))).toBe(expected)
  })

  it('are within the body and together no longer, whatever is asked', () => {
    const number = fc.oneof(fc.nat(30).map(String), fc.constantFrom('', '99999999999999999999'))
    const spec = fc.tuple(number, number).map(([from, to]) => `${from}-${to}`)
    const range = fc.array(spec, { maxLength: 20 }).map((specs) => `bytes=${specs.join(', ')}`)
    fc.assert(
      fc.property(fc.oneof(range, fc.string()), fc.nat(20), (asked, length) => {
        const selected = selectRanges(asked, length)
        if (typeof selected === 'string') return
        let total = 0
        for (const { first, last } of selected) {
          expect(first).toBeGreaterThanOrEqual(0)
          expect(last).toBeGreaterThanOrEqual(first)
          expect(last).toBeLessThan(length)
          total += last - first + 1
        }
        expect(selected.length).toBeGreaterThan(0)
        expect(total).toBeLessThanOrEqual(length)
      }),
    )
  })
})

describe('If-Range', () => {
  const modified = 'Thu, 01 Jan 2026 00:00:00 GMT'
  const stored = { etag: '"abc"', 'last-modified': modified, date: 'Thu, 01 Jan 2026 00:00:01 GMT' }

  it.each([
    // the request's If-Range, the stored headers, whether the range counts
    [undefined, {}, true],
    ['"abc"', stored, true],
    [' "abc"\t', stored, true],
    ['""', { etag: '""' }, true],
    ['"ABC"', stored, false],
    ['"abc"', {}, false],
    ['""', {}, false],
    ['abc', stored, false],
    ['"abc', stored, false],
    ['"a"bc"', { etag: '"a"bc"' }, false],
    ['W/"abc"', stored, false],
    ['W/"abc"', { etag: 'W/"abc"' }, false],
    ['"abc"', { etag: 'W/"abc"' }, false],
    ['"abc", "def"', stored, false],
    ['*', stored, false],
    ['', stored, false],
    // dates
    [modified, stored, true],
    ['Thursday, 01-Jan-26 00:00:00 GMT', stored, true],
    ['Thu, 01 Jan 2026 00:00:01 GMT', stored, false],
    ['Wed, 31 Dec 2025 23:59:59 GMT', stored, false],
    [modified, { ...stored, 'last-modified': undefined }, false],
    [modified, { ...stored, 'last-modified': 'yesterday' }, false],
    ['yesterday', { ...stored, 'last-modified': 'yesterday' }, false],
    // not strong: it may have changed again within the second
    [modified, { ...stored, date: modified }, false],
    [modified, { ...stored, date: undefined }, false],
  ])('%j against %j: %s', (condition, response, holds) => {
    expect(ifRangeHolds({ 'if-range': condition }, response, T)).toBe(holds)
  })
})

describe('the answer to ranges', () => {
  it('says which they are, of how many bytes', () => {
    expect(contentRange({ first: 42, last: 1233 }, 1234)).toBe('bytes 42-1233/1234')
    expect(contentRange(undefined, 1234)).toBe('bytes */1234')
  })

  it('has a part for each of several', () => {
    // Shaped like the example of RFC 9110 §14.6.
    const body = Buffer.from('0123456789')
    const ranges = [
      { first: 0, last: 1 },
      { first: 9, last: 9 },
    ]
    expect(multipartRanges(body, ranges, 'application/pdf', 'THIS_STRING').toString()).toBe(
      [
        '--THIS_STRING',
        'Content-Type: application/pdf',
        'Content-Range: bytes 0-1/10',
        '',
        '01',
        '--THIS_STRING',
        'Content-Type: application/pdf',
        'Content-Range: bytes 9-9/10',
        '',
        '9',
        '--THIS_STRING--',
        '',
      ].join('\r\n'),
    )
  })

  it('names no type where the whole has none', () => {
    const text = multipartRanges(Buffer.from('ab'), [{ first: 0, last: 0 }], undefined, 'B')
    expect(text.toString()).toBe('--B\r\nContent-Range: bytes 0-0/2\r\n\r\na\r\n--B--\r\n')
  })

  it('has every byte as it is', () => {
    const body = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
    const ranges: ByteRange[] = [
      { first: 200, last: 255 },
      { first: 0, last: 199 },
    ]
    const text = multipartRanges(body, ranges, 'x/y', 'B').toString('latin1')
    const [, ...parts] = text.split(/(?:\r\n)?--B(?:--)?\r\n/)
    const bytes = parts.slice(0, 2).map((part) => part.slice(part.indexOf('\r\n\r\n') + 4))
    expect(Buffer.from(bytes.reverse().join(''), 'latin1').equals(body)).toBe(true)
  })
})
