/**
 * `RedisCache` against raw ioredis with the same options, over one server, in one run: calls one at a
 * time and fifty at a time, and batches.
 * `REDIS_URL` names a server; without it one is started.
 */
import { fileURLToPath } from 'node:url'
import { RedisCache } from 'fragcache/redis'
import { failFast } from '../dist/modules/src/backends/redis/connection.js'
import { Redis } from 'ioredis'
import { compareWaiting, goal, inFlight, row } from './measure.mjs'
import { openOrFail } from './servers.mjs'

const KEYS = 100
const TEXT = 'x'.repeat(500)

/** What one call of ours may take of one raw call's time: 0.9 of its throughput. */
const TARGET = 1 / 0.9

/** The same of one call at a time, by the clock. */
const SINGLE_TARGET = 1.1

/** @returns {Promise<ReturnType<typeof row>[]>} */
export async function run() {
  const server = await openOrFail('redis')
  const cache = new RedisCache({ location: server.url, keyPrefix: 'bench' })
  const raw = new Redis(server.url, {
    ...failFast(1000, 500),
    enableAutoPipelining: true,
    keyPrefix: 'bench:1:',
  })
  try {
    await raw.connect()
    return [...(await singles(cache, raw)), ...(await many(cache, raw))]
  } finally {
    await cache.clear()
    await cache.close()
    raw.disconnect()
    server.stop()
  }
}

/** `get`, `set` and `add` of a text, one and fifty in flight. */
async function singles(cache, raw) {
  const keys = Array.from({ length: KEYS }, (_, i) => `key-${i}`)
  const rawKeys = keys.map((key) => `raw-${key}`)
  for (let i = 0; i < KEYS; i++) {
    await cache.set(keys[i], TEXT)
    await raw.set(rawKeys[i], TEXT)
  }
  let n = 0
  const subjects = {
    get: [() => raw.get(rawKeys[n++ % KEYS]), () => cache.get(keys[n++ % KEYS])],
    set: [
      () => raw.set(rawKeys[n++ % KEYS], TEXT, 'PX', 300_000),
      () => cache.set(keys[n++ % KEYS], TEXT),
    ],
    add: [
      () => raw.set(`raw-new-${n++}`, TEXT, 'PX', 300_000, 'NX'),
      () => cache.add(`new-${n++}`, TEXT),
    ],
  }
  const rows = []
  for (const [name, [theirs, ours]] of Object.entries(subjects)) {
    for (const flights of [1, 50]) {
      const result = await compare(inFlight(flights, theirs), inFlight(flights, ours))
      const title = `redis ${name}, ${flights} in flight / raw ioredis`
      if (flights > 1) rows.push(row(title, result.ratio, TARGET, result.detail))
      else rows.push(single(title, result))
    }
  }
  return rows
}

/** One at a time, by the clock. */
function single(title, { wall, ratio }) {
  const detail = `${wall.us.toFixed(0)} µs, by processor time ${ratio.toFixed(2)}`
  return goal('4', title, wall, SINGLE_TARGET, detail)
}

/** `getMany` of 100 objects against MGET and JSON. */
async function many(cache, raw) {
  const keys = Array.from({ length: 100 }, (_, i) => `many-${i}`)
  const rawKeys = keys.map((key) => `raw-${key}`)
  const value = { id: 7, name: 'a name', tags: ['a', 'b'], text: TEXT.slice(0, 200) }
  await cache.setMany(Object.fromEntries(keys.map((key) => [key, value])))
  for (const key of rawKeys) await raw.set(key, JSON.stringify(value))
  const { ratio, detail } = await compare(
    async () => (await raw.mget(rawKeys)).map((json) => JSON.parse(json)),
    () => cache.getMany(keys),
  )
  return [row('redis getMany(100) / raw MGET + JSON.parse', ratio, TARGET, detail)]
}

/** Microseconds per call of both, and the ratios by processor time and by the wall clock. */
async function compare(theirs, ours) {
  const { theirs: raw, ours: mine } = await compareWaiting({ theirs, ours })
  return {
    ...mine.processor,
    wall: mine,
    detail: `by the clock ${mine.ratio.toFixed(2)}: ${mine.us.toFixed(0)} µs, raw ${raw.us.toFixed(0)} µs`,
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const one of await run()) console.log(JSON.stringify(one))
}
