/**
 * Hits of the response cache, and what else can answer a page from memory: processor time per request
 * as the operating system counts it for the server, which has one core, with the load from the other.
 * `BENCH_EXPRESS=4` takes Express 4, `BENCH_SUBJECTS="first app.use,cacheSite"` these alone. What is
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
import { row } from './measure.mjs'
import { redisServer } from './servers.mjs'

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 9)
const ROUND_SECONDS = 0.25
const WARM_UP_SECONDS = 1.5
const CONNECTIONS = 32
const SIZES = { '10 kB': 10_000, '100 kB': 100_000 }

const BASELINE = 'node:http'
const PEERS = ['apicache', 'route-cache', 'ocache']
const only = process.env.BENCH_SUBJECTS?.split(',')
const SUBJECTS = [
  BASELINE,
  ...Object.keys(proxies),
  'first app.use',
  'res.send',
  ...PEERS,
  'cacheSite',
  'cachePage',
  'listener',
  'cacheSite, compressed',
  'listener, compressed',
  'cacheSite, Redis',
].filter((name) => name === BASELINE || only === undefined || only.includes(name))

/** How far two figures that are the same may be apart. */
const SPREAD = 1.05

/** Ours, the subject it is compared with, and the most that it may take of it, per size. */
const TARGETS = [
  ['cacheSite', 'first app.use', { '10 kB': 1.2, '100 kB': 1.2 }],
  ['cachePage', 'first app.use', { '10 kB': 1.2, '100 kB': 1.2 }],
  ['cacheSite', 'res.send', { '10 kB': 0.8, '100 kB': 0.35 }],
  ['cachePage', 'res.send', { '10 kB': 0.8, '100 kB': 0.35 }],
  ['listener', BASELINE, { '10 kB': 2, '100 kB': 1.5 }],
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
  const redis = await redisServer()
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
      ...targets(size, seconds),
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
      `${(typical(times) * 1e6).toFixed(1)} µs of processor time`,
    ),
  )
}

function targets(size, seconds) {
  return TARGETS.filter(([ours, other]) => seconds[ours] && seconds[other]).map(
    ([ours, other, most]) =>
      row(`${size}: ${ours} / ${other}`, ratio(seconds[ours], seconds[other]), most[size]),
  )
}

function ratio(times, others) {
  return typical(times) / typical(others)
}

/** The lower quartile: what else the machine does can only make a request dearer. */
function typical(times) {
  return [...times].sort((a, b) => a - b)[Math.floor((times.length - 1) / 4)]
}

/** Commands that a hit over Redis takes, each of which is a round trip where nothing else is asked. */
async function roundTrips(size, server, redisUrl, load) {
  if (server === undefined) return []
  const client = new Redis(redisUrl)
  try {
    const before = await commands(client)
    const hits = 200
    await load.send(server, hits, 1)
    const perHit = ((await commands(client)) - before) / hits
    return [row(`${size}: cacheSite, Redis: commands per hit`, perHit, 1)]
  } finally {
    client.disconnect()
  }
}

async function commands(client) {
  const lines = (await client.info('commandstats')).matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)
  let sum = 0
  for (const [, name, calls] of lines) if (name !== 'info') sum += Number(calls)
  return sum
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
  if (/^(cache|listener)/.test(name) && !status?.includes('; hit')) return `no hit: ${status}`
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
