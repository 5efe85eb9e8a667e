import mysqlDriver from 'mysql2/promise'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  createCacheTable,
  DatabaseCache,
  type Dialect,
  type Parameter,
  type QueryDatabase,
} from '../../src/backends/database.js'
import { newTable } from '../support/databases.js'
import { sharedServer } from '../support/servers.js'

const postgres = await sharedServer('postgres')
const mysql = await sharedServer('mysql')

const CLIENTS = 50
const KEYS = Array.from({ length: 40 }, (_, i) => `k${String(i).padStart(2, '0')}`)

interface Opened {
  /** With a connection for each client. */
  readonly pool: object
  readonly end: () => Promise<unknown>
  /** The same, with every deadlock written down that the server answers with. */
  readonly watched: QueryDatabase
  readonly deadlocks: unknown[]
  /** Runs statements in one transaction. */
  readonly transact: (
    action: (run: (sql: string) => Promise<unknown>) => Promise<void>,
  ) => Promise<void>
}

type Begin = () => Promise<{ run: (sql: string) => Promise<unknown>; release: () => void }>

function watch(
  dialect: Dialect,
  code: string,
  query: QueryDatabase['query'],
  begin: Begin,
): Pick<Opened, 'watched' | 'deadlocks' | 'transact'> {
  const deadlocks: unknown[] = []
  const note = (error: unknown, sql: string) => {
    if ((error as { code?: unknown }).code === code) deadlocks.push(sql)
    throw error
  }
  const watched = {
    dialect,
    query: async (sql: string, parameters: readonly Parameter[]) => {
      try {
        return await query(sql, parameters)
      } catch (error) {
        return note(error, sql)
      }
    },
  }
  const transact: Opened['transact'] = async (action) => {
    const { run, release } = await begin()
    try {
      await run('BEGIN')
      await action((sql) => run(sql).catch((error: unknown) => note(error, sql)))
      await run('COMMIT')
    } catch (error) {
      await run('ROLLBACK')
      throw error
    } finally {
      release()
    }
  }
  return { watched, deadlocks, transact }
}

function openPostgres(): Opened {
  const pool = new pg.Pool({ connectionString: postgres?.url, max: CLIENTS })
  const query = (sql: string, values: readonly Parameter[]) => pool.query(sql, [...values])
  const watching = watch('postgresql', '40P01', query, async () => {
    const client = await pool.connect()
    return { run: (sql) => client.query(sql), release: () => client.release() }
  })
  return { pool, end: () => pool.end(), ...watching }
}

function openMysql(): Opened {
  const pool = mysqlDriver.createPool({ uri: mysql?.url ?? '', connectionLimit: CLIENTS })
  const query = async (sql: string, values: readonly Parameter[]) => {
    const [result] = await pool.query(sql, [...values])
    return result
  }
  const watching = watch('mysql', 'ER_LOCK_DEADLOCK', query, async () => {
    const connection = await pool.getConnection()
    return { run: (sql) => connection.query(sql), release: () => connection.release() }
  })
  return { pool, end: () => pool.end(), ...watching }
}

/**
 * @param locksGaps - Whether the server also locks what lies between rows, as InnoDB does: then no order
 *   of the rows keeps it from giving up one statement in favour of another, and it is asked again.
 */
function exactUnderLoad(open: () => Opened, locksGaps: boolean): void {
  let opened: Opened
  let location = ''
  let clients: DatabaseCache[] = []

  beforeAll(async () => {
    opened = open()
    location = newTable()
    clients = Array.from(
      { length: CLIENTS },
      () =>
        new DatabaseCache({
          location,
          database: opened.pool,
          options: { maxEntries: 10_000, timeLimitMs: 20_000 },
        }),
    )
    await createCacheTable(clients[0])
  })
  afterAll(() => opened.end())

  const inAll = <T>(action: (cache: DatabaseCache, i: number) => Promise<T>): Promise<T[]> =>
    Promise.all(clients.map(action))

  it('of fifty callers of add one is told that it stored', async () => {
    for (let round = 0; round < 20; round++) {
      const key = `add${round}`
      const told = await inAll((cache, i) => cache.add(key, i))
      const winners = told.flatMap((added, i) => (added ? [i] : []))
      expect(winners).toHaveLength(1)
      expect(await clients[0]?.get(key)).toBe(winners[0])
    }
  })

  it('of fifty callers of add over an expired entry one is told that it stored', async () => {
    for (let round = 0; round < 5; round++) {
      const key = `expired${round}`
      await clients[0]?.set(key, 'old', { timeout: 0.001 })
      await new Promise((passed) => setTimeout(passed, 5))
      const told = await inAll((cache, i) => cache.add(key, i))
      const winners = told.flatMap((added, i) => (added ? [i] : []))
      expect(winners).toHaveLength(1)
      expect(await clients[0]?.get(key)).toBe(winners[0])
    }
  })

  it('no incr is lost, and no two callers are told the same number', async () => {
    await clients[0]?.set('n', -500)
    const told = await inAll(async (cache) => {
      const numbers: number[] = []
      for (let i = 0; i < 20; i++) numbers.push(await cache.incr('n'))
      return numbers
    })
    expect(new Set(told.flat()).size).toBe(1000)
    expect(Math.max(...told.flat())).toBe(500)
    expect(await clients[0]?.get('n')).toBe(500)
  })

  it('a tagged number is counted exactly too, by compare and set', async () => {
    await clients[0]?.set('tagged', 0, { tags: ['t'] })
    await Promise.all(clients.slice(0, 8).map((cache) => cache.incr('tagged', 5)))
    expect(await clients[0]?.get('tagged')).toBe(40)
    await clients[0]?.invalidateTags(['t'])
    expect(await clients[0]?.get('tagged')).toBeUndefined()
  })

  it('of fifty callers of delete one is told that it removed', async () => {
    for (let round = 0; round < 10; round++) {
      await clients[0]?.set('gone', 1)
      expect((await inAll((cache) => cache.delete('gone'))).filter(Boolean)).toHaveLength(1)
    }
  })

  it('set and get never show half a value', async () => {
    const values = clients.map((_, i) => String.fromCharCode(65 + (i % 26)).repeat(2000 + i))
    const seen = await inAll(async (cache, i) => {
      const found: unknown[] = []
      for (let round = 0; round < 5; round++) {
        await cache.set('whole', values[i] as string)
        found.push(await cache.get('whole'))
        found.push((await cache.getMany(['whole', 'other'])).get('whole'))
      }
      return found
    })
    for (const value of seen.flat()) expect(values).toContain(value)
  })

  it('touch tells and does the same for all', async () => {
    await clients[0]?.set('touched', 1, { timeout: 1000 })
    expect(await inAll((cache) => cache.touch('touched', { timeout: 500 }))).toEqual(
      clients.map(() => true),
    )
    expect(await inAll((cache) => cache.touch('missing', { timeout: 500 }))).toEqual(
      clients.map(() => false),
    )
  })

  it('touch of the same deadline twice is told both times', async () => {
    await clients[0]?.set('same', 1, { timeout: null })
    expect(await clients[0]?.touch('same', { timeout: null })).toBe(true)
    expect(await clients[0]?.touch('same', { timeout: null })).toBe(true)
  })

  it('a deadlock is seen where there is one', async () => {
    // Two transactions that take two keys in opposite orders wait for each other.
    const keys = ['d1', 'd2']
    await clients[0]?.setMany({ d1: 1, d2: 1 })
    const failed = async (key: string, then: string, meet: () => Promise<void>) => {
      const update = (one: string) =>
        `UPDATE ${location} SET number = number + 1 WHERE cache_key = ':1:${one}'`
      await opened.transact(async (run) => {
        await run(update(key))
        await meet()
        await run(update(then))
      })
    }
    let met = 0
    const meet = async () => {
      met++
      while (met < 2) await new Promise((later) => setTimeout(later, 5))
    }
    await Promise.allSettled(keys.map((key, i) => failed(key, keys[1 - i] ?? '', meet)))
    expect(opened.deadlocks.splice(0)).toHaveLength(1)
  })

  it('batches name their keys in one order, whichever they come in', async () => {
    const named: string[][] = []
    const cache = new DatabaseCache({
      location,
      database: {
        dialect: opened.watched.dialect,
        query: (sql: string, parameters: readonly Parameter[]) => {
          named.push(parameters.map(String).filter((text) => text.startsWith(':1:k')))
          return opened.watched.query(sql, parameters)
        },
      },
      options: { maxEntries: 10_000, timeLimitMs: 20_000 },
    })
    for (const keys of [KEYS, KEYS.toReversed()]) {
      await cache.setMany(keys.map((key) => [key, 'v'] as const))
      await cache.deleteMany(keys)
    }
    const ofBatches = named.filter(({ length }) => length === KEYS.length)
    expect(ofBatches.length).toBeGreaterThanOrEqual(4)
    for (const keys of ofBatches) expect(keys).toEqual(KEYS.map((key) => `:1:${key}`))
  })

  // Over the pool what the server gives up is asked again; over a function every deadlock is seen.
  const usual = () => (locksGaps ? opened.pool : opened.watched)
  const outcome = locksGaps ? 'fail for nobody' : 'never deadlock'

  it(`batches in opposite orders ${outcome}`, async () => {
    const backwards = KEYS.toReversed()
    await inAll(async (_, i) => {
      const cache = new DatabaseCache({
        location,
        database: usual(),
        options: { maxEntries: 10_000, timeLimitMs: 20_000 },
      })
      const keys = i % 2 === 0 ? KEYS : backwards
      for (let round = 0; round < 10; round++) {
        const failed = await cache.setMany(
          keys.map((key) => [key, `${key} ${i}`] as const),
          {
            timeout: 100 + ((i * 7 + round) % 50),
          },
        )
        expect(failed).toEqual([])
        if (round % 3 === 0) await cache.deleteMany(keys.slice(i % 20, (i % 20) + 10))
        await cache.set(keys[0] ?? '', round)
      }
    })
    expect(opened.deadlocks).toEqual([])
    const found = await clients[0]?.getMany<string>(KEYS)
    for (const [key, value] of found ?? []) {
      if (typeof value === 'string') expect(value.startsWith(`${key} `)).toBe(true)
    }
  })

  it(`batches, culling and clear at the same time ${outcome}`, async () => {
    const small = Array.from(
      { length: 12 },
      (_, i) =>
        new DatabaseCache({
          location,
          database: usual(),
          keyPrefix: `p${i % 3}`,
          options: { maxEntries: 60, cullFrequency: 2, timeLimitMs: 20_000 },
        }),
    )
    await Promise.all(
      small.map(async (cache, i) => {
        const keys = i % 2 === 0 ? KEYS : KEYS.toReversed()
        for (let round = 0; round < 15; round++) {
          const failed = await cache.setMany(
            keys.slice(round).map((key) => [key, i] as const),
            { timeout: (round * 13 + i) % 40 || 1 },
          )
          expect(failed).toEqual([])
          if (i === round) await cache.clear()
        }
      }),
    )
    expect(opened.deadlocks).toEqual([])
  })
}

describe.skipIf(postgres === undefined)('fifty clients of PostgreSQL', () => {
  exactUnderLoad(openPostgres, false)
})

describe.skipIf(mysql === undefined)('fifty clients of MySQL or MariaDB', () => {
  exactUnderLoad(openMysql, true)
})
