import { describe, expect, it } from 'vitest'
import {
  Cache,
  DummyCache,
  InvalidCacheBackendError,
  LocMemCache,
  type CacheSettings,
} from '../../src/index.js'
import { DatabaseCache } from '../../src/backends/database.js'
import { FileBasedCache } from '../../src/backends/file.js'
import { MemcachedCache } from '../../src/backends/memcached.js'
import { TieredCache } from '../../src/backends/tiered.js'
import { AsyncTestCache } from '../support/async-cache.js'

describe('the settings of a cache', () => {
  it('have Django’s defaults', () => {
    class Open extends AsyncTestCache {
      get resolved() {
        return this.settings
      }
    }
    expect(new Open().resolved).toMatchObject({
      timeout: 300,
      keyPrefix: '',
      version: 1,
      ignoreErrors: false,
    })
    expect(new Open({ timeout: undefined, keyPrefix: undefined }).resolved.timeout).toBe(300)
    expect(new Open({ timeout: null }).resolved.timeout).toBeNull()
    expect(new Open({ timeout: 0 }).resolved.timeout).toBe(0)
    expect(new Open().makeKey('k')).toBe(':1:k')
  })

  const wrong: readonly (readonly [string, object, string])[] = [
    [
      'an unknown setting',
      { prefix: 'x' },
      'unknown setting "prefix"; known settings are location',
    ],
    ['a Python name', { KEY_PREFIX: 'x' }, 'unknown setting "KEY_PREFIX"'],
    ['a misspelled one', { keyprefix: 'x' }, 'unknown setting "keyprefix"'],
    ['an unknown option', { options: { ttl: 1 } }, 'unknown option "ttl"'],
    ['options that are none', { options: 7 }, 'options: 7 is not an object'],
    ['options that are a list', { options: ['maxEntries'] }, 'unknown option "0"'],
    ['a timeout as text', { timeout: '60' }, 'timeout: "60" is not a timeout'],
    ['a timeout without end', { timeout: Infinity }, 'timeout: Infinity is not a timeout'],
    ['a timeout that is none', { timeout: NaN }, 'timeout: NaN is not a timeout'],
    ['a version that is none', { version: null }, 'version: null is not a version'],
    ['a version that is not a number', { version: NaN }, 'version: NaN is not a version'],
    ['a prefix that is not a string', { keyPrefix: 7 }, 'keyPrefix: 7 is not a string'],
    ['a prefix that is null', { keyPrefix: null }, 'keyPrefix: null is not a string'],
    ['a key function by name', { keyFunction: 'x' }, 'keyFunction: "x" is not a function'],
    ['a switch that is none', { ignoreErrors: 'no' }, 'ignoreErrors: "no" is not a boolean'],
  ]

  it.each(wrong)('refuse %s by name', (_, settings, message) => {
    const make = () => new LocMemCache(settings)
    expect(make).toThrow(InvalidCacheBackendError)
    expect(make).toThrow(`LocMemCache: ${message}`)
  })

  it.each([null, 7, 'redis://x'])('refuse %s, which are none', (settings) => {
    expect(() => new DummyCache(settings as never)).toThrow(
      /^DummyCache: .* is not an object of settings; give one such as /,
    )
  })

  it('are shown without a password', () => {
    const text = 'redis://user:secret@cache.example:6379' as never
    const calls = [
      () => new DummyCache(text),
      () => new DummyCache({ options: text }),
      () => new MemcachedCache({ location: text }),
      () => new DatabaseCache({ location: text, database: {} }),
      () => new DatabaseCache({ location: 'entries', database: text }),
    ]
    for (const call of calls) expect(call).toThrow('"redis://***@cache.example:6379"')
  })

  it('are named as missing where there are none', () => {
    for (const Backend of [FileBasedCache, MemcachedCache, DatabaseCache]) {
      const make = () => Reflect.construct(Backend, []) as unknown
      expect(make).toThrow(InvalidCacheBackendError)
      expect(make).toThrow(`${Backend.name}: location: it is missing; `)
    }
  })

  it('are told from an object of another kind', () => {
    const make = () => new TieredCache(new LocMemCache() as never)
    expect(make).toThrow(
      'TieredCache: an object (LocMemCache) is not an object of settings; give one',
    )
    class Config {
      readonly alias = 1
    }
    expect(() => new LocMemCache(new Config() as never)).toThrow(
      'LocMemCache: unknown setting "alias" of an object (Config); known',
    )
  })

  it('name the class of the user’s own', () => {
    class MyCache extends AsyncTestCache {}
    expect(() => new MyCache({ nonsense: 1 } as CacheSettings)).toThrow(/^MyCache: unknown setting/)
  })

  it('may be shared and frozen: nothing is written into them', () => {
    const settings = Object.freeze({
      location: 'shared-settings',
      options: Object.freeze({ maxEntries: 5 }),
    })
    expect(new LocMemCache(settings)).toBeInstanceOf(Cache)
    expect(new LocMemCache(settings)).toBeInstanceOf(Cache)
    expect(settings).toEqual({ location: 'shared-settings', options: { maxEntries: 5 } })
  })

  it('are taken by the dummy whatever another backend would make of location and options', () => {
    const settings = { location: 'redis://127.0.0.1', options: { maxEntries: 5, socket: {} } }
    expect(new DummyCache(settings).makeKey('k')).toBe(':1:k')
  })
})
