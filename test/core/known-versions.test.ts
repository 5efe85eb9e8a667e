import { setTimeout as sleep } from 'node:timers/promises'
import { beforeEach, describe, expect, it } from 'vitest'
import { coreOf } from '../../src/backend/core.js'
import { TieredCache } from '../../src/backends/tiered.js'
import { LocMemCache } from '../../src/index.js'
import { TagCounters } from '../../src/backend/tag-counters.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { MemoryBus } from '../support/memory-bus.js'
import { gate } from '../support/waiting.js'

/** Notes which keys it is asked for. */
class Noting extends AsyncTestCache {
  readonly asked: string[] = []

  override readEntries(
    keys: readonly string[],
  ): ReturnType<InstanceType<typeof AsyncTestCache>['readEntries']> {
    this.asked.push(...keys)
    return super.readEntries(keys)
  }

  async keysOf(call: () => Promise<unknown>): Promise<readonly string[]> {
    this.asked.length = 0
    await call()
    return this.asked.map((key) => key.replace(/^:\d+:/, ''))
  }
}

let location = 0

describe('versions of tags that are known', () => {
  let cache: Noting
  let other: AsyncTestCache
  const tagged = { tags: ['a', 'b'] }
  const find = () => cache.getOrSet('k', () => 'made', tagged)
  const counters = (keys: readonly string[]) => keys.filter((key) => key.includes('fragcache.tag.'))

  beforeEach(async () => {
    const settings = { location: `known-${++location}` }
    cache = new Noting(settings)
    other = new AsyncTestCache(settings)
    await cache.set('k', 'found', tagged)
    // The clock begins to stand still when it is read for the first time.
    await find()
    await sleep(1_050)
    await find()
  })

  it('spare a look-up their counters while nothing is invalidated', async () => {
    const keys = await cache.keysOf(find)
    expect(keys).toHaveLength(2)
    expect(keys[0]).toBe('k')
    expect(keys[1]).toContain('fragcache.clock')
    // Which tags an entry has `get` only knows once it has read it.
    await cache.get('k')
    expect(counters(await cache.keysOf(() => cache.get('k')))).toEqual([])
  })

  it('are known no longer once another process has invalidated anything', async () => {
    await other.invalidateTags(['c'])
    expect(counters(await cache.keysOf(find))).toHaveLength(2)
    expect(await find()).toBe('found')
    await other.invalidateTags(['b'])
    expect(await find()).toBe('made')
    expect(await find()).toBe('made')
  })

  it('are known no longer once the store was cleared, or its clock is lost', async () => {
    await other.clear()
    expect(await find()).toBe('made')
    const clock = other.storedKeys.find((key) => key.includes('fragcache.clock')) ?? ''
    expect(await other.delete(clock.replace(/^:1:/, ''))).toBe(true)
    expect(counters(await cache.keysOf(find))).toHaveLength(2)
    expect(await find()).toBe('made')
  })

  it('do not refuse what was made since a counter was lost and begun again', async () => {
    for (const key of other.storedKeys.filter((one) => one.includes('fragcache.tag.'))) {
      await other.delete(key.replace(/^:1:/, ''))
    }
    expect(await other.getOrSet('k', () => 'elsewhere', tagged)).toBe('elsewhere')
    expect(await find()).toBe('elsewhere')
    expect(await other.getOrSet('k', () => 'again', tagged)).toBe('elsewhere')
  })

  it('do not outlive an invalidation that changes a counter after it was read', async () => {
    const [counted, written] = [gate(), gate()]
    class Slow extends AsyncTestCache {
      override async writeEntries(
        ...given: Parameters<AsyncTestCache['writeEntries']>
      ): ReturnType<AsyncTestCache['writeEntries']> {
        counted.open()
        await written.opened
        return super.writeEntries(...given)
      }
    }
    const slow = new Slow({ location: `known-${location}` })
    const invalidated = slow.invalidateTags(['a'])
    await counted.opened
    // Between its first count of the clock and its last, what it invalidates may still be read as current.
    await find()
    await sleep(1_050)
    for (let i = 0; i < 3; i++) expect(await find()).toBe('found')
    expect(counters(await cache.keysOf(find))).toEqual([])
    written.open()
    await invalidated
    expect(await find()).toBe('made')
  })

  it('do not do for what is copied to local memory, where only changes of counters are told', async () => {
    const bus = new MemoryBus().end
    const tiered = new TieredCache({ local: new LocMemCache(), remote: cache, bus })
    const copied = () => tiered.getOrSet('k', () => 'made', tagged)
    expect(counters(await cache.keysOf(copied))).toHaveLength(2)
    expect(await cache.keysOf(copied)).toEqual([])
    await tiered.close()
  })
})

describe('a store of several servers', () => {
  it('is asked for counters, and not for a clock whose server may be down', () => {
    const { store, keys, backendName } = coreOf(new AsyncTestCache())
    const partitioned = Object.create(store, { isPartitioned: { value: true } }) as typeof store
    const keysOf = (of: typeof store) =>
      new TagCounters({ store: of, keys, backendName }).need(['t:a'], false, false).keys
    expect(keysOf(partitioned)).toHaveLength(1)
    expect(keysOf(store)).toHaveLength(2)
  })
})
