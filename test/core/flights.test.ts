import { setTimeout as delay } from 'node:timers/promises'
import { AsyncResource } from 'node:async_hooks'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import { createCaches, FragmentCache, LocMemCache, type Cache } from '../../src/index.js'
import { Flight } from '../../src/making/flight.js'
import { Flights } from '../../src/making/flights.js'
import { nextMoment } from '../../src/making/in-flight.js'
import { AsyncTestCache } from '../support/async-cache.js'

/** A promise and the means to settle it (`Promise.withResolvers` came with Node 22). */
function deferred<T>() {
  let resolve!: (value: T) => void
  const promise = new Promise<T>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}

/** Joins what is on its way, or leads. */
async function run<T>(
  flights: Flights<T>,
  key: string,
  action: (flight: Flight<T>) => Promise<T>,
  isAlone = false,
): Promise<T | undefined> {
  const running = isAlone ? undefined : flights.toJoin(key, undefined)
  const patience = { askedAt: nextMoment(), limitMs: Infinity }
  if (running !== undefined) {
    return flights.join(running, undefined, patience, async (landed) => landed)
  }
  const flight = new Flight<T>([])
  flight.isClosed = isAlone
  flights.takeOff(key, flight, undefined)
  try {
    const landed = await action(flight)
    flight.land(landed)
    return landed
  } catch (error) {
    flight.fail(error)
    throw error
  } finally {
    flights.release(key, flight)
  }
}

describe('Flights', () => {
  it('runs an action once for ten thousand callers', async () => {
    const flights = new Flights<number>()
    let runs = 0
    const action = async () => {
      await Promise.resolve()
      return ++runs
    }
    const results = await Promise.all(
      Array.from({ length: 10_000 }, () => run(flights, 'k', action)),
    )
    expect(runs).toBe(1)
    expect(results.every((result) => result === 1)).toBe(true)
  })

  it('runs actions of different keys side by side', async () => {
    const flights = new Flights<string>()
    const slow = deferred<string>()
    const first = run(flights, 'a', () => slow.promise)
    expect(await run(flights, 'b', async () => 'b')).toBe('b')
    slow.resolve('a')
    expect(await first).toBe('a')
  })

  it('gives an error to all who wait, and runs again for the next', async () => {
    const flights = new Flights<string>()
    let runs = 0
    const action = async () => {
      runs++
      await Promise.resolve()
      if (runs === 1) throw new Error('first')
      return 'second'
    }
    const results = await Promise.allSettled(
      Array.from({ length: 100 }, () => run(flights, 'k', action)),
    )
    expect(results.every(({ status }) => status === 'rejected')).toBe(true)
    expect(await run(flights, 'k', action)).toBe('second')
    expect(runs).toBe(2)
  })

  it('starts again after forgetting, and the older end does not end the newer', async () => {
    const flights = new Flights<string>()
    const [old, young] = [deferred<string>(), deferred<string>()]
    const first = run(flights, 'k', () => old.promise)
    flights.forget()
    const second = run(flights, 'k', () => young.promise)
    old.resolve('old')
    expect(await first).toBe('old')
    const third = run(flights, 'k', async () => 'a third run')
    young.resolve('young')
    expect(await Promise.all([second, third])).toEqual(['young', 'young'])
  })

  it('lets nobody join what is run alone', async () => {
    const flights = new Flights<string>()
    const own = deferred<string>()
    const alone = run(flights, 'k', () => own.promise, true)
    expect(await run(flights, 'k', async () => 'for all')).toBe('for all')
    own.resolve('for one')
    expect(await alone).toBe('for one')
  })

  it('still lets nobody join it once what ran beside it has ended', async () => {
    const flights = new Flights<string>()
    const [first, own] = [deferred<string>(), deferred<string>()]
    const joinable = run(flights, 'k', () => first.promise)
    const alone = run(flights, 'k', () => own.promise, true)
    first.resolve('first')
    await joinable
    expect(await run(flights, 'k', async () => 'for all')).toBe('for all')
    own.resolve('for one')
    expect(await alone).toBe('for one')
  })

  it('lets nobody join what was detached', async () => {
    const flights = new Flights<string>()
    const old = deferred<string>()
    const first = run(flights, 'k', () => old.promise)
    flights.detach('k')
    expect(await run(flights, 'k', async () => 'new')).toBe('new')
    old.resolve('old')
    expect(await first).toBe('old')
  })

  it('tells all that run under a key that it was removed, in whatever order they end', async () => {
    const flights = new Flights<void>()
    const ends = Array.from({ length: 5 }, () => deferred<void>())
    const running: Flight<void>[] = []
    const results = ends.map(({ promise }) => {
      const result = run(flights, 'k', (flight) => {
        running.push(flight)
        return promise
      })
      flights.detach('k')
      return result
    })
    for (const i of [3, 1]) {
      ends[i]?.resolve()
      await results[i]
    }
    flights.forget('k')
    expect(running.map(({ isDiscarded }) => isDiscarded)).toEqual([true, false, true, false, true])
    for (const { resolve } of ends) resolve()
    await Promise.all(results)
  })

  it('keeps nothing of runs that have ended, also under a key that is never quiet', async () => {
    const flights = new Flights<void>()
    let previous: (() => void) | undefined
    let latest!: Flight<void>
    for (let i = 0; i < 1000; i++) {
      const end = deferred<void>()
      const result = run(flights, 'k', (flight) => {
        latest = flight
        return end.promise
      })
      // An invalidation: whoever comes next begins again while this one goes on.
      flights.detach('k')
      previous?.()
      previous = () => end.resolve()
      await Promise.race([result, new Promise((resolve) => setImmediate(resolve))])
    }
    let kept = 0
    for (let at: Flight<void> | undefined = latest; at !== undefined; at = at.replaced) kept++
    expect(kept).toBeLessThanOrEqual(2)
    previous?.()
  })
})

describe.each([
  ['LocMemCache', LocMemCache],
  ['AsyncTestCache', AsyncTestCache],
])('getOrSet of %s', (_, Cache) => {
  it('runs one producer for ten thousand callers', async () => {
    const cache = new Cache()
    let runs = 0
    const produce = async () => {
      runs++
      await Promise.resolve()
      return { run: runs }
    }
    const values = await Promise.all(
      Array.from({ length: 10_000 }, () => cache.getOrSet('k', produce)),
    )
    expect(runs).toBe(1)
    expect(values.every(({ run }) => run === 1)).toBe(true)
    expect(new Set(values).size).toBe(10_000)
  })

  it('gives a caller that comes after an invalidation nothing made before it', async () => {
    const cache = new Cache()
    const started = deferred<void>()
    const slow = deferred<string>()
    const before = cache.getOrSet(
      'k',
      () => {
        started.resolve()
        return slow.promise
      },
      { tags: ['t'] },
    )
    await started.promise
    await cache.invalidateTags(['t'])
    const after = cache.getOrSet('k', async () => 'fresh', { tags: ['t'] })
    expect(await after).toBe('fresh')
    slow.resolve('stale')
    expect(await before).toBe('fresh')
    expect(await cache.get('k')).toBe('fresh')
  })

  it('gives a caller that comes after clear nothing made before it', async () => {
    const cache = new Cache()
    const started = deferred<void>()
    const slow = deferred<string>()
    const before = cache.getOrSet('k', () => {
      started.resolve()
      return slow.promise
    })
    await started.promise
    await cache.clear()
    expect(await cache.getOrSet('k', async () => 'fresh')).toBe('fresh')
    slow.resolve('stale')
    await before
    expect(await cache.get('k')).toBe('fresh')
  })

  it('keeps versions apart', async () => {
    const cache = new Cache()
    const values = await Promise.all(
      [1, 2].map((version) => cache.getOrSet('k', async () => version, { version })),
    )
    expect(values).toEqual([1, 2])
  })
})

describe('producers that ask for each other', () => {
  it('do not wait for themselves', async () => {
    const cache = new LocMemCache()
    expect(await cache.getOrSet('k', () => cache.getOrSet('k', () => 1))).toBe(1)
  })

  it('do not wait in a circle', async () => {
    const cache = new LocMemCache()
    const nest = (a: string, b: string) =>
      cache.getOrSet(a, async () => {
        await delay(2)
        return a + (await cache.getOrSet(b, () => b))
      })
    const [first, second] = await Promise.all([nest('p', 'q'), nest('q', 'p')])
    expect([first[0], second[0]]).toEqual(['p', 'q'])
  })

  it('do not keep what was removed while they made it', async () => {
    const cache = new LocMemCache()
    const old = cache.getOrSet('k', () => delay(20, 'old'))
    await delay(2)
    await cache.delete('k')
    expect(await cache.getOrSet('k', () => 'new')).toBe('new')
    expect(await old).toBe('old')
    expect(await cache.get('k')).toBe('new')
  })
})

describe('what a producer, or a body, leaves behind', () => {
  const value = (i: number) => Buffer.alloc(5000, `${i}`).toString()

  it.each<readonly [string, (cache: Cache, key: string, make: () => string) => Promise<unknown>]>([
    ['getOrSet', (cache, key, make) => cache.getOrSet(key, make)],
    [
      'a fragment',
      // Of one name: what is counted of each name stays.
      (cache, key, body) =>
        fragmentsOver(cache).render({ name: 'f', timeout: 60, varyOn: [key], tags: [key] }, body),
    ],
  ])('holds nothing of what is made from there later: %s', async (_, make) => {
    setFlagsFromString('--expose-gc')
    const collectGarbage = runInNewContext('gc') as () => void
    const cache = new LocMemCache({ options: { maxEntries: 10 } })
    let fromInside: (action: () => Promise<void>) => Promise<void> = async () => undefined
    await make(cache, 'pool', () => {
      // As a pool of connections does, made when it is first needed.
      fromInside = AsyncResource.bind(async (action: () => Promise<void>) => action())
      return 'made'
    })
    const round = (from: number) =>
      fromInside(async () => {
        for (let i = from; i < from + 2000; i++) await make(cache, `k${i}`, () => value(i))
      })
    await round(0)
    collectGarbage()
    const before = process.memoryUsage().heapUsed
    await round(2000)
    await round(4000)
    collectGarbage()
    // The values alone would be 20 MB.
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(5e6)
  })

  it('holds nothing of what was made before by a producer that has itself called again', async () => {
    setFlagsFromString('--expose-gc')
    const collectGarbage = runInNewContext('gc') as () => void
    const cache = new LocMemCache({ options: { maxEntries: 10 } })
    // Contexts are tracked for as long as anything is being made.
    let release = (): void => undefined
    const slow = cache.getOrSet(
      'slow',
      () => new Promise<number>((end) => (release = () => end(1))),
    )
    const used: number[] = []
    await new Promise<void>((resolve) => {
      const call = (count: number): unknown =>
        cache.getOrSet(
          'k',
          () => {
            setImmediate(() => {
              // Here, where the last of them is the context of what runs.
              if (count % 3000 === 0) {
                collectGarbage()
                used.push(process.memoryUsage().heapUsed)
              }
              if (count < 6000) call(count + 1)
              else resolve()
            })
            return count
          },
          { timeout: 0 },
        )
      call(1)
    })
    release()
    await slow
    const [before = 0, after = Infinity] = used
    expect(after - before).toBeLessThan(1e6)
  })
})

const fragmentCaches = new WeakMap<Cache, FragmentCache>()

function fragmentsOver(cache: Cache): FragmentCache {
  const known = fragmentCaches.get(cache) ?? new FragmentCache(createCaches({ default: cache }))
  fragmentCaches.set(cache, known)
  return known
}
