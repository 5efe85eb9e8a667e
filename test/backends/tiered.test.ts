import { randomUUID } from 'node:crypto'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { TieredCache, type TieredSettings } from '../../src/backends/tiered.js'
import {
  CacheBackendError,
  createCaches,
  FragmentCache,
  InvalidCacheBackendError,
  LocMemCache,
} from '../../src/index.js'
import type { OutageMessage } from '../../src/observe/channels.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { SteppedClock } from '../support/clock.js'
import { MemoryBus } from '../support/memory-bus.js'
import { ownTime } from '../support/own-time.js'
import { coreOf } from '../../src/backend/core.js'

const clock = new SteppedClock()
let location: string
let bus: MemoryBus
let outages: OutageMessage[]
const note = (message: unknown) => outages.push(message as OutageMessage)

/** One process: a tiered cache with memory and connection of its own over the shared store. */
function open(settings: Partial<TieredSettings> = {}) {
  const remote = new AsyncTestCache({ location })
  const local = new LocMemCache({ options: { maxEntries: 1000 } })
  return { cache: new TieredCache({ local, remote, bus: bus.end, ...settings }), remote, local }
}

/** How many round trips that read something took. */
async function readsOf(remote: AsyncTestCache, action: () => Promise<unknown>): Promise<number> {
  const before = remote.reads
  await action()
  return remote.reads - before
}

beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  clock.start()
  location = randomUUID()
  bus = new MemoryBus()
  outages = []
  subscribe('fragcache:outage', note)
})

afterEach(() => {
  unsubscribe('fragcache:outage', note)
  clock.stop()
  vi.restoreAllMocks()
})

describe('reading', () => {
  it('asks the remote cache once, and local memory from then on', async () => {
    const writer = open()
    const { cache, remote } = open()
    await writer.cache.set('k', { a: 1 }, { tags: ['t'] })
    expect(await cache.get('k')).toEqual({ a: 1 })
    expect(await readsOf(remote, () => cache.get('k'))).toBe(0)
    expect(await readsOf(remote, () => cache.has('k'))).toBe(0)
    expect(await readsOf(remote, () => cache.getMany(['k']))).toBe(0)
    expect(await readsOf(remote, () => cache.getOrSet('k', 2, { tags: ['t'] }))).toBe(0)
    expect(await cache.get('k')).toEqual({ a: 1 })
  })

  it('asks the remote cache only for what is not in memory', async () => {
    const writer = open()
    const { cache, remote } = open()
    await writer.cache.setMany({ a: 1, b: 2, c: 3 })
    await cache.get('b')
    const read = vi.spyOn(coreOf(remote).entries, 'lookup')
    expect([...(await cache.getMany(['a', 'b', 'c', 'd'])).entries()]).toEqual([
      ['a', 1],
      ['b', 2],
      ['c', 3],
    ])
    expect(read.mock.calls.map(([keys]) => keys)).toEqual([[':1:a', ':1:c', ':1:d']])
  })

  it('never gives out the object that it keeps', async () => {
    const { cache } = open()
    await cache.set('k', { list: [1] })
    const first = await cache.get<{ list: number[] }>('k')
    first?.list.push(2)
    expect(await cache.get('k')).toEqual({ list: [1] })
  })

  it('keeps an entry no longer than it lives in the remote cache', async () => {
    const writer = open()
    const { cache } = open()
    await writer.cache.set('k', 1, { timeout: 10 })
    clock.advance(6)
    expect(await cache.get('k')).toBe(1)
    clock.advance(3.999)
    expect(await cache.get('k')).toBe(1)
    clock.advance(0.001)
    expect(await cache.get('k')).toBeUndefined()
  })

  it('hands a hit in memory out although the remote cache is down', async () => {
    const { cache, remote } = open()
    await cache.set('k', 1)
    remote.failing = true
    expect(await cache.get('k')).toBe(1)
    await expect(cache.get('other')).rejects.toThrow(CacheBackendError)
  })
})

describe('writing', () => {
  it('puts what has no tags into memory at once', async () => {
    const { cache, remote } = open()
    await cache.set('k', 1)
    expect(await readsOf(remote, () => cache.get('k'))).toBe(0)
  })

  it('leaves nothing in memory of a write that failed', async () => {
    const { cache, remote } = open()
    await cache.set('k', 'old')
    remote.failing = true
    await expect(cache.set('k', 'new')).rejects.toThrow(CacheBackendError)
    remote.failing = false
    const other = open()
    await other.remote.set('k', 'theirs')
    expect(await cache.get('k')).toBe('theirs')
  })

  it('leaves nothing in memory of a value that the remote cache does not take', async () => {
    const { cache, remote } = open()
    remote.maxPayloadBytes = 100
    await cache.set('k', 'small')
    await expect(cache.set('k', 'x'.repeat(200))).rejects.toMatchObject({
      code: 'FRAGCACHE_VALUE_TOO_LARGE',
    })
    expect(await cache.get('k')).toBeUndefined()
  })

  it('counts from the remote number, not from the one in memory', async () => {
    const [a, b] = [open({ bus: undefined }), open({ bus: undefined })]
    await a.cache.set('n', 1)
    await b.cache.incr('n')
    expect(await a.cache.get('n')).toBe(1)
    expect(await a.cache.incr('n')).toBe(3)
    expect(await a.cache.get('n')).toBe(3)
  })

  it('counts a number with tags from the remote one too', async () => {
    const [a, b] = [open({ bus: undefined }), open({ bus: undefined })]
    await a.cache.set('n', 1, { tags: ['t'] })
    await a.cache.get('n')
    await b.cache.incr('n')
    expect(await a.cache.incr('n')).toBe(3)
  })

  it('moves the remote entry to another version, not the one in memory', async () => {
    const [a, b] = [open({ bus: undefined }), open({ bus: undefined })]
    await a.cache.set('k', 'old')
    await b.cache.set('k', 'new')
    await a.cache.incrVersion('k')
    expect(await a.cache.get('k', { version: 2 })).toBe('new')
  })
})

describe('other processes', () => {
  const changes: [string, (cache: TieredCache) => Promise<unknown>, unknown][] = [
    ['set', (cache) => cache.set('k', 'new'), 'new'],
    ['setMany', (cache) => cache.setMany({ k: 'new' }), 'new'],
    ['delete', (cache) => cache.delete('k'), undefined],
    ['deleteMany', (cache) => cache.deleteMany(['k']), undefined],
    ['a timeout of 0', (cache) => cache.set('k', 'new', { timeout: 0 }), undefined],
    ['touch with a timeout of 0', (cache) => cache.touch('k', { timeout: 0 }), undefined],
    ['incrVersion', (cache) => cache.incrVersion('k'), undefined],
    ['invalidateTags', (cache) => cache.invalidateTags(['t']), undefined],
    ['clear', (cache) => cache.clear(), undefined],
  ]
  it.each(changes)('see %s at once', async (_, change, expected) => {
    const [a, b] = [open(), open()]
    await a.cache.set('k', 'old', { tags: ['t'] })
    expect(await b.cache.get('k')).toBe('old')
    expect(await b.cache.get('k')).toBe('old')
    await change(a.cache)
    expect(await b.cache.get('k')).toBe(expected)
    expect(await a.cache.get('k')).toBe(expected)
  })

  it('see a deadline that touch has brought nearer', async () => {
    const [a, b] = [open(), open()]
    await a.cache.set('k', 1, { timeout: 1000 })
    await b.cache.get('k')
    await a.cache.touch('k', { timeout: 5 })
    clock.advance(5)
    expect(await b.cache.get('k')).toBeUndefined()
  })

  it('see a number that was counted up', async () => {
    const [a, b] = [open(), open()]
    await a.cache.set('n', 1)
    await b.cache.get('n')
    await a.cache.incr('n')
    expect(await b.cache.get('n')).toBe(2)
  })

  it('do not keep what they were reading while it changed', async () => {
    const [a, b] = [open(), open()]
    await a.cache.set('k', 'old')
    b.remote.latencyMs = 20
    const reading = b.cache.get('k')
    await a.cache.set('k', 'new')
    await reading
    b.remote.latencyMs = 0
    expect(await b.cache.get('k')).toBe('new')
  })

  it('do not keep what they were writing while another wrote', async () => {
    const [a, b] = [open(), open()]
    a.remote.latencyMs = 20
    const slow = a.cache.set('k', 'first')
    await vi.waitFor(async () => expect(await b.remote.get('k')).toBe('first'), { interval: 1 })
    await b.cache.set('k', 'second')
    await slow
    expect(await a.cache.get('k')).toBe('second')
  })

  it('do not keep what they wrote when another wrote before the message was sent', async () => {
    const [a, b] = [open(), open()]
    await b.cache.get('k')
    bus.delayMs = 30
    const slow = a.cache.set('k', 'first')
    await vi.waitFor(async () => expect(await b.remote.get('k')).toBe('first'), { interval: 1 })
    await Promise.all([slow, b.cache.set('k', 'second')])
    expect(await a.cache.get('k')).toBe('second')
    expect(await b.cache.get('k')).toBe('second')
  })

  it('are told again of a write that failed, since it may come late', async () => {
    const [a, b] = [open(), open()]
    vi.spyOn(coreOf(a.remote).settings, 'timeLimitMs', 'get').mockReturnValue(50)
    await a.cache.set('k', 'old')
    a.remote.failing = true
    await expect(a.cache.set('k', 'late')).rejects.toThrow(CacheBackendError)
    a.remote.failing = false
    expect(await b.cache.get('k')).toBe('old')
    expect(await a.cache.get('k')).toBe('old')
    // The server carries out now what it was asked before.
    await new AsyncTestCache({ location }).set('k', 'late')
    await expect.poll(() => b.cache.get('k'), { timeout: 2000, interval: 5 }).toBe('late')
    expect(await a.cache.get('k')).toBe('late')
  })

  it('keep nothing of an entry whose tag was invalidated while it was read', async () => {
    const [a, b] = [open(), open()]
    await a.cache.set('k', 'old', { tags: ['t'] })
    b.remote.latencyMs = 20
    const reading = b.cache.get('k')
    await a.cache.invalidateTags(['t'])
    await reading
    b.remote.latencyMs = 0
    expect(await b.cache.get('k')).toBeUndefined()
  })

  it('lose only what changed', async () => {
    const [a, b] = [open(), open()]
    await a.cache.setMany({ a: 1, b: 2 })
    await b.cache.getMany(['a', 'b'])
    await a.cache.set('a', 3)
    expect(await readsOf(b.remote, () => b.cache.get('b'))).toBe(0)
  })

  it('are told of a thousand keys in messages that any bus can carry', async () => {
    const [a, b] = [open(), open()]
    const keys = Array.from({ length: 1000 }, (_, i) => `key-${'x'.repeat(i % 150)}-é-${i}`)
    await a.cache.setMany(keys.map((key) => [key, 1] as const))
    await b.cache.getMany(keys)
    await a.cache.setMany(keys.map((key) => [key, 2] as const))
    expect(new Set((await b.cache.getMany(keys)).values())).toEqual(new Set([2]))
    expect(Math.max(...bus.messages.map((text) => Buffer.byteLength(text)))).toBeLessThan(8000)
  })

  it('reach fragments in each other’s memory', async () => {
    const [a, b] = [open(), open()]
    const [pagesA, pagesB] = [a, b].map(
      ({ cache }) => new FragmentCache(createCaches({ default: cache })),
    ) as [FragmentCache, FragmentCache]
    let text = 'old'
    const fragment = { name: 'side', timeout: 60, tags: ['country:fr'] }
    const render = (pages: FragmentCache) => pages.render(fragment, () => text)
    await render(pagesA)
    expect(await render(pagesB)).toBe('old')
    expect(await readsOf(b.remote, () => render(pagesB))).toBe(0)
    text = 'new'
    await a.cache.invalidateTags(['country:fr'])
    expect(await render(pagesB)).toBe('new')
    text = 'newer'
    await pagesB.invalidate('side')
    expect(await render(pagesA)).toBe('newer')
  })
})

describe('an outer fragment over one in memory', () => {
  it('is found again, and made again when the inner one is invalidated elsewhere', async () => {
    const [a, b] = [open(), open()]
    const pages = [a, b].map(
      ({ cache }) => new FragmentCache(createCaches({ default: cache })),
    ) as [FragmentCache, FragmentCache]
    let runs = 0
    const inner = { name: 'inner', timeout: 60, tags: ['t'] }
    const render = (at: 0 | 1) =>
      pages[at].render({ name: 'outer', timeout: 60 }, () => {
        runs++
        return pages[at].render(inner, () => 'x')
      })
    await render(0)
    await pages[1].render(inner, () => 'y')
    await pages[1].invalidate('outer')
    await render(1)
    await render(1)
    await render(0)
    expect(runs).toBe(2)
    await a.cache.invalidateTags(['t'])
    await render(1)
    expect(runs).toBe(3)
  })
})

describe('the connection to the bus', () => {
  it('empties local memory when it is lost, and nothing is kept until it is back', async () => {
    const [a, b] = [open(), open()]
    await a.cache.set('k', 'old')
    await b.cache.get('k')
    bus.cut()
    await a.remote.set('k', 'new')
    expect(await b.cache.get('k')).toBe('new')
    expect(await readsOf(b.remote, () => b.cache.get('k'))).toBeGreaterThan(0)
    await a.remote.set('k', 'newer')
    bus.restore()
    expect(await b.cache.get('k')).toBe('newer')
    expect(await readsOf(b.remote, () => b.cache.get('k'))).toBe(0)
  })

  it('keeps nothing of what was being read when it was lost and came back', async () => {
    const [a, b] = [open(), open()]
    await a.cache.set('k', 'old')
    b.remote.latencyMs = 20
    const reading = b.cache.get('k')
    bus.cut()
    await a.remote.set('k', 'new')
    bus.restore()
    await reading
    b.remote.latencyMs = 0
    expect(await b.cache.get('k')).toBe('new')
  })

  it('tells later that anything may have changed, when a message could not be sent', async () => {
    const [a, b] = [open(), open()]
    await a.cache.set('k', 'old')
    await b.cache.get('k')
    const publish = vi.spyOn(bus.end, 'publish').mockRejectedValueOnce(new Error('cut'))
    await a.cache.set('k', 'new')
    expect(await b.cache.get('k')).toBe('old')
    await vi.waitFor(async () => expect(await b.cache.get('k')).toBe('new'), { timeout: 1000 })
    expect(publish.mock.calls.length).toBe(2)
    expect(outages.map(({ backend, until }) => [backend, until === undefined])).toEqual([
      ['TieredCache', true],
      ['TieredCache', false],
    ])
  })

  it('notices by the next message that one was lost', async () => {
    const [a, b] = [open(), open()]
    await a.cache.setMany({ k: 'old', other: 1 })
    await b.cache.getMany(['k', 'other'])
    await a.cache.set('other', 2)
    bus.swallows = true
    await a.cache.set('k', 'new')
    bus.swallows = false
    await b.cache.get('k')
    await a.cache.set('other', 3)
    expect(await b.cache.get('k')).toBe('new')
  })

  it('notices by the next sign of life that the last message was lost', async () => {
    const [a, b] = [open(), open()]
    await a.cache.set('k', 'older')
    await b.cache.get('k')
    await a.cache.set('k', 'old')
    await b.cache.get('k')
    bus.swallows = true
    await a.cache.set('k', 'new')
    bus.swallows = false
    expect(await b.cache.get('k')).toBe('old')
    await expect.poll(() => b.cache.get('k'), { timeout: 2000, interval: 20 }).toBe('new')
  })

  it('costs the first calls its time limit where it hangs, and the others nothing', async () => {
    const { cache } = open()
    await cache.set('k', 0)
    bus.hangs = true
    await cache.set('k', 1)
    const published = bus.published
    const startedMs = ownTime.now()
    for (let i = 0; i < 20; i++) await cache.set('k', i)
    expect(ownTime.now() - startedMs).toBeLessThan(500)
    expect(bus.published - published).toBeLessThanOrEqual(1)
    bus.hangs = false
    await expect.poll(() => bus.messages.some((text) => text.endsWith(',null]'))).toBe(true)
    await cache.close()
  })

  it('is sent nothing by a cache that was closed', async () => {
    const { cache } = open()
    await cache.set('k', 0)
    bus.isUp = false
    await cache.set('k', 1)
    await cache.close()
    const published = bus.published
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(bus.published - published).toBeLessThanOrEqual(1)
  })

  it('is told after a close what could not be sent before it', async () => {
    const { cache } = open()
    await cache.set('k', 0)
    bus.isUp = false
    await cache.set('k', 1)
    await cache.close()
    bus.restore()
    await cache.get('k')
    await expect.poll(() => outages.map(({ until }) => until === undefined)).toEqual([true, false])
    expect(bus.messages.at(-1)).toMatch(/,null\]$/)
    await cache.close()
  })

  it('counts as lost while it is silent, whatever it says itself', async () => {
    const { cache, remote } = open()
    await cache.set('k', 1)
    expect(await readsOf(remote, () => cache.get('k'))).toBe(0)
    bus.swallows = true
    const isKept = async () => (await readsOf(remote, () => cache.get('k'))) === 0
    await expect.poll(isKept, { timeout: 4000, interval: 50 }).toBe(false)
    await cache.get('k')
    expect(await isKept()).toBe(false)
    bus.swallows = false
    await expect.poll(isKept, { timeout: 2000, interval: 50 }).toBe(true)
    await cache.close()
  })

  it('is tried again when it could not be made, and the cache works meanwhile', async () => {
    bus.refusesSubscriptions = true
    const { cache, remote } = open()
    await cache.set('k', 1)
    expect(await cache.get('k')).toBe(1)
    expect(await readsOf(remote, () => cache.get('k'))).toBeGreaterThan(0)
    const refused = bus.refused
    await vi.waitFor(() => expect(bus.refused).toBeGreaterThan(refused), { timeout: 1000 })
    bus.refusesSubscriptions = false
    await vi.waitFor(() => expect(bus.subscribers).toBe(1), { timeout: 1000 })
    await cache.get('k')
    expect(await readsOf(remote, () => cache.get('k'))).toBe(0)
    expect(outages).toHaveLength(2)
  })

  describe('that tells nothing', () => {
    // Nothing else here waits, so that seconds pass at once.
    beforeEach(() => {
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    })
    afterEach(() => {
      vi.useRealTimers()
    })
    const ends = () => outages.map(({ until }) => until === undefined)

    it('is an outage after five seconds, also for a process that only reads', async () => {
      const { cache } = open()
      await cache.get('k')
      bus.cut()
      vi.advanceTimersByTime(4900)
      await cache.get('k')
      expect(outages).toHaveLength(0)
      vi.advanceTimersByTime(100)
      expect(outages).toMatchObject([{ backend: 'TieredCache' }])
      expect(String(outages[0]?.error)).toContain('nothing is kept in local memory')
      bus.cut()
      vi.advanceTimersByTime(5000)
      expect(ends()).toEqual([true])
      bus.restore()
      expect(ends()).toEqual([true, false])
      await cache.close()
    })

    it('is none while it is back sooner, or was closed', async () => {
      const { cache } = open()
      await cache.get('k')
      bus.cut()
      vi.advanceTimersByTime(3000)
      bus.restore()
      bus.cut()
      vi.advanceTimersByTime(3000)
      expect(outages).toHaveLength(0)
      await cache.close()
      vi.advanceTimersByTime(10_000)
      expect(outages).toHaveLength(0)
    })

    it('is none beside that of the remote cache', async () => {
      const { cache, remote } = open()
      await cache.get('k')
      remote.failing = true
      await expect(cache.get('k')).rejects.toThrow()
      bus.cut()
      vi.advanceTimersByTime(20_000)
      expect(outages.map(({ backend }) => backend)).toEqual(['AsyncTestCache'])
      await cache.close()
    })
  })

  it('takes what it cannot read for a change of anything', async () => {
    const [a, b] = [open(), open()]
    for (const text of [
      '',
      '{',
      '[]',
      '["x"]',
      '["x","y"]',
      '["x",1,[1]]',
      '{"a":1}',
      '["x",1,null]',
      'null',
    ]) {
      await a.cache.set('k', 1)
      await b.cache.get('k')
      bus.inject(text)
      expect(await readsOf(b.remote, () => b.cache.get('k')), text).toBeGreaterThan(0)
    }
  })

  it('ends with close, and begins again with the next call', async () => {
    const { cache, remote } = open()
    await cache.set('k', 1)
    expect(bus.subscribers).toBe(1)
    await cache.close()
    expect(bus.subscribers).toBe(0)
    expect(await readsOf(remote, () => cache.get('k'))).toBeGreaterThan(0)
    expect(bus.subscribers).toBe(1)
    await cache.close()
  })
})

describe('without a bus', () => {
  it('an entry stays in memory for one second at most', async () => {
    const [a, b] = [open({ bus: undefined }), open({ bus: undefined })]
    await a.cache.set('k', 'old', { timeout: null })
    await b.cache.get('k')
    await a.cache.set('k', 'new')
    clock.advance(0.999)
    expect(await b.cache.get('k')).toBe('old')
    clock.advance(0.001)
    expect(await b.cache.get('k')).toBe('new')
  })

  it('localTimeout says how long', async () => {
    const [a, b] = [open({ bus: undefined }), open({ bus: undefined, localTimeout: 20 })]
    await a.cache.set('k', 'old', { timeout: null })
    await b.cache.get('k')
    await a.cache.set('k', 'new')
    clock.advance(19.999)
    expect(await b.cache.get('k')).toBe('old')
    clock.advance(0.001)
    expect(await b.cache.get('k')).toBe('new')
  })
})

it('with a bus, localTimeout is a limit too', async () => {
  const { cache, remote } = open({ localTimeout: 2 })
  await cache.set('k', 1)
  clock.advance(2)
  expect(await readsOf(remote, () => cache.get('k'))).toBeGreaterThan(0)
})

it('keeps what may come from a lagging replica for a second at most', async () => {
  const { cache, remote } = open()
  Object.defineProperty(coreOf(remote).store, 'readsMayLag', { value: true })
  await cache.set('k', 1)
  await cache.get('k')
  clock.advance(1)
  expect(await readsOf(remote, () => cache.get('k'))).toBeGreaterThan(0)
})

describe('settings', () => {
  const local = new LocMemCache()
  const remote = new AsyncTestCache({ keyPrefix: 'shop', timeout: 77, version: 3 })

  it('come from the remote cache', () => {
    const cache = new TieredCache({ local, remote })
    expect(cache.makeKey('k')).toBe('shop:3:k')
    expect(coreOf(cache).settings.timeout).toBe(77)
    expect(new TieredCache({ local, remote, version: 4, timeout: 5 }).makeKey('k')).toBe('shop:4:k')
  })

  const wrong: [string, unknown, RegExp][] = [
    ['nothing', undefined, /is not an object of settings; give/],
    ['no local', { remote }, /local: undefined is not a local memory/],
    ['another kind of local', { local: remote, remote }, /local: .* is not a local memory/],
    ['no remote', { local }, /remote: undefined is not a shared cache/],
    ['one cache as both', { local, remote: local }, /remote: .* is not a shared cache/],
    ['a bus that cannot publish', { local, remote, bus: {} }, /bus: .* is not a bus/],
    ['a localTimeout of 0', { local, remote, localTimeout: 0 }, /localTimeout: 0 is not a number/],
    ['a key prefix', { local, remote, keyPrefix: 'x' }, /keyPrefix and keyFunction are those of/],
    ['a key function', { local, remote, keyFunction: () => 'k' }, /those of remote/],
    ['an unknown setting', { local, remote, locl: 1 }, /unknown setting "locl"/],
    ['a misspelt one', { locale: local, remote }, /unknown setting "locale".*mean "local"\?/],
    ['an unknown option', { local, remote, options: { a: 1 } }, /unknown option "a"/],
  ]
  it.each(wrong)('refuse %s', (_, settings, message) => {
    const create = () => new TieredCache(settings as TieredSettings)
    expect(create).toThrow(InvalidCacheBackendError)
    expect(create).toThrow(message)
  })
})
