import { describe, expect, it } from 'vitest'
import { LocMemCache } from '../../src/index.js'
import { checkTags, newTagVersion, tagKey } from '../../src/tags.js'
import { AsyncTestCache } from '../support/async-cache.js'

describe('tags over a cache that answers later', () => {
  it('keeps every entry of a new tag, though they are stored at the same time', async () => {
    const cache = new AsyncTestCache()
    const keys = Array.from({ length: 30 }, (_, i) => `k${i}`)
    await Promise.all(keys.map((key) => cache.set(key, key, { tags: ['new', `own${key}`] })))
    expect((await cache.getMany(keys)).size).toBe(30)
    await cache.invalidateTags(['ownk3'])
    expect((await cache.getMany(keys)).size).toBe(29)
    await cache.invalidateTags(['new'])
    expect((await cache.getMany(keys)).size).toBe(0)
  })

  it('keeps them also when two processes store at the same time', async () => {
    const here = new AsyncTestCache({ location: 'two-processes' })
    const there = new AsyncTestCache({ location: 'two-processes' })
    await Promise.all([
      here.set('a', 1, { tags: ['t'] }),
      there.setMany({ b: 2, c: 3 }, { tags: ['t'] }),
      here.add('d', 4, { tags: ['t', 'u'] }),
      there.getOrSet('e', () => 5, { tags: ['u', 't'] }),
    ])
    expect([...(await here.getMany(['a', 'b', 'c', 'd', 'e'])).keys()].join('')).toBe('abcde')
    await there.invalidateTags(['u'])
    expect([...(await here.getMany(['a', 'b', 'c', 'd', 'e'])).keys()].join('')).toBe('abc')
  })

  it('lets an invalidation during the producer win, of a new tag as of an old one', async () => {
    for (const known of [false, true]) {
      const cache = new AsyncTestCache()
      if (known) await cache.set('other', 1, { tags: ['t'] })
      const value = await cache.getOrSet(
        'k',
        async () => {
          await cache.invalidateTags(['t'])
          return 'made before'
        },
        { tags: ['t'] },
      )
      expect(value).toBe('made before')
      expect(await cache.has('k')).toBe(false)
      expect(await cache.getOrSet('k', 'made after', { tags: ['t'] })).toBe('made after')
      expect(await cache.get('k')).toBe('made after')
    }
  })

  it('lets an invalidation win that comes while a new tag is being written', async () => {
    const cache = new AsyncTestCache()
    const stored = cache.set('k', 1, { tags: ['t'] })
    await cache.invalidateTags(['t'])
    await stored
    expect(await cache.has('k')).toBe(false)
  })

  it('invalidates when a counter is lost, and revives nothing when there is one again', async () => {
    const cache = new AsyncTestCache()
    await cache.set('k', 1, { tags: ['t'] })
    const counter = cache.storedKeys.find((key) => key.includes('tag'))
    expect(counter).toBeDefined()
    await cache.delete((counter ?? '').slice(':1:'.length))
    expect(await cache.has('k')).toBe(false)
    await cache.set('new', 2, { tags: ['t'] })
    expect(await cache.getMany(['k', 'new'])).toEqual(new Map([['new', 2]]))
  })

  it('stores one counter for a tag, whatever the number of entries', async () => {
    const cache = new AsyncTestCache()
    for (let i = 0; i < 40; i++) await cache.set(`k${i}`, i, { tags: ['a', 'b'] })
    for (let i = 0; i < 5; i++) await cache.invalidateTags(['a', 'b'])
    const counters = cache.storedKeys.filter((key) => key.includes('fragcache.tag.'))
    expect(counters).toHaveLength(2)
  })

  it('reads entries and counters in at most two round trips, writes in one', async () => {
    const cache = new AsyncTestCache()
    await cache.set('first', 1, { tags: ['t', 'u'] })
    cache.reads = 0
    cache.writes = 0
    await cache.setMany({ a: 1, b: 2, c: 3 }, { tags: ['t', 'u'] })
    expect([cache.reads, cache.writes]).toEqual([1, 1])
    cache.reads = 0
    await cache.getMany(['a', 'b', 'c'])
    expect(cache.reads).toBe(2)
    cache.reads = 0
    await cache.getOrSet('a', 'x', { tags: ['u', 't'] })
    expect(cache.reads).toBe(1)
    await cache.invalidateTags(['v'])
    cache.reads = 0
    cache.writes = 0
    await cache.invalidateTags(['t', 'u', 'v'])
    // The clock is counted up while the counters are read, then they are written together, and it is counted up
    // once more.
    expect([cache.reads, cache.writes]).toEqual([1, 3])
  })

  it('asks for no counters where no tags are', async () => {
    const cache = new AsyncTestCache()
    await cache.setMany({ a: 1, b: 2 })
    await cache.getMany(['a', 'b'])
    expect([cache.reads, cache.writes]).toEqual([1, 1])
  })
})

describe.each([
  ['LocMemCache', LocMemCache],
  ['AsyncTestCache', AsyncTestCache],
])('tags over %s', (name, Cache) => {
  const location = (what: string) => `tags-${name}-${what}`

  it('are the same for caches of one key prefix with different versions', async () => {
    const one = new Cache({ location: location('versions') })
    const two = new Cache({ location: location('versions'), version: 2 })
    await one.set('k', 'for two', { version: 2, tags: ['t'] })
    expect(await two.get('k')).toBe('for two')
    await two.set('l', 'of two', { tags: ['t'] })
    await one.invalidateTags(['t'])
    expect(await two.getMany(['k', 'l'])).toEqual(new Map())
  })

  it('are others for caches of another key prefix', async () => {
    const shop = new Cache({ location: location('prefixes'), keyPrefix: 'shop' })
    const news = new Cache({ location: location('prefixes'), keyPrefix: 'news' })
    await shop.set('k', 1, { tags: ['t'] })
    await news.set('k', 1, { tags: ['t'] })
    await shop.invalidateTags(['t'])
    expect(await shop.has('k')).toBe(false)
    expect(await news.has('k')).toBe(true)
  })

  it('keep entries live through an invalidation of other tags', async () => {
    const cache = new Cache()
    await cache.set('k', 1, { tags: ['a', 'b'] })
    await cache.invalidateTags(['c', 'A', 'a b', 'a,b', ''.padEnd(300, 'a')])
    expect(await cache.get('k')).toBe(1)
  })

  it('may be any text', async () => {
    const cache = new Cache()
    const tags = ['user:7', 'with space', 'ünï', '\u0000', 'x'.repeat(5000), '__proto__', '🎉']
    for (const [i, tag] of tags.entries()) await cache.set(`k${i}`, i, { tags: [tag] })
    for (const [i, tag] of tags.entries()) {
      expect(await cache.has(`k${i}`)).toBe(true)
      await cache.invalidateTags([tag])
      expect(await cache.has(`k${i}`)).toBe(false)
      expect((await cache.getMany(tags.map((_, at) => `k${at}`))).size).toBe(tags.length - i - 1)
    }
  })
})

describe('checkTags', () => {
  const refused = ['t', null, 7, {}, true, [''], [7], [null], [undefined], ['a', []], ['\ud800']]

  it.each(refused.map((tags) => ({ tags })))(
    'refuses $tags, naming the option and the remedy',
    ({ tags }) => {
      expect(() => checkTags(tags)).toThrow(TypeError)
      expect(() => checkTags(tags)).toThrow(/^tags: .*; give a/)
    },
  )

  it('takes any iterable, and a tag given twice as one', () => {
    expect(checkTags(new Set(['a', 'b']))).toHaveLength(2)
    expect(checkTags(['a', 'b', 'a'])).toHaveLength(2)
    expect(checkTags([])).toHaveLength(0)
  })
})

describe('many tags', () => {
  it.each([
    ['LocMemCache', new LocMemCache()],
    ['AsyncTestCache', new AsyncTestCache()],
  ])('are invalidated at once, a hundred thousand of them: %s', async (_, cache) => {
    const tags = Array.from({ length: 100_000 }, (_, i) => `user:${i}`)
    await cache.set('k', 1, { tags: ['user:99999'] })
    await cache.invalidateTags(tags)
    expect(await cache.has('k')).toBe(false)
  })

  it('need as many round trips as one does', async () => {
    const tripsFor = async (count: number) => {
      const cache = new AsyncTestCache()
      await cache.set('k', 1, { tags: ['user:0'] })
      const before = cache.reads + cache.writes
      await cache.invalidateTags(Array.from({ length: count }, (_, i) => `user:${i}`))
      return cache.reads + cache.writes - before
    }
    expect(await tripsFor(100_000)).toBe(await tripsFor(1))
  })
})

describe('tagKey', () => {
  it('is short and portable, and another for every tag', () => {
    const tags = ['a', 'A', 'a b', 'ä', 'x'.repeat(120), 'x'.repeat(121), 'x'.repeat(122), '\n']
    const keys = tags.map(tagKey)
    expect(new Set(keys).size).toBe(tags.length)
    for (const key of keys) expect(key).toMatch(/^[\x21-\x7e]{1,150}$/)
  })

  it('is not reached by a tag that looks like the hash of another', () => {
    const key = (tag: string) => checkTags([tag]).map(tagKey)[0] ?? ''
    const hashed = key('a b')
    for (const end of ['fragcache.tag.', 'fragcache.tag.t:', 'fragcache.']) {
      expect(key(hashed.replace(end, ''))).not.toBe(hashed)
    }
  })
})

describe('newTagVersion', () => {
  it('is given out once', () => {
    const versions = Array.from({ length: 10_000 }, newTagVersion)
    expect(new Set(versions).size).toBe(10_000)
  })
})
