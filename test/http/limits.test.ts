import { describe, expect, it } from 'vitest'
import { parseCacheControl, storingRestriction } from '../../src/http/cache-control.js'
import { evaluatePreconditions, isNotModified } from '../../src/http/conditional.js'
import { chooseCoding } from '../../src/http/content-coding.js'
import { absoluteUri } from '../../src/http/page-key.js'
import { judgeResponse } from '../../src/pages/policy.js'
import { selectRanges } from '../../src/http/range.js'
import { requestDirectives } from '../../src/pages/reuse.js'
import { normalizedHeaders } from '../../src/http/vary-values.js'
import { parseVary } from '../../src/http/vary.js'

const T = Date.UTC(2026, 0, 1)

/** So many members, the last of them as given. */
const listOf = (count: number, last: string, other: (i: number) => string) =>
  [...Array.from({ length: count - 1 }, (_, i) => other(i)), last].join(', ')

/** The text, in so many characters of which most are blanks within. */
const stretched = (text: string, length: number) => {
  const [first = '', rest = ''] = text.split('|')
  return first + '\t'.repeat(length - first.length - rest.length) + rest
}

const judge = (headers: Record<string, string | string[]>) => {
  const verdict = judgeResponse(
    { method: 'GET', visitor: undefined },
    { status: 200, headers },
    { siteSeconds: 600, maxBodyBytes: 1e6 },
    T,
  )
  return verdict.store ? 'stored' : verdict.reason
}

describe('a list of more than 8192 characters or 100 members is not read', () => {
  it('Range: the whole answers', () => {
    expect(selectRanges(stretched('bytes=0-1,|,', 8192), 10)).toEqual([{ first: 0, last: 1 }])
    expect(selectRanges(stretched('bytes=0-1,|,', 8200), 10)).toBe('ignored')
    expect(selectRanges(`bytes=0-1${','.repeat(9000)}`, 10)).toBe('ignored')
  })

  const tag = (i: number) => `"${i}"`
  const same = { etag: '"same"' }

  it.each([
    ['100 tags', listOf(100, '"same"', tag), true],
    ['101 tags', listOf(101, '"same"', tag), false],
    ['100 weak ones', listOf(100, 'W/"same"', (i) => `W/"${i}"`), true],
    ['8192 characters', stretched('"other",|"same"', 8192), true],
    ['8193 characters', stretched('"other",|"same"', 8193), false],
    ['many that are none', listOf(500, '"same"', () => 'x'), true],
  ])('If-None-Match of %s: where it is not read, GET gets the whole', (_, list, isRead) => {
    const headers = { 'if-none-match': list }
    expect(isNotModified(headers, same, T)).toBe(isRead)
    expect(evaluatePreconditions({ method: 'GET', headers }, { headers: same }, T)).toBe(
      isRead ? 'not-modified' : 'perform',
    )
    // Whether the tag is among them is unknown, and what may be lost is not written over.
    expect(evaluatePreconditions({ method: 'PUT', headers }, { headers: same }, T)).toBe(
      'precondition-failed',
    )
  })

  it.each([
    [listOf(100, '"same"', tag), 'perform'],
    [listOf(101, '"same"', tag), 'precondition-failed'],
    [stretched('"other",|"same"', 9000), 'precondition-failed'],
  ])('If-Match: nothing is changed where it is not read (%#)', (list, verdict) => {
    const headers = { 'if-match': list, 'if-unmodified-since': 'Thu, 01 Jan 2026 00:00:00 GMT' }
    expect(evaluatePreconditions({ method: 'PUT', headers }, { headers: same }, T)).toBe(verdict)
  })

  it('Accept-Encoding: the page is sent without a coding', () => {
    const coding = (i: number) => `x-${i}`
    expect(chooseCoding(listOf(100, 'gzip', coding), ['gzip'])).toBe('gzip')
    expect(chooseCoding(listOf(101, 'gzip', coding), ['gzip'])).toBeUndefined()
    expect(chooseCoding(stretched('br,|gzip', 8192), ['gzip'])).toBe('gzip')
    expect(chooseCoding(stretched('br,|gzip', 8193), ['gzip'])).toBeUndefined()
  })

  const extension = (i: number) => `x${i}`

  it.each([
    ['100 directives', listOf(100, 'max-age=60', extension), 'stored'],
    ['101 directives', listOf(101, 'max-age=60', extension), 'no-store'],
    ['8192 characters', stretched('public,|max-age=60', 8192), 'stored'],
    ['8193 characters', stretched('public,|max-age=60', 8193), 'no-store'],
    ['one long value', `max-age=60, x="${'a'.repeat(9000)}"`, 'no-store'],
    ['101 lines', Array.from({ length: 101 }, () => 'public'), 'no-store'],
    ['long lines', ['max-age=60', 'x'.repeat(5000), 'y'.repeat(5000)], 'no-store'],
  ])('Cache-Control of a response, with %s', (_, control, verdict) => {
    expect(judge({ 'cache-control': control })).toBe(verdict)
    expect(storingRestriction(control)).toBe(verdict === 'stored' ? undefined : 'no-store')
    const targeted = { 'cache-control': 'max-age=60', 'cdn-cache-control': control }
    expect(judge(targeted)).toBe(verdict)
  })

  it('Cache-Control of a request: nothing is stored for it', () => {
    const headers = { 'cache-control': listOf(101, 'max-age=0', extension) }
    expect(requestDirectives(headers)).toMatchObject({ noStore: true, maxAgeSeconds: undefined })
    expect(parseCacheControl(headers['cache-control']).malformed).toBe(true)
  })

  it.each([
    ['100 names', listOf(100, 'Cookie', extension), 'stored'],
    ['101 names', listOf(101, 'Cookie', extension), 'vary-unreadable'],
    ['8192 characters', stretched('X-A,|Cookie', 8192), 'stored'],
    ['8193 characters', stretched('X-A,|Cookie', 8193), 'vary-unreadable'],
  ])('Vary of %s', (_, vary, verdict) => {
    expect(judge({ vary })).toBe(verdict)
    // Whoever asks whether one of them is there still finds it.
    expect(parseVary(vary).names).toContain('cookie')
  })

  it('Accept-Language and other lists, by the letter of RFC 9111: they count as they were sent', () => {
    const normalized = (name: string, value: string) =>
      normalizedHeaders([name], { [name]: value })[name]
    const short = listOf(100, 'DE ;q=1', () => 'en;q=0.1')
    expect(normalized('accept-language', short)).toMatch(/^de;q=1, en;q=0\.1, /)
    expect(normalized('accept', 'a ,,\tb')).toBe('a, b')
    for (const long of [listOf(101, 'de ,', () => 'en'), stretched('a,|b', 9000)]) {
      expect(normalized('accept-language', long)).toBe(long)
      expect(normalized('accept', long)).toBe(long)
    }
  })
})

describe('a host', () => {
  it('of more than 255 characters is not a part of a key, as no name in the DNS is longer', () => {
    expect(absoluteUri('http', 'a'.repeat(255), '/')).toBe(`http://${'a'.repeat(255)}/`)
    expect(absoluteUri('http', 'a'.repeat(256), '/')).toBeUndefined()
    expect(absoluteUri('http', `[${':'.repeat(256)}]`, '/')).toBeUndefined()
  })
})
