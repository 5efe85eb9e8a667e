import mysql from 'mysql2/promise'
import pg from 'pg'
import { describe, expect, it, vi } from 'vitest'
import type { DatabaseCache } from '../../src/backends/database.js'
import { databaseCaches } from '../support/database-caches.js'
import { newTable } from '../support/databases.js'
import { sharedServer } from '../support/servers.js'

const postgres = await sharedServer('postgres')
const mysqlServer = await sharedServer('mysql')

const { ends, open } = databaseCaches()

const sleep = (ms: number) => new Promise((passed) => setTimeout(passed, ms))

describe.skipIf(postgres === undefined)('PostgreSQL', () => {
  const connectionString = postgres?.url ?? ''

  async function openPool(max: number, timeLimitMs: number) {
    const name = newTable()
    const pool = new pg.Pool({ connectionString, application_name: name, max })
    const admin = new pg.Pool({ connectionString })
    ends.push(
      () => pool.end(),
      () => admin.end(),
    )
    /** Connections that the server has, those included whose client has gone. */
    const connections = async () => {
      const sql = 'SELECT count(*)::int AS count FROM pg_stat_activity WHERE application_name = $1'
      const { rows } = await admin.query<{ count: number }>(sql, [name])
      return rows[0]?.count ?? NaN
    }
    return { pool, admin, connections, ...(await open(pool, { options: { timeLimitMs } })) }
  }

  it.each([
    ['table', (location: string) => `LOCK TABLE ${location} IN ACCESS EXCLUSIVE MODE`],
    ['row', (location: string) => `SELECT 1 FROM ${location} FOR UPDATE`],
  ])('a %s that is locked takes no more connections than the pool has', async (_what, lock) => {
    const max = 4
    const { admin, cache, connections, location } = await openPool(max, 200)
    await vi.waitFor(() => cache.set('k', 'before'), 3000)
    const locking = await admin.connect()
    ends.unshift(() => locking.release(true))
    await locking.query('BEGIN')
    await locking.query(lock(location))
    const most: number[] = []
    for (let i = 0; i < 60; i++) {
      void cache.set('k', 'late').catch(() => undefined)
      await sleep(50)
      if (i % 10 === 9) most.push(await connections())
    }
    // Some may be on their way out.
    expect(Math.max(...most)).toBeLessThanOrEqual(2 * max + 1)
    await sleep(1000)
    await locking.query('ROLLBACK')
    // What was given up is not done afterwards either.
    await vi.waitFor(async () => expect(await cache.get('k')).toBe('before'), 3000)
  })

  it('is asked to end a few statements at a time, or one that hung would have to begin a process for each of them first', async () => {
    const max = 16
    const { admin, cache, location, pool } = await openPool(max, 500)
    const clients = await Promise.all(Array.from({ length: max }, () => pool.connect()))
    for (const client of clients) client.release()
    const locking = await admin.connect()
    ends.unshift(() => locking.release(true))
    await locking.query('BEGIN')
    await locking.query(`LOCK TABLE ${location} IN ACCESS EXCLUSIVE MODE`)
    const prototype = pg.Client.prototype as pg.Client & { cancel(...given: unknown[]): unknown }
    const { cancel } = prototype
    let asked = 0
    let asking = 0
    let most = 0
    vi.spyOn(prototype, 'cancel').mockImplementation(function (this: unknown, ...given) {
      asked++
      most = Math.max(most, ++asking)
      const { connection } = this as { readonly connection: NodeJS.EventEmitter }
      connection.on('end', () => asking--)
      return cancel.apply(this, given)
    })
    const sets = Array.from({ length: max }, () => cache.set('k', 'late'))
    await Promise.allSettled(sets)
    // Twice for each of them, but for those whose turn does not come in time.
    await vi.waitFor(() => expect(asked).toBeGreaterThan(max), 10_000)
    expect(most).toBeLessThanOrEqual(4)
    await cache.close()
    await vi.waitFor(() => expect(asking).toBe(0), 10_000)
  })

  it.each([
    ['was altered', (location: string) => `ALTER TABLE ${location} ALTER cache_key TYPE text`],
    ['is known no more to a connection', () => 'DISCARD ALL'],
  ])('a table that %s fails no call', async (_what, change) => {
    const { cache, pool, location } = await openPool(1, 5000)
    await cache.set('k', 1)
    expect(await cache.delete('other')).toBe(false)
    await pool.query(change(location))
    expect(await cache.delete('other')).toBe(false)
    expect(await cache.delete('other')).toBe(false)
    expect(await cache.get('k')).toBe(1)
  })
})

/** A table whose rows another transaction locks, over a pool of one connection that waits for them so long. */
interface Waiting {
  readonly cache: DatabaseCache
  /** Tells connections apart. */
  readonly connection: () => Promise<unknown>
  readonly unlock: () => Promise<unknown>
}

async function waitingPostgres(): Promise<Waiting> {
  const connectionString = postgres?.url ?? ''
  const pool = new pg.Pool({ connectionString, max: 1, options: '-c lock_timeout=100' })
  const admin = new pg.Client({ connectionString })
  await admin.connect()
  ends.push(
    () => pool.end(),
    () => admin.end(),
  )
  const { cache, location } = await open(pool, { options: { timeLimitMs: 5000 } })
  await cache.set('k', 'before')
  await admin.query('BEGIN')
  await admin.query(`LOCK TABLE ${location} IN ACCESS EXCLUSIVE MODE`)
  return {
    cache,
    connection: async () => (await pool.query('SELECT pg_backend_pid() AS id')).rows as unknown[],
    unlock: () => admin.query('ROLLBACK'),
  }
}

async function waitingMysql(): Promise<Waiting> {
  const uri = mysqlServer?.url ?? ''
  const pool = mysql.createPool({ uri, connectionLimit: 1 })
  const admin = await mysql.createConnection(uri)
  ends.push(
    () => pool.end(),
    () => admin.end(),
  )
  const { cache, location } = await open(pool, { options: { timeLimitMs: 5000 } })
  await cache.set('k', 'before')
  // Of MariaDB alone, for whose error `mysql2` has no name; MySQL waits for no less than a second.
  const [rows] = await admin.query('SELECT VERSION() AS version')
  const isMariaDb = JSON.stringify(rows).includes('MariaDB')
  await pool.query(
    isMariaDb ? 'SET SESSION max_statement_time = 0.1' : 'SET SESSION innodb_lock_wait_timeout = 1',
  )
  await admin.query('BEGIN')
  await admin.query(`SELECT * FROM ${location} FOR UPDATE`)
  return {
    cache,
    connection: async () => (await pool.query('SELECT CONNECTION_ID() AS id'))[0],
    unlock: () => admin.query('ROLLBACK'),
  }
}

describe.each([
  ['PostgreSQL', postgres, waitingPostgres],
  ['MySQL or MariaDB', mysqlServer, waitingMysql],
])('a limit of time of %s itself', (_name, server, wait) => {
  it.skipIf(server === undefined)('keeps no call after the third waiting', async () => {
    const { cache, connection, unlock } = await wait()
    const before = await connection()
    const told: unknown[] = []
    for (let i = 0; i < 4; i++) {
      await cache.set('k', 'after').catch((error: unknown) => told.push((error as Error).message))
    }
    expect(told).toHaveLength(4)
    expect(told.filter((one) => String(one).includes('not asked'))).toHaveLength(1)
    // The connection is none the worse for it.
    expect(await connection()).toEqual(before)
    await unlock()
    await vi.waitFor(() => cache.set('k', 'after'), 3000)
    expect(await cache.get('k')).toBe('after')
  })
})
