import { beforeAll, afterAll, describe, it, vi } from 'vitest'
import { createCacheTable, DatabaseCache, type Dialect } from '../../src/backends/database.js'
import { testBackend, type BackendUnderTest } from '../conformance/backend-suite.js'
import { SteppedClock } from '../support/clock.js'
import {
  newTable,
  hasNodeSqlite,
  openBetterSqlite3,
  openKnex,
  openLibsql,
  openMysql,
  openNodeSqlite,
  openPostgres,
  type OpenDatabase,
} from '../support/databases.js'
import { sharedServer } from '../support/servers.js'

const postgres = await sharedServer('postgres')
const pgbouncer = await sharedServer('pgbouncer')
const mysql = await sharedServer('mysql')

// Keys that are not portable are reported as warnings; what they say is tested where it is written.
beforeAll(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
})

/** One table, emptied before each test: the deadlines are compared with our own clock. */
function over(open: () => OpenDatabase, variants: BackendUnderTest['variants']): BackendUnderTest {
  const location = newTable()
  const clock = new SteppedClock()
  let opened: OpenDatabase | undefined
  const create = (settings: object) =>
    new DatabaseCache({
      ...settings,
      location,
      database: opened?.database ?? {},
      options: { maxEntries: 3000, timeLimitMs: 20_000 },
    })
  beforeAll(async () => {
    opened = open()
    await createCacheTable(create({}))
  })
  afterAll(async () => {
    await opened?.ask(`DROP TABLE ${location}`)
    await opened?.end()
  })
  return {
    reset: async () => {
      clock.start()
      await opened?.ask(`DELETE FROM ${location}`)
    },
    create,
    variants,
    advance: clock.advance,
    release: clock.stop,
    damage: async (storedKey, bytes) => {
      await opened?.ask(`UPDATE ${location} SET value = ?, number = NULL WHERE cache_key = ?`, [
        Buffer.from(bytes),
        storedKey,
      ])
    },
  }
}

/** The same behind a function, as for a client that is not known. */
function asFunction(dialect: Dialect, opened: OpenDatabase): OpenDatabase {
  const { native } = opened
  if (native === undefined) throw new Error('this one runs no statements by itself')
  return { ...opened, database: { dialect, query: native } }
}

const run = { describe, it }

// How keys are made has nothing to do with how statements reach a database: every dialect is tested
// with and without a prefix and with a function of one's own, and every driver with some of it. The
// version is a part of the key that no statement knows of: one dialect is tested with it.
describe('SQLite', () => {
  describe('better-sqlite3', () =>
    testBackend('DatabaseCache', over(openBetterSqlite3, ['version']), run))
  describe('libsql', () => testBackend('DatabaseCache', over(openLibsql, ['prefix']), run))
  describe('{ dialect, query }', () =>
    testBackend(
      'DatabaseCache',
      over(() => asFunction('sqlite', openBetterSqlite3()), ['keyFunction']),
      run,
    ))
  describe.skipIf(!hasNodeSqlite())('node:sqlite', () =>
    testBackend('DatabaseCache', over(openNodeSqlite, ['plain']), run),
  )
  describe('knex', () =>
    testBackend(
      'DatabaseCache',
      over(() => openKnex('better-sqlite3', ':memory:'), ['plain']),
      run,
    ))
})

describe.skipIf(postgres === undefined)('PostgreSQL', () => {
  const url = postgres?.url ?? ''
  describe('pg', () =>
    testBackend(
      'DatabaseCache',
      over(() => openPostgres(url), ['plain']),
      run,
    ))
  describe('knex', () =>
    testBackend(
      'DatabaseCache',
      over(() => openKnex('pg', url), ['prefix']),
      run,
    ))
  describe('{ dialect, query }', () =>
    testBackend(
      'DatabaseCache',
      over(() => asFunction('postgresql', openPostgres(url)), ['keyFunction']),
      run,
    ))
})

describe.skipIf(pgbouncer === undefined)('PostgreSQL behind PgBouncer', () => {
  describe('pg', () =>
    testBackend(
      'DatabaseCache',
      over(() => openPostgres(pgbouncer?.url ?? ''), ['plain']),
      run,
    ))
})

describe.skipIf(mysql === undefined)('MySQL or MariaDB', () => {
  const url = mysql?.url ?? ''
  describe('mysql2', () =>
    testBackend(
      'DatabaseCache',
      over(() => openMysql(url), ['plain']),
      run,
    ))
  describe('knex', () =>
    testBackend(
      'DatabaseCache',
      over(() => openKnex('mysql2', url), ['prefix']),
      run,
    ))
  describe('{ dialect, query }', () =>
    testBackend(
      'DatabaseCache',
      over(() => asFunction('mysql', openMysql(url)), ['keyFunction']),
      run,
    ))
})
