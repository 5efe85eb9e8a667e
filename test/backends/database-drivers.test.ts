import { inspect } from 'node:util'
import BetterSqlite3 from 'better-sqlite3'
import createKnex from 'knex'
import mysql from 'mysql2'
import mysqlPromise from 'mysql2/promise'
import pg from 'pg'
import { afterAll, describe, expect, it, vi } from 'vitest'
import {
  DatabaseCache,
  type DatabaseSettings,
  type Parameter,
} from '../../src/backends/database.js'
import { databaseCaches } from '../support/database-caches.js'
import { newTable } from '../support/databases.js'
import { sharedServer, startProxy } from '../support/servers.js'

const postgres = await sharedServer('postgres')
const mysqlServer = await sharedServer('mysql')

const caches = databaseCaches()
const { ends } = caches

async function open(
  database: object,
  settings?: Partial<DatabaseSettings>,
): Promise<DatabaseCache> {
  return (await caches.open(database, settings)).cache
}

async function works(cache: DatabaseCache): Promise<void> {
  await cache.setMany({ a: 'a', b: Buffer.from([0, 255]), n: 41 }, { tags: ['t'] })
  await cache.set('n', 41)
  expect(await cache.incr('n')).toBe(42)
  expect(await cache.decr('n', 50)).toBe(-8)
  expect(Object.fromEntries(await cache.getMany(['a', 'b', 'n', 'x']))).toEqual({
    a: 'a',
    b: Buffer.from([0, 255]),
    n: -8,
  })
  expect(await cache.add('a', 1)).toBe(false)
  expect(await cache.add('c', 1)).toBe(true)
  expect(await cache.touch('c')).toBe(true)
  expect(await cache.delete('c')).toBe(true)
  await cache.invalidateTags(['t'])
  expect(await cache.get('a')).toBeUndefined()
  await cache.clear()
  expect(await cache.get('n')).toBeUndefined()
}

/** A write waits for the only connection, on which nothing answers, until both are given up. */
async function giveUpWhileWaiting(
  cache: DatabaseCache,
  watching: DatabaseCache,
  proxy: Awaited<ReturnType<typeof startProxy>>,
): Promise<void> {
  proxy.silence()
  const first = cache.get('k')
  const waiting = cache.set('k', 'late')
  await expect(first).rejects.toThrow('no answer within 200 ms')
  await expect(waiting).rejects.toThrow('no answer within 200 ms')
  await proxy.restore()
  await vi.waitFor(async () => expect(await cache.get('k')).toBe('before'), 2000)
  await new Promise((passed) => setTimeout(passed, 200))
  expect(await watching.get('k')).toBe('before')
}

describe.skipIf(postgres === undefined)('pg', () => {
  const connectionString = postgres?.url ?? ''

  it('one client will do', async () => {
    const client = new pg.Client({ connectionString })
    await client.connect()
    ends.push(() => client.end())
    const cache = await open(client)
    await works(cache)
    expect(client.listenerCount('error')).toBe(1)
    await cache.close()
    expect(client.listenerCount('error')).toBe(0)
  })

  it('numbers of 64 bits may be read in any way', async () => {
    for (const parse of [Number, BigInt, String]) {
      const types = {
        getTypeParser: (oid: number, format?: 'text' | 'binary'): ((text: string) => unknown) =>
          oid === 20 ? parse : (pg.types.getTypeParser(oid, format) as (text: string) => unknown),
      }
      const pool = new pg.Pool({ connectionString, types })
      await works(await open(pool))
      await pool.end()
    }
  })

  it('a connection that is lost while it is used fails the call, not the process', async () => {
    const pool = new pg.Pool({ connectionString, application_name: newTable() })
    ends.push(() => pool.end())
    const cache = await open(pool)
    await cache.set('k', 1)
    const other = new pg.Client({ connectionString })
    await other.connect()
    ends.unshift(() => other.end())
    const { application_name: name } = pool.options
    // Idle, then busy.
    for (const busy of [false, true]) {
      const asked = busy
        ? Promise.allSettled(Array.from({ length: 50 }, () => cache.get('k')))
        : Promise.resolve()
      await other.query(
        'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1',
        [name],
      )
      await asked
      await vi.waitFor(async () => expect(await cache.get('k')).toBe(1), 2000)
    }
  })

  it.each([
    ['first statement', true],
    ['statements after it has counted', false],
  ])(
    'of a call that was given up while it waited, no %s is ever run',
    async (_what, hasCounted) => {
      const proxy = await startProxy({ port: Number(new URL(connectionString).port) })
      ends.push(() => proxy.close())
      const pool = new pg.Pool({
        connectionString: connectionString.replace(/:\d+\//, `:${proxy.port}/`),
        max: 1,
      })
      ends.unshift(() => pool.end())
      const direct = new pg.Pool({ connectionString })
      ends.unshift(() => direct.end())
      const location = newTable()
      const watching = await open(direct, { location })
      const cache = new DatabaseCache({ location, database: pool, options: { timeLimitMs: 200 } })
      await watching.set('k', 'before')
      // A busy machine may need longer than the limit for the first call, which connects.
      await vi.waitFor(() => (hasCounted ? cache.set('k', 'before') : cache.get('k')))
      await giveUpWhileWaiting(cache, watching, proxy)
      expect(pool.waitingCount).toBe(0)
      expect(pool.totalCount).toBe(1)
    },
  )

  it('one client that hangs fails in time', async () => {
    const proxy = await startProxy({ port: Number(new URL(connectionString).port) })
    ends.push(() => proxy.close())
    const client = new pg.Client(connectionString.replace(/:\d+\//, `:${proxy.port}/`))
    await client.connect()
    ends.unshift(() => client.end())
    const cache = await open(client, { options: { timeLimitMs: 200 } })
    proxy.silence()
    await expect(cache.get('k')).rejects.toMatchObject({ code: 'FRAGCACHE_BACKEND_FAILED' })
    await proxy.restore()
  })
})

describe.skipIf(mysqlServer === undefined)('mysql2', () => {
  const uri = mysqlServer?.url ?? ''

  it('one connection will do, in either form', async () => {
    const plain = mysql.createConnection(uri)
    ends.push(() => plain.promise().end())
    await works(await open(plain))
    const promised = await mysqlPromise.createConnection(uri)
    ends.push(() => promised.end())
    await works(await open(promised))
  })

  it.each([
    { rowsAsArray: true },
    { namedPlaceholders: true },
    { supportBigNumbers: true, bigNumberStrings: true },
    { flags: ['-FOUND_ROWS'] },
    { typeCast: (field: { string(): string | null }) => field.string() },
  ])('%j changes nothing', async (settings) => {
    for (const create of [mysql.createPool, mysqlPromise.createPool]) {
      const pool = create({ uri, ...settings })
      await works(await open(pool))
      await pool.end()
    }
  })

  it('a server that does not know backslashes is asked in a way it understands', async () => {
    const pool = mysqlPromise.createPool({ uri, connectionLimit: 1 })
    ends.push(() => pool.end())
    await pool.query(`SET sql_mode = CONCAT(@@sql_mode, ',NO_BACKSLASH_ESCAPES')`)
    const cache = await open(pool)
    const keys = [`\\' OR 1=1 -- `, `'`, `\\`, `\\\\'`, `'--`]
    await cache.setMany(keys.map((key, i) => [key, `'${i}\\`] as const))
    expect([...(await cache.getMany(keys)).values()]).toEqual(keys.map((_, i) => `'${i}\\`))
    await cache.deleteMany(keys.slice(1))
    expect([...(await cache.getMany(keys)).keys()]).toEqual(keys.slice(0, 1))
  })

  it('a call that was given up while it waited for a connection is never run', async () => {
    const proxy = await startProxy({ port: Number(new URL(uri).port) })
    ends.push(() => proxy.close())
    const pool = mysqlPromise.createPool({
      uri: uri.replace(/:\d+\//, `:${proxy.port}/`),
      connectionLimit: 1,
    })
    ends.unshift(() => pool.end())
    const location = newTable()
    const direct = mysqlPromise.createPool(uri)
    ends.unshift(() => direct.end())
    const watching = await open(direct, { location })
    const cache = new DatabaseCache({ location, database: pool, options: { timeLimitMs: 200 } })
    await vi.waitFor(() => cache.set('k', 'before'))
    await giveUpWhileWaiting(cache, watching, proxy)
  })
})

describe('a function', () => {
  const query = (answer: (sql: string, parameters: readonly Parameter[]) => unknown) => answer

  it('that gives binary columns as text is told so', async () => {
    const cache = new DatabaseCache({
      location: 'entries',
      database: { dialect: 'postgresql', query: query(() => [{ value: '\\x01' }]) },
    })
    await expect(cache.get('k')).rejects.toThrow(/"value" came back as string, not as bytes/)
  })

  it('that gives a count where rows are asked for is told so', async () => {
    const cache = new DatabaseCache({
      location: 'entries',
      database: { dialect: 'sqlite', query: query(() => 1) },
    })
    await expect(cache.incr('k')).rejects.toThrow(/gave a count for a statement with RETURNING/)
  })

  it('over MySQL that gives no insertId is told so', async () => {
    const cache = new DatabaseCache({
      location: 'entries',
      database: { dialect: 'mysql', query: query(() => 1) },
    })
    await expect(cache.incr('k')).rejects.toThrow(/gave no insertId/)
    await expect(cache.add('k', 1)).rejects.toThrow(/gave no insertId/)
  })

  it('may give { rows }, { changes }, pairs of mysql2, and counts', async () => {
    const database = new BetterSqlite3(':memory:')
    const run = (sql: string, parameters: readonly Parameter[]) => {
      const statement = database.prepare(sql)
      return statement.reader
        ? { rows: statement.all(...parameters) }
        : statement.run(...parameters)
    }
    await works(await open({ dialect: 'sqlite', query: run }))
    const given: unknown[] = []
    const cache = new DatabaseCache({
      location: 'entries',
      database: { dialect: 'mysql', query: query(() => given.shift()) },
    })
    given.push([[{ value: Buffer.from('7') }], [{ name: 'value' }]])
    expect(await cache.get('k')).toBe(7)
    given.push([{ affectedRows: 1, insertId: 2n ** 53n - 5n }, undefined])
    expect(await cache.incr('k')).toBe(-5)
    given.push([{ value: Buffer.from('8') }])
    expect(await cache.get('k')).toBe(8)
  })

  it('over MySQL is asked for many keys in statements that any server takes', async () => {
    const keys = Array.from({ length: 10_000 }, (_, i) => String(i).padStart(240, 'k'))
    const asked = { SELECT: 0, DELETE: 0 }
    const cache = new DatabaseCache({
      location: 'entries',
      database: {
        dialect: 'mysql',
        query: query((sql, parameters) => {
          const written = parameters.filter((one) => Buffer.isBuffer(one))
          const bytes = written.reduce((sum, one) => sum + 2 * one.length + 3, sql.length)
          if (bytes > 1_048_576) throw new Error(`a packet of ${bytes} bytes`)
          const kind = sql.startsWith('SELECT') ? 'SELECT' : 'DELETE'
          asked[kind] += written.length
          if (kind === 'DELETE') return { affectedRows: 0, insertId: 0 }
          return written.map((one) => ({ cache_key: one, value: Buffer.from('7'), expires: 9e15 }))
        }),
      },
    })
    expect((await cache.getMany(keys)).size).toBe(keys.length)
    expect(asked).toEqual({ SELECT: keys.length, DELETE: 0 })
    await cache.deleteMany(keys)
    expect(asked.DELETE).toBe(keys.length)
  })

  it('that refuses large values names them, alone and among others', async () => {
    const database = new BetterSqlite3(':memory:')
    const cache = await open({
      dialect: 'sqlite',
      query: query((sql, parameters) => {
        if (parameters.some((one) => Buffer.isBuffer(one) && one.length > 1000)) {
          throw Object.assign(new Error('string or blob too big'), { code: 'SQLITE_TOOBIG' })
        }
        const statement = database.prepare(sql)
        return statement.reader ? statement.all(...parameters) : statement.run(...parameters)
      }),
    })
    const huge = 'x'.repeat(2000)
    await cache.setMany({ a: 'old', b: 'old', c: 'old' })
    expect(await cache.setMany({ a: 1, b: huge, c: 3, d: huge, e: 5 })).toEqual(['b', 'd'])
    expect(Object.fromEntries(await cache.getMany(['a', 'b', 'c', 'd', 'e']))).toEqual({
      a: 1,
      c: 3,
      e: 5,
    })
    await expect(cache.set('a', huge)).rejects.toMatchObject({ code: 'FRAGCACHE_VALUE_TOO_LARGE' })
    expect(await cache.get('a')).toBeUndefined()
    await expect(cache.add('f', huge)).rejects.toMatchObject({ code: 'FRAGCACHE_VALUE_TOO_LARGE' })
  })
})

describe('a statement that the database gave up in favour of another', () => {
  const DEADLOCK = Object.assign(new Error('Deadlock found'), {
    code: 'ER_LOCK_DEADLOCK',
    sqlState: '40001',
  })
  /** Gives up the first statement, and answers the next. */
  const deadlocks = () => {
    let asked = 0
    return {
      answer: () => (++asked > 1 ? { affectedRows: 1, insertId: 1 } : undefined),
      asked: () => asked,
    }
  }
  type Callback = (error: unknown, result?: unknown) => void
  const connectionOver = (answer: () => unknown) => {
    const send = (...given: unknown[]) => {
      const result = answer()
      const done = given.at(-1) as Callback
      queueMicrotask(() => (result === undefined ? done(DEADLOCK) : done(null, result)))
    }
    return { execute: send, query: send, release: () => undefined, destroy: () => undefined }
  }
  const knexOver = (answer: () => unknown, isTransaction: boolean) => ({
    isTransaction,
    client: { dialect: 'mysql' },
    raw: async () => answer() ?? Promise.reject(DEADLOCK),
  })
  const remove = (database: object, keys = ['k']) =>
    new DatabaseCache({ location: 'entries', database }).deleteMany(keys)

  it('is repeated where the connection is ours for it alone', async () => {
    for (const over of [
      (answer: () => unknown) => ({
        promise: () => undefined,
        execute: () => undefined,
        query: () => undefined,
        getConnection: (done: Callback) => done(null, connectionOver(answer)),
      }),
      (answer: () => unknown) => knexOver(answer, false),
    ]) {
      const one = deadlocks()
      await remove(over(one.answer))
      expect(one.asked()).toBe(2)
      // With MySQL those of several are looked for first.
      const two = deadlocks()
      await remove(over(two.answer), ['k', 'l'])
      expect(two.asked()).toBe(3)
    }
  })

  it('fails where the transaction it ended may be of the application', async () => {
    for (const over of [
      (answer: () => unknown) => ({ ...connectionOver(answer), promise: () => undefined }),
      (answer: () => unknown) => knexOver(answer, true),
      (answer: () => unknown) => ({
        dialect: 'mysql',
        query: async () => answer() ?? Promise.reject(DEADLOCK),
      }),
    ]) {
      const { answer, asked } = deadlocks()
      await expect(remove(over(answer))).rejects.toThrow('Deadlock')
      expect(asked()).toBe(1)
    }
    const client = {
      connect: () => undefined,
      end: () => undefined,
      on: () => undefined,
      removeListener: () => undefined,
      query: vi.fn((_: unknown, done: Callback) =>
        done(Object.assign(new Error('deadlock detected'), { code: '40P01', severity: 'ERROR' })),
      ),
    }
    await expect(remove(client)).rejects.toThrow('deadlock')
    expect(client.query).toHaveBeenCalledTimes(1)
  })
})

describe('what a failure says', () => {
  const SECRET = 'a-secret-value'

  async function failureOf(database: object): Promise<string> {
    const cache = new DatabaseCache({ location: 'nowhere', database })
    ends.unshift(() => cache.close())
    const failures = await Promise.allSettled([
      cache.set('k', SECRET),
      cache.setMany({ a: SECRET, b: SECRET }),
    ])
    return inspect(failures, { depth: 20 })
  }

  it.skipIf(mysqlServer === undefined)('never holds values', async () => {
    const pool = mysqlPromise.createPool(mysqlServer?.url ?? '')
    const knex = createKnex({ client: 'mysql2', connection: mysqlServer?.url ?? '' })
    const sqlite = createKnex({
      client: 'better-sqlite3',
      connection: { filename: ':memory:' },
      useNullAsDefault: true,
    })
    ends.push(
      () => pool.end(),
      () => knex.destroy(),
      () => sqlite.destroy(),
    )
    for (const database of [pool, knex, sqlite, new BetterSqlite3(':memory:')]) {
      const said = await failureOf(database)
      expect(said).toContain('the table nowhere is not there')
      expect(said).not.toContain(SECRET)
      expect(said).not.toContain(Buffer.from(SECRET).toString('hex'))
    }
  })
})

afterAll(() => vi.restoreAllMocks())
