import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import {
  createCaches,
  FragmentCache,
  LocMemCache,
  type Cache,
  type OperationMessage,
  type OutageMessage,
} from '../../src/index.js'
import { operationChannel } from '../../src/observe/channels.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { coreOf } from '../../src/backend/core.js'

let listening: (readonly [string, (message: unknown) => void])[] = []

/** The messages of a channel from now to the end of the test. */
function listen<Message>(name: string): Message[] {
  const messages: Message[] = []
  const listener = (message: unknown) => messages.push(message as Message)
  subscribe(name, listener)
  listening.push([name, listener])
  return messages
}

beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
})
afterEach(() => {
  for (const [name, listener] of listening) unsubscribe(name, listener)
  listening = []
  vi.restoreAllMocks()
  vi.useRealTimers()
})

describe('fragcache:operation', () => {
  it('tells of each call: who, what, which keys, hits, misses and time', async () => {
    const messages = listen<OperationMessage>('fragcache:operation')
    const { local } = createCaches({ local: new LocMemCache({ keyPrefix: 'p' }) })
    await local.set('a', 1)
    await local.get('a')
    await local.get('b')
    await local.has('a')
    await local.getMany(['a', 'b', 'c', 'a'])
    expect(messages.map(({ durationMs: _, ...rest }) => rest)).toEqual([
      tell('set', ['a'], 0, 0),
      tell('get', ['a'], 1, 0),
      tell('get', ['b'], 0, 1),
      tell('has', ['a'], 1, 0),
      tell('getMany', ['a', 'b', 'c'], 1, 2),
    ])
    for (const { durationMs } of messages) expect(durationMs).toBeGreaterThanOrEqual(0)
  })

  function tell(operation: string, keys: string[], hits: number, misses: number) {
    return { alias: 'local', backend: 'LocMemCache', operation, keys, hits, misses }
  }

  const calls: readonly (readonly [string, (cache: Cache) => Promise<unknown>])[] = [
    ['add', (cache) => cache.add('k', 1)],
    ['touch', (cache) => cache.touch('k')],
    ['delete', (cache) => cache.delete('k')],
    ['setMany', (cache) => cache.setMany({ k: 1 })],
    ['deleteMany', (cache) => cache.deleteMany(['k'])],
    ['incr', (cache) => cache.incr('n')],
    ['decr', (cache) => cache.decr('n')],
    ['incrVersion', (cache) => cache.incrVersion('n')],
    ['decrVersion', (cache) => cache.decrVersion('n')],
    ['clear', (cache) => cache.clear()],
    ['invalidateTags', (cache) => cache.invalidateTags(['t'])],
  ]

  it.each(calls)('names %s', async (operation, call) => {
    for (const cache of [new LocMemCache(), new AsyncTestCache()]) {
      await cache.set('n', 1)
      const messages = listen<OperationMessage>('fragcache:operation')
      await call(cache)
      expect(messages).toHaveLength(1)
      expect(messages[0]).toMatchObject({ alias: '', operation, hits: 0, misses: 0 })
    }
  })

  it('tells what getOrSet looked up, and what it stored', async () => {
    const cache = new AsyncTestCache()
    const messages = listen<OperationMessage>('fragcache:operation')
    await cache.getOrSet('k', () => 1)
    await cache.getOrSet('k', () => 2)
    expect(messages.map(({ operation, hits, misses }) => [operation, hits, misses])).toEqual([
      ['getOrSet', 0, 1],
      ['add', 0, 0],
      ['getOrSet', 1, 0],
    ])
  })

  it('tells of a failure with its error, which counts as neither hit nor miss', async () => {
    const cache = new AsyncTestCache({ ignoreErrors: true })
    cache.failing = true
    const messages = listen<OperationMessage>('fragcache:operation')
    await cache.get('k')
    expect(messages).toHaveLength(1)
    expect(messages[0]).toMatchObject({ hits: 0, misses: 0, backend: 'AsyncTestCache' })
    expect(messages[0]?.error).toMatchObject({ code: 'FRAGCACHE_BACKEND_FAILED' })
  })

  it('holds no cached values', async () => {
    const messages = listen<OperationMessage>('fragcache:operation')
    const cache = new LocMemCache()
    await cache.set('k', 'a secret')
    await cache.get('k')
    await cache.incr('k').catch(() => undefined)
    expect(JSON.stringify(messages)).not.toContain('secret')
    for (const { error } of messages) expect(String(error)).not.toContain('secret')
  })

  it('has no message made while nobody listens', async () => {
    const published = vi.spyOn(operationChannel, 'publish')
    for (const cache of [new LocMemCache(), new AsyncTestCache()]) {
      await cache.set('k', 1)
      await cache.get('k')
      await cache.getMany(['k'])
      await cache.getOrSet('k', 1)
    }
    expect(published).not.toHaveBeenCalled()
    listen('fragcache:operation')
    await new LocMemCache().get('k')
    expect(published).toHaveBeenCalledOnce()
  })
})

describe('fragcache:operation of a fragment', () => {
  it('tells of its look-up once, also where its tags cannot be read', () => {
    const cache = new LocMemCache()
    vi.spyOn(coreOf(cache).entries, 'currentVersions').mockImplementation(() => {
      throw new Error('the counters are gone')
    })
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    const fragments = new FragmentCache(createCaches({ default: cache }))
    const messages = listen<OperationMessage>('fragcache:operation')
    expect(fragments.renderSync({ name: 'card', timeout: 60 }, () => 'made')).toBe('made')
    expect(messages).toMatchObject([{ operation: 'get', hits: 0, misses: 1 }])
  })
})

describe('fragcache:outage', () => {
  it('tells once when a store stops answering, and once when it is back', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_000_000 })
    const { remote } = createCaches({ remote: new AsyncTestCache() })
    const messages = listen<OutageMessage>('fragcache:outage')
    await remote.set('k', 1)
    expect(messages).toEqual([])
    remote.failing = true
    for (let i = 0; i < 5; i++) await remote.get('k').catch(() => undefined)
    await Promise.allSettled(Array.from({ length: 20 }, () => remote.set('k', 2)))
    expect(messages).toHaveLength(1)
    expect(messages[0]).toMatchObject({
      alias: 'remote',
      backend: 'AsyncTestCache',
      since: 1_000_000,
      error: { code: 'FRAGCACHE_BACKEND_FAILED' },
    })
    expect(messages[0]).not.toHaveProperty('until')
    vi.setSystemTime(1_005_000)
    remote.failing = false
    for (let i = 0; i < 3; i++) await remote.get('k')
    expect(messages).toHaveLength(2)
    expect(messages[1]).toEqual({ ...messages[0], until: 1_005_000 })
  })

  it('tells of the next outage again', async () => {
    const cache = new AsyncTestCache()
    const messages = listen<OutageMessage>('fragcache:outage')
    for (let i = 0; i < 3; i++) {
      cache.failing = true
      await cache.get('k').catch(() => undefined)
      cache.failing = false
      await cache.get('k')
    }
    expect(messages.map(({ until }) => until !== undefined)).toEqual([
      false,
      true,
      false,
      true,
      false,
      true,
    ])
  })

  it('tells also where failures count as misses', async () => {
    const cache = new AsyncTestCache({ ignoreErrors: true })
    const messages = listen<OutageMessage>('fragcache:outage')
    cache.failing = true
    for (let i = 0; i < 5; i++) await cache.get('k')
    expect(messages).toHaveLength(1)
  })

  it('tells of a store that answers at once, and of its return at the next call of any kind', async () => {
    const disk = new LocMemCache()
    let isBroken = false
    const { entries } = coreOf(disk)
    const lookupOne = entries.lookupOne.bind(entries)
    entries.lookupOne = (...asked) => {
      if (isBroken) throw new Error('disk full')
      return lookupOne(...asked)
    }
    const messages = listen<OutageMessage>('fragcache:outage')
    await disk.set('k', 1)
    isBroken = true
    await expect(disk.get('k')).rejects.toMatchObject({ code: 'FRAGCACHE_BACKEND_FAILED' })
    await expect(disk.has('k')).rejects.toMatchObject({ cause: { message: 'disk full' } })
    isBroken = false
    expect(await disk.get('k')).toBe(1)
    expect(messages).toHaveLength(2)
    expect(messages[1]).toHaveProperty('until')
  })

  it('tells of a store that answers and takes nothing, such as a full disk, once until it stores again', async () => {
    let isFull = true
    class Disk extends AsyncTestCache {
      override async writeEntries(entries: Parameters<AsyncTestCache['writeEntries']>[0]) {
        if (isFull) throw new Error('the disk is full')
        return super.writeEntries(entries)
      }
    }
    const caches = createCaches({ default: new Disk() })
    const fragments = new FragmentCache(caches)
    const messages = listen<OutageMessage>('fragcache:outage')
    for (let i = 0; i < 5; i++) {
      await fragments.render({ name: 'box', timeout: 60 }, () => 'text')
      await caches.default.getOrSet('k', () => 1)
      await caches.default.get('k')
      await caches.default.has('k')
    }
    expect(messages).toHaveLength(1)
    expect(process.emitWarning).toHaveBeenCalledOnce()
    isFull = false
    await caches.default.set('k', 1)
    expect(messages).toHaveLength(2)
    expect(messages[1]).toHaveProperty('until')
  })

  it('does not take a call that stored nothing for the end of a full disk', async () => {
    let isFull = false
    class Disk extends AsyncTestCache {
      override async writeEntries(entries: Parameters<AsyncTestCache['writeEntries']>[0]) {
        const stores = entries.some(
          ({ key, ifAbsent }) => ifAbsent !== true || !key.endsWith('there'),
        )
        if (isFull && stores) throw new Error('the disk is full')
        return super.writeEntries(entries)
      }
    }
    const { default: disk } = createCaches({ default: new Disk() })
    await disk.set('there', 1)
    const messages = listen<OutageMessage>('fragcache:outage')
    isFull = true
    for (let i = 0; i < 5; i++) {
      await expect(disk.incr('visits')).rejects.toThrow('not there')
      await expect(disk.add('visits', 1)).rejects.toThrow('the disk is full')
      expect(await disk.add('there', 2)).toBe(false)
      // What is not to be kept is removed.
      await disk.set('visits', 1, { timeout: 0 })
      await disk.setMany({ others: 1, visits: 1 }, { timeout: 0 })
      expect(await disk.add('visits', 1, { timeout: 0 })).toBe(true)
      expect(await disk.getOrSet('visits', () => 1, { timeout: 0 })).toBe(1)
      await disk.setMany({})
      await disk.invalidateTags([])
    }
    expect(messages).toHaveLength(1)
    isFull = false
    expect(await disk.add('visits', 1)).toBe(true)
    expect(messages).toHaveLength(2)
  })

  it('says nothing of calls that were made wrongly', async () => {
    const cache = new AsyncTestCache()
    cache.maxPayloadBytes = 20
    const messages = listen<OutageMessage>('fragcache:outage')
    await cache.set('text', 'abc')
    const wrong = [
      cache.set('k', undefined as never),
      cache.get(''),
      cache.incr('missing'),
      cache.incr('text'),
      cache.set('k', 'x'.repeat(50)),
      cache.getOrSet('k', () => Promise.reject(new Error('the producer’s own'))),
    ]
    for (const result of await Promise.allSettled(wrong)) expect(result.status).toBe('rejected')
    await cache.set('n', Number.MAX_SAFE_INTEGER)
    await expect(cache.incr('n')).rejects.toThrow()
    expect(messages).toEqual([])
  })

  it('is a warning too, once, without the values', async () => {
    const { remote } = createCaches({ remote: new AsyncTestCache() })
    remote.failing = true
    for (let i = 0; i < 3; i++) await remote.set('k', 'a secret').catch(() => undefined)
    const warnings = vi.mocked(process.emitWarning).mock.calls
    expect(warnings).toHaveLength(1)
    expect(warnings[0]?.[0]).toMatch(/^AsyncTestCache "remote" fails: .*reported once/)
    expect(warnings[0]?.[0]).not.toContain('secret')
    expect(warnings[0]?.[1]).toEqual({ type: 'CacheOutageWarning', code: 'FRAGCACHE_OUTAGE' })
  })
})

describe('a store that works now and then', () => {
  it('begins and ends many outages, of which few are warnings', async () => {
    const cache = new AsyncTestCache()
    const messages = listen<OutageMessage>('fragcache:outage')
    for (let i = 0; i < 20; i++) {
      cache.failing = true
      await expect(cache.get('k')).rejects.toThrow()
      cache.failing = false
      await cache.get('k')
    }
    expect(messages).toHaveLength(40)
    expect(process.emitWarning).toHaveBeenCalledTimes(5)
  })

  it.each([
    ['asked', false],
    ['not asked any more', true],
  ])('warns of the one that lasts, a minute later, while it is %s', async (_, isServer) => {
    vi.useFakeTimers({ toFake: ['performance'] })
    onTestFinished(() => void vi.useRealTimers())
    const cache = new AsyncTestCache({}, isServer)
    const fail = () => expect(cache.get('k')).rejects.toThrow()
    for (let i = 0; i < 5; i++) {
      cache.failing = true
      await fail()
      cache.failing = false
      await cache.get('k')
    }
    cache.failing = true
    for (let i = 0; i < 4; i++) await fail()
    expect(process.emitWarning).toHaveBeenCalledTimes(5)
    vi.advanceTimersByTime(60_000)
    for (let i = 0; i < 4; i++) await fail()
    expect(process.emitWarning).toHaveBeenCalledTimes(6)
  })
})

describe('damage', () => {
  it('is reported once per cache, by the stored key and without the bytes', async () => {
    const cache = new AsyncTestCache()
    cache.plant(':1:a', Buffer.from('a secret'))
    cache.plant(':1:b', Buffer.from('a secret'))
    for (let i = 0; i < 3; i++) {
      expect(await cache.get('a')).toBeUndefined()
      expect(await cache.get('b')).toBeUndefined()
    }
    const warnings = vi.mocked(process.emitWarning).mock.calls
    expect(warnings).toHaveLength(1)
    expect(warnings[0]?.[0]).toMatch(/^AsyncTestCache: the entry ":1:a" could not be read/)
    expect(warnings[0]?.[0]).not.toContain('secret')
    expect(warnings[0]?.[1]).toEqual({
      type: 'CacheDamageWarning',
      code: 'FRAGCACHE_DAMAGED_ENTRY',
    })
  })

  it('of a tag’s counter invalidates and breaks nothing', async () => {
    const cache = new AsyncTestCache()
    await cache.set('k', 1, { tags: ['t'] })
    const counter = cache.storedKeys.find((key) => key.includes('tag')) ?? ''
    for (const bytes of ['', 'garbage', '7', '\u0005\u00ff']) {
      cache.plant(counter, Buffer.from(bytes, 'latin1'))
      expect(await cache.get('k')).toBeUndefined()
      await cache.invalidateTags(['t'])
      await cache.set('k', 1, { tags: ['t'] })
      expect(await cache.get('k')).toBe(1)
    }
  })
})
