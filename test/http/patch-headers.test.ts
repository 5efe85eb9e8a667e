import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import {
  addNeverCacheHeaders,
  getMaxAge,
  hasVaryHeader,
  patchCacheControl,
  patchResponseHeaders,
  patchVaryHeaders,
  type CacheControlDirectives,
} from 'fragcache/express'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { formatHttpDate } from '../../src/http/http-date.js'
import { readGolden } from '../support/golden.js'

type Headers = Readonly<Record<string, string>>

interface GoldenHeaderCase {
  readonly id: string
  readonly group: string
  readonly input: {
    readonly cache_control?: string | null
    readonly kwargs?: Readonly<Record<string, boolean | number | string>>
    readonly vary?: string | null
    readonly new?: readonly string[]
    readonly query?: string
    readonly headers?: Headers
    readonly cache_timeout?: number | null
    readonly CACHE_MIDDLEWARE_SECONDS?: number
    readonly epoch_seconds?: number
  }
  readonly result: Headers | string | number | boolean | null
  readonly raises?: { readonly error: string }
}

/** The second at which Django's clock stood. */
const T = 1_700_000_000_000

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'], now: T })
})

afterEach(() => {
  vi.useRealTimers()
})

function responseWith(headers: Readonly<Record<string, string | null | undefined>>) {
  const res = new ServerResponse(new IncomingMessage(new Socket()))
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value === 'string') res.setHeader(name, value)
  }
  return res
}

/** `max_age` is `maxAge` here; names that are no Python names stay. */
function toDirectives(kwargs: GoldenHeaderCase['input']['kwargs'] = {}): CacheControlDirectives {
  return Object.fromEntries(
    Object.entries(kwargs).map(([name, value]) => [
      name.replace(/(?<=[a-z])_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
      value,
    ]),
  )
}

/** Does what Django did. */
function run({ group, input }: GoldenHeaderCase): unknown {
  const res = responseWith({
    ...input.headers,
    'Cache-Control': input.cache_control ?? input.headers?.['Cache-Control'],
    Vary: input.vary ?? input.headers?.['Vary'],
  })
  switch (group) {
    case 'patch_cache_control':
      patchCacheControl(res, toDirectives(input.kwargs))
      return res.getHeader('Cache-Control')
    case 'get_max_age':
      return getMaxAge(res) ?? null
    case 'patch_vary_headers':
      patchVaryHeaders(res, input.new ?? [])
      return res.getHeader('Vary')
    case 'has_vary_header':
      return hasVaryHeader(res, input.query ?? '')
    case 'patch_response_headers':
      patchResponseHeaders(res, input.cache_timeout)
      return headersOf(res)
    case 'add_never_cache_headers':
      addNeverCacheHeaders(res)
      return headersOf(res)
    case 'http_date':
      return formatHttpDate((input.epoch_seconds ?? 0) * 1000)
    default:
      throw new Error(`no helper for the group ${group}`)
  }
}

function headersOf(res: ServerResponse): Record<string, unknown> {
  return Object.fromEntries(
    res.getHeaderNames().map((name) => [name, res.getHeader(name)] as const),
  )
}

/** What Django gave, with names in lower case and dates in full. */
function expected({ result }: GoldenHeaderCase): unknown {
  if (typeof result !== 'object' || result === null) return result
  return Object.fromEntries(
    Object.entries(result).map(([name, value]) => [
      name.toLowerCase(),
      value.replace(/^now([+-]\d+)?$/, (_, seconds: string | undefined) =>
        formatHttpDate(T + Number(seconds ?? 0) * 1000),
      ),
    ]),
  )
}

/** Where we do something else on purpose: what, and why. */
const differences: Readonly<Record<string, readonly [result: unknown, reason: string]>> = {
  pcc089: ['max-age=0', 'a header of the view never throws; what cannot be read is stale'],
  pcc091: ['max-age=60', 'RFC 9111 §5.2: a quoted number is understood too'],
  prh008: [
    { expires: formatHttpDate(T + 600_000), 'cache-control': 'max-age=600' },
    'there is no global setting; seconds left out are 600',
  ],
  prh012: [TypeError, 'false is not a number of seconds'],
  pvh028: [TypeError, 'an empty string is not a header name'],
}

const inOtherTests = new Set(['decorator', 'set_response_etag'])
const all = readGolden<GoldenHeaderCase>('headers.json')
const cases = all.filter(({ group }) => !inOtherTests.has(group))

describe("the header helpers do what Django's do", () => {
  it('for every case of the groups', () => {
    expect(all).toHaveLength(172)
    expect(cases).toHaveLength(148)
    expect(Object.keys(differences).every((id) => cases.some((one) => one.id === id))).toBe(true)
  })

  it.each(cases)('$id $group', (golden) => {
    const difference = differences[golden.id]
    if (difference !== undefined) {
      const [wanted] = difference
      if (wanted === TypeError) expect(() => run(golden)).toThrow(TypeError)
      else expect(run(golden)).toEqual(wanted)
    } else if (golden.raises !== undefined) {
      expect(golden.raises.error).toBe('TypeError')
      expect(() => run(golden)).toThrow(TypeError)
    } else if (golden.id === 'pcc114') {
      // Django keeps these in a set, whose order is not defined.
      expect(String(run(golden)).split(', ').sort()).toEqual(['no-cache=a', 'no-cache=b'])
    } else {
      expect(run(golden)).toEqual(expected(golden))
    }
  })
})

describe('patchCacheControl', () => {
  function patched(value: string | undefined, directives: CacheControlDirectives) {
    const res = responseWith({ 'Cache-Control': value })
    patchCacheControl(res, directives)
    return res.getHeader('Cache-Control')
  }

  it.each([
    [{ sMaxage: 60 }, 's-maxage=60'],
    [{ sMaxAge: 60 }, 's-maxage=60'],
    [{ s_maxage: 60 }, 's-maxage=60'],
    [{ 's-maxage': 60 }, 's-maxage=60'],
    [{ max_age: 60 }, 'max-age=60'],
    [{ 'max-age': 60 }, 'max-age=60'],
    [{ staleWhileRevalidate: 5, staleIfError: 6 }, 'stale-while-revalidate=5, stale-if-error=6'],
    [{ noCache: true, mustUnderstand: true }, 'no-cache, must-understand'],
    [{ private: undefined, maxAge: 1 }, 'max-age=1'],
  ])('understands %j', (directives, result) => {
    expect(patched(undefined, directives)).toBe(result)
  })

  it('reads a header of several lines as one', () => {
    const res = responseWith({})
    res.setHeader('Cache-Control', ['public, max-age=9', 'foo=1'])
    patchCacheControl(res, { private: true, maxAge: 60 })
    expect(res.getHeader('Cache-Control')).toBe('max-age=9, foo=1, private')
  })

  it('takes what is in quotes for no directive', () => {
    expect(patched('foo="private, public", max-age=5', { public: true, maxAge: 3 })).toBe(
      'foo="private, public", max-age=3, public',
    )
    expect(patched('private="A,  B"', { noStore: true })).toBe('private="A, B", no-store')
    expect(patched('private="a, \\", b"', { noStore: true })).toBe('private="a, \\", b", no-store')
  })

  it('puts a directive with an open quote last, so that it hides no other', () => {
    expect(patched('foo="a', { noStore: true })).toBe('no-store, foo="a')
    expect(patched('foo="a, private, max-age=9', { public: true, maxAge: 5 })).toBe(
      'max-age=5, public, foo="a',
    )
  })

  it('stays quick with a long and broken header', () => {
    for (const part of ['"', ',"', '"\\', '",\\"', '",a', ' ', ',']) {
      const value = part.repeat(20_000)
      expect(patched(value, { noStore: true })).toContain('no-store')
    }
  })

  it('writes extensions, also those that begin as a directive does', () => {
    expect(patched(undefined, { noStoreRemote: true, myExtension: 'a' })).toBe(
      'no-store-remote, my-extension=a',
    )
  })

  it.each([
    [{ maxAge: NaN }, /patchCacheControl: maxAge: NaN .*give/],
    [{ maxAge: Infinity }, /maxAge: Infinity/],
    [{ maxAge: null }, /maxAge: null/],
    [{ maxAge: {} }, /maxAge: an object/],
    [{ noCache: ['Set-Cookie'] }, /noCache: an object/],
    [{ maxAge: 1n }, /maxAge: 1n/],
    [{ private: () => true }, /private: a function/],
    [{ private: 'x\r\nSet-Cookie: a=1' }, /private: "x\\r\\nSet-Cookie: a=1"/],
    [{ private: 'x\u0000' }, /private/],
    [{ private: 'x\u2028' }, /private/],
    [{ 'x\r\ny': true }, /"x\\r\\ny" is not a directive name/],
    [{ 'a b': true }, /"a b" is not a directive name/],
    [{ '': true }, /"" is not a directive name/],
    [{ maxage: 5 }, /maxage: there is no directive "maxage"; write maxAge/],
    [{ nostore: true }, /write noStore/],
    [{ smaxage: 5 }, /write sMaxage/],
    [{ privte: true }, /there is no directive "privte"; write private/],
    [{ noStor: true }, /write noStore/],
    [{ staleWhileRevalidat: 5 }, /write staleWhileRevalidate/],
    [{ immutabel: true }, /write immutable/],
    [{ Private: true, NoStore: true }, /write noStore/],
    [null, /null is not a set of directives/],
    ['private', /"private" is not a set/],
    [['private'], /is not a set/],
  ])('refuses %o', (directives, message) => {
    const res = responseWith({ 'Cache-Control': 'public' })
    const patch = () => patchCacheControl(res, directives as CacheControlDirectives)
    expect(patch).toThrow(TypeError)
    expect(patch).toThrow(message)
    expect(res.getHeader('Cache-Control')).toBe('public')
  })
})

describe('patchVaryHeaders', () => {
  it('takes several names in one text, each once', () => {
    const res = responseWith({ Vary: 'cookie' })
    patchVaryHeaders(res, ['Accept, Cookie', 'ACCEPT-LANGUAGE'])
    expect(res.getHeader('Vary')).toBe('cookie, Accept, ACCEPT-LANGUAGE')
  })

  it('reads a header of several lines as one', () => {
    const res = responseWith({})
    res.setHeader('Vary', ['Accept', 'Cookie'])
    patchVaryHeaders(res, ['cookie', 'X-A'])
    expect(res.getHeader('Vary')).toBe('Accept, Cookie, X-A')
  })

  it.each([['Cookie'], [undefined], [[1]], [['a b']], [['a\r\nb']], [['A', '']], [[null]]])(
    'refuses %o',
    (names) => {
      const res = responseWith({})
      expect(() => patchVaryHeaders(res, names as string[])).toThrow(/patchVaryHeaders: .* give/)
      expect(() => patchVaryHeaders(res, names as string[])).toThrow(TypeError)
      expect(res.hasHeader('Vary')).toBe(false)
    },
  )
})

describe('patchResponseHeaders', () => {
  it.each([['60'], [NaN], [Infinity], [true], [{}]])('refuses %o seconds', (seconds) => {
    const res = responseWith({})
    const patch = () => patchResponseHeaders(res, seconds as number)
    expect(patch).toThrow(/patchResponseHeaders: seconds: .* give/)
    expect(patch).toThrow(TypeError)
    expect(res.getHeaderNames()).toEqual([])
  })
})

describe('every helper', () => {
  it.each([[undefined], [null], ['res'], [{}], [{ getHeader: () => 'x' }]])(
    'refuses %o in place of a response',
    (res) => {
      const given = res as unknown as ServerResponse
      const message = /is not a response; give the res of Express or node:http/
      expect(() => patchCacheControl(given, {})).toThrow(message)
      expect(() => patchVaryHeaders(given, [])).toThrow(message)
      expect(() => patchResponseHeaders(given, 1)).toThrow(message)
      expect(() => addNeverCacheHeaders(given)).toThrow(message)
      expect(() => getMaxAge(given)).toThrow(message)
      expect(() => hasVaryHeader(given, 'Cookie')).toThrow(message)
    },
  )

  it('names a faulty name of hasVaryHeader', () => {
    const res = responseWith({})
    expect(() => hasVaryHeader(res, 5 as unknown as string)).toThrow(
      /hasVaryHeader: 5 is not a header name/,
    )
  })
})
