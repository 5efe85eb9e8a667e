import assert from 'node:assert/strict'
import { assertMissing, assertTypeError, type Define } from './fixture.js'

const soon = () => new Promise<void>((resolve) => setImmediate(resolve))

export function producers(test: Define): void {
  test('it stores and gives a value, what a function returns, or what it promises', async (t) => {
    const cache = await t.open()
    assert.equal(await cache.getOrSet('value', 1), 1)
    assert.equal(await cache.getOrSet('null', null), null)
    assert.equal(await cache.getOrSet('sync', () => 'made'), 'made')
    const produce = async () => {
      await soon()
      return { made: [1] }
    }
    assert.deepEqual(await cache.getOrSet('async', produce), { made: [1] })
    assert.equal(await cache.get('value'), 1)
    assert.equal(await cache.get('null'), null)
    assert.equal(await cache.get('sync'), 'made')
    assert.deepEqual(await cache.get('async'), { made: [1] })
  })

  test('a hit does not run the producer', async (t) => {
    const cache = await t.open()
    let runs = 0
    for (const value of [null, 0, false, '', NaN, 'v']) {
      await cache.set('k', value)
      assert.equal(await cache.getOrSet('k', () => ++runs), value)
    }
    assert.equal(runs, 0)
  })

  test('a hundred callers at once run one producer, and each has a copy of its own', async (t) => {
    const cache = await t.open()
    let runs = 0
    const produce = async () => {
      runs++
      await soon()
      return { run: runs, list: [] as number[] }
    }
    const results = await Promise.all(
      Array.from({ length: 100 }, () => cache.getOrSet('k', produce)),
    )
    assert.equal(runs, 1)
    assert.equal(new Set(results).size, 100)
    assert.equal(new Set(results.map(({ list }) => list)).size, 100)
    results.forEach(({ list }, i) => list.push(i))
    assert.deepEqual(await cache.get('k'), { run: 1, list: [] })
    for (const { run } of results) assert.equal(run, 1)
  })

  test('callers of different keys and versions do not wait for each other', async (t) => {
    const cache = await t.open()
    let release = (): void => undefined
    const blocked = new Promise<void>((resolve) => {
      release = resolve
    })
    const slow = cache.getOrSet('slow', async () => {
      await blocked
      return 'slow'
    })
    assert.equal(await cache.getOrSet('fast', async () => 'fast'), 'fast')
    assert.equal(await cache.getOrSet('slow', async () => 'other', { version: 7 }), 'other')
    release()
    assert.equal(await slow, 'slow')
  })

  test('what a producer throws reaches all who wait, stores nothing, and the next may try', async (t) => {
    const cache = await t.open()
    let runs = 0
    const boom = new Error('boom')
    const produce = async () => {
      await soon()
      if (++runs === 1) throw boom
      return 'made'
    }
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, () => cache.getOrSet('k', produce)),
    )
    for (const result of results) {
      assert.equal(result.status === 'rejected' && result.reason === boom, true)
    }
    assert.equal(runs, 1)
    await assertMissing(cache, 'k')
    assert.equal(await cache.getOrSet('k', produce), 'made')
    assert.equal(runs, 2)
  })

  test('what a producer throws at once reaches the caller too', async (t) => {
    const cache = await t.open()
    const boom = new Error('boom')
    const produce = (): never => {
      throw boom
    }
    await assert.rejects(cache.getOrSet('k', produce), boom)
    await assertMissing(cache, 'k')
    assert.equal(await cache.getOrSet('k', 1), 1)
  })

  test('what cannot be stored is a TypeError, and stores nothing', async (t) => {
    const cache = await t.open()
    await assertTypeError(cache.getOrSet('k', () => undefined))
    await assertTypeError(cache.getOrSet('k', async () => ({ f: () => 1 })))
    await assertMissing(cache, 'k')
  })

  test('a bad option is a TypeError before the producer runs', async (t) => {
    const cache = await t.open()
    let runs = 0
    const produce = () => ++runs
    await assertTypeError(cache.getOrSet('k', produce, { timeout: NaN }))
    await assertTypeError(cache.getOrSet('k', produce, { tags: 't' as never }))
    await assertTypeError(cache.getOrSet('k', produce, { version: NaN }))
    await assertTypeError(cache.getOrSet('', produce))
    assert.equal(runs, 0)
  })

  test.waiting('the time begins when the value is made, not when its making began', async (t) => {
    const cache = await t.open()
    const produce = async () => {
      await t.passMost()
      await t.passRest()
      return 1
    }
    await cache.getOrSet('k', produce, { timeout: t.short })
    assert.equal(await cache.get('k'), 1)
    if (!t.exact) return
    await t.passMost()
    assert.equal(await cache.get('k'), 1)
    await t.passRest()
    await assertMissing(cache, 'k')
  })

  test('a value stored meanwhile by another is kept and given', async (t) => {
    const [cache, other] = [await t.open(), await t.open()]
    const produce = async () => {
      await other.set('k', 'of the other')
      return 'made'
    }
    assert.equal(await cache.getOrSet('k', produce), 'of the other')
    assert.equal(await cache.get('k'), 'of the other')
  })

  test('what is removed while it is made is not kept', async (t) => {
    const cache = await t.open()
    const removals = [
      () => cache.delete('k'),
      () => cache.deleteMany(['other', 'k']),
      () => cache.clear(),
    ]
    for (const remove of removals) {
      const produce = async () => {
        await remove()
        return 'made of old data'
      }
      assert.equal(await cache.getOrSet('k', produce), 'made of old data')
      await assertMissing(cache, 'k')
    }
  })

  test('a producer that asks for its own key, or in a circle, does not wait for ever', async (t) => {
    const cache = await t.open()
    const own = await cache.getOrSet('own', () => cache.getOrSet('own', () => 'inner'))
    assert.equal(own, 'inner')
    const circle = await cache.getOrSet('a', () =>
      cache.getOrSet('b', () => cache.getOrSet('a', () => 'innermost')),
    )
    assert.equal(circle, 'innermost')
    assert.equal(await cache.get('b'), 'innermost')
  })
}
