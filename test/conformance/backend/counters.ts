import assert from 'node:assert/strict'
import { assertCode, assertMissing, assertTypeError, type Define } from './fixture.js'

export function counters(test: Define): void {
  test('incr and decr give the new number, which get gives too', async (t) => {
    const cache = await t.open()
    await cache.set('n', 41)
    assert.equal(await cache.incr('n'), 42)
    assert.equal(await cache.incr('n', 10), 52)
    assert.equal(await cache.incr('n', -10), 42)
    assert.equal(await cache.decr('n'), 41)
    assert.equal(await cache.decr('n', 10), 31)
    assert.equal(await cache.decr('n', -10), 41)
    assert.equal(await cache.incr('n', 0), 41)
    assert.equal(await cache.decr('n', 0), 41)
    assert.equal(await cache.get('n'), 41)
  })

  test('they count through zero and below', async (t) => {
    const cache = await t.open()
    await cache.set('n', 1)
    assert.equal(await cache.decr('n', 3), -2)
    assert.equal(await cache.get('n'), -2)
    assert.equal(await cache.decr('n', 8), -10)
    assert.equal(await cache.incr('n', 10), 0)
    assert.equal(await cache.get('n'), 0)
    assert.equal(await cache.incr('n', 5), 5)
  })

  test('a number with fewer digits leaves nothing of one with more', async (t) => {
    const cache = await t.open()
    await cache.set('n', 1000)
    assert.equal(await cache.decr('n', 1), 999)
    assert.equal(await cache.get('n'), 999)
    assert.equal(await cache.decr('n', 990), 9)
    assert.equal(await cache.get('n'), 9)
    assert.equal(await cache.incr('n'), 10)
  })

  test.waiting(
    'what is not there, or has expired, is FRAGCACHE_KEY_NOT_FOUND and stays away',
    async (t) => {
      const cache = await t.open()
      await cache.set('expired', 1, { timeout: t.short })
      await t.passMost()
      await t.passRest()
      for (const key of ['missing', 'expired']) {
        await assertCode(cache.incr(key), 'FRAGCACHE_KEY_NOT_FOUND')
        await assertCode(cache.decr(key, 5), 'FRAGCACHE_KEY_NOT_FOUND')
        await assertMissing(cache, key)
      }
    },
  )

  test('what is not a whole number is a TypeError and stays as it is', async (t) => {
    const cache = await t.open()
    const values = ['abc', '12', '', 1.5, NaN, Infinity, null, true, 7n, [1], { n: 1 }, 2 ** 53]
    for (const value of values) {
      await cache.set('k', value)
      await assertTypeError(cache.incr('k'))
      await assertTypeError(cache.decr('k', 2))
      assert.deepEqual(await cache.get('k'), value)
    }
    await cache.set('k', Buffer.from('12'))
    await assertTypeError(cache.incr('k'))
    assert.deepEqual(await cache.get('k'), Buffer.from('12'))
  })

  test('a delta that is not a whole number is a TypeError', async (t) => {
    const cache = await t.open()
    await cache.set('n', 1)
    for (const delta of [1.5, NaN, Infinity, '1', null, true, 1n, {}, 2 ** 53]) {
      await assertTypeError(cache.incr('n', delta as number), /delta/)
      await assertTypeError(cache.decr('n', delta as number), /delta/)
    }
    assert.equal(await cache.get('n'), 1)
  })

  test('beyond 2^53 there is an error, never a wrong number', async (t) => {
    const cache = await t.open()
    const { MAX_SAFE_INTEGER: most, MIN_SAFE_INTEGER: least } = Number
    await cache.set('n', most)
    assert.equal(await cache.incr('n', 0), most)
    await assert.rejects(cache.incr('n', 2), RangeError)
    await assert.rejects(cache.incr('n', most), RangeError)
    assert.equal(await cache.get('n'), most)
    assert.equal(await cache.decr('n', 1), most - 1)
    assert.equal(await cache.incr('n', 1), most)
    await cache.set('n', least)
    await assert.rejects(cache.decr('n', 2), RangeError)
    assert.equal(await cache.get('n'), least)
    assert.equal(await cache.incr('n', most), 0)
  })

  test.waiting('the time that is left stays', async (t) => {
    const cache = await t.open()
    await cache.set('n', 1, { timeout: t.short })
    await cache.set('m', 1, { timeout: t.short })
    await t.passMost()
    assert.equal(await cache.incr('n'), 2)
    assert.equal(await cache.decr('m'), 0)
    assert.equal(await cache.get('n'), 2)
    await t.passRest()
    await assertMissing(cache, 'n')
    await assertMissing(cache, 'm')
  })

  test.waiting('an entry without deadline gets none', async (t) => {
    const cache = await t.open({ timeout: t.short })
    await cache.set('n', 1, { timeout: null })
    await cache.incr('n')
    await t.passMost()
    await t.passRest()
    assert.equal(await cache.get('n'), 2)
  })

  test('of fifty calls at once, over two caches, none is lost', async (t) => {
    const caches = [await t.open(), await t.open()] as const
    await caches[0].set('n', 0)
    const numbers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => caches[i % 2 === 0 ? 0 : 1].incr('n')),
    )
    assert.deepEqual(
      numbers.sort((a, b) => a - b),
      Array.from({ length: 50 }, (_, i) => i + 1),
    )
    assert.equal(await caches[1].get('n'), 50)
  })

  test('numbers stored by add, setMany, getOrSet and for a version count as well', async (t) => {
    const cache = await t.open()
    await cache.add('a', 1)
    await cache.setMany({ b: 1 })
    await cache.getOrSet('c', () => 1)
    await cache.set('d', 1, { version: 7 })
    assert.equal(await cache.incr('a'), 2)
    assert.equal(await cache.incr('b'), 2)
    assert.equal(await cache.incr('c'), 2)
    await assertCode(cache.incr('d'), 'FRAGCACHE_KEY_NOT_FOUND')
    assert.equal(await cache.incr('d', 2, { version: 7 }), 3)
    assert.equal(await cache.decr('d', 1, { version: 7 }), 2)
    assert.equal(await cache.get('d', { version: 7 }), 2)
  })
}
