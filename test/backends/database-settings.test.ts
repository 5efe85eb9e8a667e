import { NEEDED_TABLE } from '../../src/backends/database/create-table.js'
import BetterSqlite3 from 'better-sqlite3'
import createKnex from 'knex'
import Libsql from 'libsql'
import mysql from 'mysql2'
import mysqlPromise from 'mysql2/promise'
import pg from 'pg'
import { describe, expect, it, vi } from 'vitest'
import { createCacheTable, DatabaseCache } from '../../src/backends/database.js'
import { createCaches, FragmentCache } from '../../src/index.js'

const database = new BetterSqlite3(':memory:')

// Its types name files that are not there.
const libsqlPromise: string = 'libsql/promise'
const { default: LibsqlPromise } = (await import(libsqlPromise)) as {
  default: new (file: string, options: object) => object
}
const open = (settings: object) => new DatabaseCache({ location: 'entries', database, ...settings })

describe('the name of the table', () => {
  it.each(['entries', 'Entries_2', '_x', 'schema.entries', 'a'.repeat(55)])(
    'may be %s',
    (location) => {
      expect(() => open({ location })).not.toThrow()
    },
  )

  it.each([
    undefined,
    '',
    '.',
    'a.',
    '.a',
    'a.b.c',
    'x; DROP TABLE users',
    'x" (y) --',
    'x`; --',
    "x'",
    'x y',
    'x\n',
    'x\0',
    '1x',
    'é',
    'a-b',
    '$x',
    'a'.repeat(56),
    7,
    ['a', 'b'],
    null,
  ])('may not be %j: it is refused by name', (location) => {
    expect(() => open({ location })).toThrow(
      expect.objectContaining({
        code: 'FRAGCACHE_INVALID_BACKEND',
        message: expect.stringMatching(/^DatabaseCache: location: .*ASCII letters/s) as string,
      }),
    )
  })

  it('is quoted: a word of SQL will do', async () => {
    const cache = open({ location: 'select' })
    await createCacheTable(cache)
    await cache.set('k', 'v')
    expect(await cache.get('k')).toBe('v')
  })
})

describe('the database', () => {
  const url = 'postgres://127.0.0.1:1/none'
  const mysqlUrl = 'mysql://127.0.0.1:1/none'
  const query = () => []

  it.each([
    ['a pool of pg', () => new pg.Pool({ connectionString: url }), 'postgresql'],
    ['a client of pg', () => new pg.Client({ connectionString: url }), 'postgresql'],
    ['a pool of mysql2', () => mysql.createPool(mysqlUrl), 'mysql'],
    ['a pool of mysql2/promise', () => mysqlPromise.createPool(mysqlUrl), 'mysql'],
    ['better-sqlite3', () => new BetterSqlite3(':memory:'), 'sqlite'],
    ['libsql', () => new Libsql(':memory:'), 'sqlite'],
    ['knex over pg', () => createKnex({ client: 'pg' }), 'postgresql'],
    ['knex over mysql2', () => createKnex({ client: 'mysql2' }), 'mysql'],
    [
      'knex over better-sqlite3',
      () => createKnex({ client: 'better-sqlite3', useNullAsDefault: true }),
      'sqlite',
    ],
    ['a function', () => ({ dialect: 'mysql', query }), 'mysql'],
    ['a primary without a replica', () => ({ write: { dialect: 'mysql', query } }), 'mysql'],
    [
      'a primary and a replica',
      () => ({ write: new pg.Pool(), read: { dialect: 'postgresql', query } }),
      'postgresql',
    ],
  ])('may be %s', (_, make, dialect) => {
    const cache = open({ database: make() })
    expect(Reflect.get(cache, NEEDED_TABLE)).toMatchObject({ driver: { dialect } })
  })

  it.each([
    [undefined, 'it is missing'],
    [null, 'null is not a known database'],
    ['postgres://x', '"postgres://x" is not a known database'],
    [{}, 'is not a known database'],
    [new Map(), 'is not a known database'],
    [{ query }, 'is not a known database'],
    [{ dialect: 'oracle', query }, 'database.dialect: "oracle" is not supported'],
    [createKnex({ client: 'mssql' }), 'knex\'s client "mssql" is not supported'],
    [{ read: { dialect: 'mysql', query } }, 'database.write: it is missing'],
    [{ write: { dialect: 'mysql', query }, read: 5 }, 'database.read: 5 is not a known database'],
    [{ write: { dialect: 'mysql', query }, replica: {} }, 'unknown name "replica"'],
    [
      { write: { dialect: 'mysql', query }, read: { dialect: 'sqlite', query } },
      'write speaks mysql, read speaks sqlite',
    ],
  ])('may not be %s', (given, message) => {
    expect(() => open({ database: given })).toThrow(
      expect.objectContaining({
        code: 'FRAGCACHE_INVALID_BACKEND',
        message: expect.stringContaining(message) as string,
      }),
    )
  })

  it('may not be libsql’s form with promises', async () => {
    const cache = open({ database: new LibsqlPromise(':memory:', {}) })
    await expect(cache.get('k')).rejects.toThrow(/libsql.*in place of libsql\/promise/)
  })
})

describe('other settings', () => {
  it.each([
    [{ options: { maxEntries: 0 } }, 'maxEntries: 0'],
    [{ options: { cullFrequency: -1 } }, 'cullFrequency: -1'],
    [{ options: { timeLimitMs: 0 } }, 'timeLimitMs: 0'],
    [{ options: { max_entries: 1 } }, 'unknown option "max_entries"'],
    [{ table: 'x' }, 'unknown setting "table"'],
  ])('%j is refused', (settings, message) => {
    expect(() => open(settings)).toThrow(message)
  })
})

describe('a table that is missing', () => {
  it('is an error that names the command to run, and no outage', async () => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    const cache = open({ location: 'nowhere' })
    const failure = {
      code: 'FRAGCACHE_BACKEND_FAILED',
      message: expect.stringMatching(
        /the table nowhere is not there.*npx fragcache createcachetable --config FILE/,
      ) as string,
      cause: expect.objectContaining({ message: 'no such table: nowhere' }) as Error,
    }
    for (let i = 0; i < 5; i++) {
      await expect(cache.get('k')).rejects.toMatchObject(failure)
      await expect(cache.set('k', 1)).rejects.toMatchObject(failure)
      await expect(cache.getMany(['a', 'b'])).rejects.toMatchObject(failure)
      await expect(cache.incr('k')).rejects.toMatchObject(failure)
      await expect(cache.delete('k')).rejects.toMatchObject(failure)
      await expect(cache.clear()).rejects.toMatchObject(failure)
    }
    await createCacheTable(cache)
    await cache.set('k', 1)
    expect(await cache.get('k')).toBe(1)
    vi.restoreAllMocks()
  })
})

describe('a cache over a database that answers at once', () => {
  it('renders fragments synchronously', async () => {
    const cache = open({ location: 'sync' })
    expect(cache.answersAtOnce).toBe(true)
    await createCacheTable(cache)
    const fragments = new FragmentCache(createCaches({ default: cache }))
    let runs = 0
    const render = () =>
      fragments.renderSync({ name: 'sidebar', timeout: 60, varyOn: ['ann'] }, () => `run ${++runs}`)
    expect(render()).toBe('run 1')
    expect(render()).toBe('run 1')
    await fragments.invalidate('sidebar')
    expect(render()).toBe('run 2')
    expect(await fragments.delete('sidebar', ['ann'])).toBe(true)
    expect(render()).toBe('run 3')
  })

  it('is one over libsql too, and none over anything else', () => {
    expect(open({ database: new Libsql(':memory:') }).answersAtOnce).toBe(true)
    expect(open({ database: new pg.Pool() }).answersAtOnce).toBe(false)
    expect(open({ database: createKnex({ client: 'pg' }) }).answersAtOnce).toBe(false)
    expect(open({ database: { dialect: 'sqlite', query: () => [] } }).answersAtOnce).toBe(false)
  })
})

describe('close', () => {
  it('leaves the user’s connection open', async () => {
    const own = new BetterSqlite3(':memory:')
    const cache = open({ database: own })
    await createCacheTable(cache)
    await cache.set('k', 1)
    await cache.close()
    expect(own.prepare('SELECT count(*) FROM entries').pluck().get()).toBe(1)
    expect(await cache.get('k')).toBe(1)
  })

  it('takes away the listeners that caches put on a pool', async () => {
    const pool = new pg.Pool({ connectionString: url() })
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    const caches = [open({ database: pool }), open({ database: pool })]
    const count = () => pool.listenerCount('error')
    expect(count()).toBe(0)
    for (const cache of caches) await cache.get('k').catch(() => undefined)
    expect(count()).toBe(1)
    await caches[0]?.close()
    expect(count()).toBe(1)
    await caches[1]?.close()
    expect(count()).toBe(0)
    await pool.end()
    vi.restoreAllMocks()
  })
})

function url(): string {
  return 'postgres://postgres@127.0.0.1:1/none'
}
