import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { CacheBackendError, type WriteEntry } from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'

beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
})
afterEach(() => {
  vi.restoreAllMocks()
})

function down(settings = {}) {
  const cache = new AsyncTestCache(settings)
  cache.failing = true
  return cache
}

describe('a store that fails', () => {
  it('is a CacheBackendError that names backend and operation and keeps the cause', async () => {
    const error: unknown = await down()
      .set('k', 'a secret')
      .catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(CacheBackendError)
    expect(error).toMatchObject({
      name: 'CacheBackendError',
      code: 'FRAGCACHE_BACKEND_FAILED',
      backend: 'AsyncTestCache',
      operation: 'set',
      cause: { message: 'the test store is down' },
    })
    expect(String(error)).not.toContain('secret')
  })

  it('keeps a CacheBackendError of the backend’s own as it is', async () => {
    const own = new CacheBackendError('timed out', { backend: 'Mine', cause: 7 })
    class Mine extends AsyncTestCache {
      override readEntries(): Promise<never> {
        return Promise.reject(own)
      }
    }
    await expect(new Mine().get('k')).rejects.toBe(own)
  })

  it('does not run the producer of a strict getOrSet', async () => {
    const produce = vi.fn(() => 1)
    const asked = down().getOrSet('k', produce, { strict: true })
    await expect(asked).rejects.toThrow(CacheBackendError)
    expect(produce).not.toHaveBeenCalled()
  })

  it('takes a TypeError out of the backend’s own code for a failure, not for the caller’s', async () => {
    class Buggy extends AsyncTestCache {
      override readEntries(): Promise<never> {
        return Promise.reject(new TypeError('x is undefined'))
      }
    }
    await expect(new Buggy().get('k')).rejects.toMatchObject({ code: 'FRAGCACHE_BACKEND_FAILED' })
    expect(await new Buggy({ ignoreErrors: true }).get('k')).toBeUndefined()
  })
})

describe('ignoreErrors', () => {
  it('lets getOrSet run its producer, once for all who ask, and store nothing', async () => {
    const cache = down({ ignoreErrors: true })
    let runs = 0
    const produce = async () => ({ run: ++runs })
    const values = await Promise.all(Array.from({ length: 50 }, () => cache.getOrSet('k', produce)))
    expect(runs).toBe(1)
    expect(new Set(values).size).toBe(50)
    cache.failing = false
    expect(await cache.has('k')).toBe(false)
  })

  it('gives what was made when only the storing fails', async () => {
    const cache = new AsyncTestCache({ ignoreErrors: true })
    const produce = () => {
      cache.failing = true
      return 'made'
    }
    expect(await cache.getOrSet('k', produce)).toBe('made')
  })

  it('does not store a value whose tags could not be read', async () => {
    const cache = new AsyncTestCache({ ignoreErrors: true })
    cache.failing = true
    const produce = () => {
      cache.failing = false
      return 'made'
    }
    expect(await cache.getOrSet('k', produce, { tags: ['t'] })).toBe('made')
    expect(await cache.has('k')).toBe(false)
  })

  it('leaves the producer’s own errors alone', async () => {
    const boom = new Error('boom')
    await expect(
      down({ ignoreErrors: true }).getOrSet('k', () => Promise.reject(boom)),
    ).rejects.toBe(boom)
  })

  it('does not hide a value that is too large, a wrong call or a counter that is not there', async () => {
    const cache = new AsyncTestCache({ ignoreErrors: true })
    cache.maxPayloadBytes = 10
    await expect(cache.set('k', 'x'.repeat(50))).rejects.toMatchObject({
      code: 'FRAGCACHE_VALUE_TOO_LARGE',
    })
    await expect(cache.set('k', (() => 1) as never)).rejects.toThrow(TypeError)
    await expect(cache.incr('k')).rejects.toMatchObject({ code: 'FRAGCACHE_KEY_NOT_FOUND' })
  })

  it('names the keys of a batch that a part of the store did not take', async () => {
    class Partly extends AsyncTestCache {
      override async writeEntries(entries: readonly WriteEntry[]) {
        const outcomes = await super.writeEntries(entries.filter(({ key }) => !key.endsWith('b')))
        return entries.map(({ key }) =>
          key.endsWith('b') ? 'failed' : (outcomes.shift() ?? 'failed'),
        )
      }
    }
    const cache = new Partly()
    expect(await cache.setMany({ a: 1, b: 2, c: 3 })).toEqual(['b'])
    expect([...(await cache.getMany(['a', 'b', 'c'])).keys()]).toEqual(['a', 'c'])
    await expect(cache.set('b', 1)).rejects.toMatchObject({ code: 'FRAGCACHE_BACKEND_FAILED' })
    expect(await new Partly({ ignoreErrors: true }).add('b', 1)).toBe(false)
  })
})

describe('moving an entry', () => {
  it('keeps it where it was if it cannot be stored under the new version', async () => {
    const cache = new AsyncTestCache()
    await cache.set('k', 'x'.repeat(50))
    cache.maxPayloadBytes = 10
    await expect(cache.incrVersion('k')).rejects.toMatchObject({
      code: 'FRAGCACHE_VALUE_TOO_LARGE',
      operation: 'incrVersion',
    })
    expect(await cache.get('k')).toBe('x'.repeat(50))
  })

  it('names the call that was made', async () => {
    await expect(new AsyncTestCache().decrVersion('k')).rejects.toThrow(/^decrVersion: the key "k"/)
    await expect(new AsyncTestCache().decr('k')).rejects.toThrow(/^decr: the key "k" is not there/)
  })
})

describe('a store that hangs', () => {
  it('delays only the calls to it, and goes on when it is back', async () => {
    const cache = new AsyncTestCache()
    await cache.set('k', 1)
    cache.hanging = true
    const waiting = cache.get('k')
    const first = await Promise.race([waiting, new Promise((done) => setTimeout(done, 20, 'none'))])
    expect(first).toBe('none')
    cache.hanging = false
    expect(await waiting).toBe(1)
  })
})
