import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { defaultKeyFunction, findKeyFaults, isPortable, refuseKey } from '../../src/keys.js'
import { InvalidCacheKeyError, LocMemCache, type Cache } from '../../src/index.js'

describe('defaultKeyFunction', () => {
  it('joins prefix, version and key as Django does', () => {
    expect(defaultKeyFunction('k', '', 1)).toBe(':1:k')
    expect(defaultKeyFunction('a:b', 'p:q', 'v2')).toBe('p:q:v2:a:b')
    expect(defaultKeyFunction('k', 'p', -1)).toBe('p:-1:k')
  })
})

describe('findKeyFaults', () => {
  it.each([
    ['x'.repeat(250), []],
    ['x'.repeat(251), ['too_long']],
    ['é'.repeat(125), []],
    [`${'é'.repeat(125)}x`, ['too_long']],
    ['日'.repeat(83), []],
    ['日'.repeat(84), ['too_long']],
    ['🎉'.repeat(62), []],
    ['🎉'.repeat(63), ['too_long']],
    ['a b', ['bad_characters']],
    ['a\nb', ['bad_characters']],
    ['a\0b', ['bad_characters']],
    ['a\u007fb', ['bad_characters']],
    ['a\u001fb', ['bad_characters']],
    ['a\u0085b', []],
    ['a\u00a0b', []],
    ['a!b~c', []],
    [' '.repeat(251), ['too_long', 'bad_characters']],
    [` ${'é'.repeat(125)}`, ['too_long', 'bad_characters']],
  ])('%j: %j', (key, faults) => {
    expect(findKeyFaults(key)).toEqual(faults)
  })

  it.each(['\ud800', 'a\udc00', '\udc00\ud800', 'a \ud800', `${'x'.repeat(300)}\ud800`])(
    'refuses the lone surrogate in %j',
    (key) => {
      expect(() => findKeyFaults(key)).toThrow(/lone surrogate.*toWellFormed/)
    },
  )
})

describe('isPortable', () => {
  it('lets through only what has no fault at all', () => {
    const units = [0, 9, 10, 13, 31, 32, 33, 58, 126, 127, 128, 0xa0, 0xe9, 0x2028, 0xd800, 0xfeff]
    for (const unit of units) {
      const key = `k${String.fromCharCode(unit)}`
      if (isPortable(key, 250)) expect(findKeyFaults(key)).toEqual([])
      expect(isPortable(key, 250)).toBe(unit > 32 && unit < 127)
    }
    expect(isPortable('x'.repeat(250), 250)).toBe(true)
    expect(isPortable('x'.repeat(251), 250)).toBe(false)
    expect(isPortable('', 250)).toBe(false)
    expect(isPortable(7, 250)).toBe(false)
  })
})

describe('refuseKey', () => {
  it('throws what Memcached would, with a stable code', () => {
    expect(() => refuseKey('a b', findKeyFaults('a b'))).toThrow(InvalidCacheKeyError)
    expect(() => refuseKey('x'.repeat(251), ['too_long'])).toThrow(/longer than 250 bytes/)
    expect(() => refuseKey('k', [])).not.toThrow()
  })
})

describe('CacheKeyWarning', () => {
  beforeEach(() => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    // What was warned of is remembered by the process.
    vi.resetModules()
  })
  afterEach(() => {
    vi.restoreAllMocks()
  })

  const fresh = async (): Promise<new () => Cache> =>
    (await import('../../src/index.js')).LocMemCache
  const warnings = () => vi.mocked(process.emitWarning).mock.calls as unknown as [string, object][]

  it('comes once per kind of fault and process, whatever the cache and the call', async () => {
    const Fresh = await fresh()
    const [one, two] = [new Fresh(), new Fresh()]
    for (const cache of [one, two, one]) {
      await cache.set('a b', 1)
      await cache.getMany(['c d', 'x'.repeat(300)])
      await cache.has('y'.repeat(300))
    }
    expect(warnings().map(([, options]) => options)).toEqual([
      { type: 'CacheKeyWarning', code: 'FRAGCACHE_KEY_BAD_CHARACTERS' },
      { type: 'CacheKeyWarning', code: 'FRAGCACHE_KEY_TOO_LONG' },
    ])
  })

  it('names both faults of one key', async () => {
    const Fresh = await fresh()
    await new Fresh().get(' '.repeat(300))
    expect(warnings()).toHaveLength(2)
  })

  it('shows the stored key, short and on one line, and the remedy', async () => {
    const Fresh = await fresh()
    await new Fresh().get('a\nb')
    await new Fresh().get('x'.repeat(10_000))
    const [characters, length] = warnings().map(([message]) => message)
    expect(characters).toMatch(/^the stored key ":1:a\\nb" holds .*Memcached; encode it$/)
    expect(length).toMatch(/longer than 250 bytes.*shorten or hash it$/)
    expect(length?.length).toBeLessThan(250)
  })

  it('does not come for portable keys, nor from makeKey', async () => {
    const Fresh = await fresh()
    const cache = new Fresh()
    await cache.set('café', 1)
    await cache.set('x'.repeat(247), 1)
    cache.makeKey('a b')
    expect(warnings()).toEqual([])
  })

  it('comes for a prefix or key function that makes bad keys of good ones', async () => {
    const { LocMemCache: Fresh } = await import('../../src/index.js')
    await new Fresh({ keyPrefix: 'my site' }).get('k')
    await new Fresh({ keyFunction: (key) => key.repeat(300) }).get('k')
    expect(warnings()).toHaveLength(2)
  })
})

describe('makeKey', () => {
  it('takes any version that can be part of a key', () => {
    const cache = new LocMemCache({ keyPrefix: 'p', version: 3 })
    expect(cache.makeKey('k')).toBe('p:3:k')
    expect(cache.makeKey('k', 0)).toBe('p:0:k')
    expect(cache.makeKey('k', -1)).toBe('p:-1:k')
    expect(cache.makeKey('k', 1.5)).toBe('p:1.5:k')
    expect(cache.makeKey('k', '')).toBe('p::k')
    expect(cache.makeKey('k', undefined)).toBe('p:3:k')
  })

  it('does not shorten the way for a key function of the user’s own', async () => {
    const keys: string[] = []
    const cache = new LocMemCache({
      keyFunction: (key, prefix, version) => {
        keys.push(key)
        return defaultKeyFunction(key, prefix, version)
      },
    })
    await cache.set('k', 1)
    await cache.get('k')
    expect(keys).toEqual(['k', 'k'])
  })
})
