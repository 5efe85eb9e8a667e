/**
 * How often a full `LocMemCache` has what is asked for, against the policies as their authors wrote them
 * down (`eviction.mjs`), over the same keys: always the same ones, so these figures do not vary.
 *
 *     BENCH_TRACES=folder npm run bench -- hit-ratio
 *
 * also reads traces: files with one key per line, in the order in which they were asked for.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createCaches, LocMemCache } from 'fragcache'
import { lru, s3fifo, sieve, wTinyLfu } from './eviction.mjs'
import { compare, goal } from './measure.mjs'

const REQUESTS = Number(process.env.BENCH_REQUESTS ?? 300_000)
const KEYS = 100_000
const SIZES = [100, 1000, 10_000]

/** Percentage points that the cache may be below the reference. */
const MOST_BELOW = 0.5

/** Numbers of at least 0 and below 1, the same for each seed (mulberry32). */
function randomOf(seed) {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Keys of which the nth most frequent is asked for in proportion to 1 / n^alpha. */
function zipf(alpha, seed) {
  const sums = new Float64Array(KEYS)
  let sum = 0
  for (let i = 0; i < KEYS; i++) sums[i] = sum += (i + 1) ** -alpha
  const random = randomOf(seed)
  return Array.from({ length: REQUESTS }, () => {
    const wanted = random() * sum
    let low = 0
    let high = KEYS - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if (sums[middle] < wanted) low = middle + 1
      else high = middle
    }
    return low
  })
}

/** Now and then somebody asks once for a great many others, as a crawler or a report does. */
function withScans(keys) {
  let next = KEYS
  return keys.flatMap((key, i) =>
    i % 100_000 === 50_000 ? [key, ...Array.from({ length: 20_000 }, () => next++)] : [key],
  )
}

const loop = (length) => Array.from({ length: REQUESTS / 3 }, (_, i) => i % length)

function* patterns() {
  for (const alpha of [0.7, 0.9, 1.1]) yield [`Zipf ${alpha}`, zipf(alpha, 1)]
  yield ['Zipf 0.9 and scans', withScans(zipf(0.9, 2))]
  yield ['a loop over 1,500', loop(1500)]
  const folder = process.env.BENCH_TRACES
  if (folder === undefined) return
  for (const name of readdirSync(folder)) {
    const lines = readFileSync(join(folder, name), 'latin1').split('\n')
    const ids = new Map()
    const idOf = (key) => ids.get(key) ?? ids.set(key, ids.size).get(key)
    yield [name, lines.filter((line) => line !== '').map(idOf)]
  }
}

/** Hits in percent. */
function simulate(policy, entries, keys) {
  const access = policy(entries)
  let hits = 0
  for (const key of keys) if (access(key)) hits++
  return (100 * hits) / keys.length
}

async function measure(options, keys) {
  const cache = new LocMemCache({ options })
  let hits = 0
  for (const key of keys) {
    if ((await cache.get(`key-${key}`)) !== undefined) hits++
    else await cache.set(`key-${key}`, key)
  }
  return (100 * hits) / keys.length
}

async function ratios() {
  const rows = []
  for (const [name, keys] of patterns()) {
    const different = new Set(keys).size
    for (const entries of SIZES) {
      if (entries >= different) continue
      const title = `${name}, ${entries.toLocaleString('en')} entries`
      const of = {
        LRU: simulate(lru, entries, keys),
        SIEVE: simulate(sieve, entries, keys),
        'S3-FIFO': simulate(s3fifo, entries, keys),
        'W-TinyLFU': simulate(wTinyLfu, entries, keys),
      }
      const ours = await measure({ maxEntries: entries }, keys)
      const ourLru = await measure({ maxEntries: entries, policy: 'lru' }, keys)
      const detail = Object.entries(of).map(([policy, hits]) => `${policy} ${hits.toFixed(1)}`)
      rows.push(
        below(`hits: ${title}, default`, of['S3-FIFO'], ours, detail.join(', ')),
        below(`hits: ${title}, 'lru'`, of.LRU, ourLru),
      )
    }
  }
  return rows
}

function below(name, reference, hits, others) {
  const told = `${hits.toFixed(1)} % hits${others === undefined ? '' : `; references: ${others}`}`
  const points = { ratio: reference - hits }
  return goal('7', `${name}, points below the reference`, points, MOST_BELOW, told)
}

/** A full cache gives up one entry for one. */
async function one() {
  const maxEntries = 1000
  const cache = new LocMemCache({ options: { maxEntries } })
  let fewest = Infinity
  for (let i = 0; i < 3 * maxEntries; i++) {
    await cache.set(`key-${i}`, i)
    if (i < maxEntries) continue
    const { cache: stats } = await createCaches({ cache }).serverStats()
    fewest = Math.min(fewest, stats.entries)
  }
  const ratio = maxEntries / fewest
  return goal('7', 'entries a full cache may hold / entries it holds', { ratio }, 1)
}

/** What `get` costs by each policy: that of `'lru'` is what it was before there was a choice. */
async function cost() {
  const keys = Array.from({ length: 1000 }, (_, i) => `key-${i}`)
  const open = async (policy) => {
    const cache = new LocMemCache({ options: { maxEntries: 10_000, policy } })
    for (const key of keys) await cache.set(key, key)
    let i = 0
    return () => cache.get(keys[i++ % keys.length])
  }
  const result = await compare({ lru: await open('lru'), fifo: await open('s3-fifo') })
  return goal(
    '7',
    "get by 's3-fifo' / by 'lru'",
    result.fifo,
    1.1,
    `${result.fifo.ns.toFixed(0)} ns`,
  )
}

export async function run() {
  return [...(await ratios()), await one(), await cost()]
}
