import assert from 'node:assert/strict'
import { assertMissing, assertTypeError, type Define } from './fixture.js'

const THOUSAND = Array.from({ length: 1000 }, (_, i) => `k${i}`)

export function batches(test: Define): void {
  test('getMany gives what is live, in the order asked', async (t) => {
    const cache = await t.open()
    await cache.setMany({ a: 1, b: null, c: 'c' })
    const found = await cache.getMany(['c', 'missing', 'a', 'b'])
    assert.ok(found instanceof Map)
    assert.deepEqual(
      [...found],
      [
        ['c', 'c'],
        ['a', 1],
        ['b', null],
      ],
    )
    assert.deepEqual([...(await cache.getMany(['b', 'a'])).keys()], ['b', 'a'])
  })

  test('getMany takes any iterable, the same key twice, and none at all', async (t) => {
    const cache = await t.open()
    await cache.set('a', 1)
    assert.deepEqual([...(await cache.getMany(new Set(['a', 'x'])))], [['a', 1]])
    assert.deepEqual([...(await cache.getMany(['a', 'a', 'x', 'a']))], [['a', 1]])
    assert.deepEqual([...(await cache.getMany(['a'].values()))], [['a', 1]])
    assert.equal((await cache.getMany([])).size, 0)
  })

  test.waiting('getMany leaves out what has expired', async (t) => {
    const cache = await t.open()
    await cache.set('a', 1, { timeout: t.short })
    await cache.set('b', 2)
    await t.passMost()
    await t.passRest()
    assert.deepEqual([...(await cache.getMany(['a', 'b']))], [['b', 2]])
  })

  test('setMany takes a record, a Map, pairs and any iterable of them', async (t) => {
    const cache = await t.open()
    assert.deepEqual(await cache.setMany({ a: 1 }), [])
    assert.deepEqual(await cache.setMany(new Map([['b', 2]])), [])
    assert.deepEqual(
      await cache.setMany([
        ['c', 3],
        ['d', null],
      ]),
      [],
    )
    assert.deepEqual(await cache.setMany(new Map([['e', 5]]).entries()), [])
    assert.deepEqual(await cache.setMany({}), [])
    assert.deepEqual(await cache.setMany([]), [])
    assert.deepEqual(
      [...(await cache.getMany(['a', 'b', 'c', 'd', 'e'])).values()],
      [1, 2, 3, null, 5],
    )
  })

  test('setMany keeps the last of two values for one key', async (t) => {
    const cache = await t.open()
    await cache.setMany([
      ['k', 'first'],
      ['k', 'last'],
    ])
    assert.equal(await cache.get('k'), 'last')
  })

  test('setMany stores nothing if one key or value is refused', async (t) => {
    const cache = await t.open()
    await assertTypeError(cache.setMany({ a: 1, b: undefined as never, c: 3 }))
    await assertTypeError(
      cache.setMany([
        ['a', 1],
        ['', 2],
      ]),
    )
    await assertTypeError(cache.setMany({ a: 1, b: (() => 1) as never }))
    await assertMissing(cache, 'a')
  })

  test('deleteMany removes what it names and nothing else', async (t) => {
    const cache = await t.open()
    await cache.setMany({ a: 1, b: 2, c: 3 })
    assert.equal(await cache.deleteMany(['a', 'missing', 'c', 'a']), undefined)
    await cache.deleteMany([])
    await cache.deleteMany(new Set(['missing']))
    assert.deepEqual([...(await cache.getMany(['a', 'b', 'c']))], [['b', 2]])
  })

  test('they take a thousand keys', async (t) => {
    const cache = await t.open()
    // A cache may be small: what it kept must be right and in order.
    assert.deepEqual(await cache.setMany(THOUSAND.map((key) => [key, { key }] as const)), [])
    const found = await cache.getMany<{ key: string }>(THOUSAND)
    assert.ok(found.size > 0)
    for (const [key, value] of found) assert.deepEqual(value, { key })
    const order = [...found.keys()].map((key) => THOUSAND.indexOf(key))
    assert.deepEqual(
      order,
      order.toSorted((a, b) => a - b),
    )
    await cache.deleteMany(THOUSAND)
    assert.equal((await cache.getMany(THOUSAND)).size, 0)
  })

  test('they keep to the version asked for', async (t) => {
    const cache = await t.open()
    await cache.setMany({ a: 1, b: 2 }, { version: 7 })
    assert.equal((await cache.getMany(['a', 'b'])).size, 0)
    assert.equal((await cache.getMany(['a', 'b'], { version: 7 })).size, 2)
    await cache.deleteMany(['a'])
    await cache.deleteMany(['b'], { version: 7 })
    assert.deepEqual([...(await cache.getMany(['a', 'b'], { version: 7 }))], [['a', 1]])
  })
}
