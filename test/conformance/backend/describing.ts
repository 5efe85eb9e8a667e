import assert from 'node:assert/strict'
import { assertTypeError, type Define } from './fixture.js'

/** A timeout in seconds that does not end during a test, and twice it is told well by every store. */
const LONG = 300

/** Deadlines of a long time may be kept somewhat coarsely. */
const COARSENESS = 0.01

function assertAbout(actualMs: number | null | undefined, expectedMs: number, seconds: number) {
  assert.equal(typeof actualMs, 'number')
  const distanceMs = Math.abs((actualMs as number) - expectedMs)
  const allowedMs = seconds * 1000 * COARSENESS + 2000
  assert.ok(distanceMs <= allowedMs, `${distanceMs} ms off`)
}

/** Such as cannot be compressed. */
function bytes(length: number): Uint8Array {
  return Uint8Array.from({ length }, () => Math.floor(Math.random() * 256))
}

export function describing(test: Define): void {
  test('an entry is described: its keys, its value, its tags and how long it lives', async (t) => {
    const cache = await t.open()
    const value = { list: [1, 'two', null] }
    const beforeMs = Date.now()
    await cache.set('k', value, { timeout: LONG, tags: ['a', 'user:7'] })
    const described = await cache.describe('k')
    assert.ok(described)
    const { expiresAtMs, freshUntilMs, bytes, version, tags, ...rest } = described
    assert.deepEqual(rest, {
      key: 'k',
      storedKey: cache.makeKey('k'),
      alias: '',
      value,
      fragments: [],
      isStale: false,
    })
    assert.deepEqual([...tags].sort(), ['a', 'user:7'])
    assert.equal(cache.makeKey('k', version), cache.makeKey('k'))
    assertAbout(expiresAtMs, beforeMs + LONG * 1000, LONG)
    assert.equal(freshUntilMs, expiresAtMs)
    assert.ok(bytes === undefined || (Number.isSafeInteger(bytes) && bytes > 0))
  })

  test('a larger entry is described with more bytes, where they are known', async (t) => {
    const cache = await t.open()
    await cache.set('small', bytes(10))
    await cache.set('large', bytes(1000))
    const small = (await cache.describe('small'))?.bytes
    const large = (await cache.describe('large'))?.bytes
    if (small === undefined) {
      assert.equal(large, undefined)
      return
    }
    assert.ok(large !== undefined && large >= small + 990, `${small} and ${large} bytes`)
  })

  test('what never expires, and null, are described too', async (t) => {
    const cache = await t.open()
    await cache.set('k', null, { timeout: null })
    const described = await cache.describe('k')
    assert.deepEqual(
      [described?.value, described?.expiresAtMs, described?.freshUntilMs, described?.isStale],
      [null, null, null, false],
    )
    assert.deepEqual(described?.tags, [])
  })

  test('of another version, that version’s entry is described', async (t) => {
    const cache = await t.open()
    await cache.set('k', 'other', { version: 7 })
    assert.equal(await cache.describe('k'), undefined)
    const described = await cache.describe('k', { version: 7 })
    assert.deepEqual(
      [described?.value, described?.version, described?.storedKey],
      ['other', 7, cache.makeKey('k', 7)],
    )
  })

  test('what is not there, was removed or was invalidated is not described', async (t) => {
    const cache = await t.open()
    assert.equal(await cache.describe('k'), undefined)
    await cache.set('k', 1, { tags: ['t'] })
    await cache.invalidateTags(['t'])
    assert.equal(await cache.describe('k'), undefined)
    await cache.set('k', 2)
    await cache.delete('k')
    assert.equal(await cache.describe('k'), undefined)
  })

  test('what is kept past its time is described as stale once that has ended', async (t) => {
    const cache = await t.open()
    await cache.set('k', 'old', { timeout: LONG, staleIfError: LONG })
    const fresh = await cache.describe('k')
    assert.equal(fresh?.isStale, false)
    assertAbout(fresh.freshUntilMs, Date.now() + LONG * 1000, LONG)
    assertAbout(fresh.expiresAtMs, Date.now() + 2 * LONG * 1000, 2 * LONG)
    assert.equal(await cache.expire('k'), true)
    assert.equal(await cache.get('k'), undefined)
    const stale = await cache.describe('k')
    assert.equal(stale?.isStale, true)
    assert.equal(stale.value, 'old')
    assert.ok((stale.freshUntilMs ?? Infinity) <= Date.now())
    assertAbout(stale.expiresAtMs, Date.now() + 2 * LONG * 1000, 2 * LONG)
  })

  test('what was softly invalidated is described as stale', async (t) => {
    const cache = await t.open()
    await cache.set('k', 'old', { timeout: LONG, staleWhileRevalidate: LONG, tags: ['t'] })
    await cache.invalidateTags(['t'], { soft: true })
    const stale = await cache.describe('k')
    assert.deepEqual([stale?.value, stale?.isStale], ['old', true])
    assert.ok((stale?.freshUntilMs ?? Infinity) <= Date.now())
  })

  test('to be described changes nothing about an entry, and the description is a copy', async (t) => {
    const cache = await t.open()
    await cache.set('k', { list: [1] }, { timeout: LONG })
    const first = await cache.describe('k')
    ;(first?.value as { list: number[] }).list.push(2)
    assert.deepEqual(await cache.get('k'), { list: [1] })
    const second = await cache.describe('k')
    assertAbout(second?.expiresAtMs, first?.expiresAtMs ?? 0, 0)
  })

  test('a wrong key or option is a TypeError', async (t) => {
    const cache = await t.open()
    await assertTypeError(cache.describe(''))
    await assertTypeError(cache.describe(7 as never))
    await assertTypeError(cache.describe('k', { timeout: 1 } as never), /unknown option "timeout"/)
  })
}
