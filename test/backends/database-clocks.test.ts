import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createCacheTable, DatabaseCache } from '../../src/backends/database.js'
import { SteppedClock } from '../support/clock.js'
import { newTable } from '../support/databases.js'
import { sqlDatabases } from '../support/sql-databases.js'

const HOUR = 3600

describe.each(sqlDatabases)('a clock that is wrong for a while, over %s', (_name, open) => {
  if (open === undefined) return
  const clock = new SteppedClock()
  beforeEach(clock.start)
  afterEach(clock.stop)

  it('brings nothing back that was removed meanwhile', async () => {
    const { database, end } = open()
    const cache = new DatabaseCache({ location: newTable(), database })
    await createCacheTable(cache)
    await cache.setMany({ one: 1, a: 1, b: 1, replaced: 1, kept: 1 }, { timeout: 60 })
    clock.advance(HOUR)
    expect(await cache.delete('one')).toBe(false)
    expect(await cache.deleteMany(['a', 'b', 'none'])).toBeUndefined()
    await cache.set('replaced', 2, { timeout: 0 })
    clock.advance(-HOUR)
    const keys = ['one', 'a', 'b', 'replaced', 'kept']
    expect([...(await cache.getMany(keys)).keys()]).toEqual(['kept'])
    await end()
  })
})
