import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  createCacheTable,
  DatabaseCache,
  type DatabaseOptions,
  type Dialect,
  type Parameter,
} from '../../src/backends/database.js'
import { SteppedClock } from '../support/clock.js'
import {
  newTable,
  openBetterSqlite3,
  openMysql,
  openPostgres,
  type OpenDatabase,
} from '../support/databases.js'
import { sharedServer } from '../support/servers.js'

const postgres = await sharedServer('postgres')
const mysql = await sharedServer('mysql')

/** By how many a cache may exceed its limit. */
const excessOf = (maxEntries: number) => Math.max(32, Math.floor(maxEntries / 10))

const clock = new SteppedClock()
const keysOf = (count: number, prefix = 'k') =>
  Array.from({ length: count }, (_, i) => `${prefix}${String(i).padStart(5, '0')}`)

function culls(dialect: Dialect, open: () => OpenDatabase): void {
  let opened: OpenDatabase
  let location = ''
  let statements: string[] = []
  /** How long counting takes. */
  let countMs = 0
  let failsToCount = false
  /** How long writing takes. */
  let insertMs = 0

  const create = (options: DatabaseOptions, keyPrefix = '') =>
    new DatabaseCache({
      location,
      keyPrefix,
      database: opened.database,
      options: { timeLimitMs: 20_000, ...options },
    })
  /** One whose statements are noted. */
  const createNoting = (options: DatabaseOptions, keyPrefix = '') =>
    new DatabaseCache({
      location,
      keyPrefix,
      database: {
        dialect,
        query: async (sql: string, parameters: readonly Parameter[]) => {
          statements.push(sql)
          if (sql.includes('count(')) {
            await sleep(countMs)
            if (failsToCount) throw new Error('canceling statement due to statement timeout')
          }
          if (sql.startsWith('INSERT')) await sleep(insertMs)
          return opened.native?.(sql, parameters)
        },
      },
      options: { timeLimitMs: 20_000, ...options },
    })
  const countRows = async () => {
    const [row] = await opened.ask(`SELECT count(*) AS entries FROM ${location}`)
    return Number((row as { entries: unknown }).entries)
  }

  beforeAll(() => {
    opened = open()
  })
  afterAll(() => opened.end())
  beforeEach(async () => {
    // A cache still makes room in the background after its test, down to its own limit.
    location = newTable()
    await createCacheTable(create({}))
    statements = []
    countMs = 0
    insertMs = 0
    failsToCount = false
    clock.start()
  })
  afterEach(async () => {
    clock.stop()
    vi.restoreAllMocks()
    await opened.ask(`DROP TABLE ${location}`)
  })

  it.each([10, 500])('never holds much more than %i entries', async (maxEntries) => {
    const cache = create({ maxEntries })
    let most = 0
    for (const [i, key] of keysOf(2.5 * maxEntries).entries()) {
      await cache.set(key, i)
      if (i % 50 === 0 || maxEntries === 10) most = Math.max(most, await countRows())
    }
    expect(most).toBeGreaterThan(maxEntries * 0.6)
    expect(most).toBeLessThanOrEqual(maxEntries + excessOf(maxEntries))
  })

  it('nor do several processes together', async () => {
    const maxEntries = 200
    const caches = Array.from({ length: 6 }, () => create({ maxEntries }))
    let most = 0
    for (let round = 0; round < 150; round++) {
      await Promise.all(caches.map((cache, i) => cache.set(`p${i}-${round}`, round)))
      if (round % 5 === 0) most = Math.max(most, await countRows())
    }
    expect(most).toBeGreaterThan(maxEntries * 0.6)
    expect(most).toBeLessThanOrEqual(maxEntries + excessOf(maxEntries))
  })

  it('nor one with many callers at once', async () => {
    const cache = create({ maxEntries: 200 })
    let most = 0
    for (let round = 0; round < 20; round++) {
      await Promise.all(keysOf(50, `r${round}-`).map((key) => cache.set(key, 1)))
      most = Math.max(most, await countRows())
    }
    expect(most).toBeLessThanOrEqual(200 + excessOf(200))
  })

  it('nor after batches that are larger than it', async () => {
    const cache = create({ maxEntries: 100 })
    for (const prefix of ['a', 'b']) {
      await cache.setMany(keysOf(1000, prefix).map((key) => [key, 1] as const))
      expect(await countRows()).toBeLessThanOrEqual(100 + excessOf(100))
    }
    expect(await countRows()).toBeGreaterThan(0)
  })

  it('lets everything that has expired go before anything live', async () => {
    const cache = create({ maxEntries: 100, cullFrequency: 2 })
    const [dead, live] = [keysOf(60, 'dead'), keysOf(40, 'live')]
    await cache.setMany(
      live.map((key) => [key, 1] as const),
      { timeout: 1000 },
    )
    await cache.setMany(
      dead.map((key) => [key, 1] as const),
      { timeout: 10 },
    )
    clock.advance(10)
    await cache.setMany(
      keysOf(30, 'new').map((key) => [key, 1] as const),
      { timeout: 5 },
    )
    expect((await cache.getMany(live)).size).toBe(40)
    expect((await cache.getMany(keysOf(30, 'new'))).size).toBe(30)
    expect(await countRows()).toBeLessThanOrEqual(100)
  })

  it('then lets those go that would be gone first, and of few counters of tags none', async () => {
    const cache = create({ maxEntries: 60, cullFrequency: 2 })
    await cache.set('tagged', 1, { tags: ['t'], timeout: 5000 })
    await cache.setMany(
      keysOf(27, 'late').map((key) => [key, 1] as const),
      { timeout: 1000 },
    )
    await cache.setMany(
      keysOf(31, 'soon').map((key) => [key, 1] as const),
      { timeout: 100 },
    )
    for (const key of keysOf(8, 'new')) await cache.set(key, 1, { timeout: 500 })
    expect(await cache.get('tagged')).toBe(1)
    expect((await cache.getMany(keysOf(27, 'late'))).size).toBe(27)
    expect((await cache.getMany(keysOf(31, 'soon'))).size).toBeLessThan(31)
    expect((await cache.getMany(keysOf(8, 'new'))).size).toBe(8)
  })

  it('keeps entries although each has a tag of its own, whose counter never expires', async () => {
    const cache = create({ maxEntries: 300 })
    const keys = keysOf(1200)
    let fewest = Infinity
    for (const [i, key] of keys.entries()) {
      await cache.set(key, i, { tags: [`of ${key}`], timeout: 3600 })
      if (i < 300 || i % 20 > 0) continue
      fewest = Math.min(fewest, (await cache.getMany(keys.slice(0, i + 1))).size)
    }
    expect(fewest).toBeGreaterThan(300 / 2 / 4)
  })

  it('lets versions of tags go last of what never expires', async () => {
    const cache = create({ maxEntries: 100, cullFrequency: 2 })
    const tagged = keysOf(20, 'tagged')
    for (const key of tagged) await cache.set(key, 1, { tags: [`of-${key}`], timeout: 5000 })
    await cache.setMany(
      keysOf(30, 'zone').map((key) => [key, 1] as const),
      { timeout: null },
    )
    await cache.setMany(
      keysOf(28, 'soon').map((key) => [key, 1] as const),
      { timeout: 100 },
    )
    for (const key of keysOf(6, 'new')) await cache.set(key, 1, { timeout: 500 })
    await vi.waitFor(async () => expect(await countRows()).toBeLessThan(60), 5000)
    expect((await cache.getMany(tagged)).size).toBe(20)
    const zone = (await cache.getMany(keysOf(30, 'zone'))).size
    expect(zone).toBeGreaterThan(0)
    expect(zone).toBeLessThan(15)
  })

  it('leaves what is there once other processes have made room', async () => {
    const maxEntries = 6000
    await create({ maxEntries }).setMany(
      keysOf(maxEntries).map((key) => [key, 1] as const),
      { timeout: 3600 },
    )
    const others = `DELETE FROM ${location} WHERE cache_key >= ':1:k01000' AND cache_key < ':1:k03000'`
    let haveOthersRemoved = false
    const cache = new DatabaseCache({
      location,
      database: {
        dialect,
        query: async (sql: string, parameters: readonly Parameter[]) => {
          const answer = await opened.native?.(sql, parameters)
          if (sql.startsWith('DELETE') && !haveOthersRemoved) {
            haveOthersRemoved = true
            await opened.ask(others)
          }
          return answer
        },
      },
      options: { maxEntries, timeLimitMs: 20_000 },
    })
    await cache.setMany({ a: 1, b: 1 })
    await vi.waitFor(() => expect(haveOthersRemoved).toBe(true), 5000)
    // Room is made behind the write.
    await new Promise((passed) => setTimeout(passed, 500))
    expect(await countRows()).toBeGreaterThan(maxEntries / 2)
  })

  it('empties itself with a cullFrequency of 0', async () => {
    const cache = create({ maxEntries: 50, cullFrequency: 0 })
    const other = create({ maxEntries: 50 }, 'other')
    await other.set('k', 1)
    for (const key of keysOf(52)) await cache.set(key, 1)
    expect(await countRows()).toBeLessThan(10)
    expect(await other.get('k')).toBeUndefined()
  })

  it('removes what has expired now and then although there is room', async () => {
    const cache = create({ maxEntries: 10_000 })
    await cache.setMany(
      keysOf(700, 'dead').map((key) => [key, 1] as const),
      { timeout: 10 },
    )
    await cache.setMany(
      keysOf(20, 'live').map((key) => [key, 1] as const),
      { timeout: 1000 },
    )
    clock.advance(120)
    await cache.setMany(
      keysOf(2000, 'new').map((key) => [key, 1] as const),
      { timeout: 1000 },
    )
    await vi.waitFor(async () => expect(await countRows()).toBe(2020), 3000)
    expect((await cache.getMany(keysOf(20, 'live'))).size).toBe(20)
  })

  it('does not count with each set, nor more than it holds', async () => {
    const cache = createNoting({ maxEntries: 1000 })
    for (const key of keysOf(400)) await cache.set(key, 1)
    for (const key of keysOf(400)) await cache.set(key, 2)
    const counts = statements.filter((sql) => /count\(/i.test(sql))
    expect(counts.length).toBeLessThan(40)
    for (const sql of counts) expect(sql).toMatch(/LIMIT 2001\)/)
    expect(statements.filter((sql) => sql.startsWith('INSERT'))).toHaveLength(800)
  })

  it('waits for a slow count before the table may be full', async () => {
    countMs = 50
    const cache = createNoting({ maxEntries: 10, cullFrequency: 2 })
    for (const key of keysOf(11)) await cache.set(key, 1)
    expect(await countRows()).toBe(11)
    await sleep(3 * countMs)
    expect(await countRows()).toBe(11)
    await cache.set('last', 1)
    expect(await countRows()).toBe(7)
  })

  it('writes also where counting fails, and waits once alone where it is slow too', async () => {
    failsToCount = true
    const cache = createNoting({ maxEntries: 10 })
    for (const key of keysOf(5)) await cache.set(key, 1)
    expect(await countRows()).toBe(5)
    countMs = 400
    statements = []
    const slow = createNoting({ maxEntries: 1000, timeLimitMs: 1200 })
    for (const key of keysOf(20, 's')) await slow.set(key, 1)
    // Counts come one after the other: if each write waited there would be one for every two of them.
    const counts = statements.filter((sql) => sql.includes('count('))
    expect(counts.length).toBeLessThan(8)
    expect(await countRows()).toBe(25)
    await sleep(2 * countMs)
  })

  it('comes back to its limit after a batch that was given up', async () => {
    insertMs = 300
    const cache = createNoting({ maxEntries: 100, timeLimitMs: 400 })
    // In two statements or more.
    const batch = keysOf(15_000).map((key) => [key, 1] as const)
    await expect(cache.setMany(batch)).rejects.toThrow('no answer within 400 ms')
    await expect.poll(countRows).toBeLessThanOrEqual(100 + excessOf(100))
  })

  it('culls nothing where entries are replaced', async () => {
    const cache = create({ maxEntries: 40 })
    await cache.setMany(keysOf(40).map((key) => [key, 1] as const))
    for (let round = 0; round < 5; round++)
      for (const key of keysOf(40)) await cache.set(key, round)
    expect((await cache.getMany(keysOf(40))).size).toBe(40)
  })

  it('never brings an expired entry back', async () => {
    const cache = create({})
    await cache.setMany({ n: 1, text: 'a' }, { timeout: 10 })
    clock.advance(9.999)
    expect(await cache.get('n')).toBe(1)
    clock.advance(0.001)
    expect(await cache.touch('n', { timeout: 100 })).toBe(false)
    await expect(cache.incr('n')).rejects.toMatchObject({ code: 'FRAGCACHE_KEY_NOT_FOUND' })
    expect(await cache.delete('n')).toBe(false)
    expect((await cache.getMany(['n', 'text'])).size).toBe(0)
    expect(await cache.add('n', 5)).toBe(true)
    expect(await cache.incr('n')).toBe(6)
  })

  it('clear goes through thousands of entries of its prefix, and no others', async () => {
    const [cache, other] = [create({ maxEntries: 5000 }), create({ maxEntries: 5000 }, 'other')]
    await cache.setMany(keysOf(1700).map((key) => [key, 1] as const))
    await other.setMany(keysOf(1300).map((key) => [key, 1] as const))
    await cache.clear()
    expect(await countRows()).toBe(1300)
    expect((await other.getMany(keysOf(1300))).size).toBe(1300)
  })

  it('clear looks through many entries of others in stretches', async () => {
    const others = create({ maxEntries: 20_000 }, 'n')
    await others.setMany(keysOf(9000).map((key) => [key, 1] as const))
    for (const prefix of ['a', 'z']) {
      await create({ maxEntries: 20_000 }, prefix).setMany(
        keysOf(600).map((key) => [key, 1] as const),
      )
    }
    for (const keyPrefix of ['a', 'z']) {
      statements = []
      await createNoting({ maxEntries: 20_000 }, keyPrefix).clear()
      expect(statements.filter((sql) => sql.includes('key_prefix =')).length).toBeGreaterThan(3)
    }
    expect(await countRows()).toBe(9000)
  })
}

describe('culling on SQLite', () => {
  culls('sqlite', openBetterSqlite3)

  describe('that answers at once', () => {
    let opened: OpenDatabase
    let ran = 0

    /** Counts statements. */
    function counting(database: object): object {
      const { prepare } = database as { prepare: (sql: string) => Record<string, Run> }
      return {
        exec: () => undefined,
        prepare: (sql: string) => {
          const prepared = prepare.call(database, sql)
          const noted =
            (name: string) =>
            (...parameters: unknown[]) => {
              ran++
              return (prepared[name] as Run).apply(prepared, parameters)
            }
          return { all: noted('all'), get: noted('get'), run: noted('run') }
        },
      }
    }
    type Run = (...parameters: unknown[]) => unknown

    const plant = (rows: number, expires: number) =>
      opened.ask(
        `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})
         INSERT INTO entries SELECT ':1:k' || i, NULL, i, ${expires} + i, '' FROM n`,
      )
    const countRows = async () => (await opened.ask('SELECT 1 FROM entries')).length
    const create = async (maxEntries: number, cullFrequency = 3) => {
      const cache = new DatabaseCache({
        location: 'entries',
        database: counting(opened.database),
        options: { maxEntries, cullFrequency },
      })
      await createCacheTable(cache)
      return cache
    }

    beforeEach(() => {
      opened = openBetterSqlite3()
    })
    afterEach(() => opened.end())

    it.each([
      ['is full', 3, 9e15],
      ['is to be emptied', 0, 9e15],
      ['is full of what has expired', 3, 1],
    ])('takes few steps in one call where a large table %s', async (_, frequency, expires) => {
      const cache = await create(20_000, frequency)
      await plant(22_100, expires)
      for (let i = 0; i < 20; i++) {
        ran = 0
        await cache.set(`new${i}`, 1)
        expect(ran).toBeLessThan(12)
      }
      await expect.poll(countRows).toBeLessThan(15_000)
    })

    it('makes room with the calls that follow, though the event loop never turns', async () => {
      const cache = await create(3000)
      await plant(3200, 9e15)
      for (let i = 0; i < 400; i++) await cache.set(`new${i}`, 1)
      expect(await countRows()).toBeLessThanOrEqual(3000)
      expect((await cache.getMany(keysOf(1))).size).toBe(0)
    })

    it('gets through a table that holds hundreds of times too much', async () => {
      const cache = await create(100)
      await plant(30_000, 9e15)
      await cache.set('k', 1)
      await expect.poll(countRows, { timeout: 30_000 }).toBeLessThanOrEqual(101)
    })

    it('lets others have their turn while it is cleared, and then holds nothing', async () => {
      const cache = await create(20_000)
      await plant(5000, 9e15)
      let turns = 0
      const turn = () => {
        turns++
        immediate = setImmediate(turn)
      }
      let immediate = setImmediate(turn)
      await cache.clear()
      clearImmediate(immediate)
      expect(turns).toBeGreaterThan(10)
      expect(await countRows()).toBe(0)
    })
  })
})

describe.skipIf(postgres === undefined)('culling on PostgreSQL', () => {
  culls('postgresql', () => openPostgres(postgres?.url ?? ''))
})

describe.skipIf(mysql === undefined)('culling on MySQL or MariaDB', () => {
  culls('mysql', () => openMysql(mysql?.url ?? ''))
})
