/**
 * The longest that one call, or one turn of the event loop, holds a process up: with a million entries in
 * memory, and with two hundred thousand rows in SQLite. Garbage collection is not counted.
 */
import Database from 'better-sqlite3'
import { LocMemCache } from 'fragcache'
import { createCacheTable, DatabaseCache } from 'fragcache/database'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PerformanceObserver } from 'node:perf_hooks'
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import { row } from './measure.mjs'

/** Milliseconds. */
const GOAL = 5

const ENTRIES = Number(process.env.BENCH_ENTRIES ?? 1_000_000)
const ROWS = Number(process.env.BENCH_ROWS ?? 200_000)

const ROUNDS = Number(process.env.BENCH_STALL_ROUNDS ?? 3)

/** Calls that are timed one by one where it is not a single one. */
const CALLS = 30_000

const collections = []
new PerformanceObserver((list) => {
  for (const { startTime, duration } of list.getEntries()) {
    collections.push([startTime, startTime + duration])
  }
}).observe({ entryTypes: ['gc'] })

/** Milliseconds of a time that were not spent on collecting garbage. */
function without(startMs, endMs) {
  let ms = endMs - startMs
  for (const [from, to] of collections) {
    ms -= Math.max(0, Math.min(to, endMs) - Math.max(from, startMs))
  }
  return ms
}

/** The longest of some calls that answer at once. */
async function longestCall(calls) {
  const times = []
  for (const call of calls) {
    const startMs = performance.now()
    const answer = call()
    const endMs = performance.now()
    if (endMs - startMs > 1) times.push([startMs, endMs])
    await answer
  }
  return longestOf(times)
}

async function longestOf(times) {
  // Collections are told of a little later.
  await sleep(20)
  return Math.max(0, ...times.map(([startMs, endMs]) => without(startMs, endMs)))
}

/** The longest turn of the event loop until a call has ended, and `after` milliseconds longer. */
async function longestTurn(call, after = 0) {
  const times = []
  let isOver = false
  const watching = (async () => {
    for (let lastMs = performance.now(); !isOver;) {
      await turn()
      const nowMs = performance.now()
      if (nowMs - lastMs > 1) times.push([lastMs, nowMs])
      lastMs = nowMs
    }
  })()
  await turn()
  await call()
  if (after > 0) await sleep(after)
  isOver = true
  await watching
  return longestOf(times)
}

const told = (name, ms) => row(`stalls: ${name}`, ms / GOAL, 1, `${ms.toFixed(1)} ms`)

function* numbered(from, count, call) {
  for (let i = from; i < from + count; i++) yield () => call(i)
}

async function fill(cache, options = {}, prefix = 'key') {
  for (let i = 0; i < ENTRIES; i += 1000) {
    const some = Array.from({ length: 1000 }, (_, j) => [`${prefix}-${i + j}`, 'value'])
    await cache.setMany(some, options)
    if (i % 50_000 === 0) await turn()
  }
  globalThis.gc()
}

const options = { maxEntries: ENTRIES }
const open = (more = {}) => new LocMemCache({ timeout: 3600, options, ...more })
const set = (cache, options) => (i) => cache.set(`new-${i}`, 'value', options)

async function memory() {
  const rows = []
  {
    const cache = open()
    const sets = numbered(0, ENTRIES, set(cache))
    rows.push(told('local memory, set while it fills', await longestCall(sets)))
    await cache.clear()
  }
  {
    const cache = open()
    await fill(cache)
    const first = await longestCall([() => cache.set('one', 'value')])
    rows.push(told('local memory, set when it is full', first))
    rows.push(
      told('local memory, sets after it', await longestCall(numbered(0, CALLS, set(cache)))),
    )
    const clear = await longestTurn(() => cache.clear(), 500)
    rows.push(told('local memory, clear', clear))
  }
  {
    const cache = open()
    await fill(cache, { timeout: 60 })
    const { now } = Date
    Date.now = () => now() + 61_000
    rows.push(
      told(
        'local memory, sets when all has expired',
        await longestCall(numbered(0, CALLS, set(cache))),
      ),
    )
    Date.now = now
  }
  {
    const location = randomUUID()
    const cache = open({ location })
    const neighbour = open({ location, keyPrefix: 'neighbour' })
    await fill(cache)
    await neighbour.set('a', 'value')
    const clear = await longestTurn(() => neighbour.clear(), 500)
    rows.push(told("local memory, a neighbour's clear", clear))
    let small
    const joins = await longestCall([
      () =>
        (small = open({
          location,
          keyPrefix: 'small',
          options: { maxBytes: 1e9, maxEntries: ENTRIES },
        })),
      () => small.set('a', 'value'),
    ])
    rows.push(told('local memory, a neighbour begins to count bytes', joins))
  }
  {
    const location = randomUUID()
    const cache = open({ location })
    await fill(cache)
    const small = open({ location, keyPrefix: 'small', options: { maxEntries: 100 } })
    const sets = await longestCall([() => small.set('a', 'value')])
    rows.push(told('local memory, a neighbour with a small limit', sets))
  }
  return rows
}

/** Puts rows into the table by itself, which is quicker. */
function plant(database, count, expires) {
  database
    .prepare(
      `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
       INSERT INTO entries SELECT ':1:key-' || i, x'0161', NULL, ? + i, '' FROM n`,
    )
    .run(count, expires)
}

async function sqlite() {
  const rows = []
  const folder = mkdtempSync(join(tmpdir(), 'stalls-'))
  const times = { 'when it is full': Date.now() + 3_600_000, 'when all has expired': 1 }
  for (const [when, expires] of Object.entries(times)) {
    const database = new Database(join(folder, `${expires}.db`))
    database.pragma('journal_mode = WAL')
    database.pragma('synchronous = OFF')
    const settings = { location: 'entries', database, timeout: 3600, options: { maxEntries: ROWS } }
    await createCacheTable(new DatabaseCache(settings))
    plant(database, ROWS + 1, expires)
    const cache = new DatabaseCache(settings)
    rows.push(told(`SQLite, sets ${when}`, await longestCall(numbered(0, 5000, set(cache)))))
    const other = new DatabaseCache(settings)
    plant(database, 0, expires)
    const later = await longestTurn(() => other.set('another', 'value'), 3000)
    rows.push(told(`SQLite, turns after a set ${when}`, later))
    database.exec('DELETE FROM entries')
    plant(database, ROWS, Date.now() + 3_600_000)
    rows.push(told(`SQLite, clear ${when}`, await longestTurn(() => cache.clear())))
    database.close()
  }
  rmSync(folder, { recursive: true })
  return rows
}

/** The least of several rounds: what else the machine does makes a turn longer, and never shorter. */
export async function run() {
  const least = new Map()
  for (let round = 0; round < ROUNDS; round++) {
    for (const one of [...(await memory()), ...(await sqlite())]) {
      const known = least.get(one.name)
      if (known === undefined || one.ratio < known.ratio) least.set(one.name, one)
    }
  }
  return [...least.values()]
}
