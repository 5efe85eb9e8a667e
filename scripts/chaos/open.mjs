/** Opens a store in a process, as one of the processes of a site would. */
import {
  createCaches,
  createCacheTable,
  DatabaseCache,
  FileBasedCache,
  LocMemCache,
  MemcachedCache,
  RedisCache,
  TieredCache,
} from './product.mjs'

/** Seconds that memory in front of a store without messages may lag behind. */
const LOCAL_TIMEOUT = 0.2

/**
 * @param {object} spec - What the servers of the store said.
 * @param {{ tiered: boolean, prefix: string, maxEntries: number, timeLimitMs: number }} how - The time limit is that
 *   of servers.
 * @returns The caches, and what closes them.
 */
export async function openStore(spec, { tiered, prefix, ...limits }) {
  const { make, end = () => undefined } = await makerOf(spec, limits)
  const inFront = (remote) => {
    if (!tiered) return remote
    const local = new LocMemCache({ options: { maxEntries: 1000 } })
    const limit = spec.tells ? {} : { localTimeout: LOCAL_TIMEOUT }
    return new TieredCache({ local, remote, ...limit })
  }
  const caches = createCaches({
    default: inFront(make(`${prefix}-d`)),
    template_fragments: inFront(make(`${prefix}-f`)),
  })
  return {
    caches,
    close: async () => {
      await caches.close()
      await end()
    },
  }
}

/** Makes the tables of a store that has some, once for all processes. */
export async function prepareStore(spec) {
  if (spec.table === undefined) return
  const { make, end } = await makerOf(spec, { maxEntries: 1, timeLimitMs: 1000 })
  await createCacheTable(make('none'))
  await end()
}

async function makerOf(spec, { maxEntries, timeLimitMs }) {
  const options = { maxEntries }
  const limited = { timeLimitMs }
  switch (spec.kind) {
    case 'memory':
      return { make: (location) => new LocMemCache({ location, options }) }
    case 'files':
      return {
        make: (keyPrefix) =>
          new FileBasedCache({ location: `${spec.folder}/${keyPrefix}`, keyPrefix, options }),
      }
    case 'sqlite': {
      const { default: Database } = await import('better-sqlite3')
      const database = new Database(spec.file, { timeout: 5000 })
      database.pragma('journal_mode = WAL')
      database.pragma('synchronous = NORMAL')
      return inTable(spec, database, { ...options, ...limited }, () => database.close())
    }
    case 'postgres': {
      const { default: pg } = await import('pg')
      const pool = new pg.Pool({ connectionString: spec.url, max: 4 })
      // A connection that the server ended while it was idle.
      pool.on('error', () => undefined)
      return inTable(spec, pool, { ...options, ...limited }, () => pool.end())
    }
    case 'mariadb': {
      const { createPool } = await import('mysql2')
      const pool = createPool({ uri: spec.url, connectionLimit: 4 })
      return inTable(spec, pool, { ...options, ...limited }, () => pool.promise().end())
    }
    case 'redis':
      return {
        make: (keyPrefix) => {
          const { locations: location, sentinels } = spec
          if (sentinels === undefined)
            return new RedisCache({ location, keyPrefix, options: limited })
          return new RedisCache({ options: { ...limited, sentinels, name: 'main' }, keyPrefix })
        },
      }
    case 'redis-cluster': {
      const { Cluster } = await import('ioredis')
      const client = new Cluster(spec.nodes, {
        enableAutoPipelining: true,
        clusterRetryStrategy: () => 50,
        redisOptions: { maxRetriesPerRequest: 0, socketTimeout: timeLimitMs, connectTimeout: 500 },
      })
      client.on('error', () => undefined)
      return {
        make: (keyPrefix) => new RedisCache({ client, keyPrefix, options: limited }),
        end: () => client.disconnect(),
      }
    }
    case 'memcached':
      return {
        make: (keyPrefix) =>
          new MemcachedCache({ location: spec.location, keyPrefix, options: limited }),
      }
    default:
      throw new Error(`nobody knows how to open ${spec.kind}`)
  }
}

function inTable({ table }, database, options, end) {
  return {
    make: (keyPrefix) => new DatabaseCache({ location: table, database, keyPrefix, options }),
    end,
  }
}
