import { randomUUID } from 'node:crypto'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { LocMemCache, type Cache } from '../../src/index.js'

afterEach(() => {
  vi.resetModules()
})

describe('LocMemCache and its location', () => {
  it('shares entries among caches of one name, and among no others', async () => {
    const location = randomUUID()
    const one = new LocMemCache({ location })
    const same = new LocMemCache({ location })
    await one.set('k', { a: 1 })
    expect(await same.get('k')).toEqual({ a: 1 })
    expect(await new LocMemCache({ location: `${location}-other` }).get('k')).toBeUndefined()
    await same.delete('k')
    expect(await one.has('k')).toBe(false)
  })

  it('has a store of its own without a name', async () => {
    const one = new LocMemCache()
    await one.set('k', 1)
    expect(await new LocMemCache().has('k')).toBe(false)
    expect(await new LocMemCache({ location: '' }).has('k')).toBe(false)
  })

  it.each([1, null, ['a', 'b'], {}])('refuses the location %j by name', (location) => {
    expect(() => new LocMemCache({ location: location as never })).toThrow(
      /^LocMemCache: location: .* is not a name; give a string/,
    )
  })

  it('survives the cache that made it being closed', async () => {
    const location = randomUUID()
    const one = new LocMemCache({ location })
    await one.set('k', 1)
    await one.close()
    expect(await new LocMemCache({ location }).get('k')).toBe(1)
    expect(await one.get('k')).toBe(1)
  })

  it('keeps what each cache promised when their limits differ', async () => {
    const location = randomUUID()
    const small = new LocMemCache({ location, options: { maxEntries: 4 } })
    const large = new LocMemCache({ location, options: { maxEntries: 5000 } })
    const keys = Array.from({ length: 4000 }, (_, i) => `k${i}`)
    await large.setMany(keys.map((key) => [key, key] as const))
    expect((await large.getMany(keys)).size).toBe(4000)
    await small.set('s', 1)
    expect((await large.getMany([...keys, 's'])).size).toBeLessThanOrEqual(4)
    expect(await large.get('s')).toBe(1)
    await large.setMany(keys.map((key) => [key, key] as const))
    expect((await large.getMany(keys)).size).toBe(4000)
  })

  it('spares the entries of another key prefix in clear', async () => {
    const location = randomUUID()
    const plain = new LocMemCache({ location })
    const shop = new LocMemCache({ location, keyPrefix: 'shop' })
    const shopTwo = new LocMemCache({ location, keyPrefix: 'shop:1' })
    for (const cache of [plain, shop, shopTwo]) await cache.set('k', 1)
    await shop.clear()
    expect(await Promise.all([plain, shop, shopTwo].map((cache) => cache.has('k')))).toEqual([
      true,
      false,
      true,
    ])
    await plain.clear()
    expect(await shopTwo.has('k')).toBe(true)
  })

  it('clears every version under its key prefix', async () => {
    const location = randomUUID()
    const cache = new LocMemCache({ location, version: 2 })
    await cache.set('k', 1)
    await cache.set('k', 1, { version: 1 })
    await cache.clear()
    expect(await new LocMemCache({ location }).has('k')).toBe(false)
    expect(await cache.has('k')).toBe(false)
  })

  it('spares the entries of another key prefix when tags are invalidated', async () => {
    const location = randomUUID()
    const shop = new LocMemCache({ location, keyPrefix: 'shop' })
    const news = new LocMemCache({ location, keyPrefix: 'news' })
    await shop.set('k', 1, { tags: ['t'] })
    await news.set('k', 1, { tags: ['t'] })
    await shop.invalidateTags(['t'])
    expect(await shop.has('k')).toBe(false)
    expect(await news.has('k')).toBe(true)
  })
})

describe('LocMemCache in two copies of the package', () => {
  async function twoCopies(): Promise<readonly [Cache, Cache]> {
    const location = randomUUID()
    vi.resetModules()
    const other = await import('../../src/index.js')
    expect(other.LocMemCache).not.toBe(LocMemCache)
    return [new LocMemCache({ location }), new other.LocMemCache({ location })]
  }

  it('shares one store, values and all', async () => {
    for (const [a, b] of [
      await twoCopies(),
      [...(await twoCopies())].reverse() as [Cache, Cache],
    ]) {
      await a.setMany({ text: 'x', number: 1, nothing: null, object: { deep: [1n] } })
      await a.set('tagged', { deep: [1n] }, { tags: ['t'] })
      expect(await b.get('text')).toBe('x')
      expect(await b.get('number')).toBe(1)
      expect(await b.get('nothing')).toBeNull()
      expect(await b.get('object')).toEqual({ deep: [1n] })
      expect(await b.get('tagged')).toEqual({ deep: [1n] })
    }
  })

  it('sees what either invalidates', async () => {
    const [a, b] = await twoCopies()
    await a.set('of-a', 1, { tags: ['t'] })
    await b.set('of-b', 1, { tags: ['t'] })
    await a.invalidateTags(['t'])
    expect(await a.getMany(['of-a', 'of-b'])).toEqual(new Map())
    await a.set('of-a', 1, { tags: ['t'] })
    await b.set('of-b', 1, { tags: ['t'] })
    await b.invalidateTags(['t'])
    expect(await b.getMany(['of-a', 'of-b'])).toEqual(new Map())
  })
})
