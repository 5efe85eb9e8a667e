import assert from 'node:assert/strict'
import { assertMissing, type Define } from './fixture.js'

export function entries(test: Define): void {
  test('get gives what set stored, and undefined for what was not', async (t) => {
    const cache = await t.open()
    assert.equal(await cache.set('k', 'v'), undefined)
    assert.equal(await cache.get('k'), 'v')
    await assertMissing(cache, 'missing')
  })

  test('get gives its default for a miss only', async (t) => {
    const cache = await t.open()
    await cache.set('k', null)
    assert.equal(await cache.get('missing', { default: 7 }), 7)
    assert.equal(await cache.get('missing', { default: null }), null)
    assert.equal(await cache.get('missing', { default: undefined }), undefined)
    assert.equal(await cache.get('k', { default: 7 }), null)
    await assertMissing(cache, 'missing')
  })

  test.waiting('set replaces value and deadline', async (t) => {
    const cache = await t.open()
    await cache.set('k', 'old', { timeout: t.short })
    await cache.set('k', 'new', { timeout: null })
    await t.passMost()
    await t.passRest()
    assert.equal(await cache.get('k'), 'new')
    await cache.set('k', 'newer', { timeout: t.short })
    await t.passMost()
    await t.passRest()
    await assertMissing(cache, 'k')
  })

  test('add stores what is absent and leaves what is there', async (t) => {
    const cache = await t.open()
    assert.equal(await cache.add('k', 'first'), true)
    assert.equal(await cache.add('k', 'second'), false)
    assert.equal(await cache.get('k'), 'first')
    await cache.delete('k')
    assert.equal(await cache.add('k', 'third'), true)
    assert.equal(await cache.get('k'), 'third')
  })

  test('add takes a stored null, 0, false and empty text for what they are: there', async (t) => {
    const cache = await t.open()
    for (const value of [null, 0, false, '', NaN]) {
      await cache.set('k', value)
      assert.equal(await cache.add('k', 'other'), false)
      assert.equal(await cache.get('k'), value)
    }
  })

  test.waiting('add does not touch the deadline of what is there', async (t) => {
    const cache = await t.open()
    await cache.set('k', 1, { timeout: t.short })
    await t.passMost()
    assert.equal(await cache.add('k', 2, { timeout: null }), false)
    await t.passRest()
    await assertMissing(cache, 'k')
    assert.equal(await cache.add('k', 2), true)
  })

  test('of fifty callers at once, over two caches, one adds', async (t) => {
    const caches = [await t.open(), await t.open()] as const
    const added = await Promise.all(
      Array.from({ length: 50 }, (_, i) => caches[i % 2 === 0 ? 0 : 1].add('k', i)),
    )
    assert.equal(added.filter(Boolean).length, 1)
    assert.equal(await caches[0].get('k'), added.indexOf(true))
  })

  test('has tells what is there, whatever the value', async (t) => {
    const cache = await t.open()
    for (const value of [null, 0, false, '', NaN]) {
      await cache.set('k', value)
      assert.equal(await cache.has('k'), true)
    }
    assert.equal(await cache.has('missing'), false)
  })

  test('delete says whether something was there', async (t) => {
    const cache = await t.open()
    await cache.set('k', 1)
    await cache.set('other', 2)
    assert.equal(await cache.delete('k'), true)
    assert.equal(await cache.delete('k'), false)
    await assertMissing(cache, 'k')
    assert.equal(await cache.get('other'), 2)
  })

  test.waiting('delete of what has expired says that nothing was there', async (t) => {
    const cache = await t.open()
    await cache.set('k', 1, { timeout: t.short })
    await t.passMost()
    await t.passRest()
    assert.equal(await cache.delete('k'), false)
  })

  test('of fifty callers at once, over two caches, one deletes', async (t) => {
    const caches = [await t.open(), await t.open()] as const
    await caches[0].set('k', 1)
    const deleted = await Promise.all(
      Array.from({ length: 50 }, (_, i) => caches[i % 2 === 0 ? 0 : 1].delete('k')),
    )
    assert.equal(deleted.filter(Boolean).length, 1)
  })

  test('readers see one of the values that were written, never a mixture', async (t) => {
    const [writer, reader] = [await t.open(), await t.open()]
    const value = (i: number) => ({ head: i, body: String(i % 10).repeat(5000), tail: i })
    await writer.set('k', value(0))
    const writing = (async () => {
      for (let i = 1; i <= 30; i++) await writer.set('k', value(i))
    })()
    for (let i = 0; i < 30; i++) {
      const seen = await reader.get<ReturnType<typeof value>>('k')
      assert.ok(seen !== undefined, 'a key that is replaced is never absent')
      assert.deepEqual(seen, value(seen.head))
    }
    await writing
    assert.equal((await reader.get<ReturnType<typeof value>>('k'))?.head, 30)
  })

  test.waiting('touch keeps value and gives the new deadline', async (t) => {
    const cache = await t.open()
    await cache.set('k', { a: 1 }, { timeout: t.short })
    await t.passMost()
    assert.equal(await cache.touch('k', { timeout: 1000 }), true)
    await t.passRest()
    assert.deepEqual(await cache.get('k'), { a: 1 })
    if (!t.exact) return
    await t.advance(1000 - 0.002)
    assert.equal(await cache.has('k'), true)
    await t.advance(0.001)
    await assertMissing(cache, 'k')
  })

  test.waiting('touch can shorten the time that is left', async (t) => {
    const cache = await t.open()
    await cache.set('k', 1, { timeout: null })
    assert.equal(await cache.touch('k', { timeout: t.short }), true)
    await t.passMost()
    assert.equal(await cache.get('k'), 1)
    await t.passRest()
    await assertMissing(cache, 'k')
  })

  test.waiting('touch without a timeout gives the cache’s default', async (t) => {
    const cache = await t.open({ timeout: t.short })
    await cache.set('k', 1, { timeout: null })
    assert.equal(await cache.touch('k'), true)
    await t.passMost()
    assert.equal(await cache.has('k'), true)
    await t.passRest()
    await assertMissing(cache, 'k')
  })

  test.waiting('touch with null lets an entry live for ever', async (t) => {
    const cache = await t.open()
    await cache.set('k', 1, { timeout: t.short })
    assert.equal(await cache.touch('k', { timeout: null }), true)
    assert.equal(await cache.touch('k', { timeout: null }), true)
    await t.passMost()
    await t.passRest()
    assert.equal(await cache.get('k'), 1)
  })

  test('touch with zero or less removes, and says whether something was there', async (t) => {
    const cache = await t.open()
    for (const timeout of [0, -1]) {
      await cache.set('k', 1)
      assert.equal(await cache.touch('k', { timeout }), true)
      await assertMissing(cache, 'k')
      assert.equal(await cache.touch('k', { timeout }), false)
    }
  })

  test.waiting('touch of what is not there, or has expired, makes nothing', async (t) => {
    const cache = await t.open()
    assert.equal(await cache.touch('missing', { timeout: 60 }), false)
    await cache.set('k', 1, { timeout: t.short })
    await t.passMost()
    await t.passRest()
    assert.equal(await cache.touch('k', { timeout: null }), false)
    await assertMissing(cache, 'missing')
    await assertMissing(cache, 'k')
  })
}
