import { constants } from 'node:buffer'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  createCacheTable,
  DatabaseCache,
  type Dialect,
  type Parameter,
} from '../../src/backends/database.js'
import {
  newTable,
  openBetterSqlite3,
  openMysql,
  openPostgres,
  type OpenDatabase,
} from '../support/databases.js'
import { sharedServer } from '../support/servers.js'

const postgres = await sharedServer('postgres')
const mysql = await sharedServer('mysql')

const THOUSAND = Array.from({ length: 1000 }, (_, i) => `k${i}`)

beforeAll(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
})

/** The statements a cache sends, over a function of the user's. */
function statementsOf(dialect: Dialect, open: () => OpenDatabase): void {
  let opened: OpenDatabase
  let location = ''
  let statements: string[] = []
  let running = 0
  let cache: DatabaseCache

  beforeAll(async () => {
    opened = open()
    location = newTable()
    cache = new DatabaseCache({
      location,
      database: {
        dialect,
        query: async (sql: string, parameters: readonly Parameter[]) => {
          statements.push(sql)
          running++
          try {
            return await opened.native?.(sql, parameters)
          } finally {
            running--
          }
        },
      },
      options: { maxEntries: 100_000, timeLimitMs: 10_000 },
    })
    await createCacheTable(cache)
    // The first write finds out how much room there is.
    await cache.set('first', 1)
  })
  afterAll(async () => {
    await opened.ask(`DROP TABLE ${location}`)
    await opened.end()
  })
  beforeEach(() => {
    statements = []
  })

  /** What is asked behind a write, such as how much room there is, is not the next call's. */
  const quiet = () => vi.waitFor(() => expect(running).toBe(0), { timeout: 15_000, interval: 5 })

  const taken = async (action: () => Promise<unknown>): Promise<number> => {
    await quiet()
    statements = []
    await action()
    return statements.length
  }

  it('set, add, get, touch, incr and decr are one statement each', async () => {
    expect(await taken(() => cache.set('k', 'v'))).toBe(1)
    expect(await taken(() => cache.set('k', 'again'))).toBe(1)
    expect(await taken(() => cache.get('k'))).toBe(1)
    expect(await taken(() => cache.get('missing'))).toBe(1)
    expect(await taken(() => cache.has('k'))).toBe(1)
    expect(await taken(() => cache.add('added', 'v'))).toBe(1)
    await cache.set('n', 1)
    expect(await taken(() => cache.incr('n'))).toBe(1)
    expect(await taken(() => cache.decr('n', 10))).toBe(1)
    // Whether its tags let it live is looked up beside.
    await taken(() => cache.touch('k'))
    expect(statements.filter((sql) => sql.startsWith('UPDATE'))).toHaveLength(1)
    expect(statements.filter((sql) => /count\(/i.test(sql))).toEqual([])
  })

  it('a thousand keys are one statement, to store, to find and to remove', async () => {
    const entries = THOUSAND.map((key) => [key, { key }] as const)
    expect(await taken(() => cache.setMany(entries))).toBe(1)
    expect(await taken(() => cache.setMany(entries.toReversed()))).toBe(1)
    let found = new Map<string, unknown>()
    expect(await taken(async () => (found = await cache.getMany(THOUSAND)))).toBe(1)
    expect(found.size).toBe(1000)
    expect([...found.keys()]).toEqual(THOUSAND)
    await taken(() => cache.deleteMany(THOUSAND))
    expect(statements.filter((sql) => sql.startsWith('DELETE'))).toHaveLength(1)
    expect((await cache.getMany(THOUSAND)).size).toBe(0)
  })

  it('what one statement cannot take is cut into several', async () => {
    const many = Array.from({ length: 40_000 }, (_, i) => `m${i}`)
    expect(await cache.setMany(many.map((key) => [key, 1] as const))).toEqual([])
    expect(statements.length).toBeLessThan(20)
    expect((await cache.getMany(many)).size).toBe(40_000)
    await cache.deleteMany(many)
    expect((await cache.getMany(many)).size).toBe(0)
  })

  it('takes values of 900 kB, alone and several at a time', async () => {
    const large = Buffer.alloc(900_000, 'ab')
    await cache.set('large', large)
    expect((await cache.get<Buffer>('large'))?.equals(large)).toBe(true)
    const keys = Array.from({ length: 20 }, (_, i) => `large${i}`)
    expect(await cache.setMany(keys.map((key) => [key, large] as const))).toEqual([])
    const found = await cache.getMany<Buffer>(keys)
    expect(found.size).toBe(20)
    for (const value of found.values()) expect(value.equals(large)).toBe(true)
    await cache.deleteMany(keys)
  })

  it('tags and their counters are written together with the entries', async () => {
    expect(await cache.setMany({ a: 1, b: 2 }, { tags: ['t1', 't2'] })).toEqual([])
    expect(await taken(() => cache.setMany({ a: 3, b: 4 }, { tags: ['t1', 't2'] }))).toBe(2)
    expect(Object.fromEntries(await cache.getMany(['a', 'b']))).toEqual({ a: 3, b: 4 })
    await cache.invalidateTags(['t2'])
    expect((await cache.getMany(['a', 'b'])).size).toBe(0)
    expect(await cache.add('a', 5)).toBe(true)
  })

  it('keys are told apart to the byte', async () => {
    const keys = [
      ...['key', 'Key', 'kEY', 'key ', ' key', 'key\t', 'key\0', 'key\0\0', 'kéy', 'ke\u0301y'],
      ...[
        'ß',
        'ss',
        'SS',
        'ẞ',
        '😀',
        '😁',
        "k'; DROP TABLE x; --",
        'k\\',
        'k\\\\',
        'k%',
        'k_',
        'k?',
      ],
      ...['#sha256:x', 'x'.repeat(249), 'x'.repeat(250), 'x'.repeat(5000), `${'x'.repeat(5000)}y`],
      ...['$1', ':1:k', '{"a":1}', 'k\u2028', 'ｋ'],
    ]
    await cache.setMany(keys.map((key, i) => [key, i] as const))
    expect([...(await cache.getMany(keys)).values()]).toEqual(keys.map((_, i) => i))
    for (const [i, key] of keys.entries()) {
      expect(await cache.get(key), JSON.stringify(key)).toBe(i)
      expect(await cache.add(key, 'other'), JSON.stringify(key)).toBe(false)
      expect(await cache.incr(key, 100), JSON.stringify(key)).toBe(i + 100)
    }
    for (const key of keys) expect(await cache.delete(key), JSON.stringify(key)).toBe(true)
    expect((await cache.getMany(keys)).size).toBe(0)
  })

  it('an administrator can read keys, numbers and deadlines', async () => {
    await cache.set('readable', 42, { timeout: null })
    const [row] = (await opened.ask(
      `SELECT * FROM ${location} WHERE cache_key = ':1:readable'`,
    )) as Record<string, unknown>[]
    expect(String(row?.['cache_key'])).toBe(':1:readable')
    expect(Number(row?.['number'])).toBe(42)
    expect(row?.['value']).toBeNull()
    expect(Number(row?.['expires'])).toBe(Number.MAX_SAFE_INTEGER)
    expect(String(row?.['key_prefix'])).toBe('')
  })
}

describe('SQLite', () => statementsOf('sqlite', openBetterSqlite3))

describe.skipIf(postgres === undefined)('PostgreSQL', () => {
  statementsOf('postgresql', () => openPostgres(postgres?.url ?? ''))

  it('a value that pg could not read back is told, and the old one is gone', async () => {
    const { database, end } = openPostgres(postgres?.url ?? '')
    // Longer than it takes to send it.
    const options = { timeLimitMs: 60_000 }
    const cache = new DatabaseCache({ location: newTable(), database, options })
    await createCacheTable(cache)
    const huge = Buffer.alloc(constants.MAX_STRING_LENGTH / 2)
    for (const tags of [[], ['t']]) {
      await cache.setMany({ a: 'old', k: 'old' })
      await expect(cache.set('k', huge, { tags })).rejects.toMatchObject({
        code: 'FRAGCACHE_VALUE_TOO_LARGE',
      })
      expect(await cache.getMany(['a', 'k'])).toEqual(new Map([['a', 'old']]))
    }
    expect(await cache.setMany({ a: 1, k: huge })).toEqual(['k'])
    expect(await cache.getMany(['a', 'k'])).toEqual(new Map([['a', 1]]))
    await end()
  })
})

describe.skipIf(mysql === undefined)('MySQL or MariaDB', () => {
  statementsOf('mysql', () => openMysql(mysql?.url ?? ''))

  it('a value larger than a packet is told, and the old one is gone', async () => {
    const opened = openMysql(mysql?.url ?? '')
    const cache = new DatabaseCache({ location: newTable(), database: opened.database })
    await createCacheTable(cache)
    const huge = Buffer.alloc(17 * 2 ** 20)
    await cache.set('k', 'old')
    await expect(cache.set('k', huge)).rejects.toMatchObject({ code: 'FRAGCACHE_VALUE_TOO_LARGE' })
    expect(await cache.get('k')).toBeUndefined()
    await cache.setMany({ a: 'old', k: 'old' })
    expect(await cache.setMany({ a: 1, k: huge, b: 2 })).toEqual(['k'])
    expect(Object.fromEntries(await cache.getMany(['a', 'b', 'k']))).toEqual({ a: 1, b: 2 })
    await opened.end()
  })
})
