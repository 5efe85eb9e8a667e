/**
 * `RedisCache` against raw ioredis with the same options, over one server, in one run: calls one at a
 * time and fifty at a time, batches, and what a page with twenty fragments costs.
 * `REDIS_URL` names a server; without it one is started.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { cachePlugin } from '../dist/adapters/eta/index.js'
import { registerCache as registerHandlebars } from '../dist/adapters/handlebars/index.js'
import { registerCache as registerNunjucks } from '../dist/adapters/nunjucks/index.js'
import { createCaches } from '../dist/src/index.js'
import { RedisCache } from '../dist/src/backends/redis.js'
import { failFast } from '../dist/src/backends/redis/connection.js'
import { Eta } from 'eta'
import Handlebars from 'handlebars'
import { Redis } from 'ioredis'
import nunjucks from 'nunjucks'
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
      ...(await pages(cache, raw)),
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
      const { ratio, detail } = await compare(inFlight(theirs, flights), inFlight(ours, flights))
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
  const { ratio, detail } = await compare(
    async () => (await raw.mget(rawKeys)).map((json) => JSON.parse(json)),
    () => cache.getMany(keys),
  )
  return [row('redis getMany(100) / raw MGET + JSON.parse', ratio, TARGET, detail)]
}

/**
 * A page of twenty cached fragments, each with one vary-on value, against one MGET of twenty keys and
 * the same template with the texts as plain variables.
 */
async function pages(cache, raw) {
  const numbers = Array.from({ length: 20 }, (_, i) => i)
  const rawKeys = numbers.map((i) => `raw-part-${i}`)
  for (const key of rawKeys) await raw.set(key, TEXT)
  const texts = Object.fromEntries(numbers.map((i) => [`text${i}`, TEXT]))
  const caches = createCaches({ default: cache })
  const rows = []
  for (const [engine, { plain, cached }] of Object.entries(engines(caches, numbers))) {
    const theirs = async () => {
      const found = await raw.mget(rawKeys)
      return plain({ user: 'ann', ...Object.fromEntries(found.map((one, i) => [`text${i}`, one])) })
    }
    const ours = () => cached({ user: 'ann', ...texts })
    if ((await ours()) !== (await theirs())) throw new Error(`bench: ${engine}: the pages differ`)
    const { ratio, detail } = await compare(theirs, ours)
    const name = `20 fragments on redis in ${engine} / MGET of 20 keys + render`
    rows.push(row(name, ratio, 1.3, detail))
  }
  return rows
}

function engines(caches, numbers) {
  const page = (part) => numbers.map((i) => `<div>${part(i)}</div>`).join('\n')
  const env = new nunjucks.Environment(null, { autoescape: true })
  const nunjucksCache = registerNunjucks(env, caches)
  const nunjucksPlain = nunjucks.compile(
    page((i) => `{{ text${i} }}`),
    env,
  )
  const nunjucksCached = nunjucks.compile(
    page((i) => `{% cache 500 n${i} user %}{{ text${i} }}{% endcache %}`),
    env,
  )
  const handlebars = Handlebars.create()
  const handlebarsCache = registerHandlebars(handlebars, caches)
  const handlebarsPlain = handlebars.compile(page((i) => `{{text${i}}}`))
  const handlebarsCached = handlebars.compile(
    page((i) => `{{#cache 500 "h${i}" user}}{{text${i}}}{{/cache}}`),
  )
  const eta = new Eta({ plugins: [cachePlugin(caches)] })
  const etaPlain = eta.compile(page((i) => `<%= it.text${i} %>`))
  const etaCached = eta.compile(
    page((i) => `<% cache 500 e${i} it.user %><%= it.text${i} %><% endcache %>`),
    { async: true },
  )
  return {
    Nunjucks: {
      plain: (context) => nunjucksPlain.render(context),
      cached: (context) => nunjucksCache.renderAsync(nunjucksCached, context),
    },
    Handlebars: {
      plain: handlebarsPlain,
      cached: (context) => handlebarsCache.renderAsync(handlebarsCached, context),
    },
    Eta: {
      plain: (context) => eta.render(etaPlain, context),
      cached: (context) => eta.renderAsync(etaCached, context),
    },
  }
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

/**
 * Microseconds per call of both, in interleaved rounds, and the median ratios: of processor time,
 * which is what limits a process that has enough to do, and of the wall clock.
 */
async function compare(theirs, ours) {
  const subjects = [theirs, ours]
  for (let i = 0; i < 3; i++) for (const subject of subjects) await time(subject)
  const times = [[], []]
  for (let round = 0; round < ROUNDS; round++) {
    for (const which of round % 2 === 0 ? [0, 1] : [1, 0]) {
      times[which].push(await time(subjects[which]))
    }
  }
  const ratioOf = (what) => median(times[1].map((one, i) => one[what] / times[0][i][what]))
  const usOf = (which) => median(times[which].map(({ wallUs }) => wallUs))
  return {
    ratio: ratioOf('cpuUs'),
    detail: `by the clock ${ratioOf('wallUs').toFixed(2)}: ${usOf(1).toFixed(0)} µs, raw ${usOf(0).toFixed(0)} µs`,
  }
}

async function time(subject) {
  const start = process.cpuUsage()
  const startMs = performance.now()
  let count = 0
  let nowMs
  do {
    sink.value = await subject()
    count++
    nowMs = performance.now()
  } while (nowMs - startMs < ROUND_MS)
  const { user, system } = process.cpuUsage(start)
  return { cpuUs: (user + system) / count, wallUs: ((nowMs - startMs) * 1000) / count }
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
