import { afterEach, beforeEach, vi } from 'vitest'
import {
  createCacheTable,
  DatabaseCache,
  type DatabaseSettings,
} from '../../src/backends/database.js'
import { newTable } from './databases.js'

/** Caches of one file of tests, over tables of their own. */
export interface DatabaseCaches {
  /** Ends what a test has opened, in this order. */
  readonly ends: (() => unknown)[]
  /** Opens a cache with its table, closed before anything else is ended. */
  readonly open: (
    database: object,
    settings?: Partial<DatabaseSettings>,
  ) => Promise<{ readonly cache: DatabaseCache; readonly location: string }>
}

/** Called once in a file. The warnings of its tests are not printed. */
export function databaseCaches(): DatabaseCaches {
  const ends: (() => unknown)[] = []
  beforeEach(() => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  })
  afterEach(async () => {
    for (const end of ends.splice(0)) await end()
    vi.restoreAllMocks()
  })
  return {
    ends,
    open: async (database, { location = newTable(), ...settings } = {}) => {
      const cache = new DatabaseCache({ location, ...settings, database })
      ends.unshift(() => cache.close())
      await createCacheTable(cache)
      return { cache, location }
    },
  }
}
