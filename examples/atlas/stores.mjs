import { DummyCache, LocMemCache } from 'fragcache'
import { join } from 'node:path'

/**
 * @typedef {object} Store
 * @property {(name: string, settings: object) => import('fragcache').Cache} open - Makes a cache;
 *   `name` tells the caches of one engine apart.
 * @property {(caches: readonly import('fragcache').Cache[]) => Promise<unknown>} [prepare] - Makes what
 *   has to be there before the first call.
 * @property {() => Promise<unknown>} [close] - Closes what the caches do not close themselves.
 */

/** How `--cache` names a store, and what it is. */
const kinds = [
  ['memory', /^memory$/, memory],
  ['file:DIRECTORY', /^file:(.+)$/, files],
  ['redis://HOST', /^(rediss?:\/\/.+)$/, redis],
  ['memcached://HOST:PORT', /^memcached:\/\/(.+?)\/?$/, memcached],
  ['postgres://HOST/DATABASE', /^(postgres(?:ql)?:\/\/.+)$/, postgres],
  ['mysql://HOST/DATABASE', /^(mysql:\/\/.+)$/, mysql],
  ['sqlite:FILE', /^sqlite:(.+)$/, sqlite],
  ['none', /^none$/, nothing],
]

/**
 * @param {string} [where] - As after `--cache`; what the packages need is loaded here.
 * @returns {Promise<Store>}
 */
export async function storeAt(where = 'memory') {
  for (const [, pattern, store] of kinds) {
    const found = pattern.exec(where)
    if (found !== null) return await store(found[1])
  }
  const known = kinds.map(([name]) => `"${name}"`).join(', ')
  throw new Error(`--cache is ${JSON.stringify(where)}; say one of ${known}`)
}

function memory() {
  return {
    open: (name, settings) => new LocMemCache({ ...settings, location: `atlas-${name}` }),
  }
}

/** To see what pages cost when nothing is kept. */
function nothing() {
  return { open: (_name, { keyPrefix }) => new DummyCache({ keyPrefix }) }
}

async function files(directory) {
  const { FileBasedCache } = await import('fragcache/file')
  return {
    open: (name, settings) => new FileBasedCache({ ...settings, location: join(directory, name) }),
  }
}

async function redis(location) {
  const { RedisCache } = await import('fragcache/redis')
  return {
    open: (name, settings) => new RedisCache({ ...shared(name, settings), location }),
  }
}

async function memcached(location) {
  const { MemcachedCache } = await import('fragcache/memcached')
  return {
    open: (name, settings) => new MemcachedCache({ ...shared(name, settings), location }),
  }
}

async function postgres(connectionString) {
  const { default: pg } = await import('pg')
  const pool = new pg.Pool({ connectionString })
  return database(pool, () => pool.end())
}

async function mysql(uri) {
  const { createPool } = await import('mysql2/promise')
  const pool = createPool(uri)
  return database(pool, () => pool.end())
}

async function sqlite(file) {
  const { default: Database } = await import('better-sqlite3')
  const db = new Database(file)
  db.pragma('journal_mode = WAL')
  return database(db, async () => db.close())
}

async function database(connection, close) {
  const { createCacheTable, DatabaseCache } = await import('fragcache/database')
  return {
    open: (name, { keyPrefix, options }) =>
      new DatabaseCache({ keyPrefix, options, location: `atlas_${name}`, database: connection }),
    prepare: createCacheTable,
    close,
  }
}

/** A server has one store for all, and makes room by itself. */
function shared(name, { keyPrefix }) {
  return { keyPrefix: `atlas.${keyPrefix}.${name}` }
}
