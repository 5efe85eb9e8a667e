/**
 * A page of 20 cached fragments of 500 bytes, one vary-on value each, in each engine: against the same
 * template with the texts as plain variables and, where a server has the texts, one read of all of them.
 * Pages are turned into bytes, as they are for a response.
 */
import { createCaches, FragmentCache, LocMemCache } from 'fragcache'
import { createCacheTable, DatabaseCache } from 'fragcache/database'
import { MemcachedCache } from 'fragcache/memcached'
import { RedisCache } from 'fragcache/redis'
import { TieredCache } from 'fragcache/tiered'
import { Redis } from 'ioredis'
import pg from 'pg'
import { failFast } from '../dist/modules/src/backends/redis/connection.js'
import { compare, compareWaiting, goal } from './measure.mjs'
import { contextOf, COUNT, engines, numbers, TEXT } from './page-engines.mjs'
import { RawSocket } from './raw-memcached.mjs'
import { openOrFail } from './servers.mjs'

const context = contextOf(numbers.map(() => TEXT))
const local = () => new LocMemCache({ options: { maxEntries: 10_000 } })

const bytes = (html) => Buffer.from(html)
const bytesLater = async (html) => Buffer.from(await html)

async function inMemory(engine) {
  const { plain, safe, atOnce, cached } = engines[engine](createCaches({ default: local() }))
  checkSame(engine, plain(context), atOnce(context), await cached(context))
  const result = await compare({
    safe: () => bytes(safe(context)),
    atOnce: () => bytes(atOnce(context)),
  })
  const most = engine === 'Handlebars' ? 1.8 : 1.3
  const later = await compare({
    atOnce: () => bytes(atOnce(context)),
    later: () => bytesLater(cached(context)),
  })
  return [
    goal('3', `${engine}, local memory / unescaped variables`, result.atOnce, most),
    goal('3', `${engine}, renderAsync / render`, later.later, 1.3),
  ]
}

/** With local memory in front of Redis. */
async function inTiers(engine) {
  const server = await openOrFail('redis')
  const remote = new RedisCache({ location: server.url, keyPrefix: 'tiered' })
  const tiered = new TieredCache({ local: local(), remote })
  try {
    const near = engines[engine](createCaches({ default: local() }))
    const far = engines[engine](createCaches({ default: tiered }))
    checkSame(engine, near.plain(context), await near.cached(context), await far.cached(context))
    const result = await compare({
      near: () => bytesLater(near.cached(context)),
      far: () => bytesLater(far.cached(context)),
    })
    return [goal('5', `${engine}, tiered / local memory`, result.far, 1.1)]
  } finally {
    await tiered.close()
    server.stop()
  }
}

/** Single fragments and values, from code. */
async function calls() {
  const caches = createCaches({ default: local() })
  const fragments = new FragmentCache(caches)
  const options = { name: 'sidebar', timeout: 500, varyOn: ['ann'] }
  const body = () => TEXT
  await caches.default.set('value', TEXT)
  const result = await compare({
    renderSync: () => fragments.renderSync(options, body),
    render: () => fragments.render(options, body),
    getOrSet: () => caches.default.getOrSet('value', body),
  })
  return ['render', 'getOrSet'].map((name) =>
    goal(
      '3',
      `${name}, local hit / renderSync`,
      result[name],
      2,
      `${result[name].ns.toFixed(0)} ns`,
    ),
  )
}

/**
 * Over a server.
 *
 * @param {string} number - Of the goal.
 * @param {() => Promise<readonly string[]>} readAll - Reads the texts by hand, in one round trip.
 */
async function overServer(number, engine, name, cache, readAll) {
  const { plain, cached, tagged } = engines[engine](createCaches({ default: cache }))
  const byHand = async () => bytes(plain(contextOf(await readAll())))
  checkSame(engine, plain(context), await cached(context), String(await byHand()))
  const result = await compareWaiting({ raw: byHand, ours: () => bytesLater(cached(context)) })
  const { raw, ours } = result
  const us = `${ours.us.toFixed(0)} µs, by hand ${raw.us.toFixed(0)} µs`
  const title = `${engine} over ${name} / one read by hand`
  const rows = [
    goal(number, title, ours, 1.5, us),
    goal(number, `${title}, processor time`, ours.processor, 1.6),
  ]
  if (number === '1') {
    await tagged(context)
    const withTags = await compareWaiting({
      raw: byHand,
      tagged: () => bytesLater(tagged(context)),
    })
    const titleWithTags = `${engine} over ${name}, 3 tags each / one read by hand`
    rows.push(goal('1', titleWithTags, withTags.tagged, 1.8))
    rows.push(await cold(engine, cache, name))
  }
  return rows
}

/** Twenty fragments that were never there, against one read, the plain page and one pipeline of writes. */
async function cold(engine, cache, name) {
  const { plain, cached } = engines[engine](createCaches({ default: cache }))
  const { client, prefix } = cache.bench
  let n = 0
  let m = 0
  const keysOf = (user) => numbers.map((i) => `${prefix}cold-${engine}-${i}-${user}`)
  const { ours, raw } = await compareWaiting({
    raw: async () => {
      const keys = keysOf(n++)
      await client.mget(keys)
      const html = bytes(plain(context))
      const pipeline = client.pipeline()
      for (const key of keys) pipeline.set(key, TEXT, 'PX', 500_000)
      await pipeline.exec()
      return html
    },
    ours: () => bytesLater(cached({ ...context, user: `u${m++}` })),
  })
  return goal(
    '9',
    `${engine} over ${name}, cold / one read, one pipeline of writes`,
    ours,
    1.3,
    `${ours.us.toFixed(0)} µs, by hand ${raw.us.toFixed(0)} µs`,
  )
}

async function overRedis(engine) {
  const server = await openOrFail('redis')
  const client = new Redis(server.url, { ...failFast(1000, 500), enableAutoPipelining: true })
  await client.connect()
  const prefix = 'bench-raw:'
  const keys = numbers.map((i) => `${prefix}${i}`)
  for (const key of keys) await client.set(key, TEXT)
  const cache = new RedisCache({ location: server.url, keyPrefix: 'bench' })
  cache.bench = { client, prefix }
  try {
    return await overServer('1', engine, 'Redis', cache, () => client.mget(keys))
  } finally {
    await cache.close()
    client.disconnect()
    server.stop()
  }
}

async function overMemcached(engine) {
  const server = await openOrFail('memcached')
  const raw = await RawSocket.open(server.url)
  for (const i of numbers) await raw.ask(`ms raw-${i} ${TEXT.length} F0 T300\r\n${TEXT}\r\n`, 1)
  const asked = numbers.map((i) => `mg raw-${i} f v\r\n`).join('')
  const cache = new MemcachedCache({ location: server.url })
  try {
    return await overServer('2', engine, 'Memcached', cache, () => raw.ask(asked, COUNT))
  } finally {
    await cache.close()
    raw.close()
    server.stop()
  }
}

async function overPostgres(engine) {
  const own = await openOrFail('postgres')
  const pool = new pg.Pool({ connectionString: own.url })
  const cache = new DatabaseCache({
    location: 'fragcache_fragments',
    database: pool,
    options: { maxEntries: 100_000 },
  })
  await createCacheTable(cache)
  await cache.setMany(numbers.map((i) => [`raw-${i}`, TEXT]))
  const keys = numbers.map((i) => cache.makeKey(`raw-${i}`))
  const places = keys.map((_, i) => `$${i + 1}`).join(', ')
  const statement = {
    name: 'raw_many',
    text: `SELECT cache_key, value FROM "fragcache_fragments" WHERE cache_key IN (${places}) AND expires > $${COUNT + 1}`,
  }
  const readAll = async () => {
    const { rows } = await pool.query({ ...statement, values: [...keys, Date.now()] })
    const byKey = new Map(rows.map((one) => [one.cache_key, one.value.toString('utf8', 1)]))
    return keys.map((key) => byKey.get(key))
  }
  try {
    return await overServer('2', engine, 'PostgreSQL', cache, readAll)
  } finally {
    await pool.query('DROP TABLE IF EXISTS fragcache_fragments')
    await pool.end()
    await own.stop()
  }
}

function checkSame(engine, ...pages) {
  if (pages.some((one) => one !== pages[0])) throw new Error(`bench: ${engine}: the pages differ`)
}

const stores = {
  Redis: overRedis,
  Memcached: overMemcached,
  PostgreSQL: overPostgres,
  'local memory': inMemory,
  tiers: inTiers,
}

const CALLS = 'calls'

/** One store and one engine each, as a site has them: code that has also served others takes longer. */
export const cases = [
  ...Object.keys(stores).flatMap((store) =>
    Object.keys(engines).map((engine) => `${store}, ${engine}`),
  ),
  CALLS,
]

/**
 * @param {string} name - One of the {@link cases}.
 * @returns {Promise<ReturnType<typeof goal>[]>}
 */
export async function run(name) {
  if (name === CALLS) return calls()
  const [store, engine] = name.split(', ')
  return stores[store](engine)
}
