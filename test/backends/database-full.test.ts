import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { createCacheTable, DatabaseCache } from '../../src/backends/database.js'
import { createCaches, FragmentCache } from '../../src/index.js'
import { newTable, openPostgres, type OpenDatabase } from '../support/databases.js'
import { sharedServer } from '../support/servers.js'

const postgres = (await sharedServer('postgres'))?.url

/**
 * Lets the server say what it says itself where a table cannot be made longer.
 *
 * @returns Ends it.
 */
async function fillUp(table: string, ask: OpenDatabase['ask']): Promise<() => Promise<void>> {
  await ask(
    `CREATE FUNCTION full_${table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'disk_full', MESSAGE = 'could not extend file: No space left on device'; END $$`,
  )
  await ask(
    `CREATE TRIGGER full_${table} BEFORE INSERT OR UPDATE ON ${table} FOR EACH ROW EXECUTE FUNCTION full_${table}()`,
  )
  return async () => void (await ask(`DROP TRIGGER full_${table} ON ${table}`))
}

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

    const makeRoom = await fillUp(table, ask)
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

    await makeRoom()
    await cache.set('k', 2)
    expect(await cache.get('k')).toBe(2)
  })

  it('lets nobody wait for a lease that could not be given up', { timeout: 60_000 }, async () => {
    const { database, ask, end } = openPostgres(postgres as string)
    onTestFinished(end)
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    onTestFinished(() => warned.mockRestore())
    const table = newTable()
    const cache = new DatabaseCache({ location: table, database })
    const fragments = new FragmentCache(createCaches({ default: cache }))
    await createCacheTable(cache)
    const lock = { wait: 20, lease: 60 }
    const render = (body: () => Promise<string>) =>
      fragments.render({ name: 'f', timeout: 60, lock }, body)
    let makeRoom = () => Promise.resolve()
    const filling = await render(async () => {
      makeRoom = await fillUp(table, ask)
      return 'while it fills up'
    })
    expect(filling).toBe('while it fills up')
    await makeRoom()
    const beganMs = performance.now()
    expect(await render(() => Promise.resolve('with room'))).toBe('with room')
    expect(performance.now() - beganMs).toBeLessThan(10_000)
    expect(await render(() => Promise.resolve('again'))).toBe('with room')
  })
})
