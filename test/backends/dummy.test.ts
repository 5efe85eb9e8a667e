import { describe, expect, it } from 'vitest'
import {
  createCaches,
  DummyCache,
  FragmentCache,
  InvalidCacheBackendError,
} from '../../src/index.js'

describe('DummyCache', () => {
  it('answers at once, so that templates over it can be rendered synchronously', () => {
    const fragments = new FragmentCache(createCaches({ default: new DummyCache() }))
    let bodies = 0
    const render = () => fragments.renderSync({ name: 'f', timeout: 60 }, () => `body ${++bodies}`)
    expect([render(), render()]).toEqual(['body 1', 'body 2'])
  })

  it('makes the keys another backend would make', () => {
    const settings = { keyPrefix: 'p', version: 7 }
    expect(new DummyCache(settings).makeKey('k')).toBe('p:7:k')
    const keyFunction = (key: string) => `made of ${key}`
    expect(new DummyCache({ keyFunction }).makeKey('k')).toBe('made of k')
  })

  it('refuses settings that no backend takes', () => {
    expect(() => new DummyCache({ ttl: 5 } as never)).toThrow(InvalidCacheBackendError)
    expect(() => new DummyCache({ timeout: '5' as never })).toThrow(/^DummyCache: timeout: "5"/)
  })

  it('can stand in for a backend of any location and options', async () => {
    const cache = new DummyCache({ location: ['a:1', 'b:2'], options: { maxEntries: 5 } })
    await cache.set('k', 1)
    expect(await cache.get('k')).toBeUndefined()
  })

  it('never holds a value that an error could keep alive', async () => {
    const cache = new DummyCache()
    const value = { large: 'x'.repeat(1000) }
    expect(await cache.getOrSet('k', value)).toEqual(value)
    expect(await cache.getOrSet('k', value)).not.toBe(value)
  })
})
