/**
 * Hits of the response cache, and what else can answer a page from memory: processor time per request
 * as the operating system counts it for the server, which has one core, with the load from the other.
 * `BENCH_EXPRESS=4` takes Express 4, `BENCH_SUBJECTS="first app.use;cacheSite"` these alone. What is
 * not installed is left out, with a line that says so.
 */
import { Redis } from 'ioredis'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { descendants, stopwatch } from './cpu-time.mjs'
import { page, proxies, startProxy } from './express-subjects.mjs'
import { against, goal, row } from './measure.mjs'
import { openOrFail } from './servers.mjs'

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 9)
const ROUND_SECONDS = 0.25
const WARM_UP_SECONDS = 1.5
const CONNECTIONS = 32
const SIZES = { '10 kB': 10_000, '100 kB': 100_000 }

const BASELINE = 'node:http'
const PEERS = ['apicache', 'route-cache', 'ocache']
const only = process.env.BENCH_SUBJECTS?.split(';')
const SUBJECTS = [
  BASELINE,
  ...Object.keys(proxies),
  'first app.use',
  'res.send',
  ...PEERS,
  'cacheSite',
  'cachePage',
  'listener',
  'handler',
  'cacheSite, compressed',
  'listener, compressed',
  'MGET, Redis',
  'first app.use, MGET, Redis',
  'cacheSite, Redis',
  'listener, Redis',
  'handler, Redis',
].filter((name) => name === BASELINE || only === undefined || only.includes(name))

/** How far two figures that are the same may be apart. */
const SPREAD = 1.05

/**
 * Ours, the subject it is compared with, and the most that it may take of it, per size. What answers over Redis is
 * compared with one MGET of the body and `res.end` in the same kind of server.
 */
const GOALS = [
  ['cacheSite', 'first app.use', { '10 kB': 1.08 }],
  ['cachePage', 'first app.use', { '10 kB': 1.08 }],
  ['listener', BASELINE, { '10 kB': 1.12, '100 kB': 1.12 }],
  ['handler', BASELINE, { '10 kB': 1.12, '100 kB': 1.12 }],
  ['cacheSite, Redis', 'first app.use, MGET, Redis', { '10 kB': 1.1, '100 kB': 1.1 }],
  ['listener, Redis', 'MGET, Redis', { '10 kB': 1.1, '100 kB': 1.1 }],
  ['handler, Redis', 'MGET, Redis', { '10 kB': 1.1, '100 kB': 1.1 }],
  ['cacheSite, Redis', BASELINE, { '100 kB': 5 }],
  ['listener, Redis', BASELINE, { '100 kB': 5 }],
  ['handler, Redis', BASELINE, { '100 kB': 5 }],
]

const TARGETS = [
  ['cacheSite', 'first app.use', { '100 kB': 1.08 }],
  ['cachePage', 'first app.use', { '100 kB': 1.08 }],
  ['cacheSite', 'res.send', { '10 kB': 0.8, '100 kB': 0.35 }],
  ['cachePage', 'res.send', { '10 kB': 0.8, '100 kB': 0.35 }],
  ['cacheSite, compressed', 'cacheSite', { '10 kB': SPREAD, '100 kB': SPREAD }],
  ['listener, compressed', 'listener', { '10 kB': SPREAD, '100 kB': SPREAD }],
  ...PEERS.map((peer) => ['cacheSite', peer, { '10 kB': 1, '100 kB': 1 }]),
]

/** A core each for the servers and for the load, where the system can tell processes where to run. */
const [serverCore, loadCore] =
  process.platform === 'linux' && availableParallelism() > 1
    ? [
        ['taskset', '-c', '0'],
        ['taskset', '-c', '1'],
      ]
    : [[], []]

export async function run() {
  const redis = await openOrFail('redis')
  const load = await startLoad()
  try {
    const rows = []
    for (const size of Object.keys(SIZES)) rows.push(...(await measureSize(size, redis.url, load)))
    return rows
  } finally {
    load.stop()
    redis.stop()
  }
}

async function measureSize(size, redisUrl, load) {
  const servers = await startAll(SIZES[size], redisUrl)
  try {
    for (const server of Object.values(servers)) {
      await checkHit(server, SIZES[size])
      await calibrate(server, load)
    }
    const names = Object.keys(servers)
    const seconds = Object.fromEntries(names.map((name) => [name, []]))
    for (let round = 0; round < ROUNDS; round++) {
      for (const name of round % 2 === 0 ? names : [...names].reverse()) {
        seconds[name].push(await timed(servers[name], load, servers[name].requests))
      }
    }
    return [
      ...figures(size, seconds),
      ...compared(GOALS, size, seconds, (name, ours, other, most) =>
        goal('6', name, against(other, ours), most, `${microseconds(ours)} of processor time`),
      ),
      ...compared(TARGETS, size, seconds, (name, ours, other, most) =>
        row(name, ratio(ours, other), most),
      ),
      ...(await roundTrips(size, servers['cacheSite, Redis'], redisUrl, load)),
    ]
  } finally {
    for (const { stop } of Object.values(servers)) stop()
  }
}

function figures(size, seconds) {
  return Object.entries(seconds).map(([name, times]) =>
    row(
      `${size}: ${name}`,
      ratio(times, seconds[BASELINE]),
      undefined,
      `${microseconds(times)} of processor time`,
    ),
  )
}

function compared(list, size, seconds, toRow) {
  return list
    .filter(([ours, other, most]) => seconds[ours] && seconds[other] && most[size] !== undefined)
    .map(([ours, other, most]) =>
      toRow(`${size}: ${ours} / ${other}`, seconds[ours], seconds[other], most[size]),
    )
}

function ratio(times, others) {
  return typical(times) / typical(others)
}

function microseconds(times) {
  return `${(typical(times) * 1e6).toFixed(1)} µs`
}

/** The lower quartile: what else the machine does can only make a request dearer. */
function typical(times) {
  return [...times].sort((a, b) => a - b)[Math.floor((times.length - 1) / 4)]
}

/** How often the server reads from a connection for a hit over Redis: once per round trip. */
async function roundTrips(size, server, redisUrl, load) {
  if (server === undefined) return []
  const client = new Redis(redisUrl)
  try {
    const before = await reads(client)
    const hits = 200
    await load.send(server, hits, 1)
    // One of them asks for the number.
    const perHit = ((await reads(client)) - before - 1) / hits
    return [row(`${size}: cacheSite, Redis: round trips per hit`, perHit, 1.05)]
  } finally {
    client.disconnect()
  }
}

async function reads(client) {
  const [, count] = /^total_reads_processed:(\d+)/m.exec(await client.info('stats'))
  return Number(count)
}

async function startAll(bytes, redisUrl) {
  const servers = {}
  for (const name of SUBJECTS) {
    try {
      servers[name] =
        name in proxies
          ? await startProxy(name, servers[BASELINE].port, serverCore)
          : await startServer(name, bytes, redisUrl)
      servers[name].name = name
    } catch (error) {
      console.error(`express, ${bytes} bytes: ${name} is left out: ${error.message}`)
    }
  }
  return servers
}

async function startServer(name, bytes, redisUrl) {
  const { child, stop } = startNode('./express-server.mjs', [name, bytes, redisUrl], serverCore)
  const [{ port, missing }] = await once(child, 'message')
  if (missing !== undefined) {
    stop()
    throw new Error(missing)
  }
  const headers = name.endsWith('compressed') ? { 'Accept-Encoding': 'br' } : {}
  return { pid: child.pid, port, headers, stop }
}

async function startLoad() {
  const { child, stop } = startNode('./http-load.mjs', [], loadCore)
  /** Sends so many requests, of which all must be answered with 200. */
  const send = async ({ name, port, headers }, requests, connections = CONNECTIONS) => {
    child.send({ port, path: '/page', headers, requests, connections })
    const [{ wrong, error }] = await once(child, 'message')
    if (error !== undefined) throw new Error(`express, ${name}: ${error}`)
    if (wrong > 0) throw new Error(`express, ${name}: ${wrong} of ${requests} went wrong`)
  }
  return { send, stop }
}

function startNode(file, args, core) {
  const [program, ...rest] = [
    ...core,
    process.execPath,
    fileURLToPath(new URL(file, import.meta.url)),
  ]
  const child = spawn(program, [...rest, ...args.map(String)], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: { ...process.env, NODE_ENV: 'production' },
  })
  return { child, stop: () => child.connected && child.disconnect() }
}

/** That it answers with the page and, if it is ours, before long from the cache. */
async function checkHit(server, bytes) {
  for (let tries = 1; ; tries++) {
    const fault = await faultOf(server, bytes)
    if (fault === undefined) return
    if (tries === 20) throw new Error(`express, ${server.name}: ${fault}`)
    await sleep(50)
  }
}

async function faultOf({ name, port, headers }, bytes) {
  const response = await fetch(`http://127.0.0.1:${port}/page`, {
    headers: { 'Accept-Encoding': 'identity', ...headers },
  })
  if ((await response.text()) !== page(bytes)) return 'another page'
  const status = response.headers.get('cache-status')
  if (/^(cache|listener|handler)/.test(name) && !status?.includes('; hit'))
    return `no hit: ${status}`
  const coding = response.headers.get('content-encoding') ?? undefined
  return coding === headers?.['Accept-Encoding'] ? undefined : `content-encoding: ${coding}`
}

async function calibrate(server, load) {
  server.pids = descendants(server.pid)
  let requests = 500
  let spent = 0
  for (;;) {
    const perRequest = await timed(server, load, requests)
    spent += perRequest * requests
    requests = Math.max(CONNECTIONS, Math.round(ROUND_SECONDS / perRequest))
    if (spent > WARM_UP_SECONDS) break
  }
  server.requests = requests
}

/** Seconds of processor time per request. */
async function timed(server, load, requests) {
  const spent = stopwatch(server.pids)
  await load.send(server, requests)
  return spent() / requests
}
