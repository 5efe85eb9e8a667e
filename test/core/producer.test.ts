import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RedisCache } from '../../src/backends/redis.js'
import { TieredCache } from '../../src/backends/tiered.js'
import {
  createCaches,
  FragmentCache,
  LocMemCache,
  ProducerTimeoutError,
  type Cache,
  type RefreshMessage,
  type ProducerContext,
} from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { canStartRedis } from '../support/redis.js'
import { startRedis, type RedisServer } from '../support/servers/redis.js'

let redis: RedisServer | undefined
let prefixes = 0
const caches: Cache[] = []

beforeAll(async () => {
  if (await canStartRedis()) redis = await startRedis()
})
afterAll(async () => {
  for (const cache of caches) await cache.close()
  await redis?.stop()
})

type Create = (settings?: { timeout?: number; producerTimeoutMs?: number }) => Cache

const kinds: readonly (readonly [string, Create])[] = [
  ['local memory', (settings) => new LocMemCache(settings)],
  ['a store that answers later', (settings) => new AsyncTestCache(settings)],
  ...((await canStartRedis())
    ? ([
        ['Redis', (settings) => redisCache(settings)],
        [
          'local memory in front of Redis',
          (settings) => {
            const remote = redisCache(settings)
            return new TieredCache({ local: new LocMemCache(), remote })
          },
        ],
      ] satisfies [string, Create][])
    : []),
]

function redisCache(settings: Parameters<Create>[0]): Cache {
  const location = (redis as RedisServer).url
  const cache = new RedisCache({ ...settings, location, keyPrefix: `p${++prefixes}` })
  caches.push(cache)
  return cache
}

const never = () => new Promise<never>(() => undefined)

/** A producer that is ended from outside. */
function slow<T>(value: T): { produce: () => Promise<T>; end: () => void; readonly runs: number } {
  let end!: () => void
  const ended = new Promise<void>((resolve) => (end = resolve))
  const one = {
    runs: 0,
    end: () => end(),
    produce: async () => {
      one.runs++
      await ended
      return value
    },
  }
  return one
}

async function eventually<T>(read: () => Promise<T>, is: (value: T) => boolean): Promise<T> {
  for (;;) {
    const value = await read()
    if (is(value)) return value
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** Stores an old value that only a failure brings back. */
async function leaveOld(cache: Cache, key: string): Promise<void> {
  await cache.set(key, 'old', { timeout: 60, staleIfError: 60 })
  await cache.expire(key)
}

describe.each(kinds)('a producer that never ends, over %s', (_, create) => {
  it('is not waited for longer than producerTimeoutMs, and its error says so', async () => {
    const cache = create()
    const error: unknown = await cache
      .getOrSet('k', never, { producerTimeoutMs: 30 })
      .catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(ProducerTimeoutError)
    expect(error).toMatchObject({ code: 'FRAGCACHE_PRODUCER_TIMEOUT', key: 'k', limitMs: 30 })
    expect((error as Error).message).toBe(
      'getOrSet: the producer for "k" took longer than producerTimeoutMs, 30 ms; raise that, or give staleIfError, with which an old value is served in its place',
    )
  })

  it('is not waited for by those who joined it, and does not hold up who comes later', async () => {
    const cache = create({ producerTimeoutMs: 60 })
    const outcomes = await Promise.allSettled([
      cache.getOrSet('k', never),
      cache.getOrSet('k', never),
      cache.getOrSet('k', () => 'made by one who waited'),
    ])
    expect(outcomes[0]).toMatchObject({ status: 'rejected' })
    expect(outcomes[2]).toEqual({ status: 'fulfilled', value: 'made by one who waited' })
    // Whoever of the two began first has made it, or was given it.
    expect(['rejected', 'fulfilled']).toContain(outcomes[1].status)
    expect(await cache.getOrSet('later', () => 'made')).toBe('made')
  })

  it('is not run by each who waits in turn, so that nobody waits for all of them', async () => {
    const cache = create()
    let runs = 0
    const ask = () => cache.getOrSet('k', () => ((runs += 1), never()), { producerTimeoutMs: 60 })
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, ask))
    for (const outcome of outcomes) {
      expect((outcome as { reason?: unknown }).reason).toBeInstanceOf(ProducerTimeoutError)
    }
    // One that all wait for, and those of who waited once and twice.
    expect(runs).toBeLessThanOrEqual(4)
    expect(await cache.getOrSet('k', () => 'made')).toBe('made')
  })

  it('is replaced by the old value for all, and reported', async () => {
    const cache = create()
    await leaveOld(cache, 'k')
    const told: unknown[] = []
    const listen = (message: unknown) => {
      const { key, error } = message as RefreshMessage
      told.push([key, (error as Error).name])
    }
    subscribe('fragcache:refresh', listen)
    const ask = () => cache.getOrSet('k', never, { producerTimeoutMs: 30, staleIfError: 60 })
    expect(await Promise.all([ask(), ask(), ask()])).toEqual(['old', 'old', 'old'])
    unsubscribe('fragcache:refresh', listen)
    expect(told).toEqual([['k', 'ProducerTimeoutError']])
  })

  it('does not bring back an old value that was removed meanwhile', async () => {
    const cache = create()
    await leaveOld(cache, 'k')
    const asked = cache.getOrSet('k', never, { producerTimeoutMs: 80, staleIfError: 60 })
    const refused = expect(asked).rejects.toBeInstanceOf(ProducerTimeoutError)
    await cache.delete('k')
    await refused
  })
})

describe.each(kinds)('a producer that ends too late, over %s', (_, create) => {
  it('goes on, and what it gives is stored', async () => {
    const cache = create()
    const late = slow('late')
    await expect(
      cache.getOrSet('k', late.produce, { producerTimeoutMs: 30 }),
    ).rejects.toBeInstanceOf(ProducerTimeoutError)
    late.end()
    expect(
      await eventually(
        () => cache.get('k'),
        (value) => value !== undefined,
      ),
    ).toBe('late')
    expect(late.runs).toBe(1)
  })

  it('is not stored over a value that was made after it', async () => {
    const cache = create()
    const late = slow('late')
    await cache.getOrSet('k', late.produce, { producerTimeoutMs: 30 }).catch(() => undefined)
    expect(await cache.getOrSet('k', () => 'newer')).toBe('newer')
    late.end()
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(await cache.get('k')).toBe('newer')
  })

  it.each([
    ['deleted', (cache: Cache) => cache.delete('k')],
    ['cleared', (cache: Cache) => cache.clear()],
    ['invalidated', (cache: Cache) => cache.invalidateTags(['t'])],
  ])('is not stored when it was %s meanwhile', async (_name, remove) => {
    const cache = create()
    const late = slow('late')
    const options = { producerTimeoutMs: 30, tags: ['t'] }
    await cache.getOrSet('k', late.produce, options).catch(() => undefined)
    await remove(cache)
    late.end()
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(await cache.get('k')).toBeUndefined()
  })

  it('is not stored if it asked for the signal: it may have stopped half-way', async () => {
    const cache = create()
    const seen: unknown[] = []
    const produce = ({ signal }: ProducerContext) =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => {
          seen.push((signal.reason as Error).name)
          resolve('half of it')
        })
      })
    await cache.getOrSet('k', produce, { producerTimeoutMs: 30 }).catch(() => undefined)
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(seen).toEqual(['ProducerTimeoutError'])
    expect(await cache.get('k')).toBeUndefined()
  })

  it('is told to stop in the background too, and the next caller begins again', async () => {
    const cache = create()
    await cache.set('k', 'old', { timeout: 60, staleWhileRevalidate: 60 })
    await cache.expire('k')
    const hung: Promise<void>[] = []
    const hanging = ({ signal }: ProducerContext) => {
      const aborted = new Promise<void>((resolve) => {
        signal.addEventListener('abort', () => resolve())
      })
      hung.push(aborted)
      return aborted.then(() => Promise.reject(signal.reason as Error))
    }
    const options = { staleWhileRevalidate: 60, producerTimeoutMs: 30 }
    expect(await cache.getOrSet('k', hanging, options)).toBe('old')
    await eventually(
      () => Promise.resolve(hung.length),
      (count) => count > 0,
    )
    await hung[0]
    const value = await eventually(
      () => cache.getOrSet('k', () => 'new', options),
      (found) => found !== 'old',
    )
    expect(value).toBe('new')
  })
})

describe.each(kinds)('what a producer is given, over %s', (_, create) => {
  it('the old value where there is one', async () => {
    const cache = create()
    const seen: unknown[] = []
    const produce = ({ old }: ProducerContext) => {
      seen.push(old)
      return 'new'
    }
    await cache.getOrSet('first', produce)
    await cache.set('k', { n: 1 }, { timeout: 60, staleIfError: 60 })
    await cache.expire('k')
    expect(await cache.getOrSet('k', produce, { staleIfError: 60 })).toBe('new')
    await cache.set('b', { n: 2 }, { timeout: 60, staleWhileRevalidate: 60 })
    await cache.expire('b')
    const options = { staleWhileRevalidate: 60 }
    expect(await cache.getOrSet('b', produce, options)).toEqual({ n: 2 })
    await eventually(
      () => cache.get('b'),
      (value) => value === 'new',
    )
    expect(seen).toEqual([undefined, { n: 1 }, { n: 2 }])
  })

  it('a function that decides for how long it is kept', async () => {
    const cache = create({ timeout: 60 })
    let runs = 0
    const ask = (key: string, seconds: number | null, timeout?: number) =>
      cache.getOrSet(
        key,
        ({ setTimeout }) => {
          setTimeout(seconds)
          return ++runs
        },
        { timeout },
      )
    await ask('not', 0)
    expect(await cache.get('not')).toBeUndefined()
    await ask('longer', 1000, 0)
    expect((await cache.describe('longer'))?.expiresAtMs).toBeGreaterThan(Date.now() + 900_000)
    await ask('ever', null)
    expect((await cache.describe('ever'))?.expiresAtMs).toBeNull()
    await expect(ask('wrong', Number.NaN)).rejects.toThrow(
      'setTimeout: NaN is not a timeout; give seconds as a finite number',
    )
  })

  it('a function that takes an older value away', async () => {
    const cache = create()
    const produce = ({ setTimeout }: ProducerContext) => {
      setTimeout(0)
      return 'not found'
    }
    await leaveOld(cache, 'k')
    expect(await cache.getOrSet('k', produce, { staleIfError: 60 })).toBe('not found')
    const fails = () => Promise.reject(new Error('down'))
    await expect(cache.getOrSet('k', fails, { staleIfError: 60 })).rejects.toThrow('down')
  })

  it('a function that takes an older value away in the background', async () => {
    const cache = create()
    const stale = { staleWhileRevalidate: 60 }
    await cache.set('k', 'old', { timeout: 60, ...stale })
    await cache.expire('k')
    const ask = () => cache.getOrSet('k', ({ setTimeout }) => (setTimeout(0), 'none'), stale)
    expect(await ask()).toBe('old')
    await eventually(ask, (value) => value === 'none')
    expect(await cache.describe('k')).toBeUndefined()
  })

  it('a function that adds tags by what was found', async () => {
    const cache = create()
    const produce = async ({ addTags }: ProducerContext) => {
      await addTags(['author:7'])
      return 'made'
    }
    await cache.getOrSet('k', produce, { tags: ['article:1'] })
    expect(await cache.get('k')).toBe('made')
    await cache.invalidateTags(['author:7'])
    expect(await cache.get('k')).toBeUndefined()
    await cache.getOrSet('k', produce, { tags: ['article:1'] })
    await cache.invalidateTags(['article:1'])
    expect(await cache.get('k')).toBeUndefined()
    await expect(cache.getOrSet('k', ({ addTags }) => void addTags(['']))).rejects.toThrow(
      TypeError,
    )
  })

  it('nothing is kept if an added tag was invalidated while it ran', async () => {
    const cache = create()
    const produce = async ({ addTags }: ProducerContext) => {
      await cache.invalidateTags(['author:7'])
      void addTags(['author:7'])
      return 'made of old'
    }
    expect(await cache.getOrSet('k', produce)).toBe('made of old')
    expect(await cache.get('k')).toBeUndefined()
  })
})

describe('the body of a fragment that never ends', () => {
  it('is not waited for longer than producerTimeoutMs, and the next caller begins again', async () => {
    const cache = new LocMemCache({ producerTimeoutMs: 30 })
    const fragments = new FragmentCache(createCaches({ default: cache }))
    await expect(fragments.render({ name: 'side' }, never)).rejects.toThrow(
      /^the body of the fragment "side", for "template\.cache\.side\..*" took longer than producerTimeoutMs, 30 ms/,
    )
    expect(await fragments.render({ name: 'side' }, () => 'made')).toBe('made')
    expect(await fragments.render({ name: 'side' }, () => 'again')).toBe('made')
  })

  it('is replaced by the old text', async () => {
    const cache = new LocMemCache({ producerTimeoutMs: 30 })
    const fragments = new FragmentCache(createCaches({ default: cache }))
    const options = { name: 'side', staleIfError: 60 }
    await fragments.render(options, () => 'old')
    await fragments.expire('side')
    const texts = [fragments.render(options, never), fragments.render(options, never)]
    expect(await Promise.all(texts)).toEqual(['old', 'old'])
    expect(await fragments.render(options, () => 'new')).toBe('new')
  })

  it('does not put what it says later into another page', async () => {
    const cache = new LocMemCache({ producerTimeoutMs: 30 })
    const fragments = new FragmentCache(createCaches({ default: cache }))
    const late = slow('late')
    await fragments.render({ name: 'side' }, late.produce).catch(() => undefined)
    late.end()
    await new Promise((resolve) => setTimeout(resolve, 10))
    expect(await fragments.render({ name: 'side' }, () => 'new')).toBe('new')
  })
})

it('is slower than others wait and still gives its value, where nothing is set', async () => {
  const cache = new LocMemCache()
  const late = slow('late')
  const made = cache.getOrSet('k', late.produce)
  const joined = cache.getOrSet('k', late.produce)
  expect(await cache.getOrSet('k', () => 'own', { producerTimeoutMs: 20, timeout: 0 })).toBe('own')
  late.end()
  expect(await Promise.all([made, joined])).toEqual(['late', 'late'])
})

it('does not keep a value from being made again in the background, once it has been overtaken', async () => {
  const cache = new LocMemCache()
  for (let i = 0; i < 3; i++) {
    await cache.getOrSet('k', never, { producerTimeoutMs: 10 }).catch(() => undefined)
  }
  let runs = 0
  const options = { timeout: 60, staleWhileRevalidate: 60 }
  expect(await cache.getOrSet('k', () => ++runs, options)).toBe(1)
  await cache.expire('k')
  expect(await cache.getOrSet('k', () => ++runs, options)).toBe(1)
  expect(
    await eventually(
      () => cache.get('k'),
      (value) => value === 2,
    ),
  ).toBe(2)
})

it('is given a copy of the old value, which is served as it was if it fails', async () => {
  const cache = new AsyncTestCache()
  const options = { timeout: 60, staleIfError: 60 }
  await cache.set('k', { list: [1] }, options)
  await cache.expire('k')
  const spoil = ({ old }: ProducerContext) => {
    ;(old as { list: number[] }).list.push(2)
    cache.failing = true
    throw new Error('it failed')
  }
  expect(await cache.getOrSet<unknown>('k', spoil, options)).toEqual({ list: [1] })
})
