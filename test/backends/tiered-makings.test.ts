import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { TieredCache } from '../../src/backends/tiered.js'
import {
  createCaches,
  dependOn,
  FragmentCache,
  LocMemCache,
  type Cache,
  type Caches,
} from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { MemoryBus } from '../support/memory-bus.js'

/** The caches of one process. */
type Site = Caches & { readonly default: Cache }

/** What is made around `inner`, and how its own tags are given. */
const makings: Record<
  string,
  (caches: Site, now: string, inner: () => Promise<string>) => Promise<string>
> = {
  'a value with the tag': ({ default: cache }, now, inner) =>
    cache.getOrSet('outer', async () => now + (await inner()), { tags: ['t'] }),
  'a value that declares the tag first': ({ default: cache }, now, inner) => {
    const make = async () => {
      await dependOn(['t'])
      return now + (await inner())
    }
    return cache.getOrSet('outer', make)
  },
  'a value that declares the tag without waiting': ({ default: cache }, now, inner) => {
    const make = async () => {
      void dependOn(['t'])
      return now + (await inner())
    }
    return cache.getOrSet('outer', make)
  },
  'a value that declares the tag last': ({ default: cache }, now, inner) => {
    const make = async () => {
      const text = now + (await inner())
      void dependOn(['t'])
      return text
    }
    return cache.getOrSet('outer', make)
  },
  'a fragment with the tag': (caches, now, inner) => {
    const options = { name: 'outer', tags: ['t'] }
    return new FragmentCache(caches).render(options, async () => now + (await inner()))
  },
  'a fragment around a value with the tag': (caches, now, inner) =>
    new FragmentCache(caches).render({ name: 'outer' }, () => {
      const make = async () => now + (await inner())
      return caches.default.getOrSet('between', make, { tags: ['t'] })
    }),
  'a fragment around a value that declares the tag last': (caches, now, inner) =>
    new FragmentCache(caches).render({ name: 'outer' }, () => {
      const make = async () => {
        const text = now + (await inner())
        void dependOn(['t'])
        return text
      }
      return caches.default.getOrSet('between', make)
    }),
}

describe('what is made of a copy in memory that has not heard of an invalidation yet', () => {
  it.each(Object.entries(makings))('is not kept for others: %s', async (_what, make) => {
    const location = randomUUID()
    const bus = new MemoryBus()
    bus.swallows = true
    const open = () => {
      const remote = new AsyncTestCache({ location })
      return createCaches({
        default: new TieredCache({ local: new LocMemCache(), remote, bus: bus.end }),
      })
    }
    const [here, there] = [open(), open()]
    let data = 'old'
    const innerOf = (caches: Site) => () =>
      caches.default.getOrSet('inner', () => data, { tags: ['t'] })
    for (let i = 0; i < 3; i++) expect(await innerOf(there)()).toBe('old')
    data = 'new'
    await here.default.invalidateTags(['t'])
    // It knows the clock as it is now, and takes it for the beginning of what it makes.
    await there.default.getOrSet('other', () => 1, { tags: ['u'] })
    expect(await make(there, 'made new of ', innerOf(there))).toBe('made new of old')
    expect(await make(here, 'made new of ', innerOf(here))).toBe('made new of new')
    await Promise.all([here.close(), there.close()])
  })
})
