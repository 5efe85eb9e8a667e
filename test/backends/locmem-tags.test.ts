import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { LocMemCache } from '../../src/index.js'
import { REMEMBERED_BYTES } from '../../src/observe/remembered.js'

describe('LocMemCache and tags', () => {
  it('revives nothing after more invalidated tags than it remembers one by one', async () => {
    const cache = new LocMemCache({ options: { maxEntries: 100_000 } })
    const tags = Array.from({ length: 25_000 }, (_, i) => `tag ${i}`)
    await cache.setMany(tags.map((tag) => [tag.replace(' ', ''), tag] as const))
    for (let i = 0; i < 25_000; i += 50) {
      await cache.set(`entry${i}`, i, { tags: [`tag ${i}`, 'all'] })
    }
    for (let i = 0; i < 25_000; i++) await cache.invalidateTags([`tag ${i}`])
    const keys = Array.from({ length: 500 }, (_, i) => `entry${i * 50}`)
    expect(await cache.getMany(keys)).toEqual(new Map())
  })

  it('revives nothing when as many are invalidated at once', async () => {
    const cache = new LocMemCache()
    const tags = Array.from({ length: 10_500 }, (_, i) => `tag ${i}`)
    await cache.set('first', 1, { tags: ['tag 0'] })
    await cache.set('last', 1, { tags: ['tag 10499'] })
    await cache.invalidateTags(tags)
    expect(await cache.getMany(['first', 'last'])).toEqual(new Map())
  })

  it('keeps what was stored after, whatever else was invalidated before', async () => {
    const cache = new LocMemCache()
    for (let i = 0; i < 15_000; i++) await cache.invalidateTags([`tag ${i}`])
    await cache.set('new', 1, { tags: ['tag 0', 'tag 14999', 'never invalidated'] })
    expect(await cache.get('new')).toBe(1)
    await cache.invalidateTags(['something else'])
    expect(await cache.get('new')).toBe(1)
  })

  it('keeps no memory of tags beyond a bound', async () => {
    // Elsewhere each call finds out where it stands in the code, which takes most of its time.
    vi.stubEnv('NODE_ENV', 'production')
    onTestFinished(() => void vi.unstubAllEnvs())
    const cache = new LocMemCache()
    const round = async () => {
      for (let i = 0; i < 20_000; i++) {
        await cache.invalidateTags([`${Math.random()}${'x'.repeat(200)}`])
      }
    }
    setFlagsFromString('--expose-gc')
    const collectGarbage = runInNewContext('gc') as () => void
    await round()
    collectGarbage()
    const before = process.memoryUsage().heapUsed
    await round()
    await round()
    collectGarbage()
    // 40 000 more tags of 200 characters would take 8 MB at the least, beside what is remembered of the last ones.
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(REMEMBERED_BYTES / 2)
  })

  it('takes no entry of its own for a tag', async () => {
    const cache = new LocMemCache({ options: { maxEntries: 2, cullFrequency: 1 } })
    await cache.set('a', 1, { tags: ['t', 'u', 'v'] })
    await cache.set('b', 1, { tags: ['w', 'x'] })
    await cache.invalidateTags(['y', 'z'])
    expect((await cache.getMany(['a', 'b'])).size).toBe(2)
  })
})
