import { createCaches, LocMemCache, type Cache } from 'fragcache'
import { registerCache } from 'fragcache/nunjucks'
import nunjucks from 'nunjucks'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { sources } from './nunjucks-driver.js'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] })
})

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

function setUp(main: string, cache: Cache) {
  const env = new nunjucks.Environment(sources({ main }))
  return registerCache(env, createCaches({ default: cache }))
}

const later = (seconds: number) => vi.setSystemTime(Date.now() + seconds * 1000)

describe.each([
  ['local memory', () => new LocMemCache()],
  ['an asynchronous cache', () => new AsyncTestCache()],
])('over %s', (_, make) => {
  it('staleIfError shows the old text while the body throws, each visitor’s own blocks in it', async () => {
    vi.spyOn(process, 'emitWarning').mockReturnValue()
    const { renderAsync } = setUp(
      '{% cache 10 n staleIfError=60 %}{{ make() }}{% nocache %}{{ user }}{% endnocache %}{% endcache %}',
      make(),
    )
    const make1 = () => 'made'
    const boom = () => {
      throw new Error('no luck')
    }
    expect(await renderAsync('main', { make: make1, user: 'ann' })).toBe('madeann')
    later(11)
    expect(await renderAsync('main', { make: boom, user: 'bob' })).toBe('madebob')
    later(90)
    await expect(renderAsync('main', { make: boom, user: 'bob' })).rejects.toThrow(/no luck/)
  })

  it('lock renders one body for many', async () => {
    const { renderAsync } = setUp(
      '{% cache 10 n lock=true %}{{ make() }}{% nocache %}{{ user }}{% endnocache %}{% endcache %}',
      make(),
    )
    const make1 = vi.fn(() => 'made')
    const texts = await Promise.all(
      Array.from({ length: 20 }, (__, user) => renderAsync('main', { make: make1, user })),
    )
    expect(texts).toEqual(Array.from({ length: 20 }, (__, user) => `made${user}`))
    expect(make1).toHaveBeenCalledTimes(1)
  })

  it('staleWhileRevalidate shows the others the old text while one makes the new one', async () => {
    const { renderAsync } = setUp(
      '{% cache 10 n staleWhileRevalidate=60 %}{{ n }}{% nocache %}{{ user }}{% endnocache %}{% endcache %}',
      make(),
    )
    expect(await renderAsync('main', { n: 1, user: 'ann' })).toBe('1ann')
    later(11)
    const texts = await Promise.all(
      ['ann', 'bob', 'cid'].map((user) => renderAsync('main', { n: 2, user })),
    )
    expect(texts.map((text) => text.slice(1))).toEqual(['ann', 'bob', 'cid'])
    expect(await renderAsync('main', { n: 3, user: 'dan' })).toBe('2dan')
  })
})
