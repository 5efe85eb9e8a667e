import { randomUUID } from 'node:crypto'
import { describe, expect, it, onTestFinished } from 'vitest'
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

/** Two processes that do not hear of each other's changes. */
function twoProcesses(): readonly [Site, Site] {
  const location = randomUUID()
  const bus = new MemoryBus()
  bus.swallows = true
  const open = (): Site => {
    const remote = new AsyncTestCache({ location })
    return createCaches({
      default: new TieredCache({ local: new LocMemCache(), remote, bus: bus.end }),
    })
  }
  const sites = [open(), open()] as const
  onTestFinished(async () => {
    await Promise.all(sites.map((site) => site.close()))
  })
  return sites
}

const innerOf =
  ({ default: cache }: Site, data: () => string) =>
  () =>
    cache.getOrSet('inner', data, { tags: ['t'] })

describe('what is made around a copy in memory', () => {
  it.each(Object.entries(makings))(
    'is not kept for others where that has not heard of an invalidation yet: %s',
    async (_what, make) => {
      const [here, there] = twoProcesses()
      let data = 'old'
      const inner = (site: Site) => innerOf(site, () => data)
      for (let i = 0; i < 3; i++) expect(await inner(there)()).toBe('old')
      data = 'new'
      await here.default.invalidateTags(['t'])
      // It knows the clock as it is now, and takes it for the beginning of what it makes.
      await there.default.getOrSet('other', () => 1, { tags: ['u'] })
      expect(await make(there, 'made new of ', inner(there))).toBe('made new of old')
      // Then it knows that its copy is outdated.
      expect(await make(there, 'made again of ', inner(there))).toBe('made again of new')
      expect(await make(here, 'made here of ', inner(here))).toBe('made again of new')
    },
  )

  it.each(Object.entries(makings))(
    'is kept where nothing was invalidated: %s',
    async (_what, make) => {
      const [here, there] = twoProcesses()
      for (let i = 0; i < 3; i++) await innerOf(there, () => 'inner')()
      await here.default.invalidateTags(['another'])
      const around = async (site: Site, now: string) =>
        make(
          site,
          now,
          innerOf(site, () => 'inner'),
        )
      expect(await around(there, 'made there of ')).toBe('made there of inner')
      expect(await around(here, 'made here of ')).toBe('made there of inner')
    },
  )
})
