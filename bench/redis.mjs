/**
 * `RedisCache` against raw ioredis with the same options, over one server, in one run: calls by the
 * wall clock, one at a time and fifty at a time, and what a page with twenty fragments costs.
 * `REDIS_URL` names a server; without it one is started.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createCaches, FragmentCache } from '../dist/src/index.js'
import { RedisCache } from '../dist/src/backends/redis.js'
import { failFast } from '../dist/src/backends/redis/connection.js'
import { Redis } from 'ioredis'
import { median, row, sink } from './measure.mjs'

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 25)
const ROUND_MS = Number(process.env.BENCH_REDIS_ROUND_MS ?? 60)
const KEYS = 100
const TEXT = 'x'.repeat(500)

/** What one call of ours may take of one raw call's time: 0.9 of its throughput. */
const TARGET = 1 / 0.9

/** @returns {Promise<ReturnType<typeof row>[]>} */
export async function run() {
  const server = process.env.REDIS_URL === undefined ? await startServer() : undefined
  const location = process.env.REDIS_URL ?? server.url
  const cache = new RedisCache({ location, keyPrefix: 'bench' })
  const raw = new Redis(location, {
    ...failFast(1000, 500),
    enableAutoPipelining: true,
    keyPrefix: 'bench:1:',
  })
  try {
    await raw.connect()
    return [
      ...(await singles(cache, raw)),
      ...(await many(cache, raw)),
      ...(await page(cache, raw)),
    ]
  } finally {
    await cache.clear()
    await cache.close()
    raw.disconnect()
    server?.process.kill()
  }
}

/** `get` and `set` of a text, one and fifty in flight. */
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
  }
  const rows = []
  for (const [name, [theirs, ours]] of Object.entries(subjects)) {
    for (const flights of [1, 50]) {
      const { ratio, us, baseUs } = await compare(
        inFlight(theirs, flights),
        inFlight(ours, flights),
      )
      const detail = `${perSecond(us, flights)} a second, raw ${perSecond(baseUs, flights)}`
      rows.push(row(`redis ${name}, ${flights} in flight / raw ioredis`, ratio, TARGET, detail))
    }
  }
  return rows
}

/** `getMany` of 100 objects against MGET and JSON. */
async function many(cache, raw) {
  const keys = Array.from({ length: 100 }, (_, i) => `many-${i}`)
  const rawKeys = keys.map((key) => `raw-${key}`)
  const value = { id: 7, name: 'a name', tags: ['a', 'b'], text: TEXT.slice(0, 200) }
  await cache.setMany(Object.fromEntries(keys.map((key) => [key, value])))
  for (const key of rawKeys) await raw.set(key, JSON.stringify(value))
  const { ratio, us } = await compare(
    async () => (await raw.mget(rawKeys)).map((json) => JSON.parse(json)),
    () => cache.getMany(keys),
  )
  return [row('redis getMany(100) / raw MGET + JSON.parse', ratio, TARGET, `${us.toFixed(0)} µs`)]
}

/** A page of twenty cached fragments against one MGET of twenty keys and a string built of them. */
async function page(cache, raw) {
  const fragments = new FragmentCache(createCaches({ default: cache }))
  const names = Array.from({ length: 20 }, (_, i) => `part-${i}`)
  const body = () => TEXT
  const ours = async () => {
    const parts = await Promise.all(
      names.map((name) => fragments.render({ name, timeout: 500, varyOn: ['user'] }, body)),
    )
    return `<main>${parts.join('')}</main>`
  }
  await ours()
  const rawKeys = names.map((name) => `raw-${name}`)
  for (const key of rawKeys) await raw.set(key, TEXT)
  const theirs = async () => `<main>${(await raw.mget(rawKeys)).join('')}</main>`
  const { ratio, us, baseUs } = await compare(theirs, ours)
  return [
    row(
      'page of 20 fragments on redis / MGET of 20 keys + render',
      ratio,
      1.3,
      `${us.toFixed(0)} µs, raw ${baseUs.toFixed(0)} µs`,
    ),
  ]
}

function perSecond(us, flights) {
  return `${Math.round(((flights * 1e6) / us / 1000) * 10) / 10} k`
}

/** Calls it so many times at once, and waits for all. */
function inFlight(call, count) {
  if (count === 1) return call
  return () => {
    const calls = []
    for (let i = 0; i < count; i++) calls.push(call())
    return Promise.all(calls)
  }
}

/** Microseconds per call of both by the wall clock, in interleaved rounds; the median ratio. */
async function compare(theirs, ours) {
  const subjects = [theirs, ours]
  for (let i = 0; i < 3; i++) for (const subject of subjects) await time(subject)
  const times = [[], []]
  for (let round = 0; round < ROUNDS; round++) {
    for (const which of round % 2 === 0 ? [0, 1] : [1, 0]) {
      times[which].push(await time(subjects[which]))
    }
  }
  const ratio = median(times[1].map((us, i) => us / times[0][i]))
  return { ratio, us: median(times[1]), baseUs: median(times[0]) }
}

async function time(subject) {
  const startMs = performance.now()
  let count = 0
  let nowMs
  do {
    sink.value = await subject()
    count++
    nowMs = performance.now()
  } while (nowMs - startMs < ROUND_MS)
  return ((nowMs - startMs) * 1000) / count
}

async function startServer() {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address()
  probe.close()
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
  const child = spawn('redis-server', args, { stdio: 'ignore' })
  process.once('exit', () => child.kill())
  const client = new Redis(port, { retryStrategy: () => 50, maxRetriesPerRequest: null })
  client.on('error', () => undefined)
  await client.ping()
  client.disconnect()
  await sleep(0)
  return { url: `redis://127.0.0.1:${port}`, process: child }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const one of await run()) console.log(JSON.stringify(one))
}
