import BetterSqlite3 from 'better-sqlite3'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import {
  createCacheTable,
  DatabaseCache,
  type Parameter,
  type QueryDatabase,
} from '../../src/backends/database.js'
import { createCaches, FragmentCache } from '../../src/index.js'
import { ownTime } from '../support/own-time.js'

/** A primary and a replica that is as old as the last time it caught up. */
class Replicated {
  readonly primary = new BetterSqlite3(':memory:')
  #copy = new BetterSqlite3(':memory:')
  asked: string[] = []
  replicaFails = false

  catchUp(): void {
    this.#copy = new BetterSqlite3(this.primary.serialize())
  }

  readonly write = this.#over('primary', () => this.primary)
  readonly read = this.#over('replica', () => {
    if (this.replicaFails) throw new Error('the replica is down')
    return this.#copy
  })

  #over(name: string, database: () => BetterSqlite3.Database): QueryDatabase {
    return {
      dialect: 'sqlite',
      query: async (sql: string, parameters: readonly Parameter[]) => {
        this.asked.push(`${name} ${sql.split(' ')[0]}`)
        const statement = database().prepare(sql)
        return statement.reader
          ? statement.all(...parameters)
          : statement.run(...parameters).changes
      },
    }
  }
}

let database: Replicated
let cache: DatabaseCache

beforeEach(async () => {
  database = new Replicated()
  const { write, read } = database
  cache = new DatabaseCache({ location: 'entries', database: { write, read } })
  await createCacheTable(cache)
  await cache.set('first', 1)
  database.catchUp()
  database.asked = []
})

const askedBy = async (action: () => Promise<unknown>): Promise<string[]> => {
  database.asked = []
  await action()
  return database.asked
}

describe('a primary and a replica', () => {
  it('what is looked up comes from the replica', async () => {
    await cache.setMany({ a: 1, b: 2 })
    expect(await askedBy(() => cache.get('a'))).toEqual(['replica SELECT'])
    expect(await cache.get('a')).toBeUndefined()
    database.catchUp()
    expect(await cache.get('a')).toBe(1)
    expect(await askedBy(() => cache.has('a'))).toEqual(['replica SELECT'])
    expect(await askedBy(() => cache.getMany(['a', 'b']))).toEqual(['replica SELECT'])
    // What it may have to make needs the clock of invalidations, now and then.
    await cache.getOrSet('a', 5)
    expect(await askedBy(() => cache.getOrSet('a', 5))).toEqual(['replica SELECT'])
  })

  it('what is written, and what decides about it, goes to the primary', async () => {
    await cache.set('n', 1)
    // Nothing of this has reached the replica.
    expect(await cache.add('n', 2)).toBe(false)
    expect(await cache.incr('n')).toBe(2)
    expect(await cache.touch('n')).toBe(true)
    expect(await cache.incrVersion('n')).toBe(2)
    expect(await cache.delete('n', { version: 2 })).toBe(true)
    await cache.set('text', 'no number')
    await expect(cache.incr('text')).rejects.toThrow(TypeError)
    await cache.set('tagged', 7, { tags: ['t'] })
    expect(await cache.incr('tagged')).toBe(8)
    await cache.clear()
    expect(database.asked.filter((one) => one.startsWith('replica'))).toEqual([])
  })

  it('an invalidation holds at once, however far the replica is behind', async () => {
    await cache.set('k', 'old', { tags: ['t'] })
    database.catchUp()
    expect(await cache.get('k')).toBe('old')
    await cache.invalidateTags(['t'])
    expect(await cache.get('k')).toBeUndefined()
    expect((await cache.getMany(['k'])).size).toBe(0)
    // Made again while the replica has still the old entry and the old counter.
    expect(await cache.getOrSet('k', 'new', { tags: ['t'] })).toBe('new')
    expect(await cache.get('k')).toBeUndefined()
    database.catchUp()
    expect(await cache.get('k')).toBe('new')
    await cache.invalidateTags(['t'])
    database.catchUp()
    expect(await cache.get('k')).toBeUndefined()
  })

  it('so does that of a fragment', async () => {
    const fragments = new FragmentCache(createCaches({ default: cache }))
    let runs = 0
    const render = () => fragments.render({ name: 'f', timeout: 60 }, () => `run ${++runs}`)
    expect(await render()).toBe('run 1')
    database.catchUp()
    expect(await render()).toBe('run 1')
    await fragments.invalidate('f')
    expect(await render()).toBe('run 2')
    database.catchUp()
    expect(await render()).toBe('run 2')
  })

  it('while the replica is down the primary answers, and one call at a time asks it again', async () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    await cache.set('k', 'new')
    database.replicaFails = true
    expect(await askedBy(() => cache.get('k'))).toEqual(['replica SELECT', 'primary SELECT'])
    expect(await cache.get('k')).toBe('new')
    expect(await askedBy(() => cache.getMany(['k', 'first']))).toEqual(['primary SELECT'])
    vi.advanceTimersByTime(1000)
    const asked = await askedBy(() => Promise.all([cache.get('k'), cache.get('k')]))
    expect(asked.filter((one) => one.startsWith('replica'))).toHaveLength(1)
    database.replicaFails = false
    database.catchUp()
    vi.advanceTimersByTime(1000)
    expect(await askedBy(() => cache.get('k'))).toEqual(['replica SELECT'])
    expect(await askedBy(() => cache.get('k'))).toEqual(['replica SELECT'])
    vi.useRealTimers()
  })

  it('one that hangs is down: the primary answers within the time limit, and then at once', async () => {
    let asked = 0
    const hanging = {
      dialect: 'sqlite' as const,
      query: () => {
        asked++
        return new Promise(() => undefined)
      },
    }
    const over = new DatabaseCache({
      location: 'entries',
      database: { write: database.primary, read: hanging },
      options: { timeLimitMs: 2000 },
    })
    expect(await over.get('first')).toBe(1)
    const startMs = ownTime.now()
    expect(await over.get('first')).toBe(1)
    expect((await over.getMany(['first'])).get('first')).toBe(1)
    expect(ownTime.now() - startMs).toBeLessThan(500)
    expect(asked).toBe(1)
  })

  it('one without the table is down: it may come later', async () => {
    const over = new DatabaseCache({
      location: 'entries',
      database: { write: database.primary, read: new BetterSqlite3(':memory:') },
    })
    expect(await over.get('first')).toBe(1)
  })

  it('one that answers at once does so', async () => {
    const [write, read] = [new BetterSqlite3(':memory:'), new BetterSqlite3(':memory:')]
    const atOnce = new DatabaseCache({ location: 'entries', database: { write, read } })
    expect(atOnce.answersAtOnce).toBe(true)
    await createCacheTable(atOnce)
    await createCacheTable(new DatabaseCache({ location: 'entries', database: read }))
    await atOnce.set('k', 1)
    expect(await atOnce.get('k')).toBeUndefined()
    expect(await atOnce.incr('k')).toBe(2)
    const mixed = new DatabaseCache({
      location: 'entries',
      database: { write, read: { dialect: 'sqlite', query: () => [] } },
    })
    expect(mixed.answersAtOnce).toBe(false)
  })
})
