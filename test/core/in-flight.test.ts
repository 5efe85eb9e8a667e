import { AsyncResource } from 'node:async_hooks'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { SingleFlight, type Run } from '../../src/making/single-flight.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { SteppedClock } from '../support/clock.js'

function deferred<T>() {
  let resolve!: (value: T) => void
  const promise = new Promise<T>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}

/** Lets all that needs no more than answers of a store come to its end. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 60; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
}

afterEach(() => {
  vi.restoreAllMocks()
})

describe('SingleFlight', () => {
  it('lets nobody join what is run alone, whatever is said of its age', async () => {
    const flights = new SingleFlight()
    const own = deferred<string>()
    const alone = flights.runAlone('k', (run) => {
      run.isOutdated = () => false
      return own.promise
    })
    expect(await flights.run('k', async () => 'for all')).toBe('for all')
    own.resolve('for one')
    expect(await alone).toBe('for one')
  })

  it('still lets nobody join it once what ran beside it has ended', async () => {
    const flights = new SingleFlight()
    const [first, own] = [deferred<string>(), deferred<string>()]
    const joinable = flights.run('k', () => first.promise)
    const alone = flights.runAlone('k', () => own.promise)
    first.resolve('first')
    await joinable
    expect(await flights.run('k', async () => 'for all')).toBe('for all')
    own.resolve('for one')
    expect(await alone).toBe('for one')
  })

  it('lets nobody join what was detached, also if that is said to be fresh after it', async () => {
    const flights = new SingleFlight()
    const old = deferred<string>()
    let running!: Run
    const first = flights.run('k', (run) => {
      running = run
      return old.promise
    })
    flights.detach('k')
    running.isOutdated = () => false
    expect(await flights.run('k', async () => 'new')).toBe('new')
    old.resolve('old')
    expect(await first).toBe('old')
  })

  it('tells all that run under a key that it was removed, in whatever order they end', async () => {
    const flights = new SingleFlight()
    const ends = Array.from({ length: 5 }, () => deferred<void>())
    const runs: Run[] = []
    const results = ends.map(({ promise }) => {
      const result = flights.run('k', (run) => {
        runs.push(run)
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
    expect(runs.map(({ isDiscarded }) => isDiscarded)).toEqual([true, false, true, false, true])
    for (const { resolve } of ends) resolve()
    await Promise.all(results)
  })

  it('keeps nothing of runs that have ended, also under a key that is never quiet', async () => {
    const flights = new SingleFlight()
    let previous: (() => void) | undefined
    let latest!: Run
    for (let i = 0; i < 1000; i++) {
      const end = deferred<void>()
      const result = flights.run('k', (run) => {
        latest = run
        return end.promise
      })
      // An invalidation: whoever comes next begins anew while this one goes on.
      flights.detach('k')
      previous?.()
      previous = () => end.resolve()
      await Promise.race([result, new Promise((resolve) => setImmediate(resolve))])
    }
    let kept = 0
    for (let run: Run | undefined = latest; run !== undefined; run = run.replaced) kept++
    expect(kept).toBeLessThanOrEqual(2)
    previous?.()
  })
})

describe('who leads', () => {
  it('is served the old one although its time ends as the failure is told', async () => {
    const clock = new SteppedClock()
    clock.start()
    const cache = new AsyncTestCache()
    const options = { timeout: 10, staleIfError: 10 }
    await cache.set('k', 'old', options)
    clock.advance(15)
    let runs = 0
    const late = () => clock.advance(100)
    subscribe('fragcache:refresh', late)
    try {
      const producer = () => {
        runs++
        throw new Error('the data is gone')
      }
      expect(await cache.getOrSet('k', producer, options)).toBe('old')
    } finally {
      unsubscribe('fragcache:refresh', late)
    }
    expect(runs).toBe(1)
  })
})

describe('what a failed producer leaves behind', () => {
  const stale = { timeout: 10, staleWhileRevalidate: 10 }

  it.each([
    ['asked for', async () => undefined],
    [
      'run by a refresh',
      async (cache: AsyncTestCache) => {
        await cache.set('k', 'old', stale)
        await cache.expire('k')
      },
    ],
  ])('is under no lease any more: %s', async (_, prepare) => {
    const cache = new AsyncTestCache()
    await prepare(cache)
    let fromInside: (action: () => Promise<void>) => Promise<void> = async () => undefined
    const failing = () => {
      // As a pool of connections does, made when it is first needed.
      fromInside = AsyncResource.bind(async (action: () => Promise<void>) => action())
      throw new Error('the producer failed')
    }
    await cache.getOrSet('k', failing, { ...stale, lock: true }).catch(() => undefined)
    await settle()
    let leases: string[] = []
    const producer = () => {
      leases = cache.storedKeys.filter((key) => /lock.*other/.test(key))
      return 1
    }
    await fromInside(async () => void (await cache.getOrSet('other', producer, { lock: true })))
    expect(leases).toHaveLength(1)
  })
})
