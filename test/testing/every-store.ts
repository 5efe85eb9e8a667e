import { afterAll, beforeAll } from 'vitest'
import {
  createCacheTable,
  DatabaseCache,
  type DatabaseConnection,
} from '../../src/backends/database.js'
import { MemcachedCache } from '../../src/backends/memcached.js'
import { newTable, type OpenDatabase } from '../support/databases.js'
import { sharedServer } from '../support/servers.js'
import { sqlDatabases } from '../support/sql-databases.js'
import { openCaches } from './stores.js'

/** The stores of {@link openCaches}, those of each database, and Memcached, for one test file. */
export async function everyStore(prefix: string) {
  const { stores, open } = openCaches(prefix)
  const memcached = await sharedServer('memcached')
  let number = 0
  /** Each cache has entries of its own. */
  const settings = () => ({ keyPrefix: `${prefix}-${process.pid}-${number++}` })

  const connections = sqlDatabases.map(([name, connect]) => [name, connect?.()] as const)
  const location = newTable()
  const onDatabase = (database: DatabaseConnection, options = {}) =>
    open(new DatabaseCache({ location, database, options, ...settings() }))
  beforeAll(async () => {
    for (const [, one] of connections) if (one) await createCacheTable(onDatabase(one.database))
  })
  afterAll(async () => {
    for (const [, one] of connections) {
      await one?.ask(`DROP TABLE ${location}`)
      await one?.end()
    }
  })

  const all: typeof stores = [
    ...stores,
    ...connections.map(
      ([name, one]) =>
        [name, one !== undefined, () => onDatabase((one as OpenDatabase).database)] as const,
    ),
    [
      'Memcached',
      memcached !== undefined,
      // Nothing clears it: others use the server.
      () => new MemcachedCache({ location: memcached?.url ?? '', ...settings() }),
    ],
  ]
  return { all, settings, connections, memcached, onDatabase }
}
