import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createCacheTable, DatabaseCache } from '../../src/backends/database.js'
import { newTable, openMysql, type OpenDatabase } from '../support/databases.js'
import { sharedServer } from '../support/servers.js'
import { startMysql, type MysqlServer } from '../support/servers/mysql.js'

const isThere = (await sharedServer('mysql')) !== undefined

describe.skipIf(!isThere)('a server that takes packets of 16 kB', () => {
  let server: MysqlServer
  let opened: OpenDatabase
  const location = newTable()
  const open = () =>
    new DatabaseCache({
      location,
      database: opened.database,
      // A busy machine answers late, which is no outage.
      options: { maxEntries: 100_000, timeLimitMs: 30_000 },
    })
  const outages: unknown[] = []
  const hear = (message: unknown) => void outages.push(message)
  const keys = Array.from({ length: 600 }, (_, i) => `a-key-of-some-length-${i}`)

  beforeAll(async () => {
    subscribe('fragcache:outage', hear)
    server = await startMysql(['--max-allowed-packet=16384'])
    opened = openMysql(server.url)
    await createCacheTable(open())
  })
  afterEach(() => expect(outages.splice(0)).toEqual([]))
  afterAll(async () => {
    unsubscribe('fragcache:outage', hear)
    await opened.end()
    await server.stop()
  })

  it('many keys at once are written, read and removed', async () => {
    expect(await open().setMany(keys.map((key) => [key, { key }] as const))).toEqual([])
    expect([...(await open().getMany(keys)).keys()]).toEqual(keys)
    await open().deleteMany(keys)
    expect((await open().getMany(keys)).size).toBe(0)
  })

  it('all entries are removed at once, however long their keys', async () => {
    const long = keys.map((key) => key.padEnd(240, '.'))
    expect(await open().setMany(long.map((key) => [key, 1] as const))).toEqual([])
    await open().clear()
    expect((await open().getMany(long)).size).toBe(0)
  })

  it('many tags at once are invalidated', async () => {
    const cache = open()
    const pages = Array.from({ length: 12 }, (_, i) => `page${i}`)
    const tagsOf = (i: number) => keys.slice(50 * i, 50 * i + 50)
    for (const [i, page] of pages.entries()) await cache.set(page, i, { tags: tagsOf(i) })
    expect((await cache.getMany(pages)).size).toBe(pages.length)
    await open().invalidateTags(keys)
    expect((await cache.getMany(pages)).size).toBe(0)
  })

  it('a value that is larger is told as that, and no outage', async () => {
    const cache = open()
    const tooLarge = { code: 'FRAGCACHE_VALUE_TOO_LARGE' }
    await expect(cache.set('large', 'x'.repeat(20_000))).rejects.toMatchObject(tooLarge)
    await expect(cache.set('larger', 'x'.repeat(600_000))).rejects.toMatchObject(tooLarge)
    await cache.set('small', 1)
    expect(await cache.get('small')).toBe(1)
  })
})
