/**
 * `DatabaseCache` against the raw driver that runs the same statements over the same table, in one
 * run: SQLite by processor time, PostgreSQL and MariaDB by the wall clock, one call at a time and
 * ten at a time. `PG_URL` and `MYSQL_URL` name servers; without them private ones are started.
 */
import Database from 'better-sqlite3'
import { createCacheTable, DatabaseCache } from 'fragcache/database'
import { createPool } from 'mysql2/promise'
import pg from 'pg'
import { compare, compareWaiting, inFlight, row, sink } from './measure.mjs'
import { openOrFail } from './servers.mjs'

const KEYS = Array.from({ length: 100 }, (_, i) => `key-${i}`)
const TEXT = 'x'.repeat(500)
const FLIGHTS = 10
const LIMIT_MS = 300_000

/** Text as the cache stores it: one byte for the kind, then UTF-8. */
const PAYLOAD = Buffer.from(`\u0001${TEXT}`)
const decode = (value) => value.toString('utf8', 1)

/** What a call of ours may take of a raw one's time: 0.6, and 0.9, of its throughput. */
const SQLITE_TARGET = 1 / 0.6
/** Writing has no target of its own; this is what it must not fall behind. */
const SQLITE_SET_TARGET = 1 / 0.4
const SERVER_TARGET = 1 / 0.9

async function fill(cache) {
  await createCacheTable(cache)
  await cache.setMany(KEYS.map((key) => [key, TEXT]))
  await cache.get(KEYS[0])
}

async function sqlite() {
  const database = new Database(':memory:')
  const cache = new DatabaseCache({
    location: 'entries',
    database,
    options: { maxEntries: 10_000 },
  })
  await fill(cache)
  const get = database
    .prepare('SELECT value FROM entries WHERE cache_key = ? AND expires > ?')
    .pluck()
  const set = database.prepare(
    'INSERT INTO entries (cache_key, value, number, expires, key_prefix) VALUES (?, ?, ?, ?, ?) ON CONFLICT (cache_key) DO UPDATE SET value = excluded.value, number = excluded.number, expires = excluded.expires, key_prefix = excluded.key_prefix',
  )
  let i = 0
  let j = 0
  const next = () => KEYS[i++ % KEYS.length]
  const rawNext = () => `:1:${KEYS[j++ % KEYS.length]}`
  const gets = await compare({
    raw: () => decode(get.get(rawNext(), Date.now())),
    ours: () => cache.get(next()),
  })
  const sets = await compare({
    // A deadline that stays the same would spare the index.
    raw: () => set.run(rawNext(), PAYLOAD, null, Date.now() + LIMIT_MS + j, ''),
    ours: () => cache.set(next(), TEXT),
  })
  const detail = ({ raw, ours }) => `${rate(ours.ns / 1000)} a second, raw ${rate(raw.ns / 1000)}`
  return [
    row('SQLite get / raw better-sqlite3', gets.ours.ratio, SQLITE_TARGET, detail(gets)),
    row('SQLite set / raw better-sqlite3', sets.ours.ratio, SQLITE_SET_TARGET, detail(sets)),
  ]
}

async function server(name, cache, { get, set }) {
  await fill(cache)
  let i = 0
  let j = 0
  const next = () => KEYS[i++ % KEYS.length]
  const rawNext = () => `:1:${KEYS[j++ % KEYS.length]}`
  const pairs = {
    get: [() => get(rawNext()), () => cache.get(next())],
    set: [() => set(rawNext()), () => cache.set(next(), TEXT)],
  }
  if ((await get(':1:key-7')) !== (await cache.get('key-7'))) throw new Error('unlike')
  const rows = []
  for (const [call, [raw, ours]] of Object.entries(pairs)) {
    for (const flights of [1, FLIGHTS]) {
      const result = await compareWaiting({
        raw: inFlight(flights, raw),
        ours: inFlight(flights, ours),
      })
      const detail = `${rate(result.ours.us / flights)} a second, raw ${rate(result.raw.us / flights)}`
      const what = `${name} ${call}, ${flights} in flight / raw driver`
      rows.push(row(what, result.ours.ratio, SERVER_TARGET, detail))
    }
  }
  return rows
}

async function postgres() {
  const own = await openOrFail('postgres')
  const pool = new pg.Pool({ connectionString: own.url, max: FLIGHTS })
  const cache = new DatabaseCache({
    location: 'fragcache_bench',
    database: pool,
    options: { maxEntries: 10_000 },
  })
  const statements = {
    get: {
      name: 'raw_get',
      text: 'SELECT coalesce(value, number::text::bytea) AS value FROM "fragcache_bench" WHERE cache_key = $1 AND expires > $2',
    },
    set: {
      name: 'raw_set',
      text: 'INSERT INTO "fragcache_bench" (cache_key, value, number, expires, key_prefix) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (cache_key) DO UPDATE SET value = excluded.value, number = excluded.number, expires = excluded.expires, key_prefix = excluded.key_prefix',
    },
  }
  try {
    return await server('PostgreSQL', cache, {
      get: async (key) => {
        const { rows } = await pool.query({ ...statements.get, values: [key, Date.now()] })
        return decode(rows[0].value)
      },
      set: async (key) => {
        const values = [key, PAYLOAD, null, Date.now() + LIMIT_MS, '']
        sink.value = await pool.query({ ...statements.set, values })
      },
    })
  } finally {
    await pool.query('DROP TABLE IF EXISTS fragcache_bench')
    await pool.end()
    await own.stop()
  }
}

async function mysql() {
  const own = await openOrFail('mysql')
  const pool = createPool({ uri: own.url, connectionLimit: FLIGHTS })
  const cache = new DatabaseCache({
    location: 'fragcache_bench',
    database: pool,
    options: { maxEntries: 10_000 },
  })
  const get =
    'SELECT IFNULL(value, CAST(number AS BINARY)) AS value FROM `fragcache_bench` WHERE cache_key = ? AND expires > ?'
  const set =
    'INSERT INTO `fragcache_bench` (cache_key, value, number, expires, key_prefix) VALUES (?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE value = VALUES(value), number = VALUES(number), expires = VALUES(expires), key_prefix = VALUES(key_prefix)'
  try {
    return await server('MariaDB', cache, {
      get: async (key) => {
        const [rows] = await pool.execute(get, [key, Date.now()])
        return decode(rows[0].value)
      },
      set: async (key) => {
        sink.value = await pool.execute(set, [key, PAYLOAD, null, Date.now() + LIMIT_MS, ''])
      },
    })
  } finally {
    await pool.query('DROP TABLE IF EXISTS fragcache_bench')
    await pool.end()
    await own.stop()
  }
}

function rate(us) {
  return Math.round(1e6 / us).toLocaleString('en')
}

/** @returns {Promise<ReturnType<typeof row>[]>} */
export async function run() {
  return [...(await sqlite()), ...(await postgres()), ...(await mysql())]
}
