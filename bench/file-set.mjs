/**
 * What `FileBasedCache.set` costs in a directory of 100 entries and in one of 100 000, for a key that
 * is there and for a new one. Both are written to in turn, so that what else the machine and the
 * disk do falls on both alike.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { FileBasedCache } from '../dist/src/backends/file.js'
import { Folders } from '../dist/modules/src/backends/file/folders.js'
import { encodeEntry } from '../dist/modules/src/backends/file/format.js'
import { compareWaiting, goal, median, row } from './measure.mjs'

const FEW = 100
const MANY = Number(process.env.BENCH_FILE_ENTRIES ?? 100_000)
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 25)
const SETS = 40
const TARGET = 1.5

/** What a call may take of the least's time. */
const SINGLE_TARGET = 1.2
const value = 'x'.repeat(500)

/** @returns {Promise<ReturnType<typeof row>[]>} */
export async function run() {
  const folder = await mkdtemp(join(tmpdir(), 'fragcache-bench-'))
  try {
    const few = fill(join(folder, 'few'), FEW)
    const many = fill(join(folder, 'many'), MANY)
    // The first call of a process opens the directory and finds the count.
    for (const one of [few, many]) await round(one)
    const ratios = { there: [], new: [] }
    const times = { there: [], new: [] }
    for (let i = 0; i < ROUNDS; i++) {
      const [first, second] = i % 2 === 0 ? [few, many] : [many, few]
      const results = new Map()
      for (const one of [first, second]) results.set(one, await round(one))
      for (const kind of ['there', 'new']) {
        ratios[kind].push(results.get(many)[kind] / results.get(few)[kind])
        times[kind].push(results.get(many)[kind])
      }
    }
    for (const { cache } of [few, many]) await cache.close()
    return [
      ...(await singles(join(folder, 'single'))),
      ...[
        ['file-set', 'there', 'a key that is there'],
        ['file-set new', 'new', 'a new key'],
      ].map(([name, kind, what]) =>
        row(
          name,
          median(ratios[kind]),
          TARGET,
          `${what}, at ${MANY} entries ${Math.round(median(times[kind]))} µs, against ${FEW}`,
        ),
      ),
    ]
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** `get` and `set` against the least that a store in files does: one read; a draft and a rename. */
async function singles(location) {
  const cache = new FileBasedCache({ location, timeout: null })
  await cache.set('key', value)
  const least = join(location, 'least')
  const bytes = Buffer.from(value)
  const write = async () => {
    const draft = `${least}.draft`
    await writeFile(draft, bytes, { mode: 0o600 })
    await rename(draft, least)
  }
  await write()
  const calls = {
    get: [async () => (await readFile(least)).toString(), () => cache.get('key')],
    set: [write, () => cache.set('key', value)],
  }
  const rows = []
  for (const [name, [theirs, ours]] of Object.entries(calls)) {
    const { ours: mine } = await compareWaiting({ theirs, ours })
    const detail = `${mine.us.toFixed(0)} µs, by processor time ${mine.processor.ratio.toFixed(2)}`
    rows.push(goal('4', `file ${name} / the least`, mine, SINGLE_TARGET, detail))
  }
  await cache.close()
  return rows
}

/** Makes a directory with so many entries, in less time than as many sets take. */
function fill(location, count) {
  const folders = new Folders(location)
  for (let i = 0; i < count; i++) {
    const key = `:1:k${i}`
    const { file } = folders.placeOf(key)
    const payload = Buffer.from(`\x01${value}`)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, encodeEntry({ owner: '', key, expiresAtMs: null, payload }))
  }
  const cache = new FileBasedCache({
    location,
    timeout: null,
    options: { maxEntries: 10 * MANY },
  })
  return { cache, count, added: 0 }
}

/** Microseconds per call. */
async function round(one) {
  const { cache, count } = one
  const there = await time((i) => cache.set(`k${(i * 7919 + one.added) % count}`, value))
  const fresh = await time((i) => cache.set(`new${one.added + i}`, value))
  for (let i = 0; i < SETS; i++) await cache.delete(`new${one.added + i}`)
  one.added += SETS
  return { there, new: fresh }
}

async function time(action) {
  const start = process.hrtime.bigint()
  for (let i = 0; i < SETS; i++) await action(i)
  return Number(process.hrtime.bigint() - start) / 1000 / SETS
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const one of await run()) console.log(JSON.stringify(one))
}
