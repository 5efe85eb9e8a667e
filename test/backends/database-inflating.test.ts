import BetterSqlite3 from 'better-sqlite3'
import { fork } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createCacheTable, DatabaseCache } from '../../src/backends/database.js'
import { bundleSources, type Bundle } from '../support/bundle.js'

const MIB = 1024 * 1024
const COUNT = 12

let bundle: Bundle
let file = ''

beforeAll(async () => {
  bundle = await bundleSources()
  file = join(bundle.folder, 'cache.db')
  const database = new BetterSqlite3(file)
  const cache = new DatabaseCache({
    location: 'entries',
    database,
    timeout: null,
    compress: { threshold: 1024 },
  })
  await createCacheTable(cache)
  await cache.set('large0', 'x'.repeat(64 * MIB - 16))
  await cache.set('small0', 'x'.repeat(0.5 * MIB))
  const copy = database.prepare(
    `INSERT INTO entries SELECT ':1:' || ? || ?, value, number, expires, key_prefix FROM entries WHERE cache_key = ':1:' || ? || '0'`,
  )
  for (let i = 1; i < COUNT; i++) copy.run('large', String(i), 'large')
  for (let i = 1; i < 500; i++) copy.run('small', String(i), 'small')
  database.close()
}, 60_000)
afterAll(() => bundle.remove())

interface Told {
  /** Lengths of what was found, `undefined` for a miss. */
  readonly lengths: readonly (number | null)[]
  readonly warnings: readonly string[]
  /** Most mebibytes that were resident. */
  readonly resident: number
}

/** What a process tells that reads the cache and does nothing else. */
async function read(script: string): Promise<Told> {
  const path = join(bundle.folder, `reader-${Math.random()}.mjs`)
  writeFileSync(
    path,
    `import BetterSqlite3 from 'better-sqlite3'
     import { DatabaseCache } from './src/backends/database.js'
     const database = new BetterSqlite3(${JSON.stringify(file)})
     const cache = new DatabaseCache({ location: 'entries', database })
     const large = Array.from({ length: ${COUNT} }, (_, i) => 'large' + i)
     const small = Array.from({ length: 500 }, (_, i) => 'small' + i)
     const turn = () => new Promise((resolve) => setImmediate(resolve))
     const warnings = []
     process.on('warning', ({ message }) => warnings.push(message))
     const lengths = await (async () => { ${script} })()
     await turn()
     const resident = process.resourceUsage().maxRSS / 1024
     process.send({ lengths, warnings, resident }, () => process.disconnect())`,
  )
  return new Promise((resolve, reject) => {
    const child = fork(path, { execArgv: ['--no-warnings'] })
    child.on('message', (told) => resolve(told as Told))
    // After its last message, which the end of the process may overtake.
    child.on('disconnect', () => reject(new Error('the process ended without an answer')))
  })
}

const hits = (lengths: Told['lengths']) => lengths.filter((length) => length !== null)

describe('large compressed entries', { timeout: 180_000 }, () => {
  it.each([
    [
      'one getMany',
      `const found = await cache.getMany(large); return large.map((key) => found.get(key)?.length)`,
    ],
    [
      'many gets',
      `return (await Promise.all(large.map((key) => cache.get(key)))).map((one) => one?.length)`,
    ],
  ])(
    'that are read at once by %s take a bounded memory, and the others are misses',
    async (_, script) => {
      const { lengths, warnings, resident } = await read(script)
      expect(lengths).toHaveLength(COUNT)
      expect(hits(lengths)).toEqual([64 * MIB - 16, 64 * MIB - 16])
      expect(warnings.join()).toContain('read fewer of them at once')
      // Both values, the bytes they were made of, and the process itself.
      expect(resident).toBeLessThan(450)
    },
  )

  it('are all found one after the other', async () => {
    const { lengths, warnings } = await read(`
      const lengths = []
      for (const key of large) {
        lengths.push((await cache.get(key))?.length)
        await turn()
      }
      return lengths`)
    expect(hits(lengths)).toHaveLength(COUNT)
    expect(warnings).toEqual([])
  })

  it('leave room for smaller ones, of which any number is read at once', async () => {
    const { lengths } = await read(`
      await cache.getMany(large)
      const found = await cache.getMany(small)
      return small.map((key) => found.get(key)?.length)`)
    expect(hits(lengths)).toHaveLength(500)
  })
})
