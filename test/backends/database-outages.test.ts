import mysqlDriver from 'mysql2/promise'
import pg from 'pg'
import { describe } from 'vitest'
import { createCacheTable, DatabaseCache } from '../../src/backends/database.js'
import { openMysql, openPostgres } from '../support/databases.js'
import { testOutages } from '../support/outages.js'
import { sharedServer } from '../support/servers.js'
import { startMysql } from '../support/servers/mysql.js'
import { startPostgres } from '../support/servers/postgres.js'

const hasPostgres = (await sharedServer('postgres')) !== undefined
const hasMysql = (await sharedServer('mysql')) !== undefined

const location = 'entries'

/** As many as ask at once, so that nobody waits for a connection. */
const CALLERS = 20

// The pools have no limits of their own that would help.
describe.skipIf(!hasPostgres)('DatabaseCache and what becomes of its server', () => {
  const pools: pg.Pool[] = []
  testOutages('a PostgreSQL server', {
    start: async () => {
      const server = await startPostgres()
      const { database, end } = openPostgres(server.url)
      await createCacheTable(new DatabaseCache({ location, database }))
      await end()
      return server
    },
    create: (port, settings) => {
      const pool = new pg.Pool({ host: '127.0.0.1', port, user: 'postgres', max: CALLERS })
      pools.push(pool)
      return new DatabaseCache({ ...settings, location, database: pool })
    },
    release: async () => {
      await Promise.all(pools.splice(0).map((pool) => pool.end()))
    },
  })
})

describe.skipIf(!hasMysql)('DatabaseCache and what becomes of its server', () => {
  const pools: mysqlDriver.Pool[] = []
  testOutages('a MySQL or MariaDB server', {
    start: async () => {
      const server = await startMysql()
      const { database, end } = openMysql(server.url)
      await createCacheTable(new DatabaseCache({ location, database }))
      await end()
      return server
    },
    create: (port, settings) => {
      const pool = mysqlDriver.createPool({
        uri: `mysql://root@127.0.0.1:${port}/fragcache`,
        connectionLimit: CALLERS,
      })
      pools.push(pool)
      return new DatabaseCache({ ...settings, location, database: pool })
    },
    release: async () => {
      await Promise.all(pools.splice(0).map((pool) => pool.end()))
    },
  })
})
