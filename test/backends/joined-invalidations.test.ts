import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createCacheTable, DatabaseCache, type Parameter } from '../../src/backends/database.js'
import { newTable } from '../support/databases.js'
import { sharedServer } from '../support/servers.js'

const postgres = await sharedServer('postgres')

describe.skipIf(postgres === undefined)('many invalidations at once', () => {
  const pool = new pg.Pool({ connectionString: postgres?.url })
  const location = newTable()
  let statements = 0
  /** Stands before a statement. */
  let gate: (sql: string) => Promise<void> = () => Promise.resolve()
  const watched = {
    dialect: 'postgresql' as const,
    query: async (sql: string, parameters: readonly Parameter[]) => {
      statements++
      await gate(sql)
      return pool.query(sql, [...parameters])
    },
  }
  const open = () =>
    new DatabaseCache({ location, database: watched, options: { timeLimitMs: 5_000 } })
  const caches = [open(), open(), open()] as const
  const [first, second] = caches
  beforeAll(async () => {
    await createCacheTable(first)
    await first.set('begun', 1, { tags: ['list', 'one', 'another'] })
    // What a cache asks for once.
    for (const cache of caches) await cache.invalidateTags(['list'])
  })
  beforeEach(() => {
    gate = () => Promise.resolve()
  })
  afterAll(() => pool.end())

  it('of one tag share their statements, and are all carried out', async () => {
    await first.set('page', 1, { tags: ['list'] })
    statements = 0
    await Promise.all(Array.from({ length: 20 }, () => first.invalidateTags(['list'])))
    // One by itself, and the 19 that came meanwhile.
    expect(statements).toBeLessThanOrEqual(12)
    expect(await second.get('page')).toBeUndefined()
  })

  it('of several processes are all carried out', async () => {
    await first.set('page', 1, { tags: ['list'] })
    statements = 0
    const asked = caches.flatMap((cache) =>
      Array.from({ length: 20 }, () => cache.invalidateTags(['list'])),
    )
    await Promise.all(asked)
    expect(statements).toBeLessThan(60)
    expect(await second.get('page')).toBeUndefined()
  })

  it('reach each tag that any of them names, hard and soft', async () => {
    const names = Array.from({ length: 12 }, (_, i) => `row${i}`)
    await first.setMany(Object.fromEntries(names.map((name) => [name, name])), { timeout: 60 })
    for (const name of names) await first.set(name, name, { tags: [name, 'list'] })
    await Promise.all(names.map((name, i) => first.invalidateTags([name], { soft: i % 2 === 1 })))
    for (const [i, name] of names.entries()) {
      expect(await second.get(name), name).toBeUndefined()
      const stale = await second.getOrSet(name, () => 'made', { staleWhileRevalidate: 60 })
      expect(stale).toBe(i % 2 === 1 ? name : 'made')
    }
  })

  it('end what was stored until they were asked for, although one is under way', async () => {
    let ticks = 0
    let release: (() => void) | undefined
    // It counts on the clock before and after it changes the counters.
    gate = (sql) =>
      sql.includes('SET number = number +') && ++ticks === 2
        ? new Promise<void>((resolve) => (release = resolve))
        : Promise.resolve()
    const earlier = first.invalidateTags(['list'])
    await expect.poll(() => release).toBeDefined()
    await second.set('page', 1, { tags: ['list'] })
    const later = first.invalidateTags(['list'])
    release?.()
    await Promise.all([earlier, later])
    expect(await second.get('page')).toBeUndefined()
  })

  it('do not wait for one that hangs', async () => {
    let hangs = 1
    let release: () => void = () => undefined
    gate = () =>
      hangs-- > 0 ? new Promise<void>((resolve) => (release = resolve)) : Promise.resolve()
    const hanging = first.invalidateTags(['one'])
    await first.invalidateTags(['another'])
    release()
    await hanging
  })

  it('all fail where the store does, each with its own error to handle', async () => {
    gate = () => Promise.reject(new Error('refused by the test'))
    const told = await Promise.allSettled(
      Array.from({ length: 5 }, () => second.invalidateTags(['list'])),
    )
    expect(told.map(({ status }) => status)).toEqual(Array.from({ length: 5 }, () => 'rejected'))
    gate = () => Promise.resolve()
    await expect
      .poll(() =>
        second.invalidateTags(['list']).then(
          () => 'done',
          () => 'failed',
        ),
      )
      .toBe('done')
  })
})
