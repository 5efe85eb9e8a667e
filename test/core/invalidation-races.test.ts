import { afterEach, describe, expect, it, vi } from 'vitest'
import {
  createCaches,
  dependOn,
  FragmentCache,
  InvalidCacheKeyError,
  LocMemCache,
  type Cache,
  type WriteEntry,
  type WriteOutcome,
} from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { SteppedClock } from '../support/clock.js'
import { gate, settle } from '../support/waiting.js'

/** A producer that waits in its midst, with what it has read until then. */
function slow<T>(make: () => T) {
  const started = gate()
  const end = gate()
  const produce = async (): Promise<T> => {
    const made = make()
    started.open()
    await end.opened
    return made
  }
  return { produce, started: started.opened, end: end.open }
}

function fail(): never {
  throw new Error('the producer failed')
}

/** So long that a test which waits for it is ended by its own time limit. */
const lock = { wait: 1000, lease: 1000 }

let locations = 0

/** Two caches of one store, as two processes have. */
function two(): [AsyncTestCache, AsyncTestCache] {
  const location = `invalidation races ${++locations}`
  return [new AsyncTestCache({ location }), new AsyncTestCache({ location })]
}

afterEach(() => {
  vi.restoreAllMocks()
})

describe.each<[string, () => LocMemCache | AsyncTestCache]>([
  ['local memory', () => new LocMemCache()],
  ['an asynchronous store', () => new AsyncTestCache()],
])('values in %s', (_, create) => {
  it('what is removed while it is made stays removed, whatever was invalidated before', async () => {
    const cache = create()
    const old = slow(() => 'old')
    const asked = cache.getOrSet('k', old.produce)
    await old.started
    await cache.invalidateTags(['another'])
    await cache.delete('k')
    old.end()
    await asked
    expect(await cache.get('k')).toBeUndefined()
  })

  it('what is removed stays so although something older is still being made', async () => {
    const cache = create()
    const options = { timeout: 100, tags: ['t'], staleWhileRevalidate: 50 }
    await cache.set('of the tag', 1, { tags: ['t'] })
    const old = slow(() => 'old')
    const asked = cache.getOrSet('k', old.produce, options)
    await old.started
    await cache.invalidateTags(['t'], { soft: true })
    await cache.getOrSet('k', () => 'newer', options)
    await cache.delete('k')
    old.end()
    await asked
    await settle()
    expect(await cache.getOrSet('k', () => 'newest', options)).toBe('newest')
  })

  it('nothing old stands in for a producer that fails once its tag was invalidated', async () => {
    const cache = create()
    const options = { timeout: 100, tags: ['t'], staleIfError: 100 }
    await cache.set('k', 'old', options)
    await cache.invalidateTags(['t'], { soft: true })
    const failing = slow(() => 'never used')
    const asked = cache.getOrSet('k', () => failing.produce().then(fail), options)
    await failing.started
    await cache.invalidateTags(['t'])
    failing.end()
    await expect(asked).rejects.toThrow('the producer failed')
  })

  it('who asks for nothing old gets nothing old from who does', async () => {
    const cache = create()
    const ageing = { timeout: 100, staleWhileRevalidate: 100 }
    await cache.set('k', 'old', ageing)
    await cache.expire('k')
    const patient = cache.getOrSet('k', () => 'new', ageing)
    const strict = cache.getOrSet('k', () => 'new')
    expect(await patient).toBe('old')
    expect(await strict).toBe('new')
  })

  it('a second soft invalidation does not lengthen the time that the old is served', async () => {
    const clock = new SteppedClock()
    clock.start()
    const cache = create()
    await cache.set('k', 'old', { timeout: null, tags: ['t'] })
    await cache.invalidateTags(['t'], { soft: true })
    clock.advance(3600)
    await cache.invalidateTags(['t'], { soft: true })
    const options = { staleWhileRevalidate: 10, tags: ['t'] }
    expect(await cache.getOrSet('k', () => 'new', options)).toBe('new')
  })

  it('invalidating other tags lets no second producer run', async () => {
    const cache = create()
    let runs = 0
    const one = slow(() => ++runs)
    const ask = () => cache.getOrSet('k', one.produce, { tags: ['a'] })
    const asked = [ask()]
    await one.started
    for (const tag of ['b', 'c', 'd']) {
      await cache.invalidateTags([tag])
      asked.push(ask())
      await settle()
    }
    one.end()
    await Promise.all(asked)
    expect(runs).toBe(1)
  })

  it('who asks after an invalidation does not join what contains a value from before it', async () => {
    const cache = create()
    let data = 'old'
    const inner = slow(() => data)
    const ask = () =>
      cache.getOrSet('outer', () => cache.getOrSet('inner', inner.produce, { tags: ['t'] }))
    const before = ask()
    await inner.started
    data = 'new'
    await cache.invalidateTags(['t'])
    const after = ask()
    await settle()
    inner.end()
    await before
    expect(await after).toBe('new')
  })

  it.each(['a value', 'a fragment'])(
    'who asks for %s after an invalidation does not join one that waits for another, of something older',
    async (kind) => {
      const cache = create()
      const fragments = new FragmentCache(createCaches({ default: cache }))
      const ask = (name: string, make: () => Promise<string>, tags: string[] = []) =>
        kind === 'a value'
          ? cache.getOrSet(name, make, { tags })
          : fragments.render({ name, tags, timeout: 60 }, make)
      let data = 'old'
      const innermost = slow(() => data)
      const tagged = () => ask('innermost', innermost.produce, ['t'])
      const joined = ask('joined', tagged)
      await innermost.started
      const before = ask('outer', () => ask('joined', tagged))
      await settle()
      data = 'new'
      await cache.invalidateTags(['t'])
      const after = ask('outer', () => ask('joined', () => ask('innermost', async () => data)))
      await settle()
      innermost.end()
      expect(await after).toBe('new')
      await Promise.all([joined, before])
    },
  )

  it('an inner value of many outer ones, all under leases, is made once', async () => {
    const cache = create()
    let runs = 0
    const inner = slow(() => ++runs)
    const outer = Array.from({ length: 50 }, (__, i) =>
      cache.getOrSet(`outer ${i}`, () => cache.getOrSet('inner', inner.produce, { lock }), {
        lock,
      }),
    )
    await inner.started
    await settle()
    inner.end()
    expect(new Set(await Promise.all(outer))).toEqual(new Set([1]))
  })

  it('an entry of very many new tags is found', async () => {
    const cache = create()
    await cache.set('k', 1, { tags: Array.from({ length: 10_000 }, (__, i) => `t${i}`) })
    expect(await cache.get('k')).toBe(1)
  })
})

describe.each<[string, () => LocMemCache | AsyncTestCache]>([
  ['local memory', () => new LocMemCache()],
  ['an asynchronous store', () => new AsyncTestCache()],
])('fragments in %s that are stored together, later than they were made', (_, create) => {
  /** Two, of which the second is made only when it is told to; between them something happens. */
  async function between(happens: (cache: Cache, fragments: FragmentCache) => Promise<unknown>) {
    const cache = create()
    const fragments = new FragmentCache(createCaches({ default: cache }))
    const last = slow(() => 'last')
    const many = fragments.renderMany([
      { name: 'f', ...ageing, body: () => 'old' },
      { name: 'last', ...ageing, body: last.produce },
    ])
    await last.started
    await settle()
    await happens(cache, fragments)
    last.end()
    await many
    return fragments.render({ name: 'f', ...ageing }, () => 'made again')
  }

  const ageing = { timeout: 100, tags: ['t'], staleWhileRevalidate: 50 }

  it.each<[string, (cache: Cache, fragments: FragmentCache) => Promise<unknown>]>([
    ['deleted', (_cache, fragments) => fragments.delete('f')],
    ['expired', (_cache, fragments) => fragments.expire('f')],
    ['cleared', (cache) => cache.clear()],
  ])('do not come back once they are %s', async (__, remove) => {
    expect(await between(remove)).toBe('made again')
  })

  it('do not take the place of what was made after an invalidation', async () => {
    const found = await between(async (cache, fragments) => {
      await cache.invalidateTags(['t'], { soft: true })
      await fragments.render({ name: 'f', ...ageing }, () => 'newer')
    })
    expect(found).toBe('newer')
  })
})

describe('values that two processes share', () => {
  it('what one removes while the other refreshes it stays removed', async () => {
    const [here, there] = two()
    const options = { timeout: 100, staleWhileRevalidate: 100 }
    await here.set('k', 'old', options)
    await here.expire('k')
    const refresh = slow(() => 'made from old data')
    expect(await here.getOrSet('k', refresh.produce, options)).toBe('old')
    await refresh.started
    await there.delete('k')
    refresh.end()
    await settle()
    expect(await there.get('k')).toBeUndefined()
  })

  it('what expires by a clock that is ahead is no hit by one that is not', async () => {
    const clock = new SteppedClock()
    clock.start()
    const [here, there] = two()
    await here.set('k', 'old', { timeout: 100 })
    clock.advance(5)
    await there.expire('k')
    clock.advance(-5)
    expect(await here.get('k')).toBeUndefined()
  })

  it('values that contain each other do not wait for each other, also where others wait for them', async () => {
    const [here, there] = two()
    const x = slow(() => 'x')
    const y = slow(() => 'y')
    const nested = [
      here.getOrSet(
        'x',
        async () => (await x.produce()) + (await here.getOrSet('y', () => 'inner y', { lock })),
        { lock },
      ),
      there.getOrSet(
        'y',
        async () => (await y.produce()) + (await there.getOrSet('x', () => 'inner x', { lock })),
        { lock },
      ),
    ]
    await Promise.all([x.started, y.started])
    const waiting = [
      here.getOrSet('y', () => 'y alone', { lock }),
      there.getOrSet('x', () => 'x alone', { lock }),
    ]
    await settle()
    x.end()
    y.end()
    expect(await Promise.all([...nested, ...waiting])).toEqual(
      ['x', 'y', 'y', 'x'].map((own) => expect.stringContaining(own) as string),
    )
  })
})

/** A store of which one answer comes late. */
class LateAnswer extends AsyncTestCache {
  until: Promise<void> | undefined
  /** Nothing is changed before. */
  changesFrom: Promise<void> | undefined

  override async readEntries(keys: readonly string[]): Promise<(Uint8Array | undefined)[]> {
    const { until } = this
    this.until = undefined
    const answer = await super.readEntries(keys)
    await until
    return answer
  }

  override async writeEntries(entries: readonly WriteEntry<Uint8Array>[]): Promise<WriteOutcome[]> {
    await this.changesFrom
    return super.writeEntries(entries)
  }

  override async removeEntries(keys: readonly string[]): Promise<boolean[]> {
    await this.changesFrom
    return super.removeEntries(keys)
  }
}

describe('values', () => {
  it('who has set one finds it, also while an older look for it is on its way', async () => {
    const cache = new LateAnswer()
    await cache.set('k', 1)
    const late = gate()
    cache.until = late.opened
    const older = cache.getOrSet('k', 0)
    await settle()
    await cache.set('k', 2)
    const newer = cache.getOrSet('k', 0)
    await settle()
    late.open()
    expect(await newer).toBe(2)
    await older
  })

  it.each<[string, (cache: Cache, key: string) => Promise<unknown>]>([
    ['delete', (cache, key) => cache.delete(key)],
    ['deleteMany', (cache, key) => cache.deleteMany([key])],
    ['expire', (cache, key) => cache.expire(key)],
    ['incrVersion', (cache, key) => cache.incrVersion(key)],
  ])('nobody is given what was found during a %s that has ended', async (_, remove) => {
    for (const kind of ['a value', 'a fragment']) {
      const cache = new LateAnswer()
      const fragments = new FragmentCache(createCaches({ default: cache }))
      const key = kind === 'a value' ? 'k' : fragments.makeKey('f')
      const ask = (made: string) =>
        kind === 'a value'
          ? cache.getOrSet(key, () => made)
          : fragments.render({ name: 'f', timeout: 60 }, () => made)
      await ask('old')
      const removal = gate()
      cache.changesFrom = removal.opened
      const removed = remove(cache, key)
      await settle()
      const late = gate()
      cache.until = late.opened
      const older = ask('made meanwhile')
      await settle()
      cache.until = undefined
      removal.open()
      await removed
      const newer = ask('new')
      await settle()
      late.open()
      expect([kind, await newer]).toEqual([kind, 'new'])
      await older
    }
  })

  it('a tag whose counter can have no key fails nothing but what is made with it', async () => {
    const unhandled: unknown[] = []
    const note = (error: unknown) => void unhandled.push(error)
    process.on('unhandledRejection', note)
    const keyFunction = (key: string) => {
      if (key.includes('unspeakable')) throw new InvalidCacheKeyError('no such key')
      return key
    }
    const cache = new AsyncTestCache({ keyFunction })
    const asked = cache.getOrSet('k', async () => {
      dependOn(['unspeakable'])
      await settle()
      return fail()
    })
    await expect(asked).rejects.toThrow('the producer failed')
    await settle()
    process.off('unhandledRejection', note)
    expect(unhandled).toEqual([])
  })

  it('one past its time is not touched and is served as long as it would have been', async () => {
    const clock = new SteppedClock()
    clock.start()
    const cache = new AsyncTestCache()
    await cache.set('k', 'old', { timeout: 1, staleWhileRevalidate: 60 })
    clock.advance(2)
    expect(await cache.touch('k', { timeout: 5 })).toBe(false)
    clock.advance(10)
    expect(await cache.getOrSet('k', () => 'new', { staleWhileRevalidate: 60 })).toBe('old')
  })

  it('a soft invalidation holds although very many tags are invalidated after it', async () => {
    const cache = new LocMemCache({ options: { maxEntries: 100 } })
    await cache.invalidateTags(['t'])
    await cache.set('k', 'old', { tags: ['t'] })
    await cache.invalidateTags(['t'], { soft: true })
    for (let i = 0; i < 10_001; i++) await cache.invalidateTags([`other ${i}`], { soft: true })
    expect(await cache.get('k')).toBeUndefined()
  })
})
