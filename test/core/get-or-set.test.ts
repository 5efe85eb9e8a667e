import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createCaches, dependOn, LocMemCache, type RefreshMessage } from '../../src/index.js'
import { TieredCache } from '../../src/backends/tiered.js'
import { currentFrame } from '../../src/making/frame.js'
import { isDueEarly } from '../../src/staleness.js'
import { splitLabels, withStamp } from '../../src/stamp.js'
import { AsyncTestCache } from '../support/async-cache.js'

/** Numbers between 0 and 1, the same ones for the same seed (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

describe('one producer for many', () => {
  it('runs once for ten thousand callers', async () => {
    for (const cache of [new LocMemCache(), new AsyncTestCache()]) {
      let runs = 0
      const produce = async () => {
        await new Promise((resolve) => setTimeout(resolve, 5))
        return ++runs
      }
      const callers = Array.from({ length: 10_000 }, () => cache.getOrSet('k', produce))
      expect(new Set(await Promise.all(callers))).toEqual(new Set([1]))
    }
  })
})

describe('early refresh', () => {
  const stamp = { freshUntilMs: 100_000, graceMs: 0, costMs: 1000 }

  it('is as likely as XFetch says: exp(-time left / (cost * beta))', () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    vi.spyOn(Math, 'random').mockImplementation(seeded(1))
    const trials = 100_000
    for (const beta of [0.5, 1, 3]) {
      for (const leftMs of [100, 500, 1000, 3000]) {
        vi.setSystemTime(stamp.freshUntilMs - leftMs)
        let due = 0
        for (let i = 0; i < trials; i++) if (isDueEarly(stamp, beta)) due++
        const expected = Math.exp(-leftMs / (stamp.costMs * beta))
        // Five standard deviations of the mean.
        const tolerance = 5 * Math.sqrt((expected * (1 - expected)) / trials)
        expect(Math.abs(due / trials - expected)).toBeLessThan(tolerance)
      }
    }
  })

  it('never comes for what cost nothing, has no stamp, or was not asked for', () => {
    vi.spyOn(Math, 'random').mockReturnValue(Number.MIN_VALUE)
    vi.useFakeTimers({ toFake: ['Date'], now: 99_999 })
    expect(isDueEarly({ ...stamp, costMs: 0 }, 1)).toBe(false)
    expect(isDueEarly(undefined, 1)).toBe(false)
    expect(isDueEarly(stamp, 0)).toBe(false)
    expect(isDueEarly(stamp, 1)).toBe(true)
  })

  it('makes a hot value again in nobody’s time, so that it never ends', async () => {
    vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'performance'] })
    vi.spyOn(Math, 'random').mockImplementation(seeded(7))
    const cache = new LocMemCache({ earlyRefresh: true })
    let runs = 0
    let misses = 0
    const produce = async () => {
      await new Promise((resolve) => setTimeout(resolve, 2000))
      return ++runs
    }
    const first = cache.getOrSet('k', produce, { timeout: 60 })
    await vi.advanceTimersByTimeAsync(2000)
    await first
    for (let second = 0; second < 600; second++) {
      for (let i = 0; i < 10; i++) {
        if (!(await cache.has('k'))) misses++
        await cache.getOrSet('k', produce, { timeout: 60 })
        await vi.advanceTimersByTimeAsync(100)
      }
    }
    expect(misses).toBe(0)
    expect(runs).toBeGreaterThanOrEqual(10)
    expect(runs).toBeLessThan(20)
  })
})

describe.each([
  ['an asynchronous cache', () => new AsyncTestCache()],
  [
    'tiers',
    () =>
      new TieredCache({
        local: new LocMemCache(),
        remote: new AsyncTestCache(),
        localTimeout: 100,
      }),
  ],
])('early refresh in %s', (_, create) => {
  it('keeps what was made ahead of its time, also with tags', async () => {
    const random = vi.spyOn(Math, 'random').mockReturnValue(0.9999)
    const cache = create()
    let runs = 0
    const get = () =>
      cache.getOrSet(
        'k',
        async () => {
          await new Promise((resolve) => setTimeout(resolve, 10))
          return ++runs
        },
        { tags: ['t'], timeout: 5, earlyRefresh: true },
      )
    expect([await get(), await get()]).toEqual([1, 1])
    random.mockReturnValue(Number.MIN_VALUE)
    expect(await get()).toBe(1)
    random.mockReturnValue(0.9999)
    await vi.waitFor(async () => expect(await cache.get('k')).toBe(2))
    expect(await get()).toBe(2)
    await cache.invalidateTags(['t'])
    expect(await get()).toBe(3)
  })
})

describe('a failed refresh', () => {
  it('is told each time on its channel', async () => {
    const told: RefreshMessage[] = []
    const listener = (message: unknown) => void told.push(message as RefreshMessage)
    subscribe('fragcache:refresh', listener)
    try {
      const { shop } = createCaches({ shop: new AsyncTestCache() })
      const boom = new Error('boom')
      const failing = () => Promise.reject(boom)
      await shop.set('k', 'old', { staleWhileRevalidate: 60, staleIfError: 60 })
      await shop.expire('k')
      expect(await shop.getOrSet('k', failing, { staleIfError: 60 })).toBe('old')
      expect(await shop.getOrSet('k', failing, { staleWhileRevalidate: 60 })).toBe('old')
      await vi.waitFor(() => expect(told).toHaveLength(2))
      expect(told[0]).toEqual({ alias: 'shop', backend: 'AsyncTestCache', key: 'k', error: boom })
    } finally {
      unsubscribe('fragcache:refresh', listener)
    }
  })

  it('is otherwise a warning, at most once a minute', async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    vi.spyOn(performance, 'now').mockReturnValue(performance.now() + 3_600_000)
    const cache = new LocMemCache()
    await cache.set('k', 'old', { staleIfError: 60 })
    await cache.expire('k')
    const failing = () => Promise.reject(new Error('boom'))
    for (let i = 0; i < 3; i++) await cache.getOrSet('k', failing, { staleIfError: 60 })
    expect(warn).toHaveBeenCalledOnce()
    expect(warn.mock.calls[0]).toMatchObject([
      /"k" could not be refreshed, and the old value is served: Error: boom/,
      { code: 'FRAGCACHE_REFRESH_FAILED' },
    ])
  })

  it('runs with the caller’s own context, but as part of nothing', async () => {
    const tenant = new AsyncLocalStorage<string>()
    const cache = new LocMemCache()
    const options = { staleWhileRevalidate: 60 }
    await cache.set('k', 'old', options)
    await cache.expire('k')
    const seen: unknown[] = []
    await cache.getOrSet('outer', () =>
      tenant.run('shop-7', () =>
        cache.getOrSet(
          'k',
          async () => {
            seen.push(tenant.getStore(), currentFrame()?.parent)
            return 'new'
          },
          options,
        ),
      ),
    )
    await vi.waitFor(() => expect(seen).toEqual(['shop-7', undefined]))
  })
})

describe.each([
  ['local memory', () => new LocMemCache()],
  ['an asynchronous cache', () => new AsyncTestCache()],
])('what a value is made from, in %s', (_, create) => {
  let cache: LocMemCache | AsyncTestCache

  beforeEach(() => {
    cache = create()
  })

  const user = { tags: ['user:7'] }

  it.each([
    ['getOrSet, made', () => cache.getOrSet('part', () => 'x', user)],
    [
      'getOrSet, found',
      async () => {
        await cache.set('part', 'x', user)
        return cache.getOrSet('part', () => 'y')
      },
    ],
    [
      'get',
      async () => {
        await cache.set('part', 'x', user)
        return cache.get('part')
      },
    ],
    [
      'getMany',
      async () => {
        await cache.set('part', 'x', user)
        return (await cache.getMany(['other', 'part'])).get('part')
      },
    ],
    ['set', () => cache.set('part', 'x', user)],
    ['add', () => cache.add('part', 'x', user)],
    ['setMany', () => cache.setMany({ part: 'x' }, user)],
    ['dependOn', () => dependOn(['user:7'])],
    [
      'dependOn, after a wait and in a timer',
      async () => {
        await new Promise((resolve) => setTimeout(resolve, 1))
        await new Promise<void>((resolve) => {
          setTimeout(() => {
            dependOn(['user:7'])
            resolve()
          }, 1)
        })
      },
    ],
    [
      'three levels down',
      () =>
        cache.getOrSet('a', () =>
          cache.getOrSet('b', async () => {
            await cache.getOrSet('c', () => 1, user)
            return 1
          }),
        ),
    ],
    [
      'what a value inside begins and does not wait for',
      async () => {
        let left: Promise<unknown> | undefined
        const pause = () => new Promise((resolve) => setTimeout(resolve, 1))
        await cache.getOrSet('inside', () => {
          left = cache.getOrSet('part', async () => pause().then(() => 'x'), user)
          return 1
        })
        await left
      },
    ],
    [
      'what a value inside begins after it has ended',
      async () => {
        let left: Promise<unknown> | undefined
        await cache.getOrSet('inside', () => {
          const pause = new Promise((resolve) => setTimeout(resolve, 1))
          left = pause.then(() => cache.getOrSet('part', () => 'x', user))
          return 1
        })
        await left
      },
    ],
  ])('%s: what changes it changes the value', async (__, touch: () => unknown) => {
    const make = async () => {
      await touch()
      return 'made'
    }
    await cache.getOrSet('page', make, { tags: ['own'] })
    await cache.set('unrelated', 1, { tags: ['other'] })
    expect(await cache.get('page')).toBe('made')
    await cache.invalidateTags(['user:8'])
    expect(await cache.get('page')).toBe('made')
    await cache.invalidateTags(['user:7'])
    expect(await cache.get('page')).toBeUndefined()
    expect(await cache.get('unrelated')).toBe(1)
  })

  it('joins: who waited for a value depends on it like who made it', async () => {
    const slow = async () => {
      await new Promise((resolve) => setTimeout(resolve, 5))
      return 'x'
    }
    await Promise.all(
      ['p', 'q'].map((page) =>
        cache.getOrSet(page, async () => cache.getOrSet('part', slow, user)),
      ),
    )
    expect((await cache.getMany(['p', 'q'])).size).toBe(2)
    await cache.invalidateTags(['user:7'])
    expect((await cache.getMany(['p', 'q'])).size).toBe(0)
  })

  it('an invalidation while the outer is still being made wins', async () => {
    await cache.getOrSet('page', async () => {
      await cache.getOrSet('part', () => 'x', user)
      await cache.invalidateTags(['user:7'])
      return 'made'
    })
    expect(await cache.get('page')).toBeUndefined()
    await cache.getOrSet('page', async () => {
      dependOn(['user:7'])
      await cache.invalidateTags(['user:7'])
      return 'made'
    })
    expect(await cache.get('page')).toBeUndefined()
  })

  it('never leaks between two hundred that are made at the same time', async () => {
    const pause = () => new Promise((resolve) => setTimeout(resolve, Math.random() * 5))
    await Promise.all(
      Array.from({ length: 200 }, (__, i) =>
        cache.getOrSet(`page${i}`, async () => {
          await pause()
          await cache.getOrSet(`part${i % 50}`, pause2(i), { tags: [`part:${i % 50}`] })
          await pause()
          dependOn([`only:${i}`])
          await pause()
          return i
        }),
      ),
    )
    function pause2(i: number) {
      return async () => {
        await pause()
        return i
      }
    }
    const pages = Array.from({ length: 200 }, (__, i) => `page${i}`)
    const alive = async () => (await cache.getMany(pages)).size
    expect(await alive()).toBe(200)
    await cache.invalidateTags(['only:17'])
    expect(await alive()).toBe(199)
    expect(await cache.has('page17')).toBe(false)
    await cache.invalidateTags(['part:3'])
    // 3, 53, 103 and 153.
    expect(await alive()).toBe(195)
  })

  it('bubbleTimeout: it lives no longer than the first of its parts, made or found', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const part = () => cache.getOrSet('part', () => 1, { timeout: 30 })
    const options = { timeout: 600, bubbleTimeout: true }
    await cache.getOrSet('made', part, options)
    vi.advanceTimersByTime(10_000)
    await cache.getOrSet('found', part, options)
    await cache.getOrSet('got', async () => (await cache.get('part')) ?? 0, options)
    await cache.getOrSet('deep', () => cache.getOrSet('mid', part, { timeout: 900 }), options)
    await cache.getOrSet('plain', part, { timeout: 600 })
    const names = ['made', 'found', 'got', 'deep', 'plain']
    vi.advanceTimersByTime(19_999)
    expect((await cache.getMany(names)).size).toBe(5)
    vi.advanceTimersByTime(1)
    expect([...(await cache.getMany(names)).keys()]).toEqual(['plain'])
  })

  it('bubbleTimeout: it lives no longer than what a part began to read and did not wait for', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const pause = () => new Promise((resolve) => setTimeout(resolve, 1))
    const page = async () => {
      let left: Promise<unknown> | undefined
      await cache.getOrSet('inside', () => {
        left = cache.getOrSet('part', async () => pause().then(() => 'x'), { timeout: 30 })
        return 1
      })
      await left
      return 'made'
    }
    await cache.getOrSet('page', page, { timeout: 600, bubbleTimeout: true })
    vi.advanceTimersByTime(29_999)
    expect(await cache.has('page')).toBe(true)
    vi.advanceTimersByTime(1)
    expect(await cache.has('page')).toBe(false)
  })

  it('bubbleTimeout: a shorter time of its own, and what never ends, stay', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const part = () => cache.getOrSet('part', () => 1, { timeout: null })
    await cache.getOrSet('short', part, { timeout: 5, bubbleTimeout: true })
    await cache.getOrSet('never', part, { timeout: null, bubbleTimeout: true })
    vi.advanceTimersByTime(4_999)
    expect(await cache.has('short')).toBe(true)
    vi.advanceTimersByTime(1)
    expect(await cache.has('short')).toBe(false)
    vi.advanceTimersByTime(10 ** 10)
    expect(await cache.has('never')).toBe(true)
  })
})

describe('round trips', () => {
  it('a tagged hit costs one once its tags are known, also of tags it got from inside', async () => {
    const cache = new AsyncTestCache()
    await cache.set('k', 1, { tags: ['a', 'b'] })
    await cache.getOrSet('outer', () => cache.getOrSet('inner', () => 1, { tags: ['c'] }))
    for (const read of [
      () => cache.get('k'),
      () => cache.getMany(['outer', 'k']),
      () => cache.getOrSet('outer', () => 2),
    ]) {
      await read()
      const before = cache.reads
      await read()
      expect(cache.reads - before).toBe(1)
    }
  })

  it('an entry that got other tags since is judged by those', async () => {
    const location = 'recalled-tags'
    const [here, there] = [new AsyncTestCache({ location }), new AsyncTestCache({ location })]
    await here.set('k', 1, { tags: ['a'] })
    expect(await here.get('k')).toBe(1)
    await there.set('k', 2, { tags: ['b'] })
    expect(await here.get('k')).toBe(2)
    await there.invalidateTags(['a'])
    expect(await here.get('k')).toBe(2)
    await there.invalidateTags(['b'])
    expect(await here.get('k')).toBeUndefined()
  })
})

describe('the stamp of an entry', () => {
  it('goes with the versions of its tags and comes apart again', () => {
    const tags = new Map([['t:x', '1']])
    for (const freshUntilMs of [0, 1_763_000_000_000, Infinity]) {
      const stamp = { freshUntilMs, graceMs: 60_000, costMs: 17 }
      expect(splitLabels(withStamp(tags, stamp))).toEqual({ tags, stamp })
      expect(splitLabels(withStamp(undefined, stamp))).toEqual({ tags: undefined, stamp })
    }
    expect(withStamp(new Map(), undefined)).toBeUndefined()
    expect(splitLabels(tags)).toEqual({ tags, stamp: undefined })
  })

  it.each(['', '1', '1 2', '1 2 3 4', 'a 2 3', '1 2 NaN'])('%j is damage', (text) => {
    expect(() => splitLabels(new Map([['=', text]]))).toThrow('damaged stamp')
  })
})
