import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import mysql from 'mysql2'
import pg from 'pg'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { DatabaseCache } from '../../src/backends/database.js'
import { createCaches, type OutageMessage } from '../../src/index.js'
import { sharedServer } from '../support/servers.js'

const postgres = (await sharedServer('postgres'))?.url
const mariadb = (await sharedServer('mysql'))?.url

/** A pool that nobody may log in with, and how often it was tried. */
function openPostgres(change: (url: URL) => void) {
  const url = new URL(postgres as string)
  change(url)
  let logins = 0
  class Counted extends pg.Client {
    constructor(config?: pg.ClientConfig) {
      super(config)
      logins++
    }
  }
  const pool = new pg.Pool({ connectionString: url.href, Client: Counted })
  onTestFinished(() => pool.end())
  return { database: pool, logins: () => logins }
}

function openMysql(change: (url: URL) => void) {
  const url = new URL(mariadb as string)
  change(url)
  const pool = mysql.createPool({ uri: url.href })
  onTestFinished(() => pool.promise().end())
  const asked = vi.spyOn(pool, 'getConnection')
  // None is ever pooled: each that is asked for logs in.
  return { database: pool, logins: () => asked.mock.calls.length }
}

const asNobody = (url: URL) => {
  url.username = 'nobody_here'
}
const inNoDatabase = (url: URL) => {
  url.pathname = '/no_database_here'
}

describe.each([
  ['a user that PostgreSQL does not know', postgres, () => openPostgres(asNobody)],
  ['a database that PostgreSQL does not have', postgres, () => openPostgres(inNoDatabase)],
  ['a user that MariaDB does not know', mariadb, () => openMysql(asNobody)],
  ['a database that MariaDB does not have', mariadb, () => openMysql(inNoDatabase)],
])('a login as %s', (_, server, open) => {
  it.skipIf(server === undefined)('is an outage, and not tried by each call', async () => {
    const told: OutageMessage[] = []
    const onOutage = (message: unknown) => void told.push(message as OutageMessage)
    subscribe('fragcache:outage', onOutage)
    onTestFinished(() => void unsubscribe('fragcache:outage', onOutage))
    const spy = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    onTestFinished(() => spy.mockRestore())
    const { database, logins } = open()
    const caches = createCaches({ default: new DatabaseCache({ location: 'entries', database }) })
    onTestFinished(() => caches.close())
    const cache = caches.get('default')
    for (let i = 0; i < 5; i++) await expect(cache.get(`k${i}`)).rejects.toThrow()
    const before = logins()
    for (let i = 0; i < 100; i++) await expect(cache.get(`k${i}`)).rejects.toThrow()
    // Meanwhile the store is asked now and then whether it is back.
    expect(logins() - before).toBeLessThan(50)
    expect(told.map(({ alias, until }) => ({ alias, until }))).toEqual([
      { alias: 'default', until: undefined },
    ])
  })
})
