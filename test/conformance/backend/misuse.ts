import assert from 'node:assert/strict'
import type { Cache } from '../../../src/index.js'
import { assertTypeError, type Define } from './fixture.js'

type Call = (cache: Cache, key: string, options?: never) => Promise<unknown>

/** Every call that names a key. */
const CALLS: Readonly<Record<string, Call>> = {
  get: (cache, key, options) => cache.get(key, options),
  set: (cache, key, options) => cache.set(key, 1, options),
  add: (cache, key, options) => cache.add(key, 1, options),
  touch: (cache, key, options) => cache.touch(key, options),
  delete: (cache, key, options) => cache.delete(key, options),
  has: (cache, key, options) => cache.has(key, options),
  getMany: (cache, key, options) => cache.getMany([key], options),
  setMany: (cache, key, options) => cache.setMany(new Map([[key, 1]]), options),
  deleteMany: (cache, key, options) => cache.deleteMany([key], options),
  getOrSet: (cache, key, options) => cache.getOrSet(key, 1, options),
  incr: (cache, key, options) => cache.incr(key, 1, options),
  decr: (cache, key, options) => cache.decr(key, 1, options),
  incrVersion: (cache, key, options) => cache.incrVersion(key, 1, options),
  decrVersion: (cache, key, options) => cache.decrVersion(key, 1, options),
}

const NO_KEYS: readonly unknown[] = [
  '',
  undefined,
  null,
  0,
  7,
  true,
  1n,
  {},
  ['k'],
  Symbol('k'),
  () => 'k',
  new String('k'),
]

export function misuse(test: Define): void {
  for (const [name, call] of Object.entries(CALLS)) {
    test(`${name}: an empty key, or none of text, is a TypeError`, async (t) => {
      const cache = await t.open()
      for (const key of NO_KEYS) await assertTypeError(call(cache, key as string), /key/)
    })

    test(`${name}: a key with a lone surrogate is a TypeError`, async (t) => {
      const cache = await t.open()
      for (const key of ['\ud800', 'a\udc00', '\udc00\ud800']) {
        await assertTypeError(call(cache, key), /surrogate/)
      }
    })

    test(`${name}: options that are none are a TypeError, an unknown one is named`, async (t) => {
      const cache = await t.open()
      for (const options of [null, 60, 'x', true]) {
        await assertTypeError(call(cache, 'k', options as never), /options/)
      }
      for (const option of ['ttl', 'verison', 'expires', 'timeOut']) {
        await assertTypeError(call(cache, 'k', { [option]: 1 } as never), new RegExp(option))
      }
    })

    test(`${name}: a version that is none is a TypeError`, async (t) => {
      const cache = await t.open()
      for (const version of [NaN, Infinity, null, true, {}, [], 1n, Symbol('v')]) {
        await assertTypeError(call(cache, 'k', { version } as never), /version/)
      }
    })
  }

  test('a call that is refused rejects; it never throws at once', async (t) => {
    const cache = await t.open()
    for (const call of Object.values(CALLS)) {
      const promise = call(cache, '')
      assert.ok(promise instanceof Promise)
      await assert.rejects(promise)
    }
  })

  test('what is not a list of keys is a TypeError', async (t) => {
    const cache = await t.open()
    for (const keys of [undefined, null, 'abc', 7, {}, true]) {
      await assertTypeError(cache.getMany(keys as never), /keys/)
      await assertTypeError(cache.deleteMany(keys as never), /keys/)
    }
    // As of other libraries, where each argument is a key.
    await assertTypeError(cache.getMany('a' as never, 'b' as never), /^keys: "a"/)
    await assertTypeError(cache.deleteMany('a' as never, 'b' as never), /^keys: "a"/)
    for (const keys of [['a', ''], ['a', null], [7]]) {
      await assertTypeError(cache.getMany(keys as never), /key/)
      await assertTypeError(cache.deleteMany(keys as never), /key/)
    }
  })

  test('what are no entries is a TypeError', async (t) => {
    const cache = await t.open()
    for (const entries of [
      undefined,
      null,
      'abc',
      7,
      true,
      [7],
      ['ab'],
      [{ key: 'a', value: 1 }],
    ]) {
      await assertTypeError(cache.setMany(entries as never), /^entries: /)
    }
  })

  test('an option left out may be given as undefined', async (t) => {
    const cache = await t.open()
    const none = { version: undefined, timeout: undefined, tags: undefined }
    await cache.set('k', 1, none)
    await cache.add('k', 1, none)
    await cache.setMany({ k: 1 }, none)
    await cache.getOrSet('k', 1, none)
    await cache.touch('k', { version: undefined, timeout: undefined })
    assert.equal(await cache.get('missing', { version: undefined, default: 7 }), 7)
  })

  test('makeKey refuses what no call takes', async (t) => {
    const cache = await t.open()
    for (const key of NO_KEYS) assert.throws(() => cache.makeKey(key as string), TypeError)
    assert.throws(() => cache.makeKey('k', NaN), TypeError)
  })

  test('a key function that gives no text is a TypeError that names it', async (t) => {
    for (const made of [undefined, null, '', 7, {}]) {
      const cache = await t.open({ keyFunction: () => made as string })
      await assertTypeError(cache.get('k'), /keyFunction/)
      await assertTypeError(cache.set('k', 1), /keyFunction/)
    }
  })
}
