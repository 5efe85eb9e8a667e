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

/** Over local memory, and with it in front of Redis. */
async function inMemory(redisUrl) {
  const rows = []
  for (const [engine, make] of Object.entries(engines)) {
    const near = make(createCaches({ default: local() }))
    const remote = new RedisCache({ location: redisUrl, keyPrefix: `tiered-${engine}` })
    const tiered = new TieredCache({ local: local(), remote })
    const far = make(createCaches({ default: tiered }))
    checkSame(engine, near.plain(context), near.atOnce(context), await far.cached(context))
    const result = await compare({
      safe: () => bytes(near.safe(context)),
      atOnce: () => bytes(near.atOnce(context)),
    })
    const most = engine === 'Handlebars' ? 1.8 : 1.3
    rows.push(goal('3', `${engine}, local memory / unescaped variables`, result.atOnce, most))
    const later = await compare({
      atOnce: () => bytes(near.atOnce(context)),
      later: () => bytesLater(near.cached(context)),
    })
    rows.push(goal('3', `${engine}, renderAsync / render`, later.later, 1.3))
    const tiers = await compare({
      near: () => bytesLater(near.cached(context)),
      far: () => bytesLater(far.cached(context)),
    })
    rows.push(goal('5', `${engine}, tiered / local memory`, tiers.far, 1.1))
    await tiered.clear()
    await tiered.close()
  }
  return [...rows, ...(await calls())]
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
async function overServer(number, name, cache, readAll) {
  const rows = []
  const caches = createCaches({ default: cache })
  for (const [engine, make] of Object.entries(engines)) {
    const { plain, cached, tagged } = make(caches)
    const byHand = async () => bytes(plain(contextOf(await readAll())))
    checkSame(engine, plain(context), await cached(context), String(await byHand()))
    await tagged(context)
    const { raw, ours, ...others } = await compareWaiting({
      raw: byHand,
      ours: () => bytesLater(cached(context)),
      ...(number === '1' && { tagged: () => bytesLater(tagged(context)) }),
    })
    const us = `${ours.us.toFixed(0)} µs, by hand ${raw.us.toFixed(0)} µs`
    rows.push(goal(number, `${engine} over ${name} / one read by hand`, ours, 1.5, us))
    rows.push(
      goal(
        number,
        `${engine} over ${name} / one read by hand, processor time`,
        ours.processor,
        1.6,
      ),
    )
    if (others.tagged !== undefined) {
      rows.push(
        goal('1', `${engine} over ${name}, 3 tags each / one read by hand`, others.tagged, 1.8),
      )
    }
    if (number === '1') rows.push(await cold(engine, make, cache, name))
  }
  await cache.clear()
  return rows
}

/** Twenty fragments that were never there, against one read, the plain page and one pipeline of writes. */
async function cold(engine, make, cache, name) {
  const { plain, cached } = make(createCaches({ default: cache }))
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

async function overRedis(url) {
  const client = new Redis(url, { ...failFast(1000, 500), enableAutoPipelining: true })
  await client.connect()
  const prefix = 'bench-raw:'
  const keys = numbers.map((i) => `${prefix}${i}`)
  for (const key of keys) await client.set(key, TEXT)
  const cache = new RedisCache({ location: url, keyPrefix: 'bench' })
  cache.bench = { client, prefix }
  try {
    return await overServer('1', 'Redis', cache, () => client.mget(keys))
  } finally {
    await cache.close()
    client.disconnect()
  }
}

async function overMemcached(location) {
  const raw = await RawSocket.open(location)
  for (const i of numbers) await raw.ask(`ms raw-${i} ${TEXT.length} F0 T300\r\n${TEXT}\r\n`, 1)
  const asked = numbers.map((i) => `mg raw-${i} f v\r\n`).join('')
  const cache = new MemcachedCache({ location })
  try {
    return await overServer('2', 'Memcached', cache, () => raw.ask(asked, COUNT))
  } finally {
    await cache.close()
    raw.close()
  }
}

async function overPostgres() {
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
    return await overServer('2', 'PostgreSQL', cache, readAll)
  } finally {
    await pool.query('DROP TABLE IF EXISTS fragcache_fragments')
    await pool.end()
    await own.stop()
  }
}

function checkSame(engine, ...pages) {
  if (pages.some((one) => one !== pages[0])) throw new Error(`bench: ${engine}: the pages differ`)
}

/** @returns {Promise<ReturnType<typeof row>[]>} */
export async function run() {
  const redis = await openOrFail('redis')
  const memcached = await openOrFail('memcached')
  try {
    return [
      ...(await overRedis(redis.url)),
      ...(await overMemcached(memcached.url)),
      ...(await overPostgres()),
      ...(await inMemory(redis.url)),
    ]
  } finally {
    redis.stop()
    memcached.stop()
  }
}
