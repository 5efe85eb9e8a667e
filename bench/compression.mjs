/**
 * `compress`: what zstd leaves of pages and data against deflate, what it takes, and how long the event
 * loop waits while a value of 5 MB is written and read in another thread. Node 20 has no zstd, and no rows
 * for it.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setImmediate as turn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { FileBasedCache } from 'fragcache/file'
import {
  compressSync,
  DEFLATE,
  hasMethod,
  inflateSync,
  methodFor,
  ZSTD,
} from '../dist/modules/src/compression.js'
import { compare, goal, median } from './measure.mjs'

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 25)
const SIZES = { '10 kB': 10_000, '100 kB': 100_000, '5 MB': 5_000_000 }

/** Milliseconds that nothing else runs. */
const MOST_DELAY_MS = 10

/** @returns {Promise<ReturnType<typeof goal>[]>} */
export async function run() {
  const rows = []
  for (const [size, length] of Object.entries(SIZES)) {
    for (const [kind, make] of Object.entries({ HTML: html, JSON: json })) {
      const bytes = Buffer.from(make(length))
      if (hasMethod(ZSTD)) rows.push(...(await methods(`${size} of ${kind}`, bytes)))
    }
  }
  return [...rows, await delay()]
}

/** The method that is chosen for this length, against deflate. */
async function methods(name, bytes) {
  const chosen = methodFor(bytes.length)
  const bodies = {
    deflate: compressSync(DEFLATE, bytes),
    chosen: compressSync(chosen, bytes),
  }
  const method = chosen === ZSTD ? 'zstd' : 'deflate'
  const share = (body) => `${((100 * body.length) / bytes.length).toFixed(1)} %`
  const rows = [
    goal(
      '8',
      `${name}: bytes by ${method} / deflate`,
      { ratio: bodies.chosen.length / bodies.deflate.length },
      1,
      `${share(bodies.chosen)} of the value, deflate ${share(bodies.deflate)}`,
    ),
  ]
  if (chosen === DEFLATE) return rows
  const both = (way, body) => async () => {
    compressSync(way, bytes)
    inflateSync(way, body, bytes.length)
    // What one turn of the event loop inflates has a bound.
    await turn()
  }
  const measured = await compare({
    deflate: both(DEFLATE, bodies.deflate),
    chosen: both(chosen, bodies.chosen),
  })
  const us = ({ ns }) => (ns / 1000).toFixed(0)
  rows.push(
    goal(
      '8',
      `${name}: processor time of writing and reading by ${method} / deflate`,
      measured.chosen,
      1,
      `${us(measured.chosen)} µs, deflate ${us(measured.deflate)} µs`,
    ),
  )
  return rows
}

/** The longest that the event loop waits while 5 MB are written and read. */
async function delay() {
  const folder = await mkdtemp(join(tmpdir(), 'fragcache-bench-'))
  const cache = new FileBasedCache({ location: folder, compress: { threshold: 1024 } })
  const value = html(SIZES['5 MB'])
  const longest = []
  try {
    for (let i = 0; i <= ROUNDS; i++) {
      const watch = monitorEventLoopDelay({ resolution: 1 })
      watch.enable()
      await cache.set('page', value)
      if ((await cache.get('page'))?.length !== value.length) throw new Error('bench: not read')
      watch.disable()
      // The first compiles.
      if (i > 0) longest.push(watch.max / 1e6)
    }
  } finally {
    await cache.close()
    await rm(folder, { recursive: true, force: true })
  }
  const sorted = longest.sort((a, b) => a - b)
  const quarter = Math.floor((sorted.length - 1) / 4)
  const result = { ratio: median(longest), spread: [sorted[quarter], sorted.at(-1 - quarter)] }
  const detail = `milliseconds; at once it were ${atOnceMs(value).toFixed(0)}`
  return goal('8', 'event loop delay, 5 MB written and read', result, MOST_DELAY_MS, detail)
}

function atOnceMs(text) {
  const bytes = Buffer.from(text)
  const startMs = performance.now()
  const method = methodFor(bytes.length)
  inflateSync(method, compressSync(method, bytes), bytes.length)
  return performance.now() - startMs
}

/** The same numbers in every run. */
function numbers() {
  let seed = 7
  return (below) => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff
    return Math.floor((seed / 0x80000000) * below)
  }
}

function words(next) {
  const syllables =
    'ca che frag ment tem plate ta gen va lue pa ge sto re key ti me out hit miss'.split(' ')
  const all = Array.from({ length: 2000 }, () =>
    Array.from({ length: 1 + next(4) }, () => syllables[next(syllables.length)]).join(''),
  )
  return (count) => Array.from({ length: count }, () => all[next(all.length)]).join(' ')
}

function html(length) {
  const next = numbers()
  const some = words(next)
  let text = '<!doctype html><html><body>'
  while (text.length < length) {
    const id = next(1e6)
    text += `<div class="product card" data-id="${id}"><h2><a href="/product/${id}">${some(2)}</a></h2><p class="text">${some(20)}</p><span class="price">€ ${next(1e4) / 100}</span></div>\n`
  }
  return text
}

function json(length) {
  const next = numbers()
  const some = words(next)
  const rows = []
  for (let size = 0; size < length; size += JSON.stringify(rows.at(-1)).length) {
    rows.push({
      id: next(1e6),
      name: some(2),
      tags: [some(1), some(1)],
      price: next(1e4) / 100,
      updated: new Date(1.7e12 + next(1e9)).toISOString(),
      text: some(10),
    })
  }
  return JSON.stringify(rows)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const one of await run()) console.log(JSON.stringify(one))
}
