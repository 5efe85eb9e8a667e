import assert from 'node:assert/strict'
import { assertCode, assertMissing, assertTypeError, type Define } from './fixture.js'

export function keepsNothing(test: Define): void {
  test('every call answers as an empty cache does', async (t) => {
    const cache = await t.open()
    assert.equal(await cache.set('k', 1), undefined)
    await assertMissing(cache, 'k')
    assert.equal(await cache.get('k', { default: 7 }), 7)
    assert.equal(await cache.describe('k'), undefined)
    assert.equal(await cache.add('k', 1), true)
    assert.equal(await cache.add('k', 1), true)
    assert.equal(await cache.touch('k'), false)
    assert.equal(await cache.delete('k'), false)
    assert.deepEqual(await cache.setMany({ k: 1, l: 2 }), [])
    assert.equal((await cache.getMany(['k', 'l'])).size, 0)
    assert.equal(await cache.deleteMany(['k']), undefined)
    assert.equal(await cache.clear(), undefined)
    assert.equal(await cache.invalidateTags(['t']), undefined)
    for (const call of [cache.incr('k'), cache.decr('k'), cache.incrVersion('k')]) {
      await assertCode(call, 'FRAGCACHE_KEY_NOT_FOUND')
    }
    await cache.close()
    await assertMissing(cache, 'k')
  })

  test('getOrSet makes the value each time, once for those who ask together', async (t) => {
    const cache = await t.open()
    let runs = 0
    const produce = async () => ({ run: ++runs })
    assert.deepEqual(await cache.getOrSet('k', produce), { run: 1 })
    assert.deepEqual(await cache.getOrSet('k', produce, { tags: ['t'] }), { run: 2 })
    await Promise.all(Array.from({ length: 20 }, () => cache.getOrSet('k', produce)))
    assert.equal(runs, 3)
    await assert.rejects(
      cache.getOrSet('k', () => Promise.reject(new Error('boom'))),
      /boom/,
    )
  })

  test('values, timeouts and tags are checked as anywhere', async (t) => {
    const cache = await t.open()
    const wrong: unknown[] = [undefined, () => 1, Symbol('s'), Promise.resolve(1), [new URL('a:b')]]
    for (const value of wrong) {
      await assertTypeError(cache.set('k', value), /value/)
      await assertTypeError(cache.add('k', value), /value/)
      await assertTypeError(cache.setMany({ k: value }), /value/)
    }
    for (const timeout of [NaN, '60' as never, true as never]) {
      await assertTypeError(cache.set('k', 1, { timeout }), /timeout/)
      await assertTypeError(cache.add('k', 1, { timeout }), /timeout/)
      await assertTypeError(cache.touch('k', { timeout }), /timeout/)
      await assertTypeError(cache.getOrSet('k', 1, { timeout }), /timeout/)
    }
    await assertTypeError(cache.set('k', 1, { tags: 't' as never }), /tags/)
    await assertTypeError(cache.invalidateTags('t' as never), /tags/)
    await assertTypeError(cache.incr('k', 1.5), /delta/)
    await assertTypeError(cache.decrVersion('k', NaN), /delta/)
  })
}
