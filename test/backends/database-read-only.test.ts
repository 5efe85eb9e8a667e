import mysql from 'mysql2'
import pg from 'pg'
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { createCacheTable, DatabaseCache } from '../../src/backends/database.js'
import { newTable } from '../support/databases.js'
import { sharedServer } from '../support/servers.js'

const postgres = (await sharedServer('postgres'))?.url
const mariadb = (await sharedServer('mysql'))?.url

const MOST = 3

/** What new connections lead to. */
interface Leading {
  mayWrite: boolean
  connections: number
}

function openPostgres(leading: Leading) {
  const pool = new pg.Pool({ connectionString: postgres as string, max: MOST })
  pool.on('connect', (client) => {
    leading.connections++
    // It comes before everything that is asked of the connection.
    if (!leading.mayWrite) void client.query('SET default_transaction_read_only = on')
  })
  return { database: pool, end: () => pool.end() }
}

function openMysql(leading: Leading) {
  const pool = mysql.createPool({ uri: mariadb as string, connectionLimit: MOST })
  pool.on('connection', (connection) => {
    leading.connections++
    if (!leading.mayWrite) connection.query('SET SESSION TRANSACTION READ ONLY')
  })
  return { database: pool, end: () => pool.promise().end() }
}

describe.each([
  ['PostgreSQL', postgres, openPostgres],
  ['MariaDB', mariadb, openMysql],
])('connections to a %s server that takes no writes', (_, url, open) => {
  describe.skipIf(url === undefined)('', () => {
    let leading: Leading
    let cache: DatabaseCache

    /** All at once, so that each connection of the pool has some. */
    const setAll = () =>
      Promise.allSettled(Array.from({ length: 20 }, (_, i) => cache.set(`k${i}`, i)))
    const isRefused = ({ status }: PromiseSettledResult<unknown>) => status === 'rejected'

    beforeEach(async () => {
      vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
      onTestFinished(() => void vi.restoreAllMocks())
      const location = newTable()
      const before = open({ mayWrite: true, connections: 0 })
      const writable = new DatabaseCache({ location, database: before.database })
      await createCacheTable(writable)
      await writable.set('kept', 1)
      await before.end()
      leading = { mayWrite: false, connections: 0 }
      const { database, end } = open(leading)
      onTestFinished(end)
      cache = new DatabaseCache({ location, database })
    })

    it('are left for new ones, as after a failover, whichever of them told it', async () => {
      // Nothing tells of a server that is only read.
      await Promise.all(Array.from({ length: 20 }, () => cache.get('kept')))
      expect(leading.connections).toBe(MOST)
      leading.mayWrite = true
      await expect(cache.set('k', 1)).rejects.toMatchObject({ code: 'FRAGCACHE_BACKEND_FAILED' })
      expect((await setAll()).filter(isRefused)).toEqual([])
      expect(await cache.get('k19')).toBe(19)
    })

    it('are used again where new ones take none either', async () => {
      for (let i = 0; i < 5; i++) expect((await setAll()).every(isRefused)).toBe(true)
      expect(leading.connections).toBeLessThanOrEqual(2 * MOST)
      expect(await cache.get('kept')).toBe(1)
    })
  })
})
