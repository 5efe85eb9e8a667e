import { randomUUID } from 'node:crypto'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import nunjucks from 'nunjucks'
import { registerCache } from '../../adapters/nunjucks/index.js'
import {
  createCaches,
  dependOn,
  FragmentCache,
  LocMemCache,
  type Cache,
  type CacheSettings,
  type GetOrSetOptions,
  type RefreshMessage,
} from '../../src/index.js'
import { Lease } from '../../src/making/lease.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { SteppedClock } from '../support/clock.js'
import { coreOf } from '../../src/backend/core.js'

/* What docs/invalidation.md and the pages that continue it say beside their samples. */

const clock = new SteppedClock()
const soon = () => new Promise<void>((resolve) => setTimeout(resolve, 10))

const kinds: [string, (settings?: CacheSettings) => Cache][] = [
  [
    'local memory',
    ({ location, ...rest } = {}) => new LocMemCache({ ...rest, location: location?.toString() }),
  ],
  ['a store across a network', (settings) => new AsyncTestCache(settings)],
]

/** Two caches over one store, as two processes have them. */
function twoProcesses(settings: CacheSettings = {}): [AsyncTestCache, AsyncTestCache] {
  const location = randomUUID()
  const open = () => new AsyncTestCache({ ...settings, location })
  return [open(), open()]
}

afterEach(() => {
  vi.restoreAllMocks()
})

describe('which means for what', () => {
  it.each(kinds)('version: a cache of another one sees nothing of it, over %s', async (_, open) => {
    const location = randomUUID()
    const [old, now] = [open({ location }), open({ location, version: 2 })]
    await old.set('k', 'old', { tags: ['t'] })
    await now.set('k', 'new', { tags: ['t'] })
    expect([await old.get('k'), await now.get('k')]).toEqual(['old', 'new'])
    await now.invalidateTags(['t'])
    expect([await old.get('k'), await now.get('k')]).toEqual([undefined, undefined])
  })
})

describe('the round trips of tags', () => {
  let cache: AsyncTestCache
  let fragments: FragmentCache

  beforeEach(async () => {
    cache = new AsyncTestCache()
    fragments = new FragmentCache(createCaches({ default: cache }))
    // Of tags and names that are not new.
    await cache.set('known', 1, { tags: ['a', 'b', 'c'] })
    for (const name of ['f', 'l', 'd', 'plain', 'limited']) {
      await fragments.render({ name, varyOn: ['other'] }, () => '')
    }
  })

  async function trips(call: () => Promise<unknown>): Promise<string> {
    const { reads, writes } = cache
    await call()
    return `${cache.reads - reads} read, ${cache.writes - writes} written`
  }
  const get = () => cache.get('k')
  const tagged = { tags: ['a', 'b'] }
  const getOrSet = () => cache.getOrSet('made', () => 1, tagged)
  const render = () => fragments.render({ name: 'f', ...tagged }, () => 'text')

  it('a hit is one, and two the first time if only the entry knows its tags', async () => {
    await cache.set('k', 1, tagged)
    expect(await trips(get)).toBe('2 read, 0 written')
    expect(await trips(get)).toBe('1 read, 0 written')
    await getOrSet()
    expect(await trips(getOrSet)).toBe('1 read, 0 written')
    await render()
    expect(await trips(render)).toBe('1 read, 0 written')
  })

  it('a miss is one read, a claim and a write, and with a lease one read and two writes more', async () => {
    expect(await trips(getOrSet)).toBe('1 read, 2 written')
    expect(await trips(render)).toBe('1 read, 2 written')
    const locked = () => cache.getOrSet('locked', () => 1, { ...tagged, lock: true })
    expect(await trips(locked)).toBe('2 read, 4 written')
    expect(await trips(locked)).toBe('1 read, 0 written')
    const fragment = () => fragments.render({ name: 'l', lock: true }, () => 'text')
    expect(await trips(fragment)).toBe('2 read, 4 written')
  })

  it('set and add take one read more, and dependOn one where it is stored', async () => {
    expect(await trips(() => cache.set('k', 1))).toBe('0 read, 1 written')
    expect(await trips(() => cache.set('k', 1, tagged))).toBe('1 read, 1 written')
    expect(await trips(() => cache.add('other', 1, tagged))).toBe('1 read, 1 written')
    const depending = () =>
      fragments.render({ name: 'd' }, () => {
        dependOn(['c'])
        return 'text'
      })
    expect(await trips(depending)).toBe('2 read, 2 written')
  })

  it('an invalidation counts up the clock while it reads, writes, and counts up the clock again, also a soft one', async () => {
    expect(await trips(() => cache.invalidateTags(['a', 'b']))).toBe('1 read, 3 written')
    const soft = () => cache.invalidateTags(['a', 'b'], { soft: true })
    expect(await trips(soft)).toBe('1 read, 3 written')
  })

  it('with bubbleTimeout an entry that is found inside costs one read more', async () => {
    const limited = new FragmentCache(fragments.caches, { bubbleTimeout: true })
    const outer = (of: FragmentCache, name: string) => () =>
      of.render({ name }, async () => `${String(await cache.get('k'))}`)
    await cache.set('k', 1)
    expect(await trips(outer(fragments, 'plain'))).toBe('2 read, 2 written')
    expect(await trips(outer(limited, 'limited'))).toBe('3 read, 2 written')
  })
})

describe.each(kinds)('what contains it, over %s', (_, open) => {
  it('stays as it is when one entry inside is removed or expires, and goes with the name', async () => {
    const fragments = new FragmentCache(createCaches({ default: open() }))
    let made = 0
    const inner = () => fragments.render({ name: 'inner' }, () => `${++made}`)
    const outer = () =>
      fragments.render({ name: 'outer' }, async () => `${++made}[${await inner()}]`)
    expect(await outer()).toBe('1[2]')
    await fragments.delete('inner')
    expect(await outer()).toBe('1[2]')
    await fragments.expire('inner')
    expect(await outer()).toBe('1[2]')
    await fragments.invalidate('inner')
    expect(await outer()).toBe('3[4]')
  })

  it('knows nothing of what was not found, unless dependOn names it', async () => {
    const cache = open()
    const fragments = new FragmentCache(createCaches({ default: cache }))
    const show = (name: string, tags: string[]) =>
      fragments.render({ name }, async () => {
        dependOn(tags)
        return String(await cache.get('page'))
      })
    expect([await show('a', []), await show('b', ['page'])]).toEqual(['undefined', 'undefined'])
    await cache.set('page', 'here', { tags: ['page'] })
    await cache.invalidateTags(['page'])
    await cache.set('page', 'here', { tags: ['page'] })
    expect([await show('a', []), await show('b', ['page'])]).toEqual(['undefined', 'here'])
  })

  it('ends with what is inside only if each level asks for it', async () => {
    clock.start()
    const caches = createCaches({ default: open() })
    const plain = new FragmentCache(caches)
    const limited = new FragmentCache(caches, { bubbleTimeout: true })
    const value = () => caches.default.getOrSet('value', () => Date.now(), { timeout: 10 })
    const nest = (middle: FragmentCache, name: string) =>
      limited.render({ name, timeout: 100 }, () =>
        middle.render({ name: `${name}-middle`, timeout: 100 }, async () => String(await value())),
      )
    const first = await nest(limited, 'a')
    // A middle one that is found is as long as it says itself.
    await plain.render({ name: 'b-middle', timeout: 100 }, async () => String(await value()))
    expect(await nest(plain, 'b')).toBe(first)
    clock.advance(11)
    expect(await nest(limited, 'a')).not.toBe(first)
    expect(await nest(plain, 'b')).toBe(first)
  })
})

describe.each(kinds)('hard and soft, over %s', (_, open) => {
  let cache: Cache
  let edition = 0

  beforeEach(() => {
    clock.start()
    cache = open()
    edition = 0
  })
  const read = (options: GetOrSetOptions = {}) =>
    cache.getOrSet('k', () => ++edition, { tags: ['t'], timeout: 10, ...options })
  const stale = { staleWhileRevalidate: 1000 }

  it('who asks without further ado makes again what is stale', async () => {
    await read()
    await cache.invalidateTags(['t'], { soft: true })
    expect(await read()).toBe(2)
  })

  it('what was stored without further ado may be served after a soft invalidation, for its own time', async () => {
    await read()
    await cache.invalidateTags(['t'], { soft: true })
    clock.advance(9)
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    const failing = () => cache.getOrSet('k', () => Promise.reject(new Error('down')), stale)
    expect(await failing()).toBe(1)
    clock.advance(1)
    await expect(failing()).rejects.toThrow('down')
  })

  it('a soft invalidation after a hard one brings nothing back', async () => {
    await read(stale)
    await cache.invalidateTags(['t'])
    await cache.invalidateTags(['t'], { soft: true })
    expect(await read(stale)).toBe(2)
  })

  it('what is kept for longer is gone at its time to all other calls', async () => {
    await read(stale)
    clock.advance(10)
    expect(await cache.get('k')).toBeUndefined()
    expect(await cache.has('k')).toBe(false)
    expect(await cache.getMany(['k'])).toEqual(new Map())
    expect(await cache.add('k', 'new')).toBe(true)
  })

  it('of two soft invalidations the first counts', async () => {
    const failing = () =>
      cache.getOrSet('k', () => Promise.reject(new Error('down')), { staleIfError: 60 })
    await cache.set('k', 'old', { tags: ['t'], timeout: 1000 })
    await cache.invalidateTags(['t'], { soft: true })
    clock.advance(50)
    await cache.invalidateTags(['t'], { soft: true })
    clock.advance(9)
    expect(await failing()).toBe('old')
    clock.advance(1)
    await expect(failing()).rejects.toThrow('down')
  })

  it('what was stored before the eighth last soft invalidation is gone', async () => {
    const failing = () =>
      cache.getOrSet('k', () => Promise.reject(new Error('down')), { staleIfError: 60 })
    await cache.set('k', 'old', { tags: ['t'], timeout: 1000 })
    for (let i = 0; i < 7; i++) await cache.invalidateTags(['t'], { soft: true })
    expect(await failing()).toBe('old')
    await cache.invalidateTags(['t'], { soft: true })
    await expect(failing()).rejects.toThrow('down')
  })
})

describe.each(kinds)('stale, over %s', (_, open) => {
  it('where one is in the other the inner becomes new first', async () => {
    clock.start()
    const fragments = new FragmentCache(createCaches({ default: open() }))
    let edition = 1
    const ages = { timeout: 10, staleWhileRevalidate: 60 }
    const show = async () => {
      const inner = () => fragments.render({ name: 'inner', ...ages }, async () => `e${edition}`)
      const text = await fragments.render(
        { name: 'outer', ...ages },
        async () => `[${await inner()}]`,
      )
      await soon()
      return text
    }
    expect(await show()).toBe('[e1]')
    edition = 2
    clock.advance(11)
    expect(await show()).toBe('[e1]')
    expect(await show()).toBe('[e1]')
    await expect.poll(show, { timeout: 15_000 }).toBe('[e2]')
  })

  it('a body that throws in the time of staleWhileRevalidate alone leaves the old one', async () => {
    clock.start()
    const caches = createCaches({ default: open() })
    const env = new nunjucks.Environment(null, { autoescape: true })
    const { renderStringAsync } = registerCache(env, caches)
    let fails = false
    env.addGlobal('news', () => {
      if (fails) throw new Error('no news')
      return 'news'
    })
    const reports: string[] = []
    const report = (message: unknown) => {
      const { alias, backend, key, error } = message as RefreshMessage
      reports.push(`${alias} ${backend} ${key}: ${String(error)}`)
    }
    subscribe('fragcache:refresh', report)
    onTestFinished(() => void unsubscribe('fragcache:refresh', report))
    const page = '{% cache 10 news staleWhileRevalidate=60 %}{{ news() }}{% endcache %}'
    expect(await renderStringAsync(page)).toBe('news')
    fails = true
    clock.advance(11)
    expect(await renderStringAsync(page)).toBe('news')
    expect(await renderStringAsync(page)).toBe('news')
    const told = expect.stringMatching(/^default \w+ template\.cache\.news\..*: .*no news/s)
    expect(reports).toEqual([told, told])
    clock.advance(60)
    await expect(renderStringAsync(page)).rejects.toThrow('no news')
  })
})

describe('many at once', () => {
  /** Runs until it is told to end, in whichever process. */
  function producer() {
    const ends: ((value: string) => void)[] = []
    const fails: ((error: Error) => void)[] = []
    const produce = () =>
      new Promise<string>((resolve, reject) => {
        ends.push(resolve)
        fails.push(reject)
      })
    const runs = async (count: number) =>
      expect.poll(() => ends.length, { timeout: 15_000 }).toBe(count)
    return { produce, ends, fails, runs }
  }

  it('whose wait is over makes it too, and all have the value that was stored first', async () => {
    const [one, two] = twoProcesses()
    const { produce, ends, runs } = producer()
    const first = one.getOrSet('k', produce, { lock: true })
    await runs(1)
    const second = two.getOrSet('k', produce, { lock: { wait: 0.01 } })
    await runs(2)
    ends[1]?.('of who waited')
    expect(await second).toBe('of who waited')
    ends[0]?.('of the holder')
    expect(await first).toBe('of who waited')
  })

  it('a producer that takes longer than its lease is not alone', async () => {
    const [one, two] = twoProcesses()
    const { produce, ends, runs } = producer()
    const first = one.getOrSet('k', produce, { lock: { lease: 0.01 } })
    await runs(1)
    const second = two.getOrSet('k', produce, { lock: true })
    await runs(2)
    for (const end of ends) end('made')
    expect(await Promise.all([first, second])).toEqual(['made', 'made'])
  })

  it('a producer that throws fails its process, and another process tries', async () => {
    const [one, two] = twoProcesses()
    const { produce, ends, fails, runs } = producer()
    const lock = { lock: { wait: 60, lease: 60 } }
    const own = [one.getOrSet('k', produce, lock), one.getOrSet('k', produce, lock)]
    const settled = Promise.allSettled(own)
    await runs(1)
    const other = two.getOrSet('k', produce, lock)
    await soon()
    fails[0]?.(new Error('down'))
    expect((await settled).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    await runs(2)
    ends[1]?.('made')
    expect(await other).toBe('made')
  })

  it('where the store fails nobody waits, and all is made', async () => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    const [cache] = twoProcesses()
    cache.failing = true
    const lock = { lock: { wait: 3600 } }
    expect(await cache.getOrSet('k', () => 'made', lock)).toBe('made')
    const fragments = new FragmentCache(createCaches({ default: cache }))
    expect(await fragments.render({ name: 'f', ...lock }, () => 'made')).toBe('made')
  })

  it('synchronous rendering does not wait for a lease', async () => {
    const caches = createCaches({ default: new LocMemCache({ lock: true }) })
    const fragments = new FragmentCache(caches)
    const env = new nunjucks.Environment(null, { autoescape: true })
    registerCache(env, fragments)
    const { default: cache } = caches
    for (const name of ['code', 'tag']) {
      expect(
        await Lease.take(coreOf(cache), cache.makeKey(fragments.makeKey(name)), 3600),
      ).toBeDefined()
    }
    expect(fragments.renderSync({ name: 'code' }, () => 'made')).toBe('made')
    expect(env.renderString('{% cache 60 tag lock=true %}made{% endcache %}', {})).toBe('made')
  })

  it('earlyRefresh leaves alone what was stored by set', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(Number.MIN_VALUE)
    const cache = new LocMemCache({ earlyRefresh: true })
    let runs = 0
    const produce = async () => {
      await soon()
      return ++runs
    }
    await cache.set('k', 'set', { timeout: 60 })
    expect(await cache.getOrSet('k', produce)).toBe('set')
    await soon()
    expect(runs).toBe(0)
    expect(await cache.getOrSet('made', produce, { timeout: 1 })).toBe(1)
    await cache.getOrSet('made', produce, { timeout: 1 })
    await expect.poll(() => runs, { timeout: 15_000 }).toBe(2)
  })

  it.each(kinds)(
    'earlyRefresh: if it fails, the one that is there stays, over %s',
    async (_, open) => {
      clock.start()
      vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
      const env = new nunjucks.Environment(null, { autoescape: true })
      const caches = createCaches({ default: open({ earlyRefresh: true }) })
      const { renderStringAsync } = registerCache(env, caches)
      let fails = false
      let runs = 0
      env.addGlobal('news', () => {
        const untilMs = performance.now() + 5
        while (performance.now() < untilMs);
        runs++
        if (fails) throw new Error('no news')
        return 'news'
      })
      const page = '{% cache 10 news %}{{ news() }}{% endcache %}'
      expect(await renderStringAsync(page, {})).toBe('news')
      fails = true
      clock.advance(9.999)
      vi.spyOn(Math, 'random').mockReturnValue(Number.MIN_VALUE)
      expect(await renderStringAsync(page, {})).toBe('news')
      expect(await renderStringAsync(page, {})).toBe('news')
      expect(runs).toBe(3)
      clock.advance(0.001)
      await expect(renderStringAsync(page, {})).rejects.toThrow('no news')
    },
  )
})

it('a digest hides fragments from delete and expire, not from invalidate and tags', async () => {
  const caches = createCaches({ default: new LocMemCache() })
  const fragments = new FragmentCache(caches)
  const env = new nunjucks.Environment(null, { autoescape: true })
  registerCache(env, fragments, { digest: true })
  let made = 0
  env.addGlobal('count', () => ++made)
  const show = () => env.renderString('{% cache 60 box tags="t" %}{{ count() }}{% endcache %}', {})
  expect(show()).toBe('1')
  expect(await fragments.delete('box')).toBe(false)
  expect(await fragments.expire('box')).toBe(false)
  expect(show()).toBe('1')
  await fragments.invalidate('box')
  expect(show()).toBe('2')
  await caches.invalidateTags(['t'])
  expect(show()).toBe('3')
})
