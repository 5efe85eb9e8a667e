import { createCaches, DummyCache, LocMemCache } from 'fragcache'
import { expectDropped } from 'fragcache/testing'
import { describe, expect, it } from 'vitest'
import { isRedisThere, openCaches } from './stores.js'

const { redis, stores } = openCaches('dropped')

describe.each(stores)('expectDropped over %s', (_name, canRun, newCache) => {
  const test = it.skipIf(!canRun)

  test('passes where saving drops the tag, and hands on what saving gave', async () => {
    const caches = createCaches({ default: newCache() })
    const save = async () => {
      await caches.invalidateTags(['product:7', 'products'])
      return 'saved'
    }
    expect(await expectDropped(caches, 'product:7', save)).toBe('saved')
    await expectDropped(caches.default, ['product:7', 'products'], save)
  })

  test('takes what is cleared for dropped', async () => {
    const cache = newCache()
    await expectDropped(cache, 'product:7', () => cache.clear())
  })

  test('refuses swapped arguments by name', async () => {
    const cache = newCache()
    const save = () => undefined
    await expect(expectDropped('product:7' as never, cache as never, save)).rejects.toThrow(
      'expectDropped: "product:7" is not a set of caches; give the result of createCaches, or one cache',
    )
    await expect(expectDropped(cache, save as never, 'product:7' as never)).rejects.toThrow(
      'tags: a function is not a list of tags',
    )
  })

  test('fails where nothing is dropped', async () => {
    const caches = createCaches({ default: newCache() })
    await expect(expectDropped(caches, 'product:7', () => undefined)).rejects.toThrow(
      /the tag "product:7" is still served when the function has ended: "default" \(\w+\)\n.*Nothing was invalidated in this process meanwhile\.\n.*`await caches\.invalidateTags\(\["product:7"\]\)`/s,
    )
  })

  test('names what was dropped in its place', async () => {
    const caches = createCaches({ default: newCache() })
    const save = () => caches.invalidateTags(['shelf', 'product-7', 'shelf'])
    await expect(expectDropped(caches, ['shelf', 'product:7'], save)).rejects.toThrow(
      /the tag "product:7" is still.*Invalidated meanwhile: "shelf", "product-7"; did you mean "product:7"\?/s,
    )
  })

  test('tells what is stale from what is gone', async () => {
    const caches = createCaches({ default: newCache() })
    const save = () => caches.invalidateTags(['product:7'], { soft: true })
    await expect(expectDropped(caches, 'product:7', save)).rejects.toThrow(
      /"product:7" is stale and not dropped.*leave `soft` out/s,
    )
    await expectDropped(caches, 'product:7', save, { soft: true })
  })

  test('leaves nothing behind', async () => {
    const cache = newCache()
    const stored: string[] = []
    const { set } = cache
    cache.set = (key, ...rest) => {
      stored.push(key)
      return set.call(cache, key, ...rest)
    }
    await expectDropped(cache, 'product:7', () => undefined).catch(() => undefined)
    expect(stored).toHaveLength(1)
    expect(await cache.has(stored[0] as string)).toBe(false)
  })
})

describe('expectDropped', () => {
  it('names the cache that was forgotten', async () => {
    const caches = createCaches({ default: new LocMemCache(), fragments: new LocMemCache() })
    const save = () => caches.default.invalidateTags(['product:7'])
    await expect(expectDropped(caches, 'product:7', save)).rejects.toThrow(
      /has ended: "fragments" \(LocMemCache\)\n.*It was invalidated in another cache/s,
    )
  })

  it.skipIf(!isRedisThere)('finds an invalidation that nobody awaits', async () => {
    const caches = createCaches({ default: redis() })
    const save = () => {
      void caches.invalidateTags(['product:7'])
    }
    await expect(expectDropped(caches, 'product:7', save)).rejects.toThrow(
      /It was dropped a moment later.*await `invalidateTags`/s,
    )
  })

  it.skipIf(!isRedisThere)('sees what another process drops', async () => {
    const here = redis()
    const there = redis()
    await expectDropped(here, 'product:7', () => there.invalidateTags(['product:7']))
  })

  it('hands on what saving throws', async () => {
    const failing = () => Promise.reject(new Error('the database is down'))
    await expect(expectDropped(new LocMemCache(), 'a', failing)).rejects.toThrow('database is down')
  })

  it('does not pass over a cache that keeps nothing', async () => {
    const caches = createCaches({ default: new DummyCache() })
    await expect(expectDropped(caches, 'a', () => undefined)).rejects.toThrow(
      '"default" (DummyCache) does not keep what is stored',
    )
  })

  it('says what is wrong with its arguments', async () => {
    const cache = new LocMemCache()
    const nothing = () => undefined
    await expect(expectDropped({} as never, 'a', nothing)).rejects.toThrow(
      'is not a set of caches; give',
    )
    await expect(expectDropped(cache, [], nothing)).rejects.toThrow('give at least one')
    await expect(expectDropped(cache, '', nothing)).rejects.toThrow('is not a tag')
    await expect(expectDropped(cache, 'a', 'save' as never)).rejects.toThrow('is not a function')
    await expect(expectDropped(cache, 'a', nothing, { sft: true } as never)).rejects.toThrow(
      'did you mean "soft"',
    )
  })
})
