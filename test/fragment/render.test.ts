import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, describe, expect, it, vi } from 'vitest'
import {
  CacheTagError,
  createCaches,
  FragmentCache,
  InvalidCacheBackendError,
  LocMemCache,
  makeTemplateFragmentKey,
} from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { spellingsOf } from '../support/digests.js'
import { fragmentsTold } from './told.js'
import { coreOf } from '../../src/backend/core.js'

function setUp() {
  const caches = createCaches({
    default: new LocMemCache(),
    far: new AsyncTestCache({}),
    other: new LocMemCache(),
  })
  return { caches, fragments: new FragmentCache<string>(caches) }
}

/** A body that counts how often it ran. */
function counting(text = 'x') {
  const body = vi.fn(() => text)
  return body
}

const { messages, outcomes } = fragmentsTold()

afterEach(() => {
  vi.useRealTimers()
})

describe.each(['default', 'far'])('a fragment in the cache "%s"', (using) => {
  it('runs its body once and then comes from the cache under its Django key', async () => {
    const { caches, fragments } = setUp()
    const body = counting('<b>')
    const options = { name: 'sidebar', timeout: 500, varyOn: ['ann'], using }
    expect(await fragments.render(options, body)).toBe('<b>')
    expect(await fragments.render(options, body)).toBe('<b>')
    expect(body).toHaveBeenCalledTimes(1)
    expect(await caches.get(using as 'far').get(makeTemplateFragmentKey('sidebar', ['ann']))).toBe(
      '<b>',
    )
    expect(outcomes()).toEqual(['sidebar:miss', 'sidebar:hit'])
    expect(messages[0]).toMatchObject({
      alias: using,
      key: makeTemplateFragmentKey('sidebar', ['ann']),
    })
  })

  it('keeps variants apart, and deletes one of them', async () => {
    const { fragments } = setUp()
    const of = (user: string, text: string) =>
      fragments.render({ name: 'n', timeout: 9, varyOn: [user], using }, () => text)
    expect([await of('a', 'A'), await of('b', 'B'), await of('a', 'C')]).toEqual(['A', 'B', 'A'])
    expect(await fragments.delete('n', ['a'], { using })).toBe(true)
    expect(await fragments.delete('n', ['a'], { using })).toBe(false)
    expect([await of('a', 'C'), await of('b', 'D')]).toEqual(['C', 'B'])
  })

  it('keeps a long vary-on value, or name, apart from all ways to write its digest', async () => {
    const { fragments } = setUp()
    const long = 'alice'.repeat(1000)
    for (const text of [long, ...spellingsOf(long)]) {
      const value = { name: 'n', timeout: 9, varyOn: [text], using }
      expect(await fragments.render(value, () => text)).toBe(text)
      const name = { name: text, timeout: 9, varyOn: ['a'], using }
      expect(await fragments.render(name, () => text)).toBe(text)
    }
  })

  it('keeps a version of a name apart from every other name', async () => {
    const { fragments } = setUp()
    const of = (name: string, version?: number | string) =>
      fragments.render({ name, version, timeout: 9, using }, () => `${name} in ${version}`)
    for (const name of ['n', 'n\nnumber2', 'n\nstringa', '1:nnumber2', '1:nstringa']) {
      expect(await of(name)).toBe(`${name} in undefined`)
    }
    expect(await of('n', 2)).toBe('n in 2')
    expect(await of('n', 'a')).toBe('n in a')
  })

  it('invalidates every variant of a name and nothing else', async () => {
    const { fragments } = setUp()
    const of = (name: string, user: string, text: string) =>
      fragments.render({ name, timeout: 9, varyOn: [user], using }, () => text)
    await Promise.all([of('n', 'a', '1'), of('n', 'b', '1'), of('m', 'a', '1')])
    await fragments.invalidate('n', { using })
    expect([await of('n', 'a', '2'), await of('n', 'b', '2'), await of('m', 'a', '2')]).toEqual([
      '2',
      '2',
      '1',
    ])
  })

  it('lets an invalidation during a render win', async () => {
    const { caches, fragments } = setUp()
    for (const invalidate of [
      () => fragments.invalidate('n', { using }),
      () => caches.invalidateTags(['t']),
    ]) {
      const options = { name: 'n', timeout: 9, tags: ['t'], using }
      const slow = fragments.render(options, async () => {
        await delay(5)
        await invalidate()
        return 'old'
      })
      expect(await slow).toBe('old')
      expect(await fragments.render(options, () => 'new')).toBe('new')
      await invalidate()
    }
  })

  it.each([
    ['an invalidation', (f: FragmentCache) => f.invalidate('n', { using })],
    ['a deletion', (f: FragmentCache) => f.delete('n', [], { using })],
  ])('is not joined after %s by who comes later', async (_, remove) => {
    const { fragments } = setUp()
    const options = { name: 'n', timeout: 9, using }
    const slow = fragments.render(options, async () => {
      await delay(20)
      return 'old'
    })
    await delay(5)
    await remove(fragments)
    expect(await fragments.render(options, () => 'new')).toBe('new')
    expect(await slow).toBe('old')
  })

  it('hands the tags of what is inside, hit or miss, to what is around it', async () => {
    const { caches, fragments } = setUp()
    const inner = (text: string) =>
      fragments.render({ name: 'inner', timeout: 9, tags: ['country:fr'], using }, () => text)
    const outer = (variant: number, text: string) =>
      fragments.render(
        { name: 'outer', timeout: 9, varyOn: [variant], using },
        async () => `[${await inner(text)}]`,
      )
    expect([await outer(1, 'a'), await outer(2, 'b'), await outer(1, 'c')]).toEqual([
      '[a]',
      '[a]',
      '[a]',
    ])
    await caches.invalidateTags(['country:fr'])
    expect([await outer(1, 'd'), await outer(2, 'e')]).toEqual(['[d]', '[d]'])
    await fragments.invalidate('inner', { using })
    expect(await outer(2, 'f')).toBe('[f]')
  })

  it('hands tags on from one cache to another', async () => {
    const { caches, fragments } = setUp()
    const page = (text: string) =>
      fragments.render({ name: 'o', timeout: 9, using }, () =>
        fragments.render({ name: 'i', timeout: 9, tags: ['t'], using: 'other' }, () => text),
      )
    expect([await page('a'), await page('b')]).toEqual(['a', 'a'])
    await caches.invalidateTags(['t'])
    expect(await page('c')).toBe('c')
  })

  it('runs one body for concurrent renders of one key', async () => {
    const { fragments } = setUp()
    const body = vi.fn(async () => {
      await delay(5)
      return 'x'
    })
    const renders = Array.from({ length: 100 }, () =>
      fragments.render({ name: 'n', timeout: 9, using }, body),
    )
    expect(new Set(await Promise.all(renders))).toEqual(new Set(['x']))
    expect(body).toHaveBeenCalledTimes(1)
    expect(outcomes().filter((one) => one === 'n:joined')).toHaveLength(99)
  })

  it('gives the waiters the error of the one body, stores nothing, and then tries again', async () => {
    const { fragments } = setUp()
    const failing = vi.fn(async () => {
      await delay(5)
      throw new Error('boom')
    })
    const options = { name: 'n', timeout: 9, using }
    const results = await Promise.allSettled([
      fragments.render(options, failing),
      fragments.render(options, failing),
    ])
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    expect(failing).toHaveBeenCalledTimes(1)
    expect(outcomes()).toContain('n:error')
    expect(await fragments.render(options, () => 'fine')).toBe('fine')
  })

  it('ends when two renders nest each other’s fragments crosswise', async () => {
    const { fragments } = setUp()
    const nest = (a: string, b: string) =>
      fragments.render({ name: a, timeout: 9, using }, async () => {
        await delay(2)
        return a + (await fragments.render({ name: b, timeout: 9, using }, () => b))
      })
    const texts = await Promise.all([nest('p', 'q'), nest('q', 'p')])
    expect(texts.map((text) => text[0])).toEqual(['p', 'q'])
  })

  it('renders a collection with the missing bodies only, in the order given', async () => {
    const { fragments } = setUp()
    await fragments.render({ name: 'row', timeout: 9, varyOn: [2], using }, () => 'two')
    const bodies = [1, 2, 3, 1].map((n) => ({
      name: 'row',
      timeout: 9,
      varyOn: [n],
      using,
      body: counting(`made ${n}`),
    }))
    expect(await fragments.renderMany(bodies)).toEqual(['made 1', 'two', 'made 3', 'made 1'])
    expect(bodies.map(({ body }) => body.mock.calls.length)).toEqual([1, 0, 1, 0])
  })

  it('is rendered without the cache when `if` is false', async () => {
    const { fragments } = setUp()
    await fragments.render({ name: 'n', timeout: 9, using }, () => 'kept')
    expect(await fragments.render({ name: 'n', timeout: 9, using, if: 0 }, () => 'new')).toBe('new')
    expect(await fragments.render({ name: 'n', timeout: 9, using, if: 1 }, () => 'new')).toBe(
      'kept',
    )
    expect(outcomes()).toEqual(['n:miss', 'n:bypass', 'n:hit'])
    const leftOut = { name: 'n', timeout: 9, using, if: undefined }
    expect(await fragments.render(leftOut, () => 'new')).toBe('kept')
  })

  it('is not kept with a timeout of zero, and neither is what was there', async () => {
    const { fragments } = setUp()
    const of = (timeout: number | string | null, text: string) =>
      fragments.render({ name: 'n', timeout, using }, () => text)
    expect(await of(0, 'a')).toBe('a')
    expect(await of(0, 'b')).toBe('b')
    expect(await of('60', 'c')).toBe('c')
    expect(await of(-1, 'd')).toBe('c')
    expect(outcomes()).toEqual(['n:bypass', 'n:bypass', 'n:miss', 'n:hit'])
  })

  it('refuses what is not a string, and stores nothing then', async () => {
    const { fragments } = setUp()
    const options = { name: 'n', timeout: 9, using }
    await expect(fragments.render(options, () => undefined as unknown as string)).rejects.toThrow(
      /gave undefined instead of a string/,
    )
    expect(await fragments.render(options, () => 'x')).toBe('x')
  })

  it('treats a foreign value under its key as a miss', async () => {
    const { caches, fragments } = setUp()
    await caches.get(using as 'far').set(fragments.makeKey('n'), { not: 'text' })
    expect(await fragments.render({ name: 'n', timeout: 9, using }, () => 'x')).toBe('x')
    expect(await caches.get(using as 'far').get(fragments.makeKey('n'))).toBe('x')
  })
})

describe.each([
  ['default', 'other'],
  ['default', 'far'],
  ['far', 'default'],
])('a fragment in "%s" inside one in "%s"', (inner, outer) => {
  const of = (fragments: FragmentCache, name: string, using: string, body: () => Promise<string>) =>
    fragments.render({ name, timeout: 9, using, ...(name === 'i' && { tags: ['t'] }) }, body)

  it.each([
    ['its name', (fragments: FragmentCache) => fragments.invalidate('i', { using: inner })],
    ['its tag', (fragments: FragmentCache) => fragments.caches.invalidateTags(['t'])],
  ])('takes the outer one along when %s is invalidated', async (_, invalidate) => {
    const { fragments } = setUp()
    let made = 0
    const page = () =>
      of(fragments, 'o', outer, () => of(fragments, 'i', inner, async () => `v${++made}`))
    expect([await page(), await page()]).toEqual(['v1', 'v1'])
    await invalidate(fragments)
    expect([await page(), await page()]).toEqual(['v2', 'v2'])
  })

  it('leaves a fragment of the same name in the other cache alone', async () => {
    const { fragments } = setUp()
    await of(fragments, 'i', outer, async () => 'kept')
    await fragments.invalidate('i', { using: inner })
    expect(await of(fragments, 'i', outer, async () => 'made again')).toBe('kept')
  })

  it('is not kept by the outer one when it is invalidated while that is made', async () => {
    const { caches, fragments } = setUp()
    let made = 0
    const page = (slow: boolean) =>
      of(fragments, 'o', outer, async () => {
        const text = await of(fragments, 'i', inner, async () => `v${++made}`)
        if (slow) await caches.invalidateTags(['t'])
        return text
      })
    expect([await page(true), await page(false)]).toEqual(['v1', 'v2'])
  })
})

describe('what is removed while it is made', () => {
  it.each([
    ['a deletion', (f: FragmentCache) => f.delete('n')],
    ['a deletion of its key', (f: FragmentCache) => f.caches.get('default').delete(f.makeKey('n'))],
    ['clear', (f: FragmentCache) => f.caches.get('default').clear()],
  ])('is not stored over what was made after %s', async (_, remove) => {
    const { fragments } = setUp()
    const render = (text: string, ms: number) =>
      fragments.render({ name: 'n', timeout: 9 }, async () => {
        await delay(ms)
        return text
      })
    const old = render('old', 30)
    await delay(5)
    await remove(fragments)
    expect(await render('new', 1)).toBe('new')
    expect(await old).toBe('old')
    expect(await render('newer', 1)).toBe('new')
  })
})

describe('two caches over one store', () => {
  it('tell each other’s renders of an invalidation', async () => {
    const one = new LocMemCache({ location: 'shared-by-two' })
    const two = new LocMemCache({ location: 'shared-by-two' })
    const fragments = new FragmentCache(createCaches({ default: one }))
    const render = (text: string) =>
      fragments.render({ name: 'n', timeout: 9, tags: ['t'] }, async () => {
        await delay(10)
        return text
      })
    const old = render('old')
    await delay(2)
    await two.invalidateTags(['t'])
    expect(await render('new')).toBe('new')
    expect(await old).toBe('old')
  })
})

describe('a cache that hangs', () => {
  it('does not hang the page', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const { caches, fragments } = setUp()
    const never = new Promise<never>(() => undefined)
    vi.spyOn(coreOf(caches.far).entries, 'lookup').mockReturnValue(never)
    const text = fragments.render({ name: 'n', timeout: 9, using: 'far' }, () => 'x')
    await vi.advanceTimersByTimeAsync(2000)
    expect(await text).toBe('x')
    expect(outcomes()).toEqual(['n:bypass'])
  })
})

describe('many fragments over an asynchronous cache', () => {
  it('cost one read, one claim and one write when cold, one read when warm', async () => {
    const { caches, fragments } = setUp()
    const far = caches.far
    const rows = Array.from({ length: 20 }, (_, n) => ({
      name: 'row',
      timeout: n + 1,
      varyOn: [n],
      using: 'far',
      body: () => `row ${n}`,
    }))
    const cold = await fragments.renderMany(rows)
    expect([far.reads, far.writes]).toEqual([1, 2])
    expect(await fragments.renderMany(rows)).toEqual(cold)
    expect([far.reads, far.writes]).toEqual([2, 2])
  })
})

describe('synchronous rendering', () => {
  it('hits, misses and nests over a cache that answers at once', () => {
    const { fragments } = setUp()
    const page = () =>
      fragments.renderSync(
        { name: 'o', timeout: 9 },
        () => `o(${fragments.renderSync({ name: 'i', timeout: 9 }, () => 'i')})`,
      )
    expect([page(), page()]).toEqual(['o(i)', 'o(i)'])
    expect(outcomes()).toEqual(['i:miss', 'o:miss', 'o:hit'])
  })

  it('stores nothing when the body throws', () => {
    const { fragments } = setUp()
    const options = { name: 'n', timeout: 9 }
    expect(() =>
      fragments.renderSync(options, () => {
        throw new Error('boom')
      }),
    ).toThrow('boom')
    expect(fragments.renderSync(options, () => 'x')).toBe('x')
    expect(outcomes()).toEqual(['n:error', 'n:miss'])
  })

  it('refuses an asynchronous cache and says what to call', () => {
    const { fragments } = setUp()
    expect(() => fragments.renderSync({ name: 'n', using: 'far' }, () => 'x')).toThrow(
      /"far" answers asynchronously.*use render instead/,
    )
  })

  it('expires at the deadline', () => {
    vi.useFakeTimers({ now: 1_000_000 })
    const { fragments } = setUp()
    const of = (text: string) => fragments.renderSync({ name: 'n', timeout: 10 }, () => text)
    expect(of('a')).toBe('a')
    vi.setSystemTime(1_009_999)
    expect(of('b')).toBe('a')
    vi.setSystemTime(1_010_000)
    expect(of('c')).toBe('c')
  })
})

describe('which cache', () => {
  it('is `using`, else template_fragments, else default', async () => {
    const fragmentStore = new LocMemCache()
    const caches = createCaches({ default: new LocMemCache(), template_fragments: fragmentStore })
    const fragments = new FragmentCache(caches)
    await fragments.render({ name: 'n' }, () => 'x')
    await fragments.render({ name: 'm', using: 'default' }, () => 'y')
    expect(await fragmentStore.get(fragments.makeKey('n'))).toBe('x')
    expect(await caches.default.get(fragments.makeKey('m'))).toBe('y')
  })

  it('must exist', async () => {
    const { fragments } = setUp()
    await expect(fragments.render({ name: 'n', using: 'nope' }, () => 'x')).rejects.toThrow(
      InvalidCacheBackendError,
    )
    await expect(fragments.delete('n', [], { using: 'nope' })).rejects.toThrow(/"nope"/)
  })
})

describe('bad input', () => {
  it.each([
    [{ name: '' }, TypeError, /empty string/],
    [{ name: 'n', timeout: 1.5 }, CacheTagError, /timeout is 1\.5/],
    [{ name: 'n', timeout: 'soon' }, CacheTagError, /timeout is "soon"/],
    [{ name: 'n', timeout: true }, CacheTagError, /timeout is true/],
    [{ name: 'n', varyOn: 'ann' }, TypeError, /varyOn/],
    [
      { name: 'n', varyOn: [{ toString: Object.prototype.toString }] },
      TypeError,
      /text of its own/,
    ],
    [{ name: 'n', varyOn: [Symbol('s')] }, TypeError, /has no text/],
    [{ name: 'n', varyOn: ['\ud800'] }, TypeError, /lone surrogate/],
    [{ name: 'n', tags: [''] }, TypeError, /tags/],
    [
      { name: 'n', ttl: 5 },
      CacheTagError,
      /^fragment "n": unknown option "ttl"; the options are name, timeout, varyOn, using, tags, /,
    ],
    [
      { name: 'n', timeout: 'abc', template: 'page.html' },
      CacheTagError,
      /^fragment "n" \(page\.html\): the timeout is "abc"; give whole seconds, or null for never$/,
    ],
    [{ name: 'n', lock: 'yes' }, TypeError, /lock: "yes"/],
    [{ name: 'n', lock: { wait: -1 } }, TypeError, /lock\.wait: -1/],
    [{ name: 'n', staleWhileRevalidate: -1 }, TypeError, /staleWhileRevalidate: -1/],
    [{ name: 'n', staleIfError: '5' }, TypeError, /staleIfError: "5"/],
    [{ name: 'n', earlyRefresh: 'yes' }, TypeError, /earlyRefresh: "yes"/],
  ])('%o is refused', async (options, kind, message) => {
    const { fragments } = setUp()
    const render = fragments.render(options as never, () => 'x')
    await expect(render).rejects.toThrow(kind)
    await expect(render).rejects.toThrow(message)
  })

  it.each([
    ['delete', (f: FragmentCache, varyOn: never) => f.delete('n', varyOn)],
    ['expire', (f: FragmentCache, varyOn: never) => f.expire('n', varyOn)],
    ['makeKey', async (f: FragmentCache, varyOn: never) => f.makeKey('n', varyOn)],
  ])('a text in the place of the values is refused by %s', async (_, call) => {
    const { fragments } = setUp()
    const called = call(fragments, 'fr' as never)
    await expect(called).rejects.toThrow(TypeError)
    await expect(called).rejects.toThrow('varyOn: "fr" is not a list of values; give an array')
  })

  it('undefined among the vary-on values is the empty string, and warned of once per name', async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    const { fragments } = setUp()
    const of = (value: unknown) =>
      fragments.render({ name: 'n', timeout: 9, varyOn: [value] }, () => 'x')
    await of(undefined)
    await of(undefined)
    expect(fragments.makeKey('n', [undefined])).toBe(makeTemplateFragmentKey('n', ['']))
    expect(warn).toHaveBeenCalledTimes(1)
    expect(warn.mock.calls[0]?.[0]).toMatch(/"n".*undefined/)
    warn.mockRestore()
  })
})

describe('a cache that is down', () => {
  it('fails no fragment and is written to again once it is back', async () => {
    const { caches, fragments } = setUp()
    const options = { name: 'n', timeout: 9, using: 'far' }
    caches.far.failing = true
    const body = counting()
    expect(await fragments.render(options, body)).toBe('x')
    expect(await fragments.render(options, body)).toBe('x')
    caches.far.failing = false
    expect(await fragments.render(options, body)).toBe('x')
    expect(await fragments.render(options, body)).toBe('x')
    expect(body).toHaveBeenCalledTimes(3)
    expect(outcomes()).toEqual(['n:bypass', 'n:bypass', 'n:miss', 'n:hit'])
  })
})

describe('a cache that cannot be read while a fragment is made', () => {
  it('keeps nothing that an invalidation of an inner part could not reach', async () => {
    const { caches, fragments } = setUp()
    const { entries } = coreOf(caches.far)
    const read = entries.versionsSince.bind(entries)
    const page = (text: string, fail: boolean) =>
      fragments.render({ name: 'o', timeout: 9, using: 'far' }, async () => {
        // The outer cache's versions of the inner tags are read when the inner is done, and again if need be.
        vi.spyOn(entries, 'versionsSince').mockImplementation((...asked) =>
          fail ? undefined : read(...asked),
        )
        const inner = await fragments.render({ name: 'i', timeout: 9, tags: ['t'] }, () => text)
        return inner
      })
    expect(await page('a', true)).toBe('a')
    expect(outcomes()).toEqual(['i:miss', 'o:bypass'])
    await caches.invalidateTags(['t'])
    expect(await page('b', false)).toBe('b')
  })
})

describe('options of FragmentCache', () => {
  it('are refused where they are unknown, with the remedy', () => {
    const caches = createCaches({ default: new LocMemCache() })
    const make = (options: object) => () => new FragmentCache(caches, options)
    expect(make({ alais: 'x' })).toThrow(
      'FragmentCache: unknown option "alais"; known are strict, bubbleTimeout, compat',
    )
    expect(make({ alias: 'pages' })).toThrow("render({ name: 'sidebar', using: 'pages' }, body)")
  })
})

describe('keys before Django 6.1', () => {
  it('are used throughout with compat', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const fragments = new FragmentCache(caches, { compat: 'django<6.1' })
    await fragments.render({ name: 'n', varyOn: ['a'] }, () => 'x')
    const key = makeTemplateFragmentKey('n', ['a'], { compat: 'django<6.1' })
    expect(await caches.default.get(key)).toBe('x')
    expect(await fragments.delete('n', ['a'])).toBe(true)
  })
})
