import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { coreOf } from '../../src/backend/core.js'
import { expiredAt } from '../../src/backend/expired.js'
import { createCacheTable, DatabaseCache } from '../../src/backends/database.js'
import { newTable } from '../support/databases.js'
import { sqlDatabases } from '../support/sql-databases.js'

for (const [name, openDatabase] of sqlDatabases) {
  describe.runIf(openDatabase)(`a row of ${name} that has expired`, () => {
    it('says when, unless it was only begun', async () => {
      const connection = (openDatabase as NonNullable<typeof openDatabase>)()
      const location = newTable()
      const cache = new DatabaseCache({ location, database: connection.database })
      onTestFinished(async () => {
        await connection.ask(`DROP TABLE ${location}`)
        await connection.end()
      })
      await createCacheTable(cache)
      const core = coreOf(cache)
      const at = (key: string) => expiredAt(core, core.checkedKey(key))
      const nowMs = Date.now()
      await cache.set('stale', 'a', { timeout: 0.2, staleIfError: 0.3 })
      await cache.set('text', 'a', { timeout: 0.5 })
      await cache.set('number', 1, { timeout: 0.5 })
      await cache.set('there', 'a')
      const begun = core.checkedKey('begun')
      await core.entries.begin([begun], [undefined], new Map())
      await core.store.touchEntry(begun, Date.now() + 1)
      await sleep(700)
      for (const [key, ms] of [
        ['text', 500],
        ['number', 500],
        ['stale', 200],
      ] as const) {
        expect((await at(key)) ?? 0).toBeGreaterThanOrEqual(nowMs + ms)
      }
      expect(await at('stale')).toBeLessThan((await at('text')) ?? 0)
      for (const key of ['there', 'none', 'begun']) expect(await at(key)).toBeUndefined()
    })
  })
}
