/**
 * What it costs that somebody can watch: while nobody does, against an older build (`BENCH_BASE`: the
 * folder of its `dist`; left out, these are not measured); and with everything on (the inspector mounted,
 * Prometheus, OpenTelemetry's metrics, and an access log of one in a thousand by pino) against nobody.
 *
 * Each is measured in processes of its own, in turns: code that was compiled while nobody watched is
 * compiled anew once somebody does, and two builds in one process share what is compiled. What else the
 * machine does only adds to a time, so the least of the turns counts.
 */
import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { row } from './measure.mjs'
import { redisServer } from './servers.mjs'

const TURNS = Number(process.env.BENCH_TURNS ?? 12)
const QUIET = 1.03
const WATCHED = 1.15

/** Those that an older build can be measured by, too. */
const LOCAL = [
  'value, local memory',
  'fragment from code, local memory',
  'page of 20 fragments, Nunjucks',
  'page of 20 fragments, Handlebars',
  'page of 20 fragments, Eta',
]

const SERVED = [
  'value, Redis',
  'page over HTTP',
  'page rendered with 20 fragments, Nunjucks over HTTP',
]

const program = fileURLToPath(new URL('./watching-process.mjs', import.meta.url))

/** @returns Nanoseconds of processor time per call. */
function measure(subject, mode, env) {
  const child = spawnSync(process.execPath, ['--expose-gc', program, subject, mode], {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
    env: { ...process.env, ...env },
  })
  if (child.status !== 0) throw new Error(`bench: ${subject}, ${mode} ended with ${child.status}`)
  return Number(child.stdout)
}

function least(subject, modes, env) {
  const times = Object.fromEntries(modes.map((mode) => [mode, Infinity]))
  for (let turn = 0; turn < TURNS; turn++) {
    for (const mode of turn % 2 === 0 ? modes : [...modes].reverse()) {
      times[mode] = Math.min(times[mode], measure(subject, mode, env))
    }
  }
  return times
}

const time = (ns) => (ns < 1e4 ? `${ns.toFixed(0)} ns` : `${(ns / 1000).toFixed(1)} µs`)

export async function run() {
  const base = process.env.BENCH_BASE
  const modes = base === undefined ? ['nobody', 'everything'] : ['before', 'nobody', 'everything']
  const server = await redisServer()
  const env = { BENCH_BASE: base === undefined ? '' : resolve(base), BENCH_REDIS: server.url }
  const quiet = []
  const watched = []
  try {
    for (const subject of [...LOCAL, ...SERVED]) {
      const isLocal = LOCAL.includes(subject)
      const { before, nobody, everything } = least(subject, isLocal ? modes : modes.slice(-2), env)
      if (before !== undefined) {
        const detail = `${time(before)} and ${time(nobody)}`
        quiet.push(row(`hit, ${subject}: nobody watching / before`, nobody / before, QUIET, detail))
      }
      const name = `hit, ${subject}: everything on / nobody watching`
      const detail = `${time(nobody)} and ${time(everything)}`
      watched.push(row(name, everything / nobody, WATCHED, detail))
    }
  } finally {
    server.stop()
  }
  return [...quiet, ...watched]
}
