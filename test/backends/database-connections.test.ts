import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Socket } from 'node:net'
import mysql from 'mysql2'
import pg from 'pg'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { createCacheTable, DatabaseCache } from '../../src/backends/database.js'
import type { OutageMessage } from '../../src/index.js'
import { newTable, openMysql, openPostgres } from '../support/databases.js'
import { sharedServer } from '../support/servers.js'

const postgres = (await sharedServer('postgres'))?.url
const mariadb = (await sharedServer('mysql'))?.url

/** What a user needs who may have two connections, and how one gets more. */
const SQL = {
  postgresql: {
    create: (user: string, table: string) => [
      `CREATE ROLE ${user} LOGIN PASSWORD 'few' CONNECTION LIMIT 2`,
      `GRANT SELECT, INSERT, UPDATE, DELETE ON ${table} TO ${user}`,
    ],
    raise: (user: string) => `ALTER ROLE ${user} CONNECTION LIMIT 50`,
    drop: (user: string) => [`DROP OWNED BY ${user}`, `DROP ROLE ${user}`],
  },
  mysql: {
    create: (user: string, table: string) => [
      `CREATE USER ${user} IDENTIFIED BY 'few' WITH MAX_USER_CONNECTIONS 2`,
      `GRANT SELECT, INSERT, UPDATE, DELETE ON ${table} TO ${user}`,
    ],
    raise: (user: string) => `ALTER USER ${user} WITH MAX_USER_CONNECTIONS 50`,
    drop: (user: string) => [`DROP USER ${user}`],
  },
}

describe.each([
  ['PostgreSQL', postgres, openPostgres, SQL.postgresql],
  ['MariaDB', mariadb, openMysql, SQL.mysql],
])('a %s server that has too few connections', (_, url, open, { create, raise, drop }) => {
  it.skipIf(url === undefined)(
    'is an outage again and again, and used as far as it goes',
    async () => {
      const admin = open(url as string)
      const table = newTable()
      const user = table.replace('cache', 'few')
      await createCacheTable(new DatabaseCache({ location: table, database: admin.database }))
      for (const sql of create(user, table)) await admin.ask(sql)
      const few = new URL(url as string)
      few.username = user
      few.password = 'few'
      const { database, end } = open(few.href)
      onTestFinished(async () => {
        await end()
        for (const sql of drop(user)) await admin.ask(sql)
        await admin.end()
      })
      vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
      onTestFinished(() => void vi.restoreAllMocks())
      let ended = 0
      const onOutage = (message: unknown) => {
        if ((message as OutageMessage).until !== undefined) ended++
      }
      subscribe('fragcache:outage', onOutage)
      onTestFinished(() => void unsubscribe('fragcache:outage', onOutage))

      const cache = new DatabaseCache({ location: table, database })
      await cache.set('k', 1)
      const getAll = () => Promise.allSettled(Array.from({ length: 10 }, () => cache.get('k')))
      await vi.waitFor(
        async () => {
          await getAll()
          // It works again and again.
          expect(ended).toBeGreaterThanOrEqual(3)
        },
        { timeout: 20_000, interval: 20 },
      )
      await admin.ask(raise(user))
      const allFound = Array.from({ length: 10 }, () => ({ status: 'fulfilled', value: 1 }))
      await vi.waitFor(async () => expect(await getAll()).toEqual(allFound), { timeout: 20_000 })
    },
  )
})

const onePg = (url: string) => {
  const pool = new pg.Pool({ connectionString: url, max: 1 })
  const lend = async () => {
    const client = await pool.connect()
    return () => client.release()
  }
  return { pool, lend, waiting: () => pool.waitingCount, end: () => pool.end() }
}

const oneMysql = (url: string) => {
  const pool = mysql.createPool({ uri: url, connectionLimit: 1 })
  const { _connectionQueue: queue } = pool as unknown as {
    _connectionQueue: { readonly length: number }
  }
  const lend = async () => {
    const connection = await pool.promise().getConnection()
    return () => connection.release()
  }
  return { pool, lend, waiting: () => queue.length, end: () => pool.promise().end() }
}

describe.each([
  ['pg', postgres, onePg],
  ['mysql2', mariadb, oneMysql],
])('a pool of %s whose connections are in use', (_, url, open) => {
  it.skipIf(url === undefined)(
    'gives later calls the places of those that were given up',
    async () => {
      const { pool, lend, waiting, end } = open(url as string)
      const options = { timeLimitMs: 400 }
      const cache = new DatabaseCache({ location: newTable(), database: pool, options })
      onTestFinished(async () => {
        await cache.close()
        await end()
      })
      vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
      onTestFinished(() => void vi.restoreAllMocks())
      await createCacheTable(cache)
      await cache.set('k', 1)
      const giveBack = await lend()
      const outcomes: string[] = []
      const places: number[] = []
      for (let i = 0; i < 5; i++) {
        const calls = await Promise.allSettled([cache.get('k'), cache.get('k')])
        outcomes.push(...calls.map(({ status }) => status))
        places.push(waiting())
        // It asks again at once, as after the end of an outage.
        await cache.close()
      }
      const found = cache.get('k')
      giveBack()
      expect(await found).toBe(1)
      expect(new Set(outcomes)).toEqual(new Set(['rejected']))
      // Those that were just given up may still be counted when the next ones come.
      expect(Math.max(...places)).toBeLessThanOrEqual(4)
      expect(waiting()).toBe(0)
    },
  )
})

describe.skipIf(postgres === undefined)('a pool of pg that fails to give a connection', () => {
  async function open(settings: pg.PoolConfig, timeLimitMs: number) {
    const pool = new pg.Pool({ connectionString: postgres, max: 1, ...settings })
    const cache = new DatabaseCache({
      location: newTable(),
      database: pool,
      options: { timeLimitMs },
    })
    onTestFinished(async () => {
      await cache.close()
      await pool.end()
    })
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    onTestFinished(() => void vi.restoreAllMocks())
    await createCacheTable(cache)
    return { pool, cache }
  }

  it('fails one call where it throws, and no later one', async () => {
    let isBroken = false
    const stream = () => {
      if (isBroken) throw new Error('no socket')
      return new Socket()
    }
    const { pool, cache } = await open({ stream, idleTimeoutMillis: 1 }, 1000)
    await vi.waitFor(() => expect(pool.totalCount).toBe(0))
    isBroken = true
    await expect(cache.get('k')).rejects.toThrow('no socket')
    isBroken = false
    expect(await cache.get('k')).toBeUndefined()
  })

  it('does not give a call the error of one before it, whose place it took', async () => {
    const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
    const { pool, cache } = await open({ connectionTimeoutMillis: 1300 }, 1000)
    const lent = await pool.connect()
    await expect(cache.get('k')).rejects.toThrow('no answer within 1000 ms')
    await pause(150)
    const later = cache.get('k')
    // The pool refuses the first request while the second call waits in its place.
    await pause(300)
    lent.release()
    expect(await later).toBeUndefined()
  })
})
