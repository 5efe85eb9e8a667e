import assert from 'node:assert/strict'
import { assertCode, assertMissing, assertTypeError, type Define } from './fixture.js'

export function separation(test: Define): void {
  test('an entry belongs to its version', async (t) => {
    const cache = await t.open()
    const own = t.variant.version ?? 1
    await cache.set('k', 'own')
    await cache.set('k', 'seven', { version: 7 })
    await cache.set('k', 'text', { version: 'v7' })
    assert.equal(await cache.get('k'), 'own')
    assert.equal(await cache.get('k', { version: own }), 'own')
    assert.equal(await cache.get('k', { version: 7 }), 'seven')
    assert.equal(await cache.get('k', { version: 'v7' }), 'text')
    assert.equal(await cache.get('k', { version: 0 }), undefined)
    assert.equal(await cache.has('k', { version: 8 }), false)
    assert.equal(await cache.add('k', 'eight', { version: 8 }), true)
    assert.equal(await cache.touch('k', { version: 9 }), false)
    assert.equal(await cache.delete('k', { version: 7 }), true)
    assert.equal(await cache.get('k'), 'own')
    assert.equal(await cache.get('k', { version: 8 }), 'eight')
  })

  test('a cache of another default version sees the same entries by their version', async (t) => {
    const [one, nine] = [await t.open({ version: 1 }), await t.open({ version: 9 })]
    await nine.set('k', 'nine')
    await assertMissing(one, 'k')
    assert.equal(await one.get('k', { version: 9 }), 'nine')
    assert.equal(await nine.get('k', { version: 1 }), undefined)
    await nine.set('k', 'one', { version: 1 })
    assert.equal(await one.get('k'), 'one')
  })

  test('incrVersion and decrVersion move an entry', async (t) => {
    const cache = await t.open({ version: 1 })
    await cache.set('k', 'v')
    assert.equal(await cache.incrVersion('k'), 2)
    await assertMissing(cache, 'k')
    assert.equal(await cache.get('k', { version: 2 }), 'v')
    assert.equal(await cache.incrVersion('k', 5, { version: 2 }), 7)
    assert.equal(await cache.get('k', { version: 2 }), undefined)
    assert.equal(await cache.decrVersion('k', 2, { version: 7 }), 5)
    assert.equal(await cache.decrVersion('k', 6, { version: 5 }), -1)
    assert.equal(await cache.incrVersion('k', -2, { version: -1 }), -3)
    assert.equal(await cache.get('k', { version: -3 }), 'v')
    assert.equal(await cache.incrVersion('k', 0, { version: -3 }), -3)
    assert.equal(await cache.get('k', { version: -3 }), 'v')
  })

  test('they replace what the new version had', async (t) => {
    const cache = await t.open({ version: 1 })
    await cache.set('k', 'old', { version: 2 })
    await cache.set('k', 'new')
    await cache.incrVersion('k')
    assert.equal(await cache.get('k', { version: 2 }), 'new')
  })

  test.waiting('they keep the time that is left', async (t) => {
    const cache = await t.open({ version: 1 })
    await cache.set('k', 'v', { timeout: t.short })
    await cache.set('eternal', 'v', { timeout: null })
    await t.passMost()
    await cache.incrVersion('k')
    await cache.incrVersion('eternal')
    assert.equal(await cache.get('k', { version: 2 }), 'v')
    await t.passRest()
    assert.equal(await cache.get('k', { version: 2 }), undefined)
    assert.equal(await cache.get('eternal', { version: 2 }), 'v')
  })

  test('they keep every kind of value', async (t) => {
    const cache = await t.open({ version: 1 })
    const entries = {
      null: null,
      text: 'ünï',
      bytes: Buffer.from([0, 255]),
      map: new Map([[1, 2]]),
    }
    await cache.setMany(entries)
    for (const [key, value] of Object.entries(entries)) {
      await cache.incrVersion(key)
      assert.deepStrictEqual(await cache.get(key, { version: 2 }), value)
    }
    await cache.set('n', 5)
    await cache.incrVersion('n')
    assert.equal(await cache.incr('n', 1, { version: 2 }), 6)
  })

  test.waiting('what is not there, or has expired, is FRAGCACHE_KEY_NOT_FOUND', async (t) => {
    const cache = await t.open({ version: 1 })
    await cache.set('expired', 1, { timeout: t.short })
    await cache.set('k', 'stays', { version: 2 })
    await t.passMost()
    await t.passRest()
    await assertCode(cache.incrVersion('expired'), 'FRAGCACHE_KEY_NOT_FOUND')
    await assertCode(cache.decrVersion('missing'), 'FRAGCACHE_KEY_NOT_FOUND')
    await assertCode(cache.incrVersion('k'), 'FRAGCACHE_KEY_NOT_FOUND')
    assert.equal(await cache.get('k', { version: 2 }), 'stays')
  })

  test('versions and deltas that cannot be counted are a TypeError', async (t) => {
    const cache = await t.open({ version: 1 })
    await cache.set('k', 1)
    await cache.set('k', 1, { version: 'v1' })
    for (const delta of [1.5, NaN, '1', null, 2 ** 53]) {
      await assertTypeError(cache.incrVersion('k', delta as number), /delta/)
      await assertTypeError(cache.decrVersion('k', delta as number), /delta/)
    }
    await assertTypeError(cache.incrVersion('k', 1, { version: 'v1' }), /version/)
    await assertTypeError(cache.decrVersion('k', 1, { version: 1.5 }), /version/)
    await assertTypeError(
      cache.incrVersion('k', 2, { version: Number.MAX_SAFE_INTEGER }),
      /version/,
    )
    assert.equal(await cache.get('k'), 1)
    assert.equal(await cache.get('k', { version: 'v1' }), 1)
  })

  test('caches of other key prefixes see nothing of each other', async (t) => {
    const own = await t.open()
    const other = await t.open({ keyPrefix: 'other' })
    await own.set('k', 'own')
    await other.set('k', 'other')
    assert.equal(await own.get('k'), 'own')
    assert.equal(await other.get('k'), 'other')
    assert.equal(await other.delete('k'), true)
    assert.equal(await own.get('k'), 'own')
    assert.equal(await other.add('k', 'again'), true)
  })

  test('clear removes what this cache wrote, of any version, tags and deadline', async (t) => {
    const cache = await t.open()
    await cache.setMany({ a: 1, b: null })
    await cache.set('c', 1, { version: 7 })
    await cache.set('d', 1, { tags: ['t'] })
    await cache.set('e', 1, { timeout: null })
    await cache.clear()
    assert.equal((await cache.getMany(['a', 'b', 'd', 'e'])).size, 0)
    assert.equal(await cache.get('c', { version: 7 }), undefined)
    assert.equal(await cache.add('a', 2), true)
    await cache.set('d', 2, { tags: ['t'] })
    assert.deepEqual(
      [...(await cache.getMany(['a', 'd']))],
      [
        ['a', 2],
        ['d', 2],
      ],
    )
    await cache.clear()
    await cache.clear()
    assert.equal((await cache.getMany(['a', 'd'])).size, 0)
  })

  // Prefixes that begin like another, or mean something in a pattern of Redis, SQL or a shell.
  for (const keyPrefix of ['suite', 'neigh', 'neighbourx', '*', '?*', '[a-z]*', '%', '_%', '..']) {
    test(`clear with the key prefix ${keyPrefix} spares a neighbour`, async (t) => {
      const [cache, neighbour] = [
        await t.open({ keyPrefix }),
        await t.open({ keyPrefix: 'neighbour' }),
      ]
      await cache.set('k', 1)
      await neighbour.set('k', 'spared')
      await neighbour.set('n', 1, { tags: ['t'] })
      await cache.clear()
      await assertMissing(cache, 'k')
      assert.equal(await neighbour.get('k'), 'spared')
      assert.equal(await neighbour.incr('n'), 2)
      await neighbour.clear()
      await assertMissing(neighbour, 'k')
    })
  }

  test('clear of a cache without key prefix spares a neighbour with one, and the reverse', async (t) => {
    const [plain, neighbour] = [
      await t.open({ keyPrefix: '' }),
      await t.open({ keyPrefix: 'neighbour' }),
    ]
    await plain.set('k', 'plain')
    await neighbour.set('k', 'neighbour')
    await neighbour.clear()
    assert.equal(await plain.get('k'), 'plain')
    await neighbour.set('k', 'neighbour')
    await plain.clear()
    assert.equal(await neighbour.get('k'), 'neighbour')
    await assertMissing(plain, 'k')
  })

  test('what one cache stored another over the same store finds', async (t) => {
    const [one, two] = [await t.open(), await t.open()]
    await one.set('k', { a: 1 }, { timeout: t.short })
    assert.deepEqual(await two.get('k'), { a: 1 })
    await two.set('k', 2)
    assert.equal(await one.incr('k'), 3)
    assert.equal(await two.delete('k'), true)
    await assertMissing(one, 'k')
  })

  test('keys are made by the key function, with prefix and version', async (t) => {
    const calls: unknown[][] = []
    const cache = await t.open({
      keyPrefix: 'p',
      version: 3,
      keyFunction: (key, keyPrefix, version) => {
        calls.push([key, keyPrefix, version])
        return `${version}/${keyPrefix}/${key}`
      },
    })
    assert.equal(cache.makeKey('k'), '3/p/k')
    assert.equal(cache.makeKey('k', 'v'), 'v/p/k')
    assert.deepEqual(calls, [
      ['k', 'p', 3],
      ['k', 'p', 'v'],
    ])
    await cache.set('k', 1)
    assert.equal(await cache.get('k'), 1)
    const same = await t.open({ keyPrefix: '', version: 1, keyFunction: (key) => `3/p/${key}` })
    assert.equal(await same.get('k'), 1)
  })
}
