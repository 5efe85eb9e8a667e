import assert from 'node:assert/strict'
import type { Cache } from '../../../src/index.js'
import { assertMissing, assertTypeError, LONG, type Define, type Fixture } from './fixture.js'

const REVALIDATE = { timeout: LONG, staleWhileRevalidate: LONG }
const IF_ERROR = { timeout: LONG, staleIfError: LONG }

/** A promise and how to end it. */
function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open = (): void => undefined
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open }
}

/** Asks until the value is there. */
async function until(cache: Cache, key: string, value: unknown): Promise<void> {
  for (let i = 0; i < 500; i++) {
    if ((await cache.get(key)) === value) return
    await new Promise((resolve) => setImmediate(resolve))
    if (i > 50) await pauseReally(10)
  }
  assert.fail(`${key} never became ${String(value)}`)
}

const { setTimeout: realTimeout } = globalThis
const pauseReally = (ms: number) => new Promise<void>((resolve) => realTimeout(resolve, ms))

/** Ways to make the entry `k`, which has the tag `t`, stale at once. */
const WAYS: readonly (readonly [string, (cache: Cache) => Promise<unknown>])[] = [
  ['expire', (cache) => cache.expire('k')],
  ['a soft invalidation', (cache) => cache.invalidateTags(['t'], { soft: true })],
]

export function staleness(test: Define): void {
  for (const [way, makeStale] of WAYS) {
    test(`after ${way} an entry is gone for all calls that do not ask for it`, async (t) => {
      const cache = await t.open()
      await cache.set('k', 'old', { ...REVALIDATE, tags: ['t'] })
      await makeStale(cache)
      await assertMissing(cache, 'k')
      assert.equal(await cache.touch('k'), false)
      assert.equal(await cache.delete('k'), false)
      await cache.set('k', 'old', { ...REVALIDATE, tags: ['t'] })
      await makeStale(cache)
      assert.equal(await cache.add('k', 'added'), true)
      assert.equal(await cache.get('k'), 'added')
      await cache.set('k', 'old', { ...IF_ERROR, tags: ['t'] })
      await makeStale(cache)
      assert.equal(await cache.getOrSet('k', () => 'made'), 'made')
    })

    test(`after ${way} who allows it is given the old value while one makes the new one`, async (t) => {
      const cache = await t.open()
      const options = { ...REVALIDATE, tags: ['t'] }
      await cache.set('k', 'old', options)
      await makeStale(cache)
      const { opened, open } = gate()
      let runs = 0
      const produce = async () => {
        runs++
        await opened
        return 'new'
      }
      for (let i = 0; i < 3; i++) assert.equal(await cache.getOrSet('k', produce, options), 'old')
      const many = await Promise.all(
        Array.from({ length: 50 }, () => cache.getOrSet('k', produce, options)),
      )
      assert.deepEqual([...new Set(many)], ['old'])
      open()
      await until(cache, 'k', 'new')
      assert.equal(runs, 1)
      assert.equal(await cache.getOrSet('k', produce, options), 'new')
      assert.equal(runs, 1)
    })

    test(`after ${way} the old value stands in for a producer that throws`, async (t) => {
      const cache = await t.open()
      const options = { ...IF_ERROR, tags: ['t'] }
      await cache.set('k', 'old', options)
      await makeStale(cache)
      const boom = new Error('boom')
      let runs = 0
      const produce = (): never => {
        runs++
        throw boom
      }
      assert.equal(await cache.getOrSet('k', produce, options), 'old')
      assert.equal(await cache.getOrSet('k', produce, options), 'old')
      assert.equal(runs, 2)
      await assert.rejects(cache.getOrSet('k', produce, { timeout: LONG }), boom)
      assert.equal(await cache.getOrSet('k', () => 'new', options), 'new')
      assert.equal(await cache.get('k'), 'new')
    })

    test(`after ${way}, what is deleted or hard invalidated is never served again`, async (t) => {
      const cache = await t.open()
      const options = { ...REVALIDATE, ...IF_ERROR, tags: ['t', 'u'] }
      const removals = [
        () => cache.delete('k'),
        () => cache.deleteMany(['k']),
        () => cache.invalidateTags(['t']),
        () => cache.invalidateTags(['u']),
        () => cache.clear(),
      ]
      for (const [i, remove] of removals.entries()) {
        await cache.set('k', 'old', options)
        await makeStale(cache)
        await remove()
        assert.equal(await cache.getOrSet('k', () => i, options), i)
        await cache.delete('k')
      }
    })
  }

  test('expire tells whether there was a fresh entry', async (t) => {
    const cache = await t.open()
    assert.equal(await cache.expire('k'), false)
    await cache.set('k', 1, REVALIDATE)
    assert.equal(await cache.expire('k'), true)
    assert.equal(await cache.expire('k'), false)
    await cache.set('plain', 1, { timeout: LONG })
    assert.equal(await cache.expire('plain'), true)
    assert.equal(await cache.has('plain'), false)
  })

  test('expire and soft invalidations reach entries that were stored without these options', async (t) => {
    const cache = await t.open()
    await cache.set('k', 'old', { timeout: LONG, tags: ['t'] })
    await cache.set('plain', 'old', { timeout: LONG })
    await cache.expire('plain')
    await cache.invalidateTags(['t'], { soft: true })
    const boom = () => Promise.reject(new Error('boom'))
    assert.equal(await cache.getOrSet('k', boom, IF_ERROR), 'old')
    assert.equal(await cache.getOrSet('plain', boom, IF_ERROR), 'old')
  })

  test('a soft invalidation reaches all with the tag, and no other', async (t) => {
    const [cache, other] = [await t.open(), await t.open()]
    await cache.set('a', 1, { tags: ['t'] })
    await other.set('b', 2, { tags: ['u', 't'] })
    await cache.set('c', 3, { tags: ['u'] })
    await other.invalidateTags(['t', 'nothing has this'], { soft: true })
    assert.deepEqual([...(await cache.getMany(['a', 'b', 'c']))], [['c', 3]])
    await cache.set('a', 4, { tags: ['t'] })
    assert.equal(await other.get('a'), 4)
    await cache.invalidateTags(['t'], { soft: true })
    await cache.invalidateTags(['t'], { soft: true })
    assert.equal(await other.get('a'), undefined)
  })

  test('a soft invalidation while the producer runs wins, of a new tag as of an old one', async (t) => {
    const [cache, other] = [await t.open(), await t.open()]
    for (const tag of ['new', 'known']) {
      if (tag === 'known') await cache.set('x', 1, { tags: [tag] })
      const produce = async () => {
        await other.invalidateTags([tag], { soft: true })
        return 'made of old data'
      }
      const options = { tags: [tag], timeout: LONG }
      assert.equal(await cache.getOrSet(tag, produce, options), 'made of old data')
      await assertMissing(cache, tag)
    }
  })

  test('a value that somebody stores while it is made again is kept', async (t) => {
    const [cache, other] = [await t.open(), await t.open()]
    await cache.set('k', 'old', REVALIDATE)
    await cache.expire('k')
    const [started, finish] = [gate(), gate()]
    const produce = async () => {
      started.open()
      await finish.opened
      return 'made of old data'
    }
    assert.equal(await cache.getOrSet('k', produce, REVALIDATE), 'old')
    await started.opened
    await other.set('k', 'newer')
    finish.open()
    await pauseReally(30)
    assert.equal(await cache.get('k'), 'newer')
  })

  test('what is removed or invalidated while it is made again is not kept', async (t) => {
    const [cache, other] = [await t.open(), await t.open()]
    const removals = [
      () => cache.delete('k'),
      () => cache.clear(),
      () => cache.invalidateTags(['t']),
      () => other.invalidateTags(['t']),
    ]
    for (const remove of removals) {
      const options = { ...REVALIDATE, tags: ['t'] }
      await cache.set('k', 'old', options)
      await cache.expire('k')
      const [started, finish] = [gate(), gate()]
      const produce = async () => {
        started.open()
        await finish.opened
        return 'made of old data'
      }
      assert.equal(await cache.getOrSet('k', produce, options), 'old')
      await started.opened
      await remove()
      finish.open()
      await pauseReally(20)
      await assertMissing(cache, 'k')
    }
  })

  test('counting, touching and moving keep what an entry may be past its time', async (t) => {
    const cache = await t.open()
    await cache.set('k', 1, IF_ERROR)
    assert.equal(await cache.incr('k'), 2)
    assert.equal(await cache.touch('k', { timeout: LONG }), true)
    const version = await cache.incrVersion('k')
    await cache.expire('k', { version })
    const failing = () => Promise.reject(new Error('boom'))
    assert.equal(await cache.getOrSet('k', failing, { ...IF_ERROR, version }), 2)
  })

  test.waiting(
    'past its timeout it is served for as long as allowed, and then no more',
    async (t) => {
      const cache = await t.open()
      const options = { timeout: t.short, staleWhileRevalidate: t.short, staleIfError: LONG }
      const { opened, open } = gate()
      const slow = () => opened.then(() => 'new')
      await cache.getOrSet('k', () => 'old', options)
      await pastTimeout(t)
      await assertMissing(cache, 'k')
      assert.equal(await cache.getOrSet('k', slow, options), 'old')
      open()
      await until(cache, 'k', 'new')
      await pastTimeout(t)
      await pastTimeout(t)
      // Too old to be served while it is made, but not to stand in for an error.
      const failing = () => Promise.reject(new Error('boom'))
      assert.equal(await cache.getOrSet('k', failing, options), 'new')
      assert.equal(await cache.getOrSet('k', () => 'newest', options), 'newest')
    },
  )

  test.waiting('touch gives the new time, and what is allowed past it', async (t) => {
    const cache = await t.open()
    await cache.set('k', 'old', { timeout: LONG, staleIfError: LONG })
    assert.equal(await cache.touch('k', { timeout: t.short }), true)
    assert.equal(await cache.get('k'), 'old')
    await pastTimeout(t)
    await assertMissing(cache, 'k')
    const failing = () => Promise.reject(new Error('boom'))
    assert.equal(await cache.getOrSet('k', failing, IF_ERROR), 'old')
  })

  test('bad options are a TypeError before the producer runs', async (t) => {
    const cache = await t.open()
    let runs = 0
    const produce = () => ++runs
    for (const seconds of [-1, NaN, Infinity, '5', null, true]) {
      const options = { staleWhileRevalidate: seconds as never }
      await assertTypeError(cache.getOrSet('k', produce, options), /staleWhileRevalidate/)
      await assertTypeError(cache.set('k', 1, { staleIfError: seconds as never }), /staleIfError/)
    }
    await assertTypeError(cache.invalidateTags(['t'], { soft: 1 as never }), /soft/)
    await assertTypeError(cache.invalidateTags(['t'], { hard: true } as never), /hard/)
    await assertTypeError(cache.getOrSet('k', produce, { earlyRefresh: -1 }), /earlyRefresh/)
    await assertTypeError(cache.getOrSet('k', produce, { bubbleTimeout: 1 as never }), /bubble/)
    assert.equal(runs, 0)
  })
}

async function pastTimeout(t: Fixture): Promise<void> {
  await t.passMost()
  await t.passRest()
}
