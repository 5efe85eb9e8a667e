import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  CacheTagError,
  createCaches,
  dependOn,
  FragmentCache,
  LocMemCache,
  type FragmentMessage,
  type FragmentOptions,
  type RefreshMessage,
} from '../../src/index.js'
import { renderDeferred, renderInSession, currentSession } from '../../src/fragment/deferred.js'
import { resolveTag } from '../../src/fragment/render.js'
import type { Fragment } from '../../src/fragment/spec.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { gate, pause } from '../support/waiting.js'
import { renderTagSync } from './render-tag.js'

const soon = () => new Promise<void>((resolve) => setImmediate(resolve))
const outcomes: string[] = []
const failures: unknown[] = []
const onFragment = (message: unknown) => void outcomes.push((message as FragmentMessage).outcome)
const onRefresh = (message: unknown) => void failures.push((message as RefreshMessage).error)

beforeEach(() => {
  outcomes.length = 0
  failures.length = 0
  subscribe('fragcache:fragment', onFragment)
  subscribe('fragcache:refresh', onRefresh)
})

afterEach(() => {
  unsubscribe('fragcache:fragment', onFragment)
  unsubscribe('fragcache:refresh', onRefresh)
  vi.useRealTimers()
  vi.restoreAllMocks()
})

/** Renders a fragment as a template's tag does: asynchronously in a session, or in place. */
type Render = (
  fragments: FragmentCache,
  options: FragmentOptions,
  body: () => string,
) => Promise<string>

/** The tag of a template, as an engine's adapter makes it. */
function tagOf(fragments: FragmentCache, { name, timeout, varyOn = [], ...rest }: FragmentOptions) {
  const site = { fragment: name, remedy: 'render asynchronously' }
  return resolveTag(fragments, site, { timeout: timeout ?? 60, varyOn, ...rest })
}

const inSession: Render = (fragments, options, body) =>
  renderDeferred(() => {
    const session = currentSession()
    if (session === undefined) throw new Error('no session')
    return renderInSession(session, tagOf(fragments, options), { renderBody: body })
  })

const inPlace: Render = async (fragments, options, body) =>
  renderTagSync(tagOf(fragments, options), body)

describe.each<[string, () => LocMemCache | AsyncTestCache, Render]>([
  ['in place, local memory', () => new LocMemCache(), inPlace],
  ['in a session, local memory', () => new LocMemCache(), inSession],
  ['in a session, an asynchronous cache', () => new AsyncTestCache(), inSession],
])('a tag rendered %s', (_, create, render) => {
  let cache: LocMemCache | AsyncTestCache
  let fragments: FragmentCache

  beforeEach(() => {
    cache = create()
    fragments = new FragmentCache(createCaches({ default: cache }))
  })

  it('staleWhileRevalidate: who finds it old makes it again, and it is stored', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const options = { name: 'n', timeout: 10, staleWhileRevalidate: 30 }
    let runs = 0
    const body = () => `run ${++runs}`
    expect(await render(fragments, options, body)).toBe('run 1')
    vi.advanceTimersByTime(39_999)
    expect(await render(fragments, options, body)).toBe('run 2')
    expect(await render(fragments, options, body)).toBe('run 2')
    vi.advanceTimersByTime(40_000)
    expect(await render(fragments, options, body)).toBe('run 3')
    expect(runs).toBe(3)
  })

  it('without it a fragment past its time is gone', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const options = { name: 'n', timeout: 10 }
    await render(fragments, { ...options, staleWhileRevalidate: 30, staleIfError: 30 }, () => 'old')
    vi.advanceTimersByTime(10_000)
    const failing = () => {
      throw new Error('boom')
    }
    await expect(render(fragments, options, failing)).rejects.toThrow('boom')
    expect(await render(fragments, options, () => 'new')).toBe('new')
  })

  it('staleIfError: the old text stands in for a body that throws, and the error is told', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const options = { name: 'n', timeout: 10, staleIfError: 30 }
    const boom = new Error('boom')
    const failing = () => {
      throw boom
    }
    await render(fragments, options, () => 'old')
    vi.advanceTimersByTime(39_999)
    expect(await render(fragments, options, failing)).toBe('old')
    expect(await render(fragments, options, failing)).toBe('old')
    expect(failures).toEqual([boom, boom])
    expect(outcomes).toEqual(['miss', 'stale', 'stale'])
    vi.advanceTimersByTime(1)
    await expect(render(fragments, options, failing)).rejects.toBe(boom)
    expect(await render(fragments, options, () => 'new')).toBe('new')
    expect(await render(fragments, options, failing)).toBe('new')
  })

  it('what is wrong with the template itself is not hidden by the old text', async () => {
    const options = { name: 'n', staleIfError: 30 }
    await render(fragments, options, () => 'old')
    await fragments.expire('n')
    const failing = () => {
      throw new CacheTagError('wrong')
    }
    await expect(render(fragments, options, failing)).rejects.toThrow('wrong')
  })

  it('after a hard invalidation or a removal nothing old is served', async () => {
    const options = { name: 'n', staleWhileRevalidate: 60, staleIfError: 60, tags: ['t'] }
    const failing = () => {
      throw new Error('boom')
    }
    for (const remove of [
      () => fragments.invalidate('n'),
      () => fragments.delete('n'),
      () => cache.invalidateTags(['t']),
    ]) {
      await render(fragments, options, () => 'old')
      await fragments.expire('n')
      await remove()
      await expect(render(fragments, options, failing)).rejects.toThrow('boom')
    }
  })

  it('after a soft one it is old, of one variant, one name or one tag', async () => {
    const options = { name: 'n', staleIfError: 60, tags: ['t'] }
    const failing = () => {
      throw new Error('boom')
    }
    for (const soften of [
      () => fragments.expire('n'),
      () => fragments.invalidate('n', { soft: true }),
      () => cache.invalidateTags(['t'], { soft: true }),
    ]) {
      await render(fragments, options, () => 'old')
      await soften()
      expect(await render(fragments, options, failing)).toBe('old')
      expect(await render(fragments, options, () => 'new')).toBe('new')
      await fragments.delete('n')
    }
  })

  it('what has something old inside is not stored as if it were new', async () => {
    const inner = { name: 'inner', staleIfError: 60 }
    const failing = () => {
      throw new Error('boom')
    }
    await render(fragments, inner, () => 'old')
    await fragments.expire('inner')
    const page = (body: () => string) =>
      render(fragments, { name: 'outer' }, () => {
        const session = currentSession()
        const tag = tagOf(fragments, inner)
        return `[${session ? renderInSession(session, tag, { renderBody: body }) : renderTagSync(tag, body)}]`
      })
    expect(await page(failing)).toBe('[old]')
    expect(await page(() => 'new')).toBe('[new]')
    expect(await page(failing)).toBe('[new]')
  })

  it('earlyRefresh of the cache: who is drawn makes it again ahead of its time', async () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'] })
    vi.advanceTimersByTime(1)
    const random = vi.spyOn(Math, 'random').mockReturnValue(0.999)
    fragments = new FragmentCache(
      createCaches({
        default:
          create().constructor === LocMemCache
            ? new LocMemCache({ earlyRefresh: true })
            : new AsyncTestCache({ earlyRefresh: true }),
      }),
    )
    let runs = 0
    const body = () => {
      vi.advanceTimersByTime(1000)
      return `run ${++runs}`
    }
    const options = { name: 'n', timeout: 60 }
    expect(await render(fragments, options, body)).toBe('run 1')
    vi.advanceTimersByTime(55_000)
    expect(await render(fragments, options, body)).toBe('run 1')
    // exp(-5) of all draws are due five costs before the end.
    random.mockReturnValue(Math.exp(-5) * 0.99)
    expect(await render(fragments, options, body)).toBe('run 2')
    random.mockReturnValue(0.999)
    vi.advanceTimersByTime(10_000)
    expect(await render(fragments, options, body)).toBe('run 2')
  })

  it('bubbleTimeout: what contains it ends with it, whether it was made or found', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const limited = new FragmentCache(fragments.caches, { bubbleTimeout: true })
    let runs = 0
    const outer = (of: FragmentCache, name: string) =>
      render(of, { name, timeout: 600 }, () => {
        const session = currentSession()
        const tag: Fragment = tagOf(of, { name: 'inner', timeout: 30 })
        const body = () => String(++runs)
        return session
          ? renderInSession(session, tag, { renderBody: body })
          : renderTagSync(tag, body)
      })
    expect(await outer(limited, 'made')).toBe('1')
    vi.advanceTimersByTime(10_000)
    expect(await outer(limited, 'found')).toBe('1')
    expect(await outer(fragments, 'plain')).toBe('1')
    vi.advanceTimersByTime(19_999)
    expect(await outer(limited, 'found')).toBe('1')
    vi.advanceTimersByTime(1)
    expect(await outer(limited, 'made')).toBe('2')
    expect(await outer(limited, 'found')).toBe('2')
    expect(await outer(fragments, 'plain')).toBe('1')
  })
})

describe('a fragment rendered from code', () => {
  it('is made again in nobody’s time: all are served the old meanwhile, and one body runs', async () => {
    for (const cache of [new LocMemCache(), new AsyncTestCache()]) {
      const fragments = new FragmentCache(createCaches({ default: cache }))
      const options = { name: 'n', staleWhileRevalidate: 60 }
      await fragments.render(options, () => 'old')
      await fragments.expire('n')
      const { opened, open } = gate()
      let runs = 0
      const body = async () => {
        runs++
        await opened
        return 'new'
      }
      for (let i = 0; i < 3; i++) expect(await fragments.render(options, body)).toBe('old')
      const many = Array.from({ length: 20 }, () => fragments.render(options, body))
      expect(new Set(await Promise.all(many))).toEqual(new Set(['old']))
      open()
      await vi.waitFor(async () => expect(await cache.get(fragments.makeKey('n'))).toBe('new'))
      expect(runs).toBe(1)
    }
  })

  it('keeps the old and tells of it when the new one cannot be made', async () => {
    const fragments = new FragmentCache(createCaches({ default: new AsyncTestCache() }))
    const options = { name: 'n', staleWhileRevalidate: 60 }
    await fragments.render(options, () => 'old')
    await fragments.expire('n')
    const boom = new Error('boom')
    expect(await fragments.render(options, () => Promise.reject(boom))).toBe('old')
    await vi.waitFor(() => expect(failures).toEqual([boom]))
    expect(await fragments.render(options, () => Promise.reject(boom))).toBe('old')
    await vi.waitFor(() => expect(failures).toEqual([boom, boom]))
  })

  it('depends on what dependOn says in its body, also after waiting', async () => {
    const cache = new AsyncTestCache()
    const fragments = new FragmentCache(createCaches({ default: cache }))
    let runs = 0
    const body = async () => {
      await soon()
      dependOn(['country:fr'])
      return `run ${++runs}`
    }
    expect(await fragments.render({ name: 'n' }, body)).toBe('run 1')
    await cache.invalidateTags(['country:de'])
    expect(await fragments.render({ name: 'n' }, body)).toBe('run 1')
    await cache.invalidateTags(['country:fr'])
    expect(await fragments.render({ name: 'n' }, body)).toBe('run 2')
  })
})

describe('lock', () => {
  /** Two processes over one store. */
  function two(settings: { lock?: boolean } = {}) {
    const location = `locks-${Math.random()}`
    return [1, 2].map(
      () =>
        new FragmentCache(createCaches({ default: new AsyncTestCache({ location, ...settings }) })),
    ) as [FragmentCache, FragmentCache]
  }

  it('one body runs in all processes, by the option or the cache’s setting', async () => {
    for (const [processes, options] of [
      [two(), { name: 'n', lock: true }],
      [two({ lock: true }), { name: 'n' }],
    ] as const) {
      let runs = 0
      const body = async () => {
        await pause(20)
        return `run ${++runs}`
      }
      const texts = await Promise.all(
        processes.flatMap((fragments) =>
          Array.from({ length: 20 }, () => fragments.render(options, body)),
        ),
      )
      expect(new Set(texts)).toEqual(new Set(['run 1']))
    }
  })

  it('a body that throws frees it at once for who waits in another process', async () => {
    const [here, there] = two()
    const options = { name: 'n', lock: { wait: 1000, lease: 1000 } }
    const { opened, open } = gate()
    const first = here.render(options, async () => {
      await opened
      throw new Error('boom')
    })
    const second = there.render(options, () => 'made')
    open()
    await expect(first).rejects.toThrow('boom')
    expect(await second).toBe('made')
  })

  it('fragments in one another never make two processes wait for each other', async () => {
    const [here, there] = two()
    const lock = { wait: 1000, lease: 1000 }
    const inside = [gate(), gate()] as const
    const renderPage = (fragments: FragmentCache, at: 0 | 1, [outer, inner]: [string, string]) =>
      fragments.render({ name: outer, lock }, async () => {
        inside[at].open()
        await inside[1 - at]?.opened
        return `${outer}(${await fragments.render({ name: inner, lock }, () => inner)})`
      })
    const pages = await Promise.all([
      renderPage(here, 0, ['a', 'b']),
      renderPage(there, 1, ['b', 'a']),
    ])
    expect(pages).toEqual(['a(b)', 'b(a)'])
  })

  it('nor do fragments side by side, of which each has taken the lease of one', async () => {
    const lock = { wait: 1000, lease: 1000 }
    for (let i = 0; i < 20; i++) {
      const [here, there] = two()
      const renderPage = (fragments: FragmentCache, names: readonly string[]) =>
        fragments.renderMany(
          names.map((name) => ({
            name,
            lock,
            body: async () => {
              await pause(1)
              return name
            },
          })),
        )
      const first = renderPage(here, ['a', 'b', 'c'])
      for (let turn = 0; turn < i; turn++) await soon()
      expect(await renderPage(there, ['c', 'b', 'a'])).toEqual(['c', 'b', 'a'])
      expect(await first).toEqual(['a', 'b', 'c'])
    }
  })

  it('tags side by side in two pages being rendered do not either', async () => {
    const [here, there] = two({ lock: true })
    const page = (fragments: FragmentCache, names: readonly string[]) =>
      renderDeferred(() => {
        const session = currentSession()
        if (session === undefined) throw new Error('no session')
        return names
          .map((name) =>
            renderInSession(session, tagOf(fragments, { name }), { renderBody: () => `<${name}>` }),
          )
          .join('')
      })
    const pages = await Promise.all(
      Array.from({ length: 10 }, (__, i) =>
        i % 2 === 0 ? page(here, ['a', 'b', 'c']) : page(there, ['c', 'b', 'a']),
      ),
    )
    expect(new Set(pages)).toEqual(new Set(['<a><b><c>', '<c><b><a>']))
  })

  it('one of all makes an old one again, and nobody waits', async () => {
    const processes = two()
    const options = { name: 'n', lock: true, staleWhileRevalidate: 60 }
    await processes[0].render(options, () => 'old')
    await processes[0].expire('n')
    const { opened, open } = gate()
    let runs = 0
    const body = async () => {
      runs++
      await opened
      return 'new'
    }
    for (const fragments of [...processes, ...processes]) {
      expect(await fragments.render(options, body)).toBe('old')
    }
    await pause(20)
    expect(runs).toBe(1)
    open()
    await vi.waitFor(async () =>
      expect(await processes[1].render(options, () => 'never')).toBe('new'),
    )
  })
})
