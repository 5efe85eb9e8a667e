import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { createCacheTable, DatabaseCache } from '../../src/backends/database.js'
import { createCaches, FragmentCache } from '../../src/index.js'
import { newTable, openPostgres } from '../support/databases.js'
import { sharedServer } from '../support/servers.js'

const postgres = (await sharedServer('postgres'))?.url

describe.skipIf(postgres === undefined)('a PostgreSQL server whose disk is full', () => {
  it('is told of once, goes on being read, and is written to as soon as there is room', async () => {
    const { database, ask, end } = openPostgres(postgres as string)
    onTestFinished(end)
    const table = newTable()
    const cache = new DatabaseCache({ location: table, database })
    const fragments = new FragmentCache(createCaches({ default: cache }))
    await createCacheTable(cache)
    await cache.set('kept', 1)
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    onTestFinished(() => warned.mockRestore())
    const outages: unknown[] = []
    const onOutage = (message: unknown) => void outages.push(message)
    subscribe('fragcache:outage', onOutage)
    onTestFinished(() => void unsubscribe('fragcache:outage', onOutage))

    // What the server says itself where a table cannot be made longer.
    await ask(
      `CREATE FUNCTION full_${table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'disk_full', MESSAGE = 'could not extend file: No space left on device'; END $$`,
    )
    await ask(
      `CREATE TRIGGER full_${table} BEFORE INSERT ON ${table} FOR EACH ROW EXECUTE FUNCTION full_${table}()`,
    )
    for (let i = 0; i < 20; i++) {
      await expect(cache.set(`k${i}`, i)).rejects.toMatchObject({
        code: 'FRAGCACHE_BACKEND_FAILED',
      })
      expect(await cache.get('kept')).toBe(1)
      const text = await fragments.render({ name: 'f', timeout: 60, varyOn: [i] }, () => `${i}`)
      expect(text).toBe(`${i}`)
    }
    expect(outages).toEqual([])
    expect(warned).toHaveBeenCalledTimes(1)
    expect(warned.mock.calls[0]?.[0]).toMatch(/some of its calls fail: .*No space left on device/)

    await ask(`DROP TRIGGER full_${table} ON ${table}`)
    await cache.set('k', 2)
    expect(await cache.get('k')).toBe(2)
  })
})
