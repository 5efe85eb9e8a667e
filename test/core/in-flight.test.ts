import { AsyncResource } from 'node:async_hooks'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { SteppedClock } from '../support/clock.js'
import { settle } from '../support/waiting.js'

afterEach(() => {
  vi.restoreAllMocks()
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
