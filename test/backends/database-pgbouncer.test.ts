import pg from 'pg'
import { describe, expect, it, vi } from 'vitest'
import type { DatabaseCache } from '../../src/backends/database.js'
import { databaseCaches } from '../support/database-caches.js'
import { sharedServer } from '../support/servers.js'
import { startPgbouncer } from '../support/servers/pgbouncer.js'
import { startPostgres } from '../support/servers/postgres.js'

const pgbouncer = await sharedServer('pgbouncer')

const { ends, open } = databaseCaches()

const sleep = (ms: number) => new Promise((passed) => setTimeout(passed, ms))

function openPool(connectionString: string, max: number): pg.Pool {
  const pool = new pg.Pool({ connectionString, max })
  ends.push(() => pool.end())
  return pool
}

/** Sets, gets, counts and invalidates, so that each statement meets each server. */
async function use(cache: DatabaseCache, name: string): Promise<void> {
  await cache.set(name, name, { tags: [name] })
  expect(await cache.get(name)).toBe(name)
  expect(await cache.getMany([name, 'absent'])).toEqual(new Map([[name, name]]))
  expect(await cache.add(`${name} added`, 1)).toBe(true)
  expect(await cache.incr(`${name} added`)).toBe(2)
  expect(await cache.delete(`${name} added`)).toBe(true)
  await cache.invalidateTags([name])
  expect(await cache.get(name)).toBeUndefined()
}

describe.skipIf(pgbouncer === undefined)('PgBouncer', () => {
  it.each(['transaction', 'statement'])(
    'in %s mode fails no call, whose statements other clients have prepared',
    async (mode) => {
      const server = await startPostgres()
      const pooler = await startPgbouncer(server.url, [
        `pool_mode = ${mode}`,
        'default_pool_size = 3',
      ])
      ends.push(pooler.stop, server.stop)
      // A process after the other, whose servers are those of the one before.
      for (const process of ['first', 'second']) {
        const pool = new pg.Pool({ connectionString: pooler.url, max: 8 })
        ends.unshift(() => pool.end())
        const { cache } = await open(pool, { options: { timeLimitMs: 10_000 } })
        const uses = Array.from({ length: 24 }, (_, i) => use(cache, `${process}-${i}`))
        await Promise.all(uses)
      }
    },
  )

  it('lets a client of its own fail once at most', async () => {
    const url = pgbouncer?.url ?? ''
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    ends.push(() => client.end())
    const { cache } = await open(client, { options: { timeLimitMs: 10_000 } })
    const other = openPool(url, 5)
    const failures: unknown[] = []
    for (let i = 0; i < 20; i++) {
      // Which server comes next changes with what others do meanwhile.
      const meanwhile = Array.from({ length: i % 5 }, () => other.query('SELECT pg_sleep(0.02)'))
      await cache.get('k').catch((error: unknown) => failures.push(error))
      await Promise.all(meanwhile)
    }
    expect(failures.length).toBeLessThanOrEqual(1)
    await use(cache, 'k')
  })

  it('ends on the server what was given up: a locked table takes no more of its connections than the pool has', async () => {
    const url = pgbouncer?.url ?? ''
    const max = 2
    const { cache, location } = await open(openPool(url, max), { options: { timeLimitMs: 200 } })
    const admin = openPool(url, 2)
    await vi.waitFor(() => cache.set('k', 'before'), 3000)
    const locking = await admin.connect()
    ends.unshift(() => locking.release(true))
    await locking.query('BEGIN')
    await locking.query(`LOCK TABLE ${location} IN ACCESS EXCLUSIVE MODE`)
    const waiting = async () => {
      const sql = `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1`
      return (await admin.query(sql, [`%${location}%`])).rows.length
    }
    const counts: number[] = []
    for (let i = 0; i < 60; i++) {
      void cache.set('k', 'late').catch(() => undefined)
      await sleep(50)
      if (i % 10 === 9) counts.push(await waiting())
    }
    // Some may be on their way out.
    expect(Math.max(...counts)).toBeLessThanOrEqual(2 * max + 1)
    await sleep(1000)
    await locking.query('ROLLBACK')
    // What was given up is not done afterwards either.
    await vi.waitFor(async () => expect(await cache.get('k')).toBe('before'), 3000)
  })
})
