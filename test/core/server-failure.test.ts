import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { CacheBackendError, type Cache } from '../../src/index.js'
import type { OutageMessage } from '../../src/observe/channels.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { settle } from '../support/waiting.js'
import { coreOf } from '../../src/backend/core.js'

const LIMIT_MS = 50

let cache: AsyncTestCache
let outages: OutageMessage[]
const note = (message: unknown) => outages.push(message as OutageMessage)

beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  cache = new AsyncTestCache({ options: { timeLimitMs: LIMIT_MS } }, true)
  outages = []
  subscribe('fragcache:outage', note)
})

afterEach(async () => {
  unsubscribe('fragcache:outage', note)
  vi.useRealTimers()
  await cache.close()
  vi.restoreAllMocks()
})

/** How a call ended, and how often the store was asked for it. */
async function asked(action: () => Promise<unknown>): Promise<{ error: unknown; times: number }> {
  const before = cache.reads + cache.writes
  const error: unknown = await action().then(
    () => undefined,
    (reason: unknown) => reason,
  )
  return { error, times: cache.reads + cache.writes - before }
}

async function failThreeTimes(of: Cache = cache): Promise<void> {
  for (let i = 0; i < 3; i++) await expect(of.get('k')).rejects.toThrow(CacheBackendError)
}

describe('a server that does not answer', () => {
  it('fails the call after the time limit, with the reason as its cause', async () => {
    cache.hanging = true
    const error: unknown = await cache.get('k').catch((reason: unknown) => reason)
    cache.hanging = false
    expect(error).toBeInstanceOf(CacheBackendError)
    expect(error).toMatchObject({
      operation: 'get',
      cause: { message: 'no answer within 50 ms' },
    })
  })

  it('fails a call of several round trips after one time limit', async () => {
    cache.latencyMs = LIMIT_MS * 0.4
    await expect(cache.set('k', 1, { tags: ['a'] })).rejects.toMatchObject({ operation: 'set' })
  })

  it('lets clear take as long as it takes', async () => {
    cache.latencyMs = LIMIT_MS
    await cache.clear()
  })

  it('fails fifty calls at once, and none that comes in time', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'setImmediate', 'performance'] })
    cache.hanging = true
    const late = Promise.allSettled(Array.from({ length: 50 }, () => cache.get('k')))
    await vi.advanceTimersByTimeAsync(LIMIT_MS / 2)
    const inTime = cache.set('other', 1)
    await vi.advanceTimersByTimeAsync(LIMIT_MS / 2 + 1)
    expect(new Set((await late).map(({ status }) => status))).toEqual(new Set(['rejected']))
    cache.hanging = false
    await inTime
  })

  it('gives misses where errors are to be ignored', async () => {
    const settings = { ignoreErrors: true, options: { timeLimitMs: LIMIT_MS } }
    const lenient = new AsyncTestCache(settings, true)
    lenient.hanging = true
    expect(await lenient.get('k', { default: 'none' })).toBe('none')
    lenient.hanging = false
    await lenient.close()
  })
})

describe('a server that fails again and again', () => {
  it('is not asked after three failures in a row', async () => {
    cache.failing = true
    await failThreeTimes()
    const { error, times } = await asked(() => cache.get('k'))
    expect(error).toBeInstanceOf(CacheBackendError)
    expect(String(error)).toContain('not asked')
    expect(error).toMatchObject({ cause: { message: 'the test store is down' } })
    expect(times).toBe(0)
  })

  it('is asked on while calls succeed in between', async () => {
    for (let i = 0; i < 5; i++) {
      cache.failing = true
      await expect(cache.get('k')).rejects.toThrow()
      await expect(cache.get('k')).rejects.toThrow()
      cache.failing = false
      await cache.get('k')
    }
    expect((await asked(() => cache.get('k'))).times).toBe(1)
  })

  it('is asked again by itself, without a caller that waits for the attempt', async () => {
    cache.hanging = true
    await failThreeTimes()
    const before = cache.reads
    await sleep(250)
    expect(cache.reads).toBeGreaterThan(before)
    expect((await asked(() => cache.get('k'))).times).toBe(0)
    cache.hanging = false
    await vi.waitFor(() => cache.get('k'), { timeout: 500, interval: 5 })
  })

  it('is reported once when it begins and once when it ends', async () => {
    cache.failing = true
    await failThreeTimes()
    for (let i = 0; i < 10; i++) await expect(cache.get('k')).rejects.toThrow()
    cache.failing = false
    await vi.waitFor(() => cache.get('k'), { timeout: 500, interval: 5 })
    expect(outages.map(({ until }) => until === undefined)).toEqual([true, false])
  })

  it('is not taken for back because of an answer to what was asked before', async () => {
    vi.useFakeTimers()
    cache.hanging = true
    const early = cache.get('k')
    coreOf(cache).guard.reportFailure('get', new Error('gone'))
    cache.hanging = false
    await early
    expect(outages).toHaveLength(1)
  })

  it('is not taken for down again because of what was asked before it was back', async () => {
    vi.useFakeTimers()
    cache.hanging = true
    const first = expect(cache.get('first')).rejects.toThrow(CacheBackendError)
    await vi.advanceTimersByTimeAsync(0.6 * LIMIT_MS)
    const later = Promise.allSettled(Array.from({ length: 5 }, () => cache.get('later')))
    await vi.advanceTimersByTimeAsync(0.6 * LIMIT_MS)
    await first
    cache.lose()
    await cache.get('new')
    expect(outages.map(({ until }) => until === undefined)).toEqual([true, false])
    await vi.advanceTimersByTimeAsync(0.6 * LIMIT_MS)
    expect(new Set((await later).map(({ status }) => status))).toEqual(new Set(['rejected']))
    expect(outages).toHaveLength(2)
    expect((await asked(() => cache.get('k'))).times).toBe(1)
  })

  it('is taken for down again by the first call since then that fails', async () => {
    cache.failing = true
    await expect(cache.get('k')).rejects.toThrow()
    cache.failing = false
    await cache.get('k')
    cache.failing = true
    await expect(cache.get('k')).rejects.toThrow()
    expect(outages.map(({ until }) => until === undefined)).toEqual([true, false, true])
  })

  it('is not asked by a cache that was closed, also if calls fail after that', async () => {
    cache.hanging = true
    const calls = Array.from({ length: 5 }, () => cache.get('k').catch(() => 'failed'))
    await cache.close()
    expect(await Promise.all(calls)).toContain('failed')
    const before = cache.reads
    await sleep(250)
    expect(cache.reads).toBe(before)
    cache.hanging = false
    await cache.get('k')
  })

  it('is asked at once after the cache was closed', async () => {
    cache.failing = true
    await failThreeTimes()
    await cache.close()
    cache.failing = false
    await cache.get('k')
  })
})

describe('a store with copies', () => {
  /** Reads come from a copy that works, writes fail. */
  function withCopies(): AsyncTestCache {
    const { store } = coreOf(cache)
    Object.defineProperty(store, 'readsMayLag', { value: true })
    store.readCopies = (keys) => Promise.resolve(keys.map(() => undefined))
    cache.failing = true
    return cache
  }

  it('is read on while writes fail at once, and tells of one outage', async () => {
    withCopies()
    for (let i = 0; i < 20; i++) {
      await expect(cache.set('k', 1)).rejects.toThrow(CacheBackendError)
      expect(await cache.get('k')).toBeUndefined()
    }
    expect((await asked(() => cache.set('k', 1))).times).toBe(0)
    expect(outages).toHaveLength(1)
    cache.failing = false
    await vi.waitFor(() => cache.set('k', 1), { timeout: 500, interval: 5 })
    expect(outages.map(({ until }) => until === undefined)).toEqual([true, false])
  })

  it('does not wait for the versions of tags, which copies do not have', async () => {
    withCopies()
    for (let i = 0; i < 3; i++) await expect(cache.set('k', 1)).rejects.toThrow()
    const { error, times } = await asked(() =>
      cache.getOrSet('k', 1, { tags: ['t'], strict: true }),
    )
    expect(String(error)).toContain('not asked')
    expect(times).toBe(0)
  })
})

describe('errors that are answers of a server that is alive', () => {
  it('do not keep it from being asked', async () => {
    Object.assign(cache, { isOutage: () => false })
    cache.failing = true
    await failThreeTimes()
    expect((await asked(() => cache.get('k'))).times).toBe(1)
  })

  it('are no outage, however many come between calls that work, and warn once', async () => {
    Object.assign(cache, { isOutage: () => false })
    const warn = vi.mocked(process.emitWarning)
    warn.mockClear()
    for (let i = 0; i < 20; i++) {
      cache.failing = true
      await expect(cache.set('k', 1)).rejects.toThrow(CacheBackendError)
      cache.failing = false
      await cache.get('k')
    }
    expect(outages).toEqual([])
    expect(warn.mock.calls).toEqual([
      [
        expect.stringContaining('some of its calls fail') as string,
        { type: 'CacheRefusalWarning', code: 'FRAGCACHE_REFUSED' },
      ],
    ])
  })
})

describe('touch', () => {
  it('leaves nothing behind that nobody waits for where the store refuses it at once', async () => {
    const unhandled: unknown[] = []
    const heard = (error: unknown) => void unhandled.push(error)
    process.on('unhandledRejection', heard)
    vi.spyOn(cache, 'touchEntry').mockImplementation(() => {
      throw new Error('not asked')
    })
    cache.failing = true
    await expect(cache.touch('k')).rejects.toThrow(CacheBackendError)
    // The look-up that went with it ends later.
    await settle()
    process.off('unhandledRejection', heard)
    expect(unhandled).toEqual([])
  })
})

describe('the option timeLimitMs', () => {
  it.each([0, -1, 1.5, '1000', null])('refuses %j', (timeLimitMs) => {
    expect(() => new AsyncTestCache({ options: { timeLimitMs } }, true)).toThrow(
      /options\.timeLimitMs: .* is not a whole number of at least 1/,
    )
  })

  it('refuses what no timer can wait for', () => {
    expect(() => new AsyncTestCache({ options: { timeLimitMs: 2 ** 31 } }, true)).toThrow(
      'options.timeLimitMs: 2147483648 is not at most 2147483647',
    )
  })

  it('belongs to servers only', () => {
    expect(() => new AsyncTestCache({ options: { timeLimitMs: 1 } })).toThrow('unknown option')
  })
})
