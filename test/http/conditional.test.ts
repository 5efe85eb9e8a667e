import { describe, expect, it } from 'vitest'
import {
  evaluatePreconditions,
  hasPrecondition,
  isNotModified,
  isSentWithNotModified,
  type PreconditionVerdict,
} from '../../src/http/conditional.js'

const T = Date.UTC(2023, 10, 14, 20, 0, 0)
const BEFORE = 'Tue, 14 Nov 2023 19:59:59 GMT'
const THEN = 'Tue, 14 Nov 2023 20:00:00 GMT'
const AFTER = 'Tue, 14 Nov 2023 20:00:01 GMT'

type Headers = Readonly<Record<string, string>>

const TAGGED = { etag: '"a"' }
const WEAK = { etag: 'W/"a"' }
const DATED = { 'last-modified': THEN }
const BOTH = { etag: '"a"', 'last-modified': THEN }
const NONE = {}

const PASS = 'perform'
/** 304 for GET and HEAD, 412 for what changes something. */
const SAME = 'same'
const FAIL = 'precondition-failed'

const rows: readonly [request: Headers, response: Headers, verdict: string][] = [
  [{}, BOTH, PASS],

  // Step 1: If-Match, compared strongly.
  [{ 'if-match': '"a"' }, TAGGED, PASS],
  [{ 'if-match': '"b"' }, TAGGED, FAIL],
  [{ 'if-match': '"b", "a"' }, TAGGED, PASS],
  [{ 'if-match': '"b",,\t"a"' }, TAGGED, PASS],
  [{ 'if-match': 'W/"a"' }, TAGGED, FAIL],
  [{ 'if-match': 'W/"a"' }, WEAK, FAIL],
  [{ 'if-match': '"a"' }, WEAK, FAIL],
  [{ 'if-match': '"A"' }, TAGGED, FAIL],
  [{ 'if-match': '*' }, TAGGED, PASS],
  [{ 'if-match': ' * ' }, WEAK, PASS],
  [{ 'if-match': '*' }, DATED, PASS],
  [{ 'if-match': '*' }, NONE, FAIL],
  [{ 'if-match': '"a"' }, NONE, FAIL],
  [{ 'if-match': '"a"' }, DATED, FAIL],
  [{ 'if-match': '"a,b"' }, { etag: '"a,b"' }, PASS],
  [{ 'if-match': '"a,b"' }, { etag: '"a' }, FAIL],
  [{ 'if-match': '""' }, { etag: '""' }, PASS],
  [{ 'if-match': 'a' }, TAGGED, PASS],
  [{ 'if-match': '' }, TAGGED, PASS],
  [{ 'if-match': '"a' }, { etag: '"b"' }, PASS],
  [{ 'if-match': 'junk, "b"' }, TAGGED, FAIL],
  [{ 'if-match': 'junk, "a"' }, TAGGED, PASS],
  [{ 'if-match': '"b", *' }, TAGGED, FAIL],

  // Step 2: If-Unmodified-Since, where there is no If-Match.
  [{ 'if-unmodified-since': BEFORE }, DATED, FAIL],
  [{ 'if-unmodified-since': THEN }, DATED, PASS],
  [{ 'if-unmodified-since': AFTER }, DATED, PASS],
  [{ 'if-unmodified-since': BEFORE }, TAGGED, PASS],
  [{ 'if-unmodified-since': BEFORE }, { 'last-modified': 'yesterday' }, PASS],
  [{ 'if-unmodified-since': 'yesterday' }, DATED, PASS],
  [{ 'if-unmodified-since': '0' }, DATED, PASS],
  [{ 'if-unmodified-since': 'Tuesday, 14-Nov-23 19:59:59 GMT' }, DATED, FAIL],
  [{ 'if-unmodified-since': 'Tue Nov 14 20:00:00 2023' }, DATED, PASS],
  [{ 'if-match': '"a"', 'if-unmodified-since': BEFORE }, BOTH, PASS],
  [{ 'if-match': '"b"', 'if-unmodified-since': AFTER }, BOTH, FAIL],
  [{ 'if-match': 'a', 'if-unmodified-since': BEFORE }, BOTH, FAIL],

  // Step 3: If-None-Match, compared weakly.
  [{ 'if-none-match': '"a"' }, TAGGED, SAME],
  [{ 'if-none-match': 'W/"a"' }, TAGGED, SAME],
  [{ 'if-none-match': '"a"' }, WEAK, SAME],
  [{ 'if-none-match': '"b"' }, TAGGED, PASS],
  [{ 'if-none-match': '"b", W/"c" ,"a"' }, TAGGED, SAME],
  [{ 'if-none-match': '"b,"a"' }, TAGGED, SAME],
  [{ 'if-none-match': '"b "a"' }, TAGGED, PASS],
  [{ 'if-none-match': '"a,b"' }, { etag: '"a,b"' }, SAME],
  [{ 'if-none-match': '*' }, TAGGED, SAME],
  [{ 'if-none-match': '*' }, DATED, SAME],
  [{ 'if-none-match': '*' }, NONE, PASS],
  [{ 'if-none-match': '"a"' }, NONE, PASS],
  [{ 'if-none-match': 'a' }, { etag: 'a' }, PASS],
  [{ 'if-none-match': 'w/"a"' }, TAGGED, PASS],

  // Step 4: If-Modified-Since, where there is no If-None-Match, and for GET and HEAD alone.
  [{ 'if-none-match': '"b"', 'if-modified-since': THEN }, BOTH, PASS],
  [{ 'if-none-match': '"a"', 'if-modified-since': BEFORE }, BOTH, SAME],
  [{ 'if-none-match': 'a', 'if-modified-since': THEN }, BOTH, PASS],
  [{ 'if-none-match': '', 'if-modified-since': THEN }, BOTH, PASS],

  // Steps 1 and 2 come before 3 and 4.
  [{ 'if-match': '"b"', 'if-none-match': '"a"' }, TAGGED, FAIL],
  [{ 'if-match': '"a"', 'if-none-match': '"a"' }, TAGGED, SAME],
  [{ 'if-unmodified-since': BEFORE, 'if-none-match': '"a"' }, BOTH, FAIL],
  [{ 'if-unmodified-since': THEN, 'if-none-match': '"a"' }, BOTH, SAME],
]

describe('preconditions in the order of RFC 9110 §13.2.2', () => {
  function verdictOf(method: string, request: Headers, response: Headers): PreconditionVerdict {
    return evaluatePreconditions({ method, headers: request }, { headers: response }, T)
  }

  it.each(rows)('%j on %j: %s', (request, response, verdict) => {
    for (const method of ['GET', 'HEAD']) {
      const wanted = verdict === SAME ? 'not-modified' : verdict
      expect(verdictOf(method, request, response)).toBe(wanted)
    }
    for (const method of ['PUT', 'POST', 'DELETE', 'PATCH', 'get', 'OPTIONS']) {
      const wanted = verdict === SAME ? FAIL : verdict
      expect(verdictOf(method, request, response)).toBe(wanted)
    }
  })

  it.each([
    [BEFORE, 'perform'],
    [THEN, 'not-modified'],
    [AFTER, 'not-modified'],
    ['Tue, 14 Nov 2033 20:00:00 GMT', 'not-modified'],
    ['garbage', 'perform'],
    ['2023-11-14T20:00:00Z', 'perform'],
    ['', 'perform'],
  ])('If-Modified-Since: %s is for GET and HEAD: %s', (since, verdict) => {
    const request = { 'if-modified-since': since }
    expect(verdictOf('GET', request, DATED)).toBe(verdict)
    expect(verdictOf('HEAD', request, DATED)).toBe(verdict)
    expect(verdictOf('PUT', request, DATED)).toBe('perform')
    expect(verdictOf('GET', request, TAGGED)).toBe('perform')
    expect(verdictOf('GET', request, { 'last-modified': 'garbage' })).toBe('perform')
  })

  it('finds no header where only the prototype has one', () => {
    const request = Object.create({ 'if-match': '"b"' }) as Headers
    expect(verdictOf('PUT', request, TAGGED)).toBe('perform')
  })

  it('stays quick and silent with long and broken lists', () => {
    const parts = [
      '"',
      ',',
      ' ',
      '"a" ',
      '"a",',
      '"a"b,',
      'W/',
      'W/"',
      '\\"',
      '"a\t',
      '*,',
      '\u00ff',
    ]
    for (const part of parts) {
      for (const tail of ['', '"', ' x']) {
        const list = part.repeat(16_384 / part.length) + tail
        for (const name of ['if-match', 'if-none-match', 'if-modified-since'])
          expect(() => verdictOf('GET', { [name]: list }, BOTH)).not.toThrow()
      }
    }
  })
})

describe('what a cache needs of it', () => {
  it('takes * for the response it has, with or without validators', () => {
    expect(isNotModified({ 'if-none-match': '*' }, NONE, T)).toBe(true)
  })

  it('does not let a date decide where If-None-Match is there', () => {
    const request = { 'if-none-match': 'junk', 'if-modified-since': AFTER }
    expect(isNotModified(request, BOTH, T)).toBe(false)
  })

  it('leaves If-Match to the origin', () => {
    expect(isNotModified({ 'if-match': '"b"', 'if-none-match': '"a"' }, TAGGED, T)).toBe(true)
  })

  it('sends on a 304 what RFC 9110 §15.4.5 asks for', () => {
    const must = ['cache-control', 'content-location', 'date', 'etag', 'expires', 'vary']
    expect(must.every(isSentWithNotModified)).toBe(true)
  })

  it.each(['if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since'])(
    'sees the precondition %s',
    (name) => {
      expect(hasPrecondition({ [name]: '' })).toBe(true)
    },
  )

  it('sees no precondition in If-Range', () => {
    expect(hasPrecondition({ 'if-range': '"a"' })).toBe(false)
  })
})
