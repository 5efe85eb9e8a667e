import { describe, expect, it } from 'vitest'
import {
  answersRequest,
  currentAgeSeconds,
  decodeStoredResponse,
  encodeStoredResponse,
  encodeStoredText,
  neverReplayed,
  nominate,
  type StoredHead,
} from '../../src/http/stored-response.js'
import {
  decodeGeneration,
  decodeHeaderList,
  encodeGeneration,
  encodeList,
} from '../../src/pages/page-records.js'
import { fc } from '../support/random.js'

const head: StoredHead = {
  status: 200,
  statusMessage: 'Fine',
  headers: [
    ['Content-Type', 'text/html; charset=utf-8'],
    ['Link', ['</a>; rel=next', '</b>; rel=prev']],
    ['x-CASE', 'é'],
  ],
  removed: ['X-Powered-By'],
  storedAtMs: 1_700_000_000_000,
  ageSeconds: 5,
  freshUntilMs: 1_700_000_600_000,
  uri: 'http://a.test/p?q=é',
  language: 'de',
  timeZone: 'Europe/Berlin',
  generation: 'g1',
  nominated: [
    ['accept', 'text/html'],
    ['cookie', null],
  ],
  isPublic: false,
  isForAuthorized: true,
  mustValidate: true,
  mayBeStale: false,
  isWhole: true,
  ifErrorSeconds: 60,
  whileRevalidateSeconds: 30,
  said: [
    ['Cache-Control', 'max-age=9'],
    ['Expires', null],
  ],
  codings: [],
}

/** The bytes of a stored response whose head is this JSON. */
function withHead(json: string, body = ''): Buffer {
  const bytes = Buffer.alloc(12)
  bytes.write('FCR2', 'latin1')
  bytes.writeUInt32LE(Buffer.byteLength(json), 4)
  bytes.writeUInt32LE(Buffer.byteLength(body), 8)
  return Buffer.concat([bytes, Buffer.from(json), Buffer.from(body)])
}

describe('a stored response', () => {
  it('comes back as it went in, to the byte', () => {
    const body = Buffer.from(Uint8Array.from({ length: 256 }, (_, i) => i))
    const read = decodeStoredResponse(
      encodeStoredResponse(head, [body.subarray(0, 9), body.subarray(9)]),
    )
    expect(read).toEqual({ ...head, body, encoded: [] })
  })

  it.each([encodeStoredResponse, encodeStoredText])('comes back with its holes', (encode) => {
    const holes = [
      [0, 'nunjucks', 'a.njk', '0-1f'],
      [3, 'nunjucks', 'é.njk', '1-2e'],
      [3, 'eta', 'b', '0-3d'],
      [4, 'eta', 'b', '0-3d'],
    ] as const
    const body = Buffer.from('é!?')
    const read = decodeStoredResponse(encode({ ...head, holes }, [body]))
    expect(read).toEqual({ ...head, holes, body, encoded: [] })
  })

  it.each<[string, unknown]>([
    ['none', []],
    ['no list', 7],
    ['one beyond its end', [[5, 'e', 't', 'h']]],
    ['one before its begin', [[-1, 'e', 't', 'h']]],
    ['one at no place', [[0.5, 'e', 't', 'h']]],
    [
      'some in another order',
      [
        [3, 'e', 't', 'h'],
        [2, 'e', 't', 'h'],
      ],
    ],
    ['one without a name', [[0, 'e', 't']]],
    ['one whose name is not a string', [[0, 'e', 't', null]]],
  ])('is a miss with holes that cannot be: %s', (_what, holes) => {
    const bytes = encodeStoredResponse({ ...head, holes } as StoredHead, [Buffer.from('é!?')])
    expect(decodeStoredResponse(bytes)).toBeUndefined()
  })

  it('is a miss with holes beside other codings, which have none', () => {
    const holed = { ...head, holes: [[0, 'e', 't', 'h']] as const, codings: [['br', 1]] as const }
    const bytes = encodeStoredResponse(holed, [Buffer.from('é!?'), Buffer.from('x')])
    expect(decodeStoredResponse(bytes)).toBeUndefined()
  })

  it('comes back without a body, without an end and with the usual status message', () => {
    const plain = {
      ...head,
      statusMessage: undefined,
      freshUntilMs: null,
      isPublic: true,
      language: undefined,
    }
    const read = decodeStoredResponse(encodeStoredResponse(plain, []))
    expect(read).toEqual({ ...plain, body: Buffer.alloc(0), encoded: [] })
  })

  it('comes back from a text too, one character per byte', () => {
    const body = Buffer.from(Uint8Array.from({ length: 256 }, (_, i) => i))
    const text = encodeStoredText(head, [body.subarray(0, 9), body.subarray(9)])
    const read = decodeStoredResponse(text)
    expect(read).toEqual({ ...head, body, encoded: [] })
    for (let length = 0; length < text.length; length++) {
      expect(decodeStoredResponse(text.slice(0, length))).toBeUndefined()
    }
    for (const damaged of [
      `${text}x`,
      text.replace('FCR2', 'FCR3'),
      text.replace('[200', '(200'),
    ]) {
      expect(decodeStoredResponse(damaged)).toBeUndefined()
    }
  })

  it('is read from any view of the bytes', () => {
    const bytes = encodeStoredResponse(head, [Buffer.from('body')])
    const larger = new Uint8Array(bytes.length + 7)
    larger.set(bytes, 7)
    expect(decodeStoredResponse(larger.subarray(7))?.body.toString()).toBe('body')
  })

  it('is a miss wherever it is cut, prolonged or of another version', () => {
    const bytes = encodeStoredResponse(head, [Buffer.from('body')])
    for (let length = 0; length < bytes.length; length++) {
      expect(decodeStoredResponse(bytes.subarray(0, length))).toBeUndefined()
    }
    expect(decodeStoredResponse(Buffer.concat([bytes, Buffer.from('x')]))).toBeUndefined()
    const newer = Buffer.from(bytes)
    newer.write('FCR3', 'latin1')
    expect(decodeStoredResponse(newer)).toBeUndefined()
  })

  it.each([undefined, null, 1, 'FCR2', {}, [], head])('%j is a miss', (value) => {
    expect(decodeStoredResponse(value)).toBeUndefined()
  })

  it('is a miss, never a crash, for any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.json(), (bytes, json) => {
        expect(decodeStoredResponse(bytes)).toBeUndefined()
        expect(decodeStoredResponse(withHead(json))).toBeUndefined()
      }),
    )
  })

  it('is a miss if any part of the head is of another kind', () => {
    const parts = JSON.parse(encodeStoredResponse(head, []).toString('utf8', 12)) as unknown[]
    expect(decodeStoredResponse(withHead(JSON.stringify(parts)))).toBeDefined()
    const wrong: unknown[][] = [
      [99, 600, 200.5, '200', null],
      [1, [], 'Fine\r\nX: 1'],
      [
        null,
        {},
        [['a', 'b\r\nset-cookie: c']],
        [['a', ['b\n']]],
        [['a b', 'c']],
        [['', 'c']],
        [['ü', 'c']],
        [['a']],
        [['a', 1]],
        [['a', 'b', 'c']],
        [[1, 'a']],
        [['a', ['b', 1]]],
      ],
      [null, 'x', [1]],
      ['1', null],
      ['1', null],
      ['1'],
      [null, 1],
      [1, []],
      [1, []],
      [null, 1],
      [null, [['a']], [['a', 1]], [[1, null]]],
      [null, 1.5, -1, 32, 'true', true],
      [null, '1'],
      [null, '1'],
      [null, [['br']], [['br', -1]], [['br', 1]], [['b r', 0]]],
      [null, [['Expires']], [['Expires', 1]], [['Set-Cookie\n', 'x']]],
    ]
    wrong.forEach((values, i) => {
      for (const value of values) {
        const changed = parts.with(i, value)
        expect([i, value, decodeStoredResponse(withHead(JSON.stringify(changed)))]).toEqual([
          i,
          value,
          undefined,
        ])
      }
    })
    expect(decodeStoredResponse(withHead(JSON.stringify(parts.slice(1))))).toBeUndefined()
  })

  it.each(['Set-Cookie', 'connection', 'TRANSFER-ENCODING', 'Age'])(
    'is a miss if somebody put %s into it',
    (name) => {
      const bytes = encodeStoredResponse({ ...head, headers: [[name, 'x']] }, [])
      expect(decodeStoredResponse(bytes)).toBeUndefined()
    },
  )

  it('leaves out what belongs to the connection', () => {
    const isLeftOut = neverReplayed({ connection: 'close, X-Hop' })
    expect(['keep-alive', 'x-hop', 'upgrade', 'set-cookie'].every(isLeftOut)).toBe(true)
    expect(['date', 'etag', 'x-hop2', 'cache-control'].some(isLeftOut)).toBe(false)
    expect(neverReplayed({})('x-hop')).toBe(false)
  })
})

describe('which request a stored response answers (RFC 9111 §4.1)', () => {
  const stored = { ...head, nominated: nominate(['accept', 'cookie'], { accept: 'text/html' }) }
  const address = { keyPrefix: '', uri: stored.uri, language: 'de', timeZone: 'Europe/Berlin' }

  it('says what the request said of the headers it depends on', () => {
    expect(stored.nominated).toEqual([
      ['accept', 'text/html'],
      ['cookie', null],
    ])
  })

  it.each([
    [{ accept: 'text/html' }, true],
    [{ accept: 'text/html', 'x-other': '1' }, true],
    [{ accept: 'text/html', cookie: '' }, false],
    [{ accept: 'text/html', cookie: 'a=1' }, false],
    [{ accept: 'text/plain' }, false],
    [{}, false],
  ])('%j: %s', (headers, expected) => {
    expect(answersRequest(stored, address, headers)).toBe(expected)
  })

  it('not one for another URI, language or time zone', () => {
    const headers = { accept: 'text/html' }
    expect(answersRequest(stored, { ...address, uri: `${stored.uri}2` }, headers)).toBe(false)
    expect(answersRequest(stored, { ...address, language: 'fr' }, headers)).toBe(false)
    expect(answersRequest(stored, { ...address, timeZone: undefined }, headers)).toBe(false)
  })
})

describe('the age of a stored response (RFC 9111 §4.2.3)', () => {
  it('is the age it came with and the time since, in whole seconds', () => {
    expect(currentAgeSeconds(head, head.storedAtMs)).toBe(5)
    expect(currentAgeSeconds(head, head.storedAtMs + 999)).toBe(5)
    expect(currentAgeSeconds(head, head.storedAtMs + 1000)).toBe(6)
  })

  it('is never less than it came with, though the clock was set back', () => {
    expect(currentAgeSeconds(head, head.storedAtMs - 60_000)).toBe(5)
  })
})

describe('the records of a URI', () => {
  const generation = { generation: 'g', invalidated: true, expiresAtMs: null }
  const list = { generation: 'g', expiresAtMs: 7, list: ['accept', 'cookie'] }

  it('come back as they went in', () => {
    expect(decodeGeneration(encodeGeneration(generation))).toEqual(generation)
    const ending = { ...generation, invalidated: false, expiresAtMs: 7 }
    expect(decodeGeneration(encodeGeneration(ending))).toEqual(ending)
    expect(decodeHeaderList(encodeList(list))).toEqual(list)
    const empty = { ...list, expiresAtMs: null, list: [] }
    expect(decodeHeaderList(encodeList(empty))).toEqual(empty)
  })

  it.each([
    undefined,
    null,
    7,
    '',
    '{',
    '[]',
    '[2,"g",false,null]',
    '[1,"g",false]',
    '[1,7,false,null]',
    '[1,"g",0,null]',
    '[1,"g",false,"7"]',
    Buffer.from(encodeGeneration(generation)),
    encodeList(list),
  ])('%j is not a generation', (value) => {
    expect(decodeGeneration(value)).toBeUndefined()
  })

  it.each([
    undefined,
    '[2,"g",null,[]]',
    '[1,7,null,[]]',
    '[1,"g","7",[]]',
    '[1,"g",null,null]',
    '[1,"g",null,[7]]',
    '[1,"g",null,["a b"]]',
    encodeGeneration(generation),
  ])('%j is not a header list', (value) => {
    expect(decodeHeaderList(value)).toBeUndefined()
  })
})
