import { describe, expect, it } from 'vitest'
import {
  CacheBackendError,
  CacheKeyNotFoundError,
  CacheTagError,
  FragcacheError,
  InvalidCacheBackendError,
  InvalidCacheKeyError,
  LocMemCache,
} from '../../src/index.js'
import { MisuseError, show } from '../../src/errors.js'
import { missingPeer } from '../../src/missing-peer.js'

const family: readonly (readonly [FragcacheError, string, string])[] = [
  [new InvalidCacheBackendError('m'), 'InvalidCacheBackendError', 'FRAGCACHE_INVALID_BACKEND'],
  [new InvalidCacheKeyError('m'), 'InvalidCacheKeyError', 'FRAGCACHE_INVALID_KEY'],
  [new CacheKeyNotFoundError('k', 'incr'), 'CacheKeyNotFoundError', 'FRAGCACHE_KEY_NOT_FOUND'],
  [new CacheBackendError('m'), 'CacheBackendError', 'FRAGCACHE_BACKEND_FAILED'],
  [
    new CacheBackendError('m', { code: 'FRAGCACHE_VALUE_TOO_LARGE' }),
    'CacheBackendError',
    'FRAGCACHE_VALUE_TOO_LARGE',
  ],
  [new CacheTagError('m'), 'CacheTagError', 'FRAGCACHE_TAG'],
  [missingPeer('fragcache/eta', 'eta'), 'FragcacheError', 'FRAGCACHE_MISSING_PEER'],
]

describe('the error family', () => {
  it.each(family)('%s has name, code and stack', (error, name, code) => {
    expect(error).toBeInstanceOf(Error)
    expect(error).toBeInstanceOf(FragcacheError)
    expect([error.name, error.code]).toEqual([name, code])
    expect(String(error)).toMatch(new RegExp(`^${name}: .+`))
    expect(error.stack).toContain('errors.test')
  })

  it('keeps what caused it, and what it knows of the call', () => {
    const cause = new Error('ECONNREFUSED')
    const error = new CacheBackendError('m', { cause, backend: 'B', operation: 'get', key: 'k' })
    expect(error).toMatchObject({ cause, backend: 'B', operation: 'get', key: 'k' })
    expect(new InvalidCacheKeyError('m', { cause }).cause).toBe(cause)
    expect('cause' in new InvalidCacheKeyError('m')).toBe(false)
  })

  it('names the key that was not there, on one line', () => {
    const error = new CacheKeyNotFoundError('a\n"b', 'decr')
    expect(error.message).toBe('decr: the key "a\\n\\"b" is not there')
    expect(error.key).toBe('a\n"b')
  })

  it('says where a tag stands, as far as it is known', () => {
    const full = new CacheTagError('no', { template: 'a.njk', line: 3, fragment: 'side' })
    expect(full.message).toBe('cache tag (a.njk, line 3, fragment "side"): no')
    expect(full).toMatchObject({ template: 'a.njk', line: 3, fragment: 'side' })
    expect(new CacheTagError('no', { line: 3 }).message).toBe('cache tag (line 3): no')
    expect(new CacheTagError('no').message).toBe('cache tag: no')
  })

  it('calls misuse by its usual name', () => {
    const error = new MisuseError('m')
    expect(error).toBeInstanceOf(TypeError)
    expect(String(error)).toBe('TypeError: m')
  })
})

describe('show', () => {
  it.each([
    ['a "b"\n', '"a \\"b\\"\\n"'],
    ['', '""'],
    [7, '7'],
    [-0, '0'],
    [NaN, 'NaN'],
    [12n, '12n'],
    [true, 'true'],
    [undefined, 'undefined'],
    [null, 'null'],
    [Symbol('s'), 'Symbol(s)'],
    [() => 1, 'a function'],
    [class Secret {}, 'a function'],
    [{ password: 'x' }, 'an object'],
    [{ constructor: class Secret {} }, 'an object'],
    [[1, 2], 'an object (Array)'],
    [new Date(0), 'an object (Date)'],
    [new LocMemCache(), 'an object (LocMemCache)'],
    [Promise.resolve(1), 'an object (Promise)'],
  ])('%s as %s', (value, text) => {
    expect(show(value)).toBe(text)
  })

  it('is short, whatever it shows', () => {
    for (const value of ['x'.repeat(1e6), 10n ** 500n, Symbol('s'.repeat(1000))]) {
      expect(show(value).length).toBeLessThanOrEqual(80)
    }
  })

  it.each([
    Object.create(null),
    {
      toString: () => {
        throw new Error('toString')
      },
    },
    Object.defineProperty({}, Symbol.toStringTag, {
      get: () => {
        throw new Error('tag')
      },
    }),
    new Proxy(
      {},
      {
        get: () => {
          throw new Error('trap')
        },
      },
    ),
  ])('does not throw for a hostile value', (value) => {
    expect(show(value)).toMatch(/^an object/)
  })
})
