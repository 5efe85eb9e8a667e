import { describe, expect, it, onTestFinished } from 'vitest'
import { createCaches, FragmentCache, LocMemCache } from '../../src/index.js'
import { renderDeferred, currentSession, renderInSession } from '../../src/fragment/deferred.js'
import { resolveTag } from '../../src/fragment/render.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { settle } from '../support/waiting.js'
import { renderTagSync } from './render-tag.js'

function setUp() {
  const cache = new AsyncTestCache({})
  const fragments = new FragmentCache(createCaches({ default: cache, near: new LocMemCache() }))
  const bodies: string[] = []
  const tag = (name: string, body: () => string, values: Record<string, unknown> = {}): string => {
    const fragment = resolveTag(
      fragments,
      { fragment: name, template: 'test', line: 1, remedy: 'render asynchronously' },
      { timeout: 60, varyOn: [], ...values },
    )
    const session = currentSession()
    const counted = () => {
      bodies.push(name)
      return body()
    }
    return session === undefined
      ? renderTagSync(fragment, counted)
      : renderInSession(session, fragment, { renderBody: counted })
  }
  return { cache, fragments, tag, bodies }
}

describe('deferred fragments', () => {
  it('read all fragments of a level at once, and write them at once', async () => {
    const { cache, tag, bodies } = setUp()
    const page = () =>
      Array.from({ length: 20 }, (_, i) => tag('f', () => `[${i}]`, { varyOn: [i] })).join('')
    const cold = await renderDeferred(page)
    expect(cold).toBe(Array.from({ length: 20 }, (_, i) => `[${i}]`).join(''))
    // One write claims their keys before their bodies run, and one stores them.
    expect([cache.reads, cache.writes, bodies.length]).toEqual([1, 2, 20])
    expect(await renderDeferred(page)).toBe(cold)
    expect([cache.reads, cache.writes, bodies.length]).toEqual([2, 2, 20])
  })

  it('resolve nested fragments inner before outer, and store resolved text only', async () => {
    const { cache, tag, bodies, fragments } = setUp()
    const page = () => `<${tag('o', () => `o(${tag('i', () => 'i$&')})`)}>`
    expect(await renderDeferred(page)).toBe('<o(i$&)>')
    expect(await renderDeferred(page)).toBe('<o(i$&)>')
    expect(bodies).toEqual(['o', 'i'])
    expect(await cache.get(fragments.makeKey('o'))).toBe('o(i$&)')
    await fragments.invalidate('i')
    expect(await renderDeferred(page)).toBe('<o(i$&)>')
    expect(bodies).toEqual(['o', 'i', 'o', 'i'])
  })

  it('do not wait for themselves or for each other in circles', async () => {
    const { tag, bodies } = setUp()
    expect(await renderDeferred(() => tag('a', () => `x${tag('a', () => 'y')}`))).toBe('xy')
    expect(bodies).toEqual(['a', 'a'])
    const crossed = await Promise.all([
      renderDeferred(() => tag('p', () => `p${tag('q', () => 'q')}`)),
      renderDeferred(() => tag('q', () => `q${tag('p', () => 'p')}`)),
    ])
    // Which of the two joins the other's inner fragment is open; that both end is not.
    expect(['pq', 'pqp']).toContain(crossed[0])
    expect(['qp', 'qpq']).toContain(crossed[1])
  })

  it('run one body for two tags or two renders of one key', async () => {
    const { tag, bodies } = setUp()
    const page = () => `${tag('a', () => 'x')}-${tag('a', () => 'x')}`
    expect(await Promise.all([renderDeferred(page), renderDeferred(page)])).toEqual(['x-x', 'x-x'])
    expect(bodies).toEqual(['a'])
  })

  it('mix caches that answer at once with others', async () => {
    const { tag, bodies } = setUp()
    const page = () => tag('o', () => `A${tag('i', () => 'B')}`, { using: 'near' })
    expect(await renderDeferred(page)).toBe('AB')
    expect(await renderDeferred(page)).toBe('AB')
    expect(bodies).toEqual(['o', 'i'])
  })

  it('tell a damaged placeholder from a dropped one', async () => {
    const { tag, bodies } = setUp()
    await expect(renderDeferred(() => tag('a', () => 'x').trim())).rejects.toThrow(/altered/)
    await expect(renderDeferred(() => tag('a', () => 'x').toUpperCase())).rejects.toThrow(/altered/)
    expect(await renderDeferred(() => (tag('a', () => 'x'), 'none'))).toBe('none')
    expect(bodies).toEqual([])
  })

  it.each(['default', 'near'])(
    'do not keep in "%s" what was made of a placeholder instead of its text',
    async (using) => {
      const { tag, bodies } = setUp()
      const page = () => tag('o', () => `<${tag('i', () => 'x').length > 0}>`, { using })
      expect(await renderDeferred(page)).toBe('<true>')
      expect(await renderDeferred(page)).toBe('<true>')
      expect(bodies).toEqual(['o', 'o'])
    },
  )

  it('store what was finished when one body throws, and release the failed one', async () => {
    const { tag, bodies } = setUp()
    const boom = () => {
      throw new Error('boom')
    }
    const page = (fail: boolean) => () =>
      tag('ok', () => 'ok') + tag('bad', fail ? boom : () => 'good')
    await expect(renderDeferred(page(true))).rejects.toThrow('boom')
    expect(await renderDeferred(page(false))).toBe('okgood')
    expect(bodies).toEqual(['ok', 'bad', 'bad'])
  })

  it('render without the cache when it fails', async () => {
    const { cache, tag, bodies } = setUp()
    cache.failing = true
    const page = () => tag('a', () => `x${tag('b', () => 'y')}`)
    expect(await renderDeferred(page)).toBe('xy')
    expect(await renderDeferred(page)).toBe('xy')
    expect(bodies).toEqual(['a', 'b', 'a', 'b'])
    cache.failing = false
    expect(await renderDeferred(page)).toBe('xy')
    expect(await renderDeferred(page)).toBe('xy')
    expect(bodies).toHaveLength(6)
  })

  it('refuse synchronous rendering over an asynchronous cache', () => {
    const { tag } = setUp()
    expect(() => tag('a', () => 'x')).toThrow(
      /"default" answers asynchronously.*render asynchronously/,
    )
  })
})

describe('callers who ask for one fragment at once', () => {
  it.each([false, true])('have it made once; the store is down: %s', async (isDown) => {
    const { cache, fragments } = setUp()
    let runs = 0
    const body = async () => {
      runs++
      await new Promise((resolve) => setTimeout(resolve, 20))
      return 'text'
    }
    cache.failing = isDown
    const all = Array.from({ length: 10 }, async () => fragments.render({ name: 'f' }, body))
    expect(new Set(await Promise.all(all))).toEqual(new Set(['text']))
    expect(runs).toBe(1)
  })

  it('look again where it was made between their look-up and its answer', async () => {
    const { cache, fragments } = setUp()
    let runs = 0
    const body = () => String(++runs)
    const first = fragments.render({ name: 'f' }, body)
    cache.latencyMs = 30
    const late = fragments.render({ name: 'f' }, body)
    cache.latencyMs = 0
    expect(await Promise.all([first, late])).toEqual(['1', '1'])
  })
})

it('a cache that says it answers at once, and fails later, leaves no failure unheard', async () => {
  class Boastful extends AsyncTestCache {
    override readonly answersAtOnce = true
  }
  const cache = new Boastful()
  cache.failing = true
  const fragments = new FragmentCache(createCaches({ default: cache }))
  const unheard: unknown[] = []
  const note = (error: unknown) => unheard.push(error)
  process.on('unhandledRejection', note)
  onTestFinished(() => void process.off('unhandledRejection', note))
  await fragments.render({ name: 'f' }, () => 'text').catch(() => undefined)
  await settle()
  expect(unheard).toEqual([])
})
