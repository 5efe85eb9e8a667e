/**
 * What it costs that somebody can watch: while nobody does, against an older build (`BENCH_BASE`: the
 * folder of its `dist`; left out, these are not measured); and with everything on (the inspector mounted,
 * Prometheus, OpenTelemetry's metrics, and an access log of one in ten thousand by pino) against nobody.
 *
 * Each of the two is measured in a process of its own: code that was compiled while nobody watched is
 * compiled again once somebody does, and two builds in one process share what is compiled. Both run at the
 * same time, so that what else the machine does falls on both, and the median of the ratios counts.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { median, row } from './measure.mjs'
import { openOrFail } from './servers.mjs'

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
async function measure(subject, mode, env) {
  const child = spawn(process.execPath, ['--expose-gc', program, subject, mode], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  })
  let printed = ''
  child.stdout.setEncoding('utf8').on('data', (text) => (printed += text))
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`bench: ${subject}, ${mode} ended with ${code}`)
  return Number(printed)
}

/** @returns How long the second takes, in parts of the first. */
async function compare(subject, modes, env) {
  const turns = []
  for (let turn = 0; turn < TURNS; turn++) {
    turns.push(await Promise.all(modes.map((mode) => measure(subject, mode, env))))
  }
  const [first, second] = modes.map((_, i) => median(turns.map((times) => times[i])))
  const ratio = median(turns.map(([one, other]) => other / one))
  return { ratio, detail: `${time(first)} and ${time(second)}` }
}

const time = (ns) => (ns < 1e4 ? `${ns.toFixed(0)} ns` : `${(ns / 1000).toFixed(1)} µs`)

export async function run() {
  const base = process.env.BENCH_BASE
  const server = await openOrFail('redis')
  const env = { BENCH_BASE: base === undefined ? '' : resolve(base), BENCH_REDIS: server.url }
  const rows = []
  const add = async (subject, modes, names, target) => {
    const { ratio, detail } = await compare(subject, modes, env)
    rows.push(row(`hit, ${subject}: ${names}`, ratio, target, detail))
  }
  try {
    for (const subject of base === undefined ? [] : LOCAL) {
      await add(subject, ['before', 'nobody'], 'nobody watching / before', QUIET)
    }
    for (const subject of [...LOCAL, ...SERVED]) {
      await add(subject, ['nobody', 'everything'], 'everything on / nobody watching', WATCHED)
    }
  } finally {
    server.stop()
  }
  return rows
}
