import assert from 'node:assert/strict'
import { assertTypeError, LONG, type Define } from './fixture.js'

const { setTimeout: realTimeout } = globalThis
const pause = (ms: number) => new Promise<void>((resolve) => realTimeout(resolve, ms))

export function leases(test: Define): void {
  test('with a lock one producer runs, whichever cache over the store is asked', async (t) => {
    const caches = [await t.open(), await t.open(), await t.open()]
    let runs = 0
    const produce = async () => {
      runs++
      await pause(30)
      return 'made'
    }
    const options = { lock: true, timeout: LONG }
    const results = await Promise.all(
      caches.flatMap((cache) =>
        Array.from({ length: 30 }, () => cache.getOrSet('k', produce, options)),
      ),
    )
    assert.deepEqual([...new Set(results)], ['made'])
    assert.equal(runs, 1)
  })

  test('a lock may be a setting of the cache', async (t) => {
    const caches = [await t.open({ lock: true }), await t.open({ lock: { wait: 4 } })]
    let runs = 0
    const produce = async () => {
      runs++
      await pause(20)
      return 'made'
    }
    await Promise.all(caches.map((cache) => cache.getOrSet('k', produce)))
    assert.equal(runs, 1)
  })

  test('who waited long enough makes it without the lease', async (t) => {
    const [holder, other] = [await t.open(), await t.open()]
    let finish = (): void => undefined
    const opened = new Promise<void>((resolve) => {
      finish = resolve
    })
    let begun = (): void => undefined
    const started = new Promise<void>((resolve) => {
      begun = resolve
    })
    const first = holder.getOrSet(
      'k',
      async () => {
        begun()
        await opened
        return 'first'
      },
      { lock: true },
    )
    await started
    const second = await other.getOrSet('k', () => 'second', { lock: { wait: 0, lease: 5 } })
    assert.equal(second, 'second')
    finish()
    assert.equal(await first, 'second')
  })

  test('a producer that throws gives the lease up at once', async (t) => {
    const [cache, other] = [await t.open(), await t.open()]
    const boom = new Error('boom')
    const options = { lock: { wait: 4, lease: 1000 } }
    await assert.rejects(
      cache.getOrSet('k', () => Promise.reject(boom), options),
      boom,
    )
    assert.equal(await other.getOrSet('k', () => 'made', options), 'made')
    await assert.rejects(
      other.getOrSet('x', () => Promise.reject(boom), options),
      boom,
    )
    assert.equal(await cache.getOrSet('x', () => 'made', options), 'made')
  })

  test('what is made under a lease waits for no other: a crossed nesting ends', async (t) => {
    const [one, two] = [await t.open(), await t.open()]
    const options = { lock: { wait: 1000, lease: 1000 } }
    const inside: (() => void)[] = []
    const bothInside = new Promise<void>((resolve) => {
      inside.push(() => undefined, resolve)
    })
    const nest = (cache: typeof one, outer: string, inner: string) =>
      cache.getOrSet(
        outer,
        async () => {
          inside.shift()?.()
          await bothInside
          return `${outer}(${await cache.getOrSet(inner, () => inner, options)})`
        },
        options,
      )
    const results = await Promise.all([nest(one, 'a', 'b'), nest(two, 'b', 'a')])
    // Whose value is kept is a matter of who was first; both ended, and long before the wait.
    assert.match(results[0], /^a/)
    assert.match(results[1], /^b/)
  })

  test('with a lock one of all makes a stale value again, and nobody waits', async (t) => {
    const caches = [await t.open(), await t.open(), await t.open()]
    const times = { timeout: LONG, staleWhileRevalidate: LONG }
    const options = { ...times, lock: true }
    await caches[0]?.set('k', 'old', times)
    await caches[0]?.expire('k')
    let runs = 0
    let finish = (): void => undefined
    const opened = new Promise<void>((resolve) => {
      finish = resolve
    })
    const produce = async () => {
      runs++
      await opened
      return 'new'
    }
    for (const cache of caches) assert.equal(await cache.getOrSet('k', produce, options), 'old')
    for (let i = 0; runs === 0 && i < 500; i++) await pause(10)
    await pause(30)
    assert.equal(runs, 1)
    finish()
    for (let i = 0; (await caches[2]?.get('k')) !== 'new'; i++) {
      assert.ok(i < 200, 'it was never made again')
      await pause(10)
    }
    assert.equal(runs, 1)
  })

  test('bad options are a TypeError before the producer runs', async (t) => {
    const cache = await t.open()
    let runs = 0
    for (const lock of [
      1,
      'yes',
      null,
      [],
      { wait: -1 },
      { lease: 0 },
      { leese: 1 },
      { wait: '5' },
    ]) {
      await assertTypeError(
        cache.getOrSet('k', () => ++runs, { lock: lock as never }),
        /lock/,
      )
    }
    assert.equal(runs, 0)
  })
}
