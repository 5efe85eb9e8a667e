import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { LocMemCache, type Deadline, type WriteEntry, type WriteOutcome } from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { coreOf } from '../../src/backend/core.js'

beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
})
afterEach(() => {
  vi.restoreAllMocks()
})

/** Runs something between a round trip of one client and its next one. */
class Interrupted extends AsyncTestCache {
  beforeWrite: ((entries: readonly WriteEntry[]) => Promise<void>) | undefined
  afterWrite: ((entries: readonly WriteEntry[]) => Promise<void>) | undefined

  override async writeEntries(entries: readonly WriteEntry[]): Promise<WriteOutcome[]> {
    await this.beforeWrite?.(entries)
    const outcomes = await super.writeEntries(entries)
    await this.afterWrite?.(entries)
    return outcomes
  }
}

function twoClients(): readonly [Interrupted, AsyncTestCache] {
  const location = `conflicts-${Math.random()}`
  return [new Interrupted({ location }), new AsyncTestCache({ location })]
}

describe('when another client is in between', () => {
  it('add stores if what refused it is gone by the time it looks', async () => {
    const [cache, other] = twoClients()
    await other.set('k', 'there')
    cache.afterWrite = async () => {
      cache.afterWrite = undefined
      await other.delete('k')
    }
    expect(await cache.add('k', 'added')).toBe(true)
    expect(await other.get('k')).toBe('added')
  })

  it('add tells the truth if a third was faster then', async () => {
    const [cache, other] = twoClients()
    await other.set('k', 'old', { tags: ['t'] })
    await other.invalidateTags(['t'])
    let writes = 0
    cache.beforeWrite = async () => {
      // The second write replaces the invalidated entry.
      if (++writes === 2) await other.set('k', 'of the third')
    }
    expect(await cache.add('k', 'added')).toBe(false)
    expect(await cache.get('k')).toBe('of the third')
  })

  it('counting an entry with tags starts again from what is there then', async () => {
    const [cache, other] = twoClients()
    await other.set('n', 1, { tags: ['t'] })
    let conflicts = 3
    cache.beforeWrite = async () => {
      if (conflicts-- > 0) await other.incr('n', 10)
    }
    expect(await cache.incr('n')).toBe(32)
    await other.invalidateTags(['t'])
    expect(await cache.has('n')).toBe(false)
  })

  it('counting gives up with an error, not for ever, where others are always faster', async () => {
    const losing = new LocMemCache()
    await losing.set('n', 1, { tags: ['t'] })
    coreOf(losing).store.writeEntries = (entries) => entries.map(() => 'refused')
    await expect(losing.incr('n')).rejects.toMatchObject({
      code: 'FRAGCACHE_BACKEND_FAILED',
      message: expect.stringContaining('always faster') as string,
    })
  })

  it('an invalidation is done where a later one of its tag has been carried out', async () => {
    const [cache, other] = twoClients()
    await other.set('k', 'old', { tags: ['t'] })
    const [counter = ''] = other.storedKeys.filter((key) => key.includes('fragcache.tag.'))
    let written: unknown
    let writes = 0
    cache.beforeWrite = async () => {
      if (++writes > 1) return
      await other.invalidateTags(['t'])
      await other.set('k', 'of after both began', { tags: ['t'] })
      written = await other.readEntries([counter])
    }
    await cache.invalidateTags(['t'])
    expect(await other.readEntries([counter])).toEqual(written)
    expect(writes).toBe(1)
    expect(await cache.get('k')).toBe('of after both began')
    await cache.invalidateTags(['t'])
    expect(await cache.has('k')).toBe(false)
  })

  it('an invalidation is not done where a later one was soft, or its counter was lost', async () => {
    const [cache, other] = twoClients()
    for (const between of [
      async () => other.invalidateTags(['t'], { soft: true }),
      async () => void (await other.deleteMany(other.storedKeys.map((key) => key.slice(3)))),
    ]) {
      await other.set('k', 'old', { tags: ['t'] })
      let writes = 0
      cache.beforeWrite = async () => {
        if (++writes === 1) await between()
      }
      await cache.invalidateTags(['t'])
      expect(writes).toBeGreaterThan(1)
      expect(await cache.get('k')).toBeUndefined()
    }
  })

  it('an entry of a new tag is found even if the tag was born in between', async () => {
    const [cache, other] = twoClients()
    cache.beforeWrite = async () => {
      cache.beforeWrite = undefined
      await other.set('other', 1, { tags: ['t', 'u'] })
    }
    await cache.setMany({ a: 1, b: [2] }, { tags: ['t', 'own'] })
    expect(await cache.getMany(['a', 'b', 'other'])).toEqual(
      new Map<string, unknown>([
        ['a', 1],
        ['b', [2]],
        ['other', 1],
      ]),
    )
    await other.invalidateTags(['own'])
    expect([...(await cache.getMany(['a', 'b', 'other'])).keys()]).toEqual(['other'])
  })

  it('an entry of a new tag is not found if the tag was invalidated in between', async () => {
    const [cache, other] = twoClients()
    cache.beforeWrite = async () => {
      cache.beforeWrite = undefined
      await other.set('other', 1, { tags: ['t'] })
      await other.invalidateTags(['u'])
    }
    await cache.set('k', 1, { tags: ['t', 'u'] })
    expect(await cache.get('k')).toBeUndefined()
    expect(await cache.get('other')).toBe(1)
  })
})

describe('a store of which a part fails', () => {
  class Partly extends AsyncTestCache {
    override async writeEntries(entries: readonly WriteEntry[]): Promise<WriteOutcome[]> {
      const outcomes = await super.writeEntries(entries)
      return entries.map(({ key }, i) =>
        key.includes('tag') ? 'failed' : (outcomes[i] ?? 'failed'),
      )
    }
  }

  it('says so if a tag could not be invalidated', async () => {
    await expect(new Partly().invalidateTags(['t'])).rejects.toMatchObject({
      code: 'FRAGCACHE_BACKEND_FAILED',
      operation: 'invalidateTags',
    })
    await new Partly({ ignoreErrors: true }).invalidateTags(['t'])
  })
})

describe('a backend whose promises are not native', () => {
  /** As of a client library's own kind, or of another realm. */
  class Later<T> {
    constructor(private readonly value: Promise<T>) {}
    then<A, B>(resolve: (value: T) => A, reject?: (error: unknown) => B): Later<A | B> {
      return new Later(this.value.then(resolve, reject))
    }
  }
  const later = <T>(value: Promise<T>): Promise<T> => new Later(value) as unknown as Promise<T>

  class Foreign extends AsyncTestCache {
    override readEntries(keys: readonly string[]) {
      return later(super.readEntries(keys))
    }
    override writeEntries(entries: readonly WriteEntry[]) {
      return later(super.writeEntries(entries))
    }
    override removeEntries(keys: readonly string[]) {
      return later(super.removeEntries(keys))
    }
    override touchEntry(key: string, expiresAtMs: Deadline) {
      return later(super.touchEntry(key, expiresAtMs))
    }
    override incrementEntry(key: string, delta: number) {
      return later(super.incrementEntry(key, delta))
    }
    override readDeadline(key: string) {
      return later(super.readDeadline(key))
    }
    override removeAll() {
      return later(super.removeAll())
    }
  }

  it('works like any other', async () => {
    const cache = new Foreign()
    await cache.set('k', 1, { tags: ['t'] })
    expect(await cache.get('k')).toBe(1)
    expect(await cache.incr('k')).toBe(2)
    expect(await cache.touch('k')).toBe(true)
    expect(await cache.incrVersion('k')).toBe(2)
    expect([...(await cache.getMany(['k'], { version: 2 }))]).toEqual([['k', 2]])
    expect(await cache.getOrSet('made', () => 'made', { tags: ['t'] })).toBe('made')
    await cache.invalidateTags(['t'])
    expect(await cache.has('made')).toBe(false)
    await cache.clear()
    cache.failing = true
    await expect(cache.get('k')).rejects.toMatchObject({ code: 'FRAGCACHE_BACKEND_FAILED' })
    await expect(cache.clear()).rejects.toMatchObject({ code: 'FRAGCACHE_BACKEND_FAILED' })
  })
})
