import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { TieredCache } from '../../src/backends/tiered.js'
import { LocMemCache, type LocMemOptions } from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { MemoryBus } from '../support/memory-bus.js'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] })
})
afterEach(() => {
  vi.useRealTimers()
})

const pass = (seconds: number) => vi.setSystemTime(Date.now() + seconds * 1000)
const make = (options: LocMemOptions) => new LocMemCache({ options })
const keysOf = (count: number, prefix = 'k') => Array.from({ length: count }, (_, i) => prefix + i)

async function fill(cache: LocMemCache, keys: readonly string[]): Promise<void> {
  for (const key of keys) await cache.set(key, 1)
}

async function present(cache: LocMemCache, keys: readonly string[]): Promise<string> {
  return [...(await cache.getMany(keys)).keys()].join(' ')
}

/** Asks for keys and stores what is missing. @returns How many were there. */
async function ask(cache: LocMemCache, keys: readonly string[]): Promise<number> {
  let hits = 0
  for (const key of keys) {
    if (await cache.has(key)) hits++
    else await cache.set(key, 1)
  }
  return hits
}

describe.each([{}, { policy: 's3-fifo' }, { policy: 'lru' }] as const)(
  'LocMemCache with %j, when it is full',
  (options) => {
    it('lets one entry go for one that comes', async () => {
      const cache = make({ ...options, maxEntries: 100 })
      await fill(cache, keysOf(100))
      expect((await cache.getMany(keysOf(100))).size).toBe(100)
      for (let i = 0; i < 300; i++) {
        await cache.set(`new${i}`, 1)
        expect((await cache.getMany([...keysOf(100), ...keysOf(300, 'new')])).size).toBe(100)
      }
    })

    it('lets nothing that is live go before what has expired', async () => {
      const cache = make({ ...options, maxEntries: 100 })
      await fill(cache, keysOf(40))
      await cache.setMany(
        keysOf(60, 'dead').map((key) => [key, 1] as const),
        { timeout: 5 },
      )
      pass(5)
      await fill(cache, keysOf(60, 'new'))
      expect((await cache.getMany([...keysOf(40), ...keysOf(60, 'new')])).size).toBe(100)
    })

    it('keeps what was read rather than what was not', async () => {
      const cache = make({ ...options, maxEntries: 4 })
      await fill(cache, ['a', 'b', 'c', 'd'])
      await cache.get('a')
      await cache.set('e', 1)
      expect(await present(cache, ['a', 'b', 'c', 'd', 'e'])).toBe('a c d e')
    })

    it('keeps what was stored last', async () => {
      const cache = make({ ...options, maxEntries: 10 })
      for (let i = 0; i < 1000; i++) {
        await cache.set(`k${i % 37}`, i)
        expect(await cache.get(`k${i % 37}`)).toBe(i)
      }
    })

    it('counts as before once everything was cleared', async () => {
      const cache = make({ ...options, maxEntries: 50 })
      await ask(cache, keysOf(200))
      await cache.clear()
      expect(await ask(cache, keysOf(50))).toBe(0)
      expect(await ask(cache, keysOf(50))).toBe(50)
    })

    it('lets one go for one that comes also where two key prefixes share it', async () => {
      const location = randomUUID()
      const [a, b] = ['a', 'b'].map(
        (keyPrefix) =>
          new LocMemCache({ location, keyPrefix, options: { ...options, maxEntries: 20 } }),
      ) as [LocMemCache, LocMemCache]
      for (let i = 0; i < 100; i++) await (i % 3 === 0 ? a : b).set(`k${i}`, 1)
      const sizes = [a, b].map(async (cache) => (await cache.getMany(keysOf(100))).size)
      const [ofA = 0, ofB = 0] = await Promise.all(sizes)
      expect(ofA + ofB).toBe(20)
      await a.clear()
      expect((await b.getMany(keysOf(100))).size).toBe(ofB)
      await fill(a, keysOf(20 - ofB))
      expect((await b.getMany(keysOf(100))).size).toBe(ofB)
    })
  },
)

describe('LocMemCache and its policy', () => {
  it("lets the least recently used go first with 'lru'", async () => {
    const cache = make({ policy: 'lru', maxEntries: 3 })
    await fill(cache, ['a', 'b', 'c'])
    for (const key of ['c', 'b', 'a']) await cache.get(key)
    await cache.set('d', 1)
    expect(await present(cache, ['a', 'b', 'c', 'd'])).toBe('a b d')
  })

  it("keeps with 's3-fifo' what is used through what is asked for once", async () => {
    const used = keysOf(50)
    const scanned = keysOf(1000, 'once')
    for (const [policy, kept] of [
      ['s3-fifo', 50],
      ['lru', 0],
    ] as const) {
      const cache = make({ policy, maxEntries: 100 })
      for (let i = 0; i < 3; i++) await ask(cache, used)
      await ask(cache, scanned)
      expect((await cache.getMany(used)).size, policy).toBe(kept)
    }
  })

  it("keeps with 's3-fifo' what comes back soon after it went", async () => {
    const loop = keysOf(150)
    const hits = async (policy: 'lru' | 's3-fifo') => {
      const cache = make({ policy, maxEntries: 100 })
      let count = 0
      for (let i = 0; i < 20; i++) count = await ask(cache, loop)
      return count
    }
    expect(await hits('lru')).toBe(0)
    expect(await hits('s3-fifo')).toBeGreaterThan(40)
  })

  it('keeps what it knows of an entry whose value is replaced', async () => {
    const cache = make({ policy: 's3-fifo', maxEntries: 10, maxBytes: 1000 })
    await fill(cache, ['a', 'b'])
    await cache.get('a')
    await cache.set('a', 'other')
    await fill(cache, keysOf(50))
    expect(await present(cache, ['a', 'b'])).toBe('a')
  })

  it('refuses another policy for a location that has one', () => {
    const location = randomUUID()
    const open = (options: LocMemOptions) => new LocMemCache({ location, options })
    open({ policy: 'lru' })
    open({ policy: 'lru' })
    open({ cullFrequency: 3 })
    open({})
    expect(() => open({ policy: 's3-fifo' })).toThrow(
      /^LocMemCache: policy: the location ".*" has the policy "lru" already, and not "s3-fifo"; give/,
    )
    expect(() => new LocMemCache({ options: { policy: 's3-fifo' } })).not.toThrow()
  })

  it('is that of the copies in front of a shared cache', async () => {
    const local = make({ policy: 'lru', maxEntries: 3 })
    const remote = new AsyncTestCache({ location: randomUUID() })
    const tiered = new TieredCache({ local, remote, bus: new MemoryBus().end })
    await remote.setMany(['a', 'b', 'c', 'd'].map((key) => [key, 1] as const))
    for (const key of ['a', 'b', 'c', 'a', 'd']) await tiered.get(key)
    const before = remote.reads
    for (const key of ['a', 'c', 'd']) await tiered.get(key)
    expect(remote.reads).toBe(before)
    await tiered.get('b')
    expect(remote.reads).toBeGreaterThan(before)
    await tiered.close()
  })
})
