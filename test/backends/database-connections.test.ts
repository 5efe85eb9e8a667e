import { subscribe, unsubscribe } from 'node:diagnostics_channel'
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
