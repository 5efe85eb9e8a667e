import assert from 'node:assert/strict'
import type { Cache } from '../../../src/index.js'
import { assertCode, assertMissing, type Define, type Section } from './fixture.js'
import type { BackendOutage, BackendUnderTest } from './types.js'

export function lifecycle(outage?: BackendOutage, damage?: BackendUnderTest['damage']): Section {
  return (test) => {
    closing(test)
    if (outage !== undefined) outages(test, outage)
    if (damage !== undefined) damaged(test, damage)
  }
}

function closing(test: Define): void {
  test('after close a cache opens again on use', async (t) => {
    const cache = await t.open()
    await cache.set('k', 1)
    await cache.close()
    await cache.set('k', 2)
    assert.equal(await cache.get('k'), 2)
    await cache.close()
    await cache.close()
    assert.equal(await cache.add('other', 3), true)
    assert.equal(await cache.incr('other'), 4)
  })

  test('a cache that was never used may be closed', async (t) => {
    await (await t.open()).close()
  })

  test('closing one cache does not close another', async (t) => {
    const [one, two] = [await t.open(), await t.open()]
    await one.set('k', 1)
    await two.set('k', 2)
    await one.close()
    assert.equal(await two.get('k'), 2)
  })
}

/** What every call answers while the store fails and failures are misses. */
const MISSES: readonly (readonly [(cache: Cache) => Promise<unknown>, unknown])[] = [
  [(cache) => cache.get('k'), undefined],
  [(cache) => cache.get('k', { default: 7 }), 7],
  [(cache) => cache.set('k', 2), undefined],
  [(cache) => cache.set('k', 2, { tags: ['t'] }), undefined],
  [(cache) => cache.add('k', 2), false],
  [(cache) => cache.touch('k'), false],
  [(cache) => cache.delete('k'), false],
  [(cache) => cache.has('k'), false],
  [(cache) => cache.getMany(['k']), new Map()],
  [(cache) => cache.setMany({ k: 2, l: 3 }), ['k', 'l']],
  [(cache) => cache.deleteMany(['k']), undefined],
  [(cache) => cache.getOrSet('k', () => 'made', { strict: true }), 'made'],
  [(cache) => cache.clear(), undefined],
  [(cache) => cache.invalidateTags(['t']), undefined],
]

const COUNTS: readonly ((cache: Cache) => Promise<unknown>)[] = [
  (cache) => cache.incr('k'),
  (cache) => cache.decr('k'),
  (cache) => cache.incrVersion('k'),
  (cache) => cache.decrVersion('k'),
]

function outages(test: Define, { begin, end, limitSeconds = 1.5 }: BackendOutage): void {
  test('while the store fails every call is FRAGCACHE_BACKEND_FAILED, in time', async (t) => {
    const cache = await t.open()
    await cache.set('k', 1)
    await begin()
    try {
      for (const call of [...MISSES.map(([one]) => one), ...COUNTS]) {
        const startedMs = performance.now()
        await assertCode(call(cache), 'FRAGCACHE_BACKEND_FAILED')
        assert.ok(performance.now() - startedMs < limitSeconds * 1000)
      }
      assert.equal(await cache.getOrSet('k', () => 'made'), 'made')
      const error = await cache.get('k').catch((reason: unknown) => reason)
      assert.ok((error as Error).cause !== undefined, 'the error keeps what the store said')
    } finally {
      await end()
    }
    assert.equal(await cache.get('k'), 1)
    await cache.set('k', 2)
    assert.equal(await cache.get('k'), 2)
  })

  test('with ignoreErrors failures are misses', async (t) => {
    const cache = await t.open({ ignoreErrors: true })
    await cache.set('k', 1)
    await begin()
    try {
      for (const [call, miss] of MISSES) assert.deepEqual(await call(cache), miss)
      for (const count of COUNTS) await assertCode(count(cache), 'FRAGCACHE_KEY_NOT_FOUND')
    } finally {
      await end()
    }
    assert.equal(await cache.get('k'), 1)
  })

  test('with ignoreErrors what the caller does wrong stays an error', async (t) => {
    const cache = await t.open({ ignoreErrors: true })
    await begin()
    try {
      await assert.rejects(cache.get(''), TypeError)
      await assert.rejects(cache.set('k', undefined as never), TypeError)
      await assert.rejects(cache.set('k', 1, { timeout: NaN }), TypeError)
    } finally {
      await end()
    }
  })
}

const DAMAGE: Readonly<Record<string, Uint8Array>> = {
  nothing: new Uint8Array(),
  'one byte': new Uint8Array([255]),
  zeros: new Uint8Array(100),
  text: Buffer.from('hello'),
  'digits and more': Buffer.from('12abc'),
  JSON: Buffer.from('{"a":1}'),
  'a pickle of Python': Buffer.from('80049526000000000000008c05706f736978', 'hex'),
  'a structure cut off': Buffer.from([4, 255, 15, 111, 34, 1]),
  'a tag header cut off': Buffer.from([5, 255, 255, 255, 127, 91]),
}

function damaged(test: Define, damage: NonNullable<BackendUnderTest['damage']>): void {
  for (const [name, bytes] of Object.entries(DAMAGE)) {
    test(`an entry damaged to ${name} is a miss, and can be written again`, async (t) => {
      const cache = await t.open({ version: 1 })
      const spoil = async () => {
        await cache.set('k', 1, { timeout: null })
        await damage(cache.makeKey('k'), bytes)
      }
      await spoil()
      await assertMissing(cache, 'k')
      await spoil()
      assert.equal(await cache.touch('k', { timeout: null }), false)
      await assertCode(cache.incr('k'), 'FRAGCACHE_KEY_NOT_FOUND')
      await assertCode(cache.incrVersion('k'), 'FRAGCACHE_KEY_NOT_FOUND')
      await spoil()
      assert.equal(await cache.add('k', 'added'), true)
      assert.equal(await cache.get('k'), 'added')
      await spoil()
      assert.equal(await cache.getOrSet('k', 'made'), 'made')
      assert.equal(await cache.get('k'), 'made')
      await spoil()
      assert.equal(await cache.delete('k'), false)
      await cache.set('k', 'set')
      assert.equal(await cache.get('k'), 'set')
    })
  }
}
