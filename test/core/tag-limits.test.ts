import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it, vi } from 'vitest'
import {
  createCaches,
  dependOn,
  FragmentCache,
  LocMemCache,
  pack,
  unpack,
  type Cache,
} from '../../src/index.js'
import { withStamp } from '../../src/stamp.js'
import { MAX_TAGS } from '../../src/tags.js'
import { AsyncTestCache } from '../support/async-cache.js'

const MOST = 10_000
const names = (count: number, prefix = 't') => Array.from({ length: count }, (_, i) => prefix + i)
const labels = (count: number) => new Map(names(count, 't:').map((tag) => [tag, 'v1'] as const))
const stamp = { freshUntilMs: 1, graceMs: 2, costMs: 3 }

/** Runs an action and gives the codes of what it warned of. */
async function warningsOf(action: () => Promise<unknown>): Promise<string[]> {
  const codes: string[] = []
  const note = (warning: Error & { code?: string }) => void codes.push(warning.code ?? '')
  process.on('warning', note)
  try {
    await action()
    await new Promise((resolve) => setImmediate(resolve))
  } finally {
    process.off('warning', note)
  }
  return codes.filter((code) => code === 'FRAGCACHE_TOO_MANY_TAGS')
}

describe('bytes that name very many tags', () => {
  it('are damaged, so that nobody asks for as many counters', () => {
    expect(() => unpack(pack('x', labels(MAX_TAGS + 2)))).toThrow('damaged tag header')
  })

  it('are read up to what is written, with a stamp as without', () => {
    expect(unpack(pack('x', labels(MAX_TAGS))).tags?.size).toBe(MAX_TAGS)
    const stamped = unpack(pack('x', withStamp(labels(MAX_TAGS), stamp)))
    expect([stamped.tags?.size, stamped.stamp]).toEqual([MAX_TAGS, stamp])
  })
})

describe.each<[string, () => Cache]>([
  ['LocMemCache', () => new LocMemCache({ options: { maxEntries: 100_000 } })],
  ['AsyncTestCache', () => new AsyncTestCache()],
])('very many tags in %s', (_, create) => {
  it('are kept with an entry up to a bound', async () => {
    const cache = create()
    const tags = names(MOST)
    await cache.set('k', 1, { tags, staleIfError: 5 })
    expect(await cache.get('k')).toBe(1)
    await cache.invalidateTags([tags[MOST - 1] as string])
    expect(await cache.get('k')).toBeUndefined()
  })

  it('are refused beyond it, with their number and what to do', async () => {
    const cache = create()
    const options = { tags: names(MOST + 1) }
    const refusal = new TypeError(
      'tags: 10001 are too many for one entry, of which each reading asks for all; give at most 10000, for example one for a whole table in place of one per row',
    )
    await expect(cache.set('k', 1, options)).rejects.toThrow(refusal)
    await expect(cache.add('k', 1, options)).rejects.toThrow(refusal)
    await expect(cache.setMany({ k: 1 }, options)).rejects.toThrow(refusal)
    await expect(cache.getOrSet('k', 1, options)).rejects.toThrow(refusal)
    const fragments = new FragmentCache(createCaches({ default: cache }))
    await expect(fragments.render({ name: 'f', ...options }, () => '')).rejects.toThrow(refusal)
  })

  it('count once each, and may all be invalidated together', async () => {
    const cache = create()
    await cache.set('k', 1, { tags: [...names(MOST), ...names(MOST)] })
    await cache.invalidateTags(names(MOST + 1))
    expect(await cache.get('k')).toBeUndefined()
  })

  it('are allowed with a fragment, which has one of its own', async () => {
    const fragments = new FragmentCache(createCaches({ default: create() }))
    let runs = 0
    const render = () =>
      fragments.render({ name: 'f', tags: names(MOST) }, () => `made ${String(++runs)}`)
    expect([await render(), await render()]).toEqual(['made 1', 'made 1'])
  })

  it('from inside are no error: what contains them is not kept, nor given to who comes after an invalidation', async () => {
    const cache = create()
    let made = 0
    let goOn = () => undefined as void
    const paused = () => new Promise<void>((resolve) => (goOn = resolve))
    let isPaused = false
    const ask = () =>
      cache.getOrSet('k', async () => {
        dependOn(names(MOST, 'a'))
        dependOn(names(MOST, 'b'))
        made++
        if (isPaused) await paused()
        return made
      })
    expect([await ask(), await ask()]).toEqual([1, 2])
    expect(await cache.get('k')).toBeUndefined()
    isPaused = true
    const before = ask()
    while (made < 3) await new Promise((resolve) => setImmediate(resolve))
    isPaused = false
    await cache.invalidateTags([`b${String(MOST - 1)}`])
    expect(await ask()).toBe(4)
    goOn()
    await before
  })
})

describe('what depends on too many tags', () => {
  it('is warned of once', async () => {
    const { LocMemCache: Fresh, dependOn: depend } = await freshCore()
    const cache = new Fresh()
    const ask = (key: string) =>
      cache.getOrSet(key, () => {
        depend(names(MOST, 'a'))
        depend(names(MOST, 'b'))
        return 1
      })
    expect(await warningsOf(() => Promise.all([ask('k'), ask('other')]))).toHaveLength(1)
  })
})

describe('a producer that reads without end', () => {
  it('takes no memory for what it depends on already', async () => {
    setFlagsFromString('--expose-gc')
    const collectGarbage = runInNewContext('gc') as () => void
    const heap = () => {
      collectGarbage()
      return process.memoryUsage().heapUsed
    }
    const cache = new AsyncTestCache()
    const options = { tags: names(50) }
    await cache.set('k', 1, options)
    const grown = await cache.getOrSet('outer', async () => {
      const read = async (times: number) => {
        for (let i = 0; i < times; i++) await cache.getOrSet('k', 1, options)
      }
      await read(500)
      const before = heap()
      await read(3_000)
      return heap() - before
    })
    // The versions that were read alone would be 9 MB.
    expect(grown).toBeLessThan(2.4e6)
  })
})

/** The core as if it had just been loaded. */
async function freshCore(): Promise<typeof import('../../src/index.js')> {
  vi.resetModules()
  return import('../../src/index.js')
}
