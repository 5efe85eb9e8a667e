/**
 * What a hostile header costs on a hit: processor time per byte of it, of a server with the cache
 * against plain Express with the same header in the same run. Where it is more than a few times as
 * much, few bytes a second take a core.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { fileURLToPath } from 'node:url'
import { descendants, stopwatch } from './cpu-time.mjs'
import { row } from './measure.mjs'

/** As many as are read of a list; of a longer one nothing is. */
const BYTES = 8000
const PAGE_BYTES = 1000

const BASELINE = 'res.send'
const SUBJECTS = [BASELINE, 'cacheSite', 'cacheSite, compressed', 'cacheSite, RFC 9111', 'listener']

/** The header, how it begins, and how it ends. */
const FIELDS = {
  Range: ['bytes=0-1', 'b'],
  'If-Range': ['"a"', 'b'],
  'If-None-Match': ['"a"', 'b'],
  'If-Modified-Since': ['Thu, 01 Jan 2026', 'b'],
  'Accept-Encoding': ['br', 'b'],
  'Accept-Language': ['de', 'b'],
  'Cache-Control': ['x="', 'b'],
  Cookie: ['a=b', 'b'],
  'X-Forwarded-Host': ['a.test', 'b'],
}

const PARTS = ['\t', ',', '"', 'a,', '"a",', '\\', 'a;']

/** Of the cache's processor time to that of plain Express; what is quadratic costs hundreds. */
const TARGET = 5

/** What looks dearest in few requests is measured again in more, which chance does less to. */
const FEW = { rounds: 2, requests: 40 }
const MANY = { rounds: 8, requests: 60 }
const AGAIN = 2

export async function run() {
  const servers = []
  try {
    for (const name of SUBJECTS) servers.push(await start(name))
    for (const server of servers) await send(server, {}, 1000)
    const all = []
    for (const field of Object.keys(FIELDS)) {
      for (const part of PARTS) all.push(await measure(servers, field, part, FEW))
    }
    const rows = []
    for (const [i, server] of servers.entries()) {
      if (i > 0)
        rows.push(
          await dearest(
            [servers[0], server],
            all.map(({ field, part, ratios }) => ({ field, part, ratio: ratios[i] })),
          ),
        )
    }
    return rows
  } finally {
    for (const { child } of servers) if (child.connected) child.disconnect()
  }
}

async function dearest(pair, measured) {
  let worst = { ratio: 0 }
  for (const { field, part } of measured.sort((a, b) => b.ratio - a.ratio).slice(0, AGAIN)) {
    const { ratios, seconds } = await measure(pair, field, part, MANY)
    if (ratios[1] > worst.ratio) worst = { field, part, ratio: ratios[1], seconds: seconds[1] }
  }
  const { field, part, ratio, seconds } = worst
  return row(
    `dearest header of ${BYTES} bytes: ${pair[1].name} / ${BASELINE}`,
    ratio,
    TARGET,
    `${((seconds / BYTES) * 1e9).toFixed(1)} ns of processor time per byte, of ${JSON.stringify(part)} in ${field}`,
  )
}

/** Seconds of processor time per request, the fastest round of each server. */
async function measure(servers, field, part, { rounds, requests }) {
  const [head, tail] = FIELDS[field]
  const value = head + part.repeat(BYTES).slice(0, BYTES - head.length - tail.length) + tail
  const seconds = servers.map(() => Infinity)
  for (let round = 0; round < rounds; round++) {
    for (const [i, server] of servers.entries()) {
      const spent = stopwatch(server.pids)
      await send(server, { [field]: value }, requests)
      seconds[i] = Math.min(seconds[i], spent() / requests)
    }
  }
  return { field, part, seconds, ratios: seconds.map((one) => one / seconds[0]) }
}

async function start(name) {
  const file = fileURLToPath(new URL('./express-server.mjs', import.meta.url))
  const child = spawn(process.execPath, [file, name, String(PAGE_BYTES)], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: { ...process.env, NODE_ENV: 'production' },
  })
  const [{ port, missing }] = await once(child, 'message')
  if (missing !== undefined) throw new Error(`fields, ${name}: ${missing}`)
  return { name, child, port, pids: descendants(child.pid) }
}

/** One after the other over one connection. */
async function send({ name, port }, headers, count) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  try {
    for (let i = 0; i < count; i++) {
      const sent = request({ host: '127.0.0.1', port, path: '/page', headers, agent }).end()
      const [response] = await once(sent, 'response')
      response.resume()
      await once(response, 'end')
      if (![200, 206, 304, 416].includes(response.statusCode)) {
        throw new Error(`fields, ${name}: ${response.statusCode} to ${Object.keys(headers)}`)
      }
    }
  } finally {
    agent.destroy()
  }
}
