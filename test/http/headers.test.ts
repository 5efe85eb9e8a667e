import { describe, expect, it } from 'vitest'
import { formatCacheStatus } from '../../src/http/cache-status.js'
import { limitMaxAge, parseCacheControl, storingRestriction } from '../../src/http/cache-control.js'
import { isNotModified, isSentWithNotModified } from '../../src/http/conditional.js'
import { formatHttpDate, parseHttpDate } from '../../src/http/http-date.js'
import { growHeaderList, parseVary, toHeaderList } from '../../src/http/vary.js'
import { fc } from '../support/random.js'

const T = 1_700_000_000_000

describe('Cache-Control', () => {
  it('never throws, whatever it is given', () => {
    const pieces = fc.constantFrom(
      ...['"', '\\', ',', ';', '=', ' ', '\t', 'max-age', '60', 'private', 'x', '\u0000', 'é'],
    )
    const soup = fc.array(pieces).map((parts) => parts.join(''))
    fc.assert(
      fc.property(fc.oneof(fc.string(), soup, fc.array(soup)), (value) => {
        parseCacheControl(value)
        storingRestriction(value)
        limitMaxAge(value, 60)
      }),
    )
  })

  it('finds a forbidding directive between any others', () => {
    const other = fc.constantFrom(
      ...['max-age=60', 'public', 'ext="a, b"', 'ext="\\""', 'ext="', '"', '\\', ';', '', 'a=b=c'],
    )
    const word = fc.constantFrom('private', 'No-Store', 'NO-CACHE="x"', ' private ', 'no_store')
    fc.assert(
      fc.property(fc.array(other), word, fc.array(other), (before, found, after) => {
        expect(storingRestriction([...before, found, ...after].join(', '))).toBeDefined()
        expect(storingRestriction([...before, found, ...after])).toBeDefined()
      }),
    )
  })

  it.each([
    [undefined, 60, 'max-age=60'],
    ['public', 60, 'public, max-age=60'],
    ['max-age=30, public', 60, 'max-age=30, public'],
    ['max-age=90, public', 60, 'max-age=60, public'],
    ['max-age=90, public, max-age=70', 60, 'max-age=60, public'],
    ['max-age=x', 60, 'max-age=x'],
    ['Public, EXT="A"', 60, 'public, ext="A", max-age=60'],
    [['public', 'immutable'], 60, 'public, immutable, max-age=60'],
    ['max-age=90, ext="', 60, 'max-age=90, ext="'],
  ])('%j with at most %i seconds is %j', (value, seconds, expected) => {
    expect(limitMaxAge(value, seconds)).toBe(expected)
  })
})

describe('Vary', () => {
  it('keeps the order of Django, and names it takes for one apart', () => {
    const names = parseVary('X_A, X-A, Cookie, Accept').names
    expect(toHeaderList(names, false)).toEqual(['accept', 'cookie', 'x-a', 'x_a'])
  })

  it('leaves the language to the key where the key says it', () => {
    expect(toHeaderList(['accept-language', 'cookie'], true)).toEqual(['cookie'])
    expect(toHeaderList(['accept-language', 'cookie'], false)).toEqual([
      'accept-language',
      'cookie',
    ])
  })

  it('only ever grows', () => {
    const known = ['cookie']
    expect(growHeaderList(known, [])).toBe(known)
    expect(growHeaderList(known, ['cookie'])).toBe(known)
    expect(growHeaderList(known, ['accept'])).toEqual(['accept', 'cookie'])
  })
})

describe('HTTP dates', () => {
  it.each([
    'Tue, 14 Nov 2023 22:13:20 GMT',
    'Tuesday, 14-Nov-23 22:13:20 GMT',
    'Tue Nov 14 22:13:20 2023',
    'tue, 14 NOV 2023 22:13:20 gMT',
  ])('reads %s', (text) => {
    expect(parseHttpDate(text, T)).toBe(T)
  })

  it('puts two-digit years within 50 years', () => {
    expect(parseHttpDate('Sunday, 06-Nov-94 08:49:37 GMT', T)).toBe(
      Date.UTC(1994, 10, 6, 8, 49, 37),
    )
    expect(parseHttpDate('Sunday, 06-Nov-73 08:49:37 GMT', T)).toBe(
      Date.UTC(2073, 10, 6, 8, 49, 37),
    )
    expect(parseHttpDate('Sunday, 06-Nov-74 08:49:37 GMT', T)).toBe(
      Date.UTC(1974, 10, 6, 8, 49, 37),
    )
  })

  it.each([
    '',
    '0',
    '-1',
    '2023',
    '1700000000',
    '2023-11-14T22:13:20Z',
    'Tue, 14 Nov 2023 22:13:20',
    'Tue, 14 Nov 2023 22:13:20 +0000',
    'Tue, 14 Nov 2023 24:13:20 GMT',
    'Tue, 14 Nov 2023 2:13:20 GMT',
    'Thu, 31 Feb 2023 22:13:20 GMT',
    'Tue, 00 Nov 2023 22:13:20 GMT',
    'Tue, 14 Foo 2023 22:13:20 GMT',
  ])('takes %j for no date', (text) => {
    expect(parseHttpDate(text, T)).toBeUndefined()
  })

  it('writes what it reads, to the second, and no year beyond 9999', () => {
    expect(formatHttpDate(T + 999)).toBe('Tue, 14 Nov 2023 22:13:20 GMT')
    expect(formatHttpDate(Number.MAX_SAFE_INTEGER)).toBe('Fri, 31 Dec 9999 23:59:59 GMT')
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 253_402_300_799 }), (seconds) => {
        expect(parseHttpDate(formatHttpDate(seconds * 1000), T)).toBe(seconds * 1000)
      }),
    )
  })
})

describe('conditional requests (RFC 9110 §13.2.2)', () => {
  const stored = { etag: '"v1"', 'last-modified': 'Tue, 14 Nov 2023 20:00:00 GMT' }

  it.each([
    [{}, false],
    [{ 'if-none-match': '"v1"' }, true],
    [{ 'if-none-match': 'W/"v1"' }, true],
    [{ 'if-none-match': '"x", W/"v1"' }, true],
    [{ 'if-none-match': '"x","v1"' }, true],
    [{ 'if-none-match': '*' }, true],
    [{ 'if-none-match': '"x"' }, false],
    [{ 'if-none-match': 'v1' }, false],
    [{ 'if-none-match': '' }, false],
    [{ 'if-none-match': '"x, v1"' }, false],
    [{ 'if-modified-since': 'Tue, 14 Nov 2023 20:00:00 GMT' }, true],
    [{ 'if-modified-since': 'Tue, 14 Nov 2023 20:00:01 GMT' }, true],
    [{ 'if-modified-since': 'Tue, 14 Nov 2023 19:59:59 GMT' }, false],
    [{ 'if-modified-since': 'later' }, false],
    // The older condition does not count beside the newer one.
    [{ 'if-none-match': '"x"', 'if-modified-since': 'Tue, 14 Nov 2023 20:00:00 GMT' }, false],
  ])('%j: not modified is %s', (request, expected) => {
    expect(isNotModified(request, stored, T)).toBe(expected)
  })

  it('compares weakly from both sides and never with an answer that has no validator', () => {
    expect(isNotModified({ 'if-none-match': '"v1"' }, { etag: 'W/"v1"' }, T)).toBe(true)
    expect(isNotModified({ 'if-none-match': '"v1"' }, {}, T)).toBe(false)
    expect(isNotModified({ 'if-modified-since': formatHttpDate(T) }, {}, T)).toBe(false)
  })

  it('sends no description of a body that is not sent', () => {
    expect(['content-type', 'content-encoding', 'content-length'].some(isSentWithNotModified)).toBe(
      false,
    )
    expect(['content-location', 'etag', 'vary', 'cache-control'].every(isSentWithNotModified)).toBe(
      true,
    )
  })
})

describe('Cache-Status (RFC 9211)', () => {
  it.each([
    [{ hit: true, ttlSeconds: 376 }, 'fragcache; hit; ttl=376'],
    [{ hit: true, ttlSeconds: undefined }, 'fragcache; hit'],
    [{ hit: false, forward: 'uri-miss', stored: true }, 'fragcache; fwd=uri-miss; stored'],
    [{ hit: false, forward: 'method', stored: false, detail: 'method' }, 'fragcache; fwd=method'],
    [
      { hit: false, forward: 'vary-miss', stored: false, detail: 'set-cookie' },
      'fragcache; fwd=vary-miss; detail=set-cookie',
    ],
    [
      { hit: false, forward: 'uri-miss', stored: true, detail: 'a "tag", ein Schlüssel \\' },
      'fragcache; fwd=uri-miss; stored; detail="a \\"tag\\", ein Schl?ssel \\\\"',
    ],
  ] as const)('%j is %s', (handling, expected) => {
    expect(formatCacheStatus(handling)).toBe(expected)
  })
})
