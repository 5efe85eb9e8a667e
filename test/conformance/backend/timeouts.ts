import assert from 'node:assert/strict'
import type { Cache, SetOptions } from '../../../src/index.js'
import { assertMissing, assertTypeError, LONG, type Define } from './fixture.js'

type Store = (cache: Cache, options: SetOptions) => Promise<unknown>

/** Every way to store the key `k`. */
const WAYS: readonly (readonly [string, Store])[] = [
  ['set', (cache, options) => cache.set('k', 1, options)],
  ['add', (cache, options) => cache.add('k', 1, options)],
  ['setMany', (cache, options) => cache.setMany({ k: 1 }, options)],
  ['getOrSet', (cache, options) => cache.getOrSet('k', () => 1, options)],
]

const BAD_TIMEOUTS: readonly unknown[] = [
  NaN,
  Infinity,
  -Infinity,
  '60',
  '',
  true,
  false,
  1n,
  {},
  [],
  new Date(0),
  () => 60,
]

export function timeouts(test: Define): void {
  for (const [way, store] of WAYS) {
    test.waiting(`${way}: an entry is live until its timeout ends, and gone then`, async (t) => {
      const cache = await t.open()
      await store(cache, { timeout: t.short })
      await t.passMost()
      assert.equal(await cache.get('k'), 1)
      assert.equal(await cache.has('k'), true)
      assert.equal((await cache.getMany(['k'])).size, 1)
      await t.passRest()
      await assertMissing(cache, 'k')
    })

    test.waiting(`${way}: without a timeout the cache’s default holds`, async (t) => {
      const cache = await t.open({ timeout: t.short })
      await store(cache, {})
      await t.passMost()
      assert.equal(await cache.get('k'), 1)
      await t.passRest()
      await assertMissing(cache, 'k')
    })

    test(`${way}: with zero or less nothing is kept`, async (t) => {
      const cache = await t.open()
      for (const timeout of [0, -0, -1, -0.001, -1e12]) {
        await store(cache, { timeout })
        await assertMissing(cache, 'k')
      }
    })

    test.waiting(`${way}: with null an entry lives for ever`, async (t) => {
      const cache = await t.open({ timeout: t.short })
      await store(cache, { timeout: null })
      await t.passMost()
      await t.passRest()
      assert.equal(await cache.get('k'), 1)
      if (!t.exact) return
      await t.advance(3_153_600_000)
      assert.equal(await cache.get('k'), 1)
    })

    test.waiting(`${way}: forty days are forty days`, async (t) => {
      const cache = await t.open()
      const days = 40 * 86_400
      await store(cache, { timeout: days })
      assert.equal(await cache.get('k'), 1)
      // Past 30 days Memcached reads a date; past 24.8 days a timer of JavaScript fires at once.
      await t.advance(t.exact ? days - 0.001 : 0.05)
      assert.equal(await cache.get('k'), 1)
      if (!t.exact) return
      await t.advance(0.001)
      await assertMissing(cache, 'k')
    })

    test(`${way}: what is not a timeout is a TypeError, and changes nothing`, async (t) => {
      const cache = await t.open()
      for (const timeout of BAD_TIMEOUTS) {
        await assertTypeError(store(cache, { timeout: timeout as number }), /timeout/)
      }
      await assertMissing(cache, 'k')
      await cache.set('k', 'old')
      for (const timeout of BAD_TIMEOUTS) {
        await assertTypeError(store(cache, { timeout: timeout as number }), /timeout/)
      }
      assert.equal(await cache.get('k'), 'old')
    })
  }

  test.waiting('a fraction of a second counts', async (t) => {
    const cache = await t.open()
    await cache.set('long', 1, { timeout: 1.5 })
    await cache.set('short', 1, { timeout: 0.25 })
    assert.equal(await cache.has('long'), true)
    if (t.exact) {
      await t.advance(0.249)
      assert.equal(await cache.has('short'), true)
      await t.advance(0.001)
      await assertMissing(cache, 'short')
      await t.advance(1.249)
      assert.equal(await cache.has('long'), true)
      await t.advance(0.001)
    } else {
      await t.advance(2.8)
    }
    await assertMissing(cache, 'short')
    await assertMissing(cache, 'long')
  })

  test.waiting(
    'the smallest timeout above zero keeps nothing for longer than it must',
    async (t) => {
      const cache = await t.open()
      await cache.set('k', 1, { timeout: 1e-9 })
      await t.advance(t.exact ? 0.001 : 1.3)
      await assertMissing(cache, 'k')
    },
  )

  test.waiting('the default is 300 seconds, and may be null, zero or less', async (t) => {
    const usual = await t.open()
    await usual.set('usual', 1)
    await (await t.open({ timeout: null })).set('eternal', 1)
    await (await t.open({ timeout: 0 })).set('none', 1)
    await (await t.open({ timeout: -1 })).set('negative', 1)
    assert.equal(await usual.has('usual'), true)
    assert.equal(await usual.has('eternal'), true)
    await assertMissing(usual, 'none')
    await assertMissing(usual, 'negative')
    if (!t.exact) return
    await t.advance(299.999)
    assert.equal(await usual.has('usual'), true)
    await t.advance(0.001)
    await assertMissing(usual, 'usual')
    assert.equal(await usual.has('eternal'), true)
  })

  test('set with zero or less removes what is there', async (t) => {
    const cache = await t.open()
    for (const timeout of [0, -100]) {
      await cache.setMany({ a: 'old', b: 'old', c: 'old' })
      await cache.set('a', 'new', { timeout })
      assert.deepEqual(await cache.setMany({ b: 'new', missing: 'new' }, { timeout }), [])
      assert.deepEqual([...(await cache.getMany(['a', 'b', 'c', 'missing'])).keys()], ['c'])
    }
  })

  test('add with zero or less tells whether the key was absent, and changes nothing', async (t) => {
    const cache = await t.open()
    await cache.set('there', 'old')
    for (const timeout of [0, -1]) {
      assert.equal(await cache.add('there', 'new', { timeout }), false)
      assert.equal(await cache.add('absent', 'new', { timeout }), true)
      await assertMissing(cache, 'absent')
    }
    assert.equal(await cache.get('there'), 'old')
  })

  test('a hundred years, and far more, are no trouble', async (t) => {
    const cache = await t.open()
    for (const timeout of [3_153_600_000, 1e12, 1e300, Number.MAX_VALUE]) {
      await cache.set('k', timeout, { timeout })
      assert.equal(await cache.get('k'), timeout)
      assert.equal(await cache.touch('k', { timeout }), true)
      assert.equal(await cache.get('k'), timeout)
    }
  })

  test.waiting('entries of one batch that was stored end together, others do not', async (t) => {
    const cache = await t.open()
    await cache.setMany({ a: 1, b: 2 }, { timeout: t.short })
    await cache.setMany({ c: 3 }, { timeout: LONG })
    await t.passMost()
    await t.passRest()
    assert.deepEqual([...(await cache.getMany(['a', 'b', 'c']))], [['c', 3]])
  })

  test.waiting('touch: what is not a timeout is a TypeError, and changes nothing', async (t) => {
    const cache = await t.open()
    await cache.set('k', 1, { timeout: t.short })
    for (const timeout of BAD_TIMEOUTS) {
      await assertTypeError(cache.touch('k', { timeout: timeout as number }), /timeout/)
    }
    await t.passMost()
    assert.equal(await cache.has('k'), true)
    await t.passRest()
    await assertMissing(cache, 'k')
  })
}
