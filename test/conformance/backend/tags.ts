import assert from 'node:assert/strict'
import { dependOn, type Cache } from '../../../src/index.js'
import { assertCode, assertMissing, assertTypeError, type Define } from './fixture.js'

/** Every way to store the key `k` with tags. */
const WAYS: readonly (readonly [string, (cache: Cache, tags: readonly string[]) => unknown])[] = [
  ['set', (cache, tags) => cache.set('k', 1, { tags })],
  ['add', (cache, tags) => cache.add('k', 1, { tags })],
  ['setMany', (cache, tags) => cache.setMany({ k: 1 }, { tags })],
  ['getOrSet', (cache, tags) => cache.getOrSet('k', () => 1, { tags })],
]

export function tags(test: Define): void {
  for (const [way, store] of WAYS) {
    test(`${way}: an entry is gone when one of its tags is invalidated, and no other`, async (t) => {
      const cache = await t.open()
      for (const invalidated of [['a'], ['b'], ['b', 'a'], ['x', 'b']]) {
        await cache.set('other', 2, { tags: ['c'] })
        await cache.set('none', 3)
        await store(cache, ['a', 'b'])
        assert.equal(await cache.get('k'), 1)
        assert.equal(await cache.invalidateTags(invalidated), undefined)
        await assertMissing(cache, 'k')
        assert.deepEqual([...(await cache.getMany(['k', 'other', 'none'])).values()], [2, 3])
      }
    })

    test(`${way}: no tags are no tags`, async (t) => {
      const cache = await t.open()
      await store(cache, [])
      await cache.invalidateTags(['a', 'k', ''.padEnd(300, 'x')])
      assert.equal(await cache.get('k'), 1)
    })
  }

  test('an entry stored after an invalidation lives', async (t) => {
    const cache = await t.open()
    await cache.invalidateTags(['t'])
    await cache.set('k', 1, { tags: ['t'] })
    await cache.invalidateTags(['t'])
    await cache.set('k', 2, { tags: ['t'] })
    assert.equal(await cache.get('k'), 2)
  })

  test('what replaces an entry has its own tags', async (t) => {
    const cache = await t.open()
    await cache.set('k', 1, { tags: ['old'] })
    await cache.set('k', 2, { tags: ['new'] })
    await cache.invalidateTags(['old'])
    assert.equal(await cache.get('k'), 2)
    await cache.set('k', 3)
    await cache.invalidateTags(['new'])
    assert.equal(await cache.get('k'), 3)
  })

  test('what is made around an older entry with the same tag is kept', async (t) => {
    const cache = await t.open()
    const inner = () => cache.getOrSet('inner', () => 1, { tags: ['t'] })
    await inner()
    await cache.invalidateTags(['another'])
    let made = 0
    const makings: (() => Promise<number>)[] = [
      () => cache.getOrSet('with', async () => (await inner()) + made++, { tags: ['t'] }),
      () =>
        cache.getOrSet('declared', async () => {
          await dependOn(['t'])
          return (await inner()) + made++
        }),
      () =>
        cache.getOrSet('declared-last', async () => {
          const value = (await inner()) + made++
          void dependOn(['t'])
          return value
        }),
      () => cache.getOrSet('around', inner),
    ]
    for (const make of makings) assert.equal(await make(), await make())
    assert.equal(made, 3)
  })

  test('tags that nothing has, and none at all, may be invalidated', async (t) => {
    const cache = await t.open()
    await cache.set('k', 1, { tags: ['t'] })
    await cache.invalidateTags(['unknown'])
    await cache.invalidateTags([])
    assert.equal(await cache.get('k'), 1)
  })

  test('entries stored at the same time with a new tag are all kept', async (t) => {
    const caches = [await t.open(), await t.open()] as const
    const keys = Array.from({ length: 20 }, (_, i) => `k${i}`)
    await Promise.all(
      keys.map((key, i) => caches[i % 2 === 0 ? 0 : 1].set(key, i, { tags: ['new', 'other'] })),
    )
    assert.equal((await caches[0].getMany(keys)).size, 20)
    await caches[1].invalidateTags(['new'])
    assert.equal((await caches[0].getMany(keys)).size, 0)
  })

  test('an invalidation while the producer runs wins', async (t) => {
    const [cache, other] = [await t.open(), await t.open()]
    for (const invalidator of [cache, other]) {
      const produce = async () => {
        await invalidator.invalidateTags(['t'])
        return 'made of old data'
      }
      assert.equal(await cache.getOrSet('k', produce, { tags: ['t'] }), 'made of old data')
      await assertMissing(cache, 'k')
      assert.equal(await cache.getOrSet('k', 'new', { tags: ['t'] }), 'new')
      assert.equal(await cache.get('k'), 'new')
      await cache.delete('k')
    }
  })

  test('an entry that was invalidated is absent to every call', async (t) => {
    const cache = await t.open({ version: 1 })
    const store = async () => {
      await cache.set('k', 1, { tags: ['t'] })
      await cache.invalidateTags(['t'])
    }
    await store()
    assert.equal(await cache.has('k'), false)
    assert.equal(await cache.touch('k', { timeout: null }), false)
    await assertMissing(cache, 'k')
    assert.equal(await cache.touch('k', { timeout: 0 }), false)
    await store()
    assert.equal(await cache.delete('k'), false)
    await store()
    await assertCode(cache.incr('k'), 'FRAGCACHE_KEY_NOT_FOUND')
    await assertCode(cache.incrVersion('k'), 'FRAGCACHE_KEY_NOT_FOUND')
    assert.equal(await cache.get('k', { version: 2 }), undefined)
    assert.equal(await cache.add('k', 2, { timeout: 0 }), true)
    assert.equal(await cache.add('k', 2), true)
    assert.equal(await cache.get('k'), 2)
  })

  test('of fifty callers that add over an invalidated entry, one does', async (t) => {
    const caches = [await t.open(), await t.open()] as const
    await caches[0].set('k', 'old', { tags: ['t'] })
    await caches[1].invalidateTags(['t'])
    const added = await Promise.all(
      Array.from({ length: 50 }, (_, i) => caches[i % 2 === 0 ? 0 : 1].add('k', i)),
    )
    assert.equal(added.filter(Boolean).length, 1)
    assert.equal(await caches[0].get('k'), added.indexOf(true))
  })

  test.waiting('counting keeps tags and the time that is left', async (t) => {
    const cache = await t.open()
    await cache.set('n', 1, { tags: ['t'], timeout: t.short })
    await cache.set('m', 1, { tags: ['t'], timeout: t.short })
    assert.equal(await cache.incr('n'), 2)
    assert.equal(await cache.decr('n', 5), -3)
    await t.passMost()
    assert.equal(await cache.incr('m'), 2)
    assert.equal(await cache.get('n'), -3)
    await cache.invalidateTags(['other'])
    assert.equal(await cache.get('n'), -3)
    await t.passRest()
    await assertMissing(cache, 'm')
    await cache.set('n', 1, { tags: ['t'] })
    await cache.incr('n')
    await cache.invalidateTags(['t'])
    await assertMissing(cache, 'n')
  })

  test('of twenty calls that count an entry with tags, none is lost', async (t) => {
    const caches = [await t.open(), await t.open()] as const
    await caches[0].set('n', 0, { tags: ['t'] })
    const numbers = await Promise.all(
      Array.from({ length: 20 }, (_, i) => caches[i % 2 === 0 ? 0 : 1].incr('n')),
    )
    assert.equal(new Set(numbers).size, 20)
    assert.equal(await caches[1].get('n'), 20)
  })

  test('touch and incrVersion keep tags', async (t) => {
    const cache = await t.open({ version: 1 })
    await cache.set('k', 1, { tags: ['t'] })
    assert.equal(await cache.touch('k', { timeout: null }), true)
    await cache.invalidateTags(['t'])
    await assertMissing(cache, 'k')
    await cache.set('k', 2, { tags: ['t'] })
    await cache.incrVersion('k')
    assert.equal(await cache.get('k', { version: 2 }), 2)
    await cache.invalidateTags(['t'])
    assert.equal(await cache.get('k', { version: 2 }), undefined)
  })

  test('tags reach entries of every version', async (t) => {
    const [cache, other] = [await t.open({ version: 1 }), await t.open({ version: 2 })]
    await cache.set('k', 1, { tags: ['t'] })
    await cache.set('k', 2, { tags: ['t'], version: 2 })
    assert.equal(await other.get('k'), 2)
    await other.invalidateTags(['t'])
    await assertMissing(cache, 'k')
    await assertMissing(other, 'k')
  })

  test('tags of another key prefix are others', async (t) => {
    const [cache, neighbour] = [await t.open(), await t.open({ keyPrefix: 'neighbour' })]
    await cache.set('k', 1, { tags: ['t'] })
    await neighbour.set('k', 2, { tags: ['t'] })
    await cache.invalidateTags(['t'])
    await assertMissing(cache, 'k')
    assert.equal(await neighbour.get('k'), 2)
  })

  test('any text is a tag, and each is another', async (t) => {
    const cache = await t.open()
    const texts = [
      't',
      'T',
      'user:7',
      'a b',
      ' ',
      'é',
      'e\u0301',
      '🎉',
      '\0',
      '\n',
      '*',
      '%',
      '__proto__',
      'x'.repeat(5000),
    ]
    for (const tag of texts) await cache.set(`k${texts.indexOf(tag)}`, tag, { tags: [tag] })
    const names = texts.map((_, i) => `k${i}`)
    for (let gone = 0; gone < texts.length; gone++) {
      assert.equal((await cache.getMany(names)).size, texts.length - gone)
      await cache.invalidateTags(texts.slice(gone, gone + 1))
    }
    assert.equal((await cache.getMany(names)).size, 0)
  })

  test('an entry may have a hundred tags', async (t) => {
    const cache = await t.open()
    const many = Array.from({ length: 100 }, (_, i) => `tag ${i}`)
    await cache.set('k', 1, { tags: many })
    assert.equal(await cache.get('k'), 1)
    await cache.invalidateTags(['tag 57'])
    await assertMissing(cache, 'k')
  })

  test('what is not a list of tags is a TypeError', async (t) => {
    const cache = await t.open()
    for (const wrong of ['t', 7, null, {}, [''], [7], ['a', null], ['\ud800']]) {
      const list = wrong as readonly string[]
      await assertTypeError(cache.set('k', 1, { tags: list }), /tags/)
      await assertTypeError(cache.add('k', 1, { tags: list }), /tags/)
      await assertTypeError(cache.setMany({ k: 1 }, { tags: list }), /tags/)
      await assertTypeError(cache.getOrSet('k', 1, { tags: list }), /tags/)
      await assertTypeError(cache.invalidateTags(list), /tags/)
    }
    await assertMissing(cache, 'k')
  })
}
