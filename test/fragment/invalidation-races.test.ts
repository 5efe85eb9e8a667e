import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  createCaches,
  FragmentCache,
  LocMemCache,
  type Deadline,
  type FragmentCacheOptions,
  type WriteEntry,
  type WriteOutcome,
} from '../../src/index.js'
import { currentSession, renderDeferred, renderInSession } from '../../src/fragment/deferred.js'
import { noteRead } from '../../src/fragment/guard.js'
import { renderHole } from '../../src/fragment/holes.js'
import { resolveTag } from '../../src/fragment/render.js'
import { LEASE_KEY_PREFIX } from '../../src/making/lease.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { SteppedClock } from '../support/clock.js'
import { gate, settle } from '../support/waiting.js'

/** A body that waits in its midst, with what it has read until then. */
function slow(make: () => string) {
  const started = gate()
  const end = gate()
  const body = async (): Promise<string> => {
    const made = make()
    started.open()
    await end.opened
    return made
  }
  return { body, started: started.opened, end: end.open }
}

function fail(): never {
  throw new Error('the body failed')
}

/** So long that a test which waits for it is ended by its own time limit. */
const lock = { wait: 1000, lease: 1000 }

let locations = 0

/** Fragments of two caches of one store, as two processes have. */
function two(): [FragmentCache, FragmentCache] {
  const location = `fragment races ${++locations}`
  const open = () => new FragmentCache(createCaches({ default: new AsyncTestCache({ location }) }))
  return [open(), open()]
}

beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
})

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

describe.each<[string, () => LocMemCache | AsyncTestCache]>([
  ['local memory', () => new LocMemCache()],
  ['an asynchronous store', () => new AsyncTestCache()],
])('fragments in %s', (_, create) => {
  let cache: LocMemCache | AsyncTestCache
  let fragments: FragmentCache

  function open(settings: FragmentCacheOptions = {}): void {
    cache = create()
    fragments = new FragmentCache(createCaches({ default: cache }), settings)
  }

  beforeEach(() => {
    open()
  })

  it.each([
    ['removed', () => fragments.delete('n')],
    ['cleared', () => cache.clear()],
  ])('what is %s while it is made again in the background stays so', async (__, remove) => {
    const options = { name: 'n', timeout: 100, staleWhileRevalidate: 60 }
    await fragments.render(options, () => 'old')
    await fragments.expire('n')
    const refresh = slow(() => 'made before the removal')
    expect(await fragments.render(options, refresh.body)).toBe('old')
    await refresh.started
    await remove()
    refresh.end()
    await settle()
    expect(await fragments.render(options, () => 'new')).toBe('new')
  })

  it('an old one is made again even if a hole failed as it was shown', async () => {
    let isFailing = false
    let runs = 0
    const holes = { has: () => true, render: () => (isFailing ? fail() : 'hole') }
    const options = { name: 'n', timeout: 100, staleWhileRevalidate: 600, holes }
    const body = () => `${++runs} ${renderHole({ e: 'x', t: 't', h: 'h' }, {}, () => 'in place')}`
    expect(await fragments.render(options, body)).toBe('1 hole')
    await fragments.expire('n')
    isFailing = true
    await expect(fragments.render(options, body)).rejects.toThrow('the body failed')
    isFailing = false
    await settle()
    await fragments.render(options, body)
    await settle()
    expect(await fragments.render(options, body)).toBe('2 hole')
  })

  it('nothing old stands in for a body that fails once the fragment was removed', async () => {
    const options = { name: 'n', timeout: 100, staleIfError: 60 }
    await fragments.render(options, () => 'old')
    await fragments.expire('n')
    const failing = slow(() => 'never used')
    const asked = fragments.render(options, () => failing.body().then(fail))
    await failing.started
    await fragments.delete('n')
    failing.end()
    await expect(asked).rejects.toThrow('the body failed')
  })

  it('who asks for nothing old gets nothing old from who does', async () => {
    const options = { name: 'n', timeout: 100 }
    await fragments.render({ ...options, staleWhileRevalidate: 60 }, () => 'old')
    await fragments.expire('n')
    const patient = fragments.render({ ...options, staleWhileRevalidate: 60 }, () => 'new')
    const strict = fragments.render(options, () => 'new')
    expect(await patient).toBe('old')
    expect(await strict).toBe('new')
  })

  it('what is removed stays so although something older is still being made', async () => {
    const options = { name: 'n', timeout: 100, tags: ['t'], staleWhileRevalidate: 50 }
    await cache.set('of the tag', 1, { tags: ['t'] })
    const old = slow(() => 'old')
    const asked = fragments.render(options, old.body)
    await old.started
    await cache.invalidateTags(['t'], { soft: true })
    await fragments.render(options, () => 'newer')
    await fragments.delete('n')
    old.end()
    await asked
    await settle()
    expect(await fragments.render(options, () => 'newest')).toBe('newest')
  })

  it('a body from before an invalidation does not replace what was made after it', async () => {
    const options = { name: 'n', timeout: 100, tags: ['t'], staleWhileRevalidate: 50 }
    await cache.set('of the tag', 1, { tags: ['t'] })
    const old = slow(() => 'old')
    const asked = fragments.render(options, old.body)
    await old.started
    await cache.invalidateTags(['t'], { soft: true })
    expect(await fragments.render(options, () => 'newer')).toBe('newer')
    old.end()
    await asked
    await settle()
    expect(await fragments.render(options, () => 'newest')).toBe('newer')
  })

  it('who asks after an invalidation does not join what contains a value from before it', async () => {
    let data = 'old'
    const value = slow(() => data)
    const ask = () =>
      fragments.render({ name: 'n', timeout: 100 }, () =>
        cache.getOrSet('v', value.body, { tags: ['t'] }),
      )
    const before = ask()
    await value.started
    data = 'new'
    await cache.invalidateTags(['t'])
    const after = ask()
    await settle()
    value.end()
    await before
    expect(await after).toBe('new')
  })

  it('an inner one of many outer ones, all under leases, is made once', async () => {
    let runs = 0
    const inner = slow(() => `run ${++runs}`)
    const outer = Array.from({ length: 50 }, (__, i) =>
      fragments.render({ name: `outer ${i}`, timeout: 50, lock }, () =>
        fragments.render({ name: 'inner', timeout: 50, lock }, inner.body),
      ),
    )
    await inner.started
    await settle()
    inner.end()
    expect(new Set(await Promise.all(outer))).toEqual(new Set(['run 1']))
  })

  it('all who wait for a body that read the visitor and failed get the old text', async () => {
    open({ strict: false })
    const options = { name: 'n', timeout: 100, staleIfError: 100 }
    await fragments.render(options, () => 'old')
    await fragments.expire('n')
    const show = () =>
      fragments.render(options, async () => {
        await settle()
        noteRead('user')
        fail()
      })
    expect(await Promise.all([show(), show(), show()])).toEqual(['old', 'old', 'old'])
  })

  it('a value around what read one visitor is not given to another who waits for it', async () => {
    open({ strict: false })
    const visit = (user: string) =>
      cache.getOrSet('around', () =>
        fragments.render({ name: 'n', timeout: 100 }, async () => {
          await settle()
          noteRead('user')
          return `hello ${user}`
        }),
      )
    expect(await Promise.all([visit('ann'), visit('bob')])).toEqual(['hello ann', 'hello bob'])
  })

  describe('with bubbleTimeout', () => {
    const clock = new SteppedClock()
    const around = (name: string) => ({ name, timeout: 1000 })

    beforeEach(() => {
      clock.start()
      open({ bubbleTimeout: true })
    })

    it('two that wait for one look at what they contain end with it', async () => {
      const inner = (text: string) => fragments.render({ name: 'inner', timeout: 5 }, () => text)
      await inner('old')
      const both = () =>
        Promise.all(['a', 'b'].map((name) => fragments.render(around(name), () => inner('new'))))
      expect(await both()).toEqual(['old', 'old'])
      clock.advance(6)
      expect(await both()).toEqual(['new', 'new'])
    })

    it('one that waits for a look at a value that others began ends with the value', async () => {
      await cache.set('v', 'old', { timeout: 5 })
      const body = slow(() => '')
      const asked = fragments.render(around('n'), async () => {
        await body.body()
        return cache.getOrSet('v', 'new')
      })
      await body.started
      await settle()
      const outside = cache.getOrSet('v', 'new')
      body.end()
      expect(await Promise.all([asked, outside])).toEqual(['old', 'old'])
      clock.advance(6)
      expect(await fragments.render(around('n'), () => 'made again')).toBe('made again')
    })

    it('one ends with what it contains, also where that is refreshed ahead of its time', async () => {
      const inner = (text: string) =>
        fragments.render({ name: 'inner', timeout: 5, earlyRefresh: 1e6 }, async () => {
          await settle()
          return text
        })
      // To make it takes long, by which the draw goes.
      let nowMs = 0
      vi.spyOn(performance, 'now').mockImplementation(() => (nowMs += 5))
      await inner('first')
      vi.spyOn(Math, 'random').mockReturnValue(1e-300)
      await fragments.render(around('n'), () => inner('second'))
      await settle()
      vi.mocked(Math.random).mockRestore()
      vi.mocked(performance.now).mockRestore()
      clock.advance(6)
      expect(await fragments.render(around('n'), () => 'made again')).toBe('made again')
    })
  })
})

describe('fragments that contain each other in two processes', () => {
  it('do not wait for each other, also where others wait for them', async () => {
    const [here, there] = two()
    const options = (name: string) => ({ name, timeout: 100, lock })
    const x = slow(() => 'x')
    const y = slow(() => 'y')
    const nested = [
      here.render(
        options('x'),
        async () => (await x.body()) + (await here.render(options('y'), () => 'inner y')),
      ),
      there.render(
        options('y'),
        async () => (await y.body()) + (await there.render(options('x'), () => 'inner x')),
      ),
    ]
    await Promise.all([x.started, y.started])
    const waiting = [
      here.render(options('y'), () => 'y alone'),
      there.render(options('x'), () => 'x alone'),
    ]
    await settle()
    x.end()
    y.end()
    expect(await Promise.all([...nested, ...waiting])).toEqual(
      ['x', 'y', 'y', 'x'].map((own) => expect.stringContaining(own) as string),
    )
  })
})

/** A store that never answers who asks for a lease. */
class NoLeases extends AsyncTestCache {
  readonly asked = gate()

  override async writeEntries(entries: readonly WriteEntry<Uint8Array>[]): Promise<WriteOutcome[]> {
    if (entries.some(({ key }) => key.includes(LEASE_KEY_PREFIX))) {
      this.asked.open()
      await new Promise(() => undefined)
    }
    return super.writeEntries(entries)
  }
}

/** A store in which time passes before it tells when an entry ends. */
class LateDeadline extends AsyncTestCache {
  passes = (): void => undefined

  override readDeadline(key: string): Promise<Deadline | undefined> {
    this.passes()
    return super.readDeadline(key)
  }
}

describe('fragments', () => {
  it('are made without a lease where the store never answers who asks for one', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] })
    const cache = new NoLeases()
    const fragments = new FragmentCache(createCaches({ default: cache }))
    const asked = fragments.render({ name: 'n', timeout: 1000, lock }, () => 'made')
    await cache.asked.opened
    await vi.advanceTimersByTimeAsync(60_000)
    expect(await asked).toBe('made')
  })

  it('with bubbleTimeout, one does not outlive what ended before its end was read', async () => {
    const clock = new SteppedClock()
    clock.start()
    const cache = new LateDeadline()
    const fragments = new FragmentCache(createCaches({ default: cache }), { bubbleTimeout: true })
    const inner = () => fragments.render({ name: 'inner', timeout: 1 }, () => 'inner')
    await inner()
    cache.passes = () => clock.advance(2)
    await fragments.render({ name: 'outer', timeout: 1000 }, inner)
    cache.passes = () => undefined
    clock.advance(2)
    expect(await fragments.render({ name: 'outer', timeout: 1000 }, () => 'new')).toBe('new')
  })

  it('in a page under way, one counts by its tags although the text of another was dropped', async () => {
    const caches = createCaches({ default: new LocMemCache(), far: new AsyncTestCache() })
    const fragments = new FragmentCache(caches)
    let runs = 0
    const tag = (name: string, body: () => string, more: { tags?: string[]; using?: string }) => {
      const session = currentSession()
      if (session === undefined) throw new Error('no session')
      const site = { fragment: name, remedy: 'render asynchronously' }
      const values = { name, timeout: 100, varyOn: [], ...more }
      return renderInSession(session, resolveTag(fragments, site, values), { renderBody: body })
    }
    const page = () =>
      caches.default.getOrSet('page', () =>
        renderDeferred(() =>
          tag(
            'kept',
            () => {
              tag('dropped', () => 'dropped', { using: 'far' })
              return `run ${++runs}`
            },
            { tags: ['t'] },
          ),
        ),
      )
    expect(await page()).toBe('run 1')
    await caches.invalidateTags(['t'])
    expect(await page()).toBe('run 2')
  })
})
