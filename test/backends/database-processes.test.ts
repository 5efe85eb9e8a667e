import { fork } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import BetterSqlite3 from 'better-sqlite3'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createCacheTable, DatabaseCache } from '../../src/backends/database.js'
import { bundleSources, type Bundle } from '../support/bundle.js'

const PROCESSES = 4

let bundle: Bundle
let folder = ''
let file = ''
let cache: DatabaseCache
let database: BetterSqlite3.Database

beforeAll(async () => {
  bundle = await bundleSources()
  folder = mkdtempSync(join(tmpdir(), 'fragcache-sqlite-'))
  file = join(folder, 'cache.db')
  database = new BetterSqlite3(file)
  database.pragma('journal_mode = WAL')
  database.pragma('synchronous = OFF')
  cache = new DatabaseCache({ location: 'entries', database, options: { maxEntries: 1000 } })
  await createCacheTable(cache)
}, 60_000)
afterAll(async () => {
  database.close()
  rmSync(folder, { recursive: true })
  await bundle.remove()
})

/** Runs a script over the same file in several processes at once, and gives what each answers. */
async function inProcesses(script: string): Promise<unknown[]> {
  const path = join(bundle.folder, `database-worker-${Math.random()}.mjs`)
  writeFileSync(
    path,
    `import BetterSqlite3 from 'better-sqlite3'
     import { DatabaseCache } from './src/backends/database.js'
     const database = new BetterSqlite3(${JSON.stringify(file)}, { timeout: 20_000 })
     database.pragma('synchronous = OFF')
     const cache = new DatabaseCache({ location: 'entries', database, options: { maxEntries: 1000 } })
     const own = process.argv[2]
     const answer = await (async () => { ${script} })()
     process.send({ answer }, () => process.disconnect())`,
  )
  return Promise.all(
    Array.from(
      { length: PROCESSES },
      (_, i) =>
        new Promise((resolve, reject) => {
          const child = fork(path, [String(i)])
          child.on('message', ({ answer }: { answer: unknown }) => resolve(answer))
          // After its last message, which the end of the process may overtake.
          child.on('disconnect', () => reject(new Error('a process ended without an answer')))
        }),
    ),
  )
}

describe('several processes over one file of SQLite', { timeout: 60_000 }, () => {
  it('lose no incr', async () => {
    await cache.set('n', 0)
    const told = await inProcesses(`
      const numbers = []
      for (let i = 0; i < 300; i++) numbers.push(await cache.incr('n'))
      return numbers`)
    expect(new Set(told.flat()).size).toBe(PROCESSES * 300)
    expect(await cache.get('n')).toBe(PROCESSES * 300)
  })

  it('have one winner for each add', async () => {
    const told = await inProcesses(`
      const won = []
      for (let i = 0; i < 200; i++) if (await cache.add('add' + i, own)) won.push(i)
      return won`)
    expect((told.flat() as number[]).toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: 200 }, (_, i) => i),
    )
  })

  it('have one who is told of each delete', async () => {
    await cache.setMany(Array.from({ length: 200 }, (_, i) => [`gone${i}`, i] as const))
    const told = await inProcesses(`
      const removed = []
      for (let i = 0; i < 200; i++) if (await cache.delete('gone' + i)) removed.push(i)
      return removed`)
    expect((told.flat() as number[]).toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: 200 }, (_, i) => i),
    )
  })

  it('see what the others store, and keep to the limit together', async () => {
    const refused = await inProcesses(`
      for (let i = 0; i < 600; i++) await cache.set(own + '-' + i, own, { timeout: 100 + i })
      return cache.setMany({ ['last' + own]: own }, { timeout: 10_000 })`)
    expect(refused).toEqual([[], [], [], []])
    // What expires last goes last; of what never does some goes with each culling.
    const count = database.prepare('SELECT count(*) FROM entries').pluck().get() as number
    expect(count).toBeGreaterThan(600)
    expect(count).toBeLessThanOrEqual(1100)
    expect([...(await cache.getMany(['last0', 'last1', 'last2', 'last3'])).values()]).toEqual([
      '0',
      '1',
      '2',
      '3',
    ])
  })
})
