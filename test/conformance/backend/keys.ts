import assert from 'node:assert/strict'
import { assertCode, type Define } from './fixture.js'

/** Keys that differ by little, or mean something to a file system, a database or a protocol. */
const HOSTILE: readonly string[] = [
  'k',
  'K',
  'k ',
  ' k',
  'k\n',
  'k\r\nset x 0 0 1',
  'k\t',
  'k\0',
  'k\0k',
  'a\u007fb',
  'a\u0085b',
  'café',
  'cafe\u0301',
  'CAFÉ',
  'ß',
  'ss',
  '日本',
  '🎉',
  ':',
  ':::',
  '1:k',
  '%s%d',
  '%',
  '_',
  '*',
  '[a]',
  '{k}',
  '$1',
  "'",
  '"; DROP TABLE cache; --',
  '\\',
  '/',
  '.',
  '..',
  '../../../etc/passwd',
  'a/b',
  'a\\b',
  'C:\\con',
  'con',
  'nul.txt',
  '~',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  'then',
  '<b>&amp;</b>',
  'x'.repeat(240),
  'x'.repeat(251),
  `${'x'.repeat(251)}y`,
  'x'.repeat(10_000),
  `${'x'.repeat(10_000)}y`,
  'é'.repeat(200),
]

export function keys(test: Define): void {
  test('hostile and long keys work, and each is another', async (t) => {
    const cache = await t.open()
    await cache.setMany(HOSTILE.map((key, i) => [key, i] as const))
    assert.deepEqual(
      [...(await cache.getMany(HOSTILE))],
      HOSTILE.map((key, i) => [key, i]),
    )
  })

  test('every call takes hostile and long keys', async (t) => {
    const cache = await t.open({ version: 1 })
    for (const key of HOSTILE) {
      assert.equal(await cache.add(key, 1), true)
      assert.equal(await cache.add(key, 2), false)
      assert.equal(await cache.incr(key), 2)
      assert.equal(await cache.touch(key, { timeout: 60 }), true)
      assert.equal(await cache.has(key), true)
      assert.equal(await cache.getOrSet(key, 9), 2)
      assert.equal(await cache.incrVersion(key), 2)
      assert.equal(await cache.get(key), undefined)
      assert.equal(await cache.get(key, { version: 2 }), 2)
      assert.equal(await cache.delete(key, { version: 2 }), true)
    }
  })

  test('clear removes what lies under hostile keys', async (t) => {
    const cache = await t.open()
    await cache.setMany(HOSTILE.map((key, i) => [key, i] as const))
    await cache.clear()
    assert.equal((await cache.getMany(HOSTILE)).size, 0)
  })
}

export function portableKeysOnly(test: Define): void {
  const isPortable = (storedKey: string) => /^[^\0-\x20\x7f]{1,250}$/u.test(storedKey)
  const fits = (storedKey: string) => isPortable(storedKey) && Buffer.byteLength(storedKey) <= 250

  test('portable keys work, and each is another', async (t) => {
    const cache = await t.open()
    const portable = HOSTILE.filter((key) => fits(cache.makeKey(key)))
    await cache.setMany(portable.map((key, i) => [key, i] as const))
    assert.deepEqual(
      [...(await cache.getMany(portable))],
      portable.map((key, i) => [key, i]),
    )
  })

  test('other keys are FRAGCACHE_INVALID_KEY in every call', async (t) => {
    const cache = await t.open({ version: 1 })
    for (const key of HOSTILE.filter((one) => !fits(cache.makeKey(one)))) {
      const calls = [
        cache.get(key),
        cache.set(key, 1),
        cache.add(key, 1),
        cache.touch(key),
        cache.delete(key),
        cache.has(key),
        cache.getMany(['k', key]),
        cache.setMany({ [key]: 1 }),
        cache.deleteMany([key]),
        cache.getOrSet(key, 1),
        cache.incr(key),
        cache.decr(key),
        cache.incrVersion(key),
        cache.decrVersion(key),
      ]
      for (const call of calls) await assertCode(call, 'FRAGCACHE_INVALID_KEY')
    }
  })
}
