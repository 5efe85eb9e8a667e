import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import pg from 'pg'
import { afterAll, describe, expect, it } from 'vitest'
import { createCacheTable, DatabaseCache } from '../../src/backends/database.js'
import { main } from '../../src/cli.js'
import { createCaches, LocMemCache } from '../../src/index.js'
import { newTable, openBetterSqlite3, openMysql, openPostgres } from '../support/databases.js'
import { sharedServer } from '../support/servers.js'
import { inProject } from '../support/samples.js'

const postgres = await sharedServer('postgres')
const mysql = await sharedServer('mysql')

function tablesOf(database: Database.Database): unknown[] {
  return database
    .prepare(`SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name`)
    .pluck()
    .all()
}

describe('createCacheTable', () => {
  it('makes the table of a cache, with an index on the deadline', async () => {
    const database = new Database(':memory:')
    const cache = new DatabaseCache({ location: 'entries', database })
    const [made] = await createCacheTable(cache)
    expect(made).toMatchObject({ table: 'entries', existed: false, created: true })
    expect(made?.sql.join('\n')).toMatch(/CREATE TABLE .*"entries"[^]*CREATE INDEX .*\(expires/)
    expect(tablesOf(database)).toEqual(['entries'])
    const plan = database
      .prepare(
        'EXPLAIN QUERY PLAN SELECT cache_key FROM entries WHERE expires <= 5 ORDER BY expires',
      )
      .get()
    expect(plan).toMatchObject({ detail: expect.stringContaining('entries_expires') as string })
    await cache.set('k', 'v')
    expect(await cache.get('k')).toBe('v')
  })

  it('leaves a table that is there as it is', async () => {
    const database = new Database(':memory:')
    const cache = new DatabaseCache({ location: 'entries', database })
    await createCacheTable(cache)
    await cache.set('k', 'v')
    expect(await createCacheTable(cache)).toEqual([
      { table: 'entries', existed: true, created: false, sql: [] },
    ])
    expect(await cache.get('k')).toBe('v')
  })

  it('makes the index that an earlier run did not come to', async () => {
    const opened = [
      openBetterSqlite3(),
      ...(postgres === undefined ? [] : [openPostgres(postgres.url)]),
      ...(mysql === undefined ? [] : [openMysql(mysql.url)]),
    ]
    for (const { database, ask, end } of opened) {
      const location = newTable()
      const cache = new DatabaseCache({ location, database })
      const [missing] = await createCacheTable(cache, { dryRun: true })
      await ask(missing?.sql[0] ?? '')
      const [, ...rest] = missing?.sql ?? []
      const told = { table: location, existed: true, created: false }
      expect(await createCacheTable(cache, { dryRun: true })).toEqual([{ ...told, sql: rest }])
      expect(await createCacheTable(cache)).toEqual([{ ...told, sql: rest }])
      expect(await createCacheTable(cache)).toEqual([{ ...told, sql: [] }])
      await ask(`DROP TABLE ${location}`)
      await end()
    }
  })

  it('refuses the table of another program', async () => {
    const opened = [
      openBetterSqlite3(),
      ...(postgres === undefined ? [] : [openPostgres(postgres.url)]),
      ...(mysql === undefined ? [] : [openMysql(mysql.url)]),
    ]
    for (const { database, ask, end } of opened) {
      const location = newTable()
      await ask(
        `CREATE TABLE ${location} (cache_key varchar(255) PRIMARY KEY, value text, expires timestamp)`,
      )
      await expect(createCacheTable(new DatabaseCache({ location, database }))).rejects.toThrow(
        `the table ${location} belongs to another program`,
      )
      await ask(`DROP TABLE ${location}`)
      await end()
    }
  })

  it('with dryRun tells what is missing and makes nothing', async () => {
    const database = new Database(':memory:')
    const cache = new DatabaseCache({ location: 'entries', database })
    const [missing] = await createCacheTable(cache, { dryRun: true })
    expect(missing).toMatchObject({ table: 'entries', existed: false, created: false })
    expect(tablesOf(database)).toEqual([])
    for (const sql of missing?.sql ?? []) database.exec(sql)
    await cache.set('k', 'v')
    expect(await cache.get('k')).toBe('v')
  })

  it('takes several caches at once, and the result of createCaches, one table each', async () => {
    const [one, two] = [new Database(':memory:'), new Database(':memory:')]
    const caches = createCaches({
      default: new DatabaseCache({ location: 'a', database: one }),
      same: new DatabaseCache({ location: 'a', database: one, keyPrefix: 'x' }),
      other: new DatabaseCache({ location: 'b', database: one }),
      elsewhere: new DatabaseCache({ location: 'a', database: two }),
      memory: new LocMemCache(),
    })
    const made = await createCacheTable(caches)
    expect(made.map(({ table, created }) => [table, created])).toEqual([
      ['a', true],
      ['a', true],
      ['b', true],
    ])
    expect(tablesOf(one)).toEqual(['a', 'b'])
    expect(tablesOf(two)).toEqual(['a'])
    expect(await createCacheTable([caches.default, caches.other])).toMatchObject([
      { existed: true },
      { existed: true },
    ])
  })

  it('makes the table where the cache writes', async () => {
    const [write, read] = [new Database(':memory:'), new Database(':memory:')]
    await createCacheTable(new DatabaseCache({ location: 'a', database: { write, read } }))
    expect(tablesOf(write)).toEqual(['a'])
    expect(tablesOf(read)).toEqual([])
  })

  it('refuses what holds no database cache', async () => {
    await expect(createCacheTable(new LocMemCache())).rejects.toMatchObject({
      code: 'FRAGCACHE_INVALID_BACKEND',
      message: expect.stringContaining('no DatabaseCache') as string,
    })
    await expect(createCacheTable(undefined)).rejects.toThrow('no DatabaseCache')
  })

  it('makes a table in an attached database of SQLite', async () => {
    const database = new Database(':memory:')
    database.exec(`ATTACH ':memory:' AS aux`)
    const cache = new DatabaseCache({ location: 'aux.entries', database })
    const [made] = await createCacheTable(cache)
    expect(made?.created).toBe(true)
    await cache.set('k', 'v')
    expect(database.prepare('SELECT count(*) FROM aux.entries').pluck().get()).toBe(1)
    expect(await createCacheTable(cache)).toMatchObject([{ existed: true }])
  })
})

describe.skipIf(postgres === undefined)('createCacheTable on PostgreSQL', () => {
  const opened = openPostgres(postgres?.url ?? '')
  afterAll(() => opened.end())

  it('makes a table in a schema, and finds it again', async () => {
    const schema = newTable()
    await opened.ask(`CREATE SCHEMA ${schema}`)
    const cache = new DatabaseCache({
      location: `${schema}.Entries`,
      database: opened.database,
    })
    expect(await createCacheTable(cache)).toMatchObject([{ created: true }])
    expect(await createCacheTable(cache)).toMatchObject([{ existed: true, sql: [] }])
    await cache.set('k', 'v')
    expect(await opened.ask(`SELECT cache_key FROM ${schema}."Entries"`)).toEqual([
      { cache_key: ':1:k' },
    ])
    expect(
      await opened.ask('SELECT indexdef FROM pg_indexes WHERE schemaname = ? ORDER BY 1', [schema]),
    ).toEqual(
      expect.arrayContaining([
        { indexdef: expect.stringContaining('(expires, cache_key)') as string },
      ]),
    )
    await opened.ask(`DROP SCHEMA ${schema} CASCADE`)
  })

  it('may be asked by several processes at once', async () => {
    const location = newTable()
    const make = () => createCacheTable(new DatabaseCache({ location, database: opened.database }))
    for (let round = 0; round < 5; round++) {
      await opened.ask(`DROP TABLE IF EXISTS ${location}`)
      const results = await Promise.all(Array.from({ length: 8 }, make))
      expect(results.flat()).toHaveLength(8)
    }
    expect(await make()).toMatchObject([{ existed: true }])
    await opened.ask(`DROP TABLE ${location}`)
  })
})

describe.skipIf(mysql === undefined)('createCacheTable on MySQL or MariaDB', () => {
  const opened = openMysql(mysql?.url ?? 'mysql://127.0.0.1:1')
  afterAll(() => opened.end())

  it('makes a table, also in a database that is named, and finds it again', async () => {
    const schema = newTable()
    await opened.ask(`CREATE DATABASE ${schema}`)
    for (const location of [newTable(), `${schema}.entries`]) {
      // A busy machine takes its time.
      const options = { timeLimitMs: 10_000 }
      const cache = new DatabaseCache({ location, database: opened.database, options })
      expect(await createCacheTable(cache, { dryRun: true })).toMatchObject([
        { existed: false, created: false },
      ])
      expect(await createCacheTable(cache)).toMatchObject([{ created: true }])
      expect(await createCacheTable(cache)).toMatchObject([{ existed: true, sql: [] }])
      await cache.set('k', 'v')
      expect(await cache.get('k')).toBe('v')
      const indexes = await opened.ask(`SHOW INDEX FROM ${location}`)
      expect(indexes).toContainEqual(expect.objectContaining({ Column_name: 'expires' }))
      await opened.ask(`DROP TABLE ${location}`)
    }
    await opened.ask(`DROP DATABASE ${schema}`)
  })
})

describe('fragcache createcachetable', () => {
  const folder = mkdtempSync(join(tmpdir(), 'fragcache-createcachetable-'))
  afterAll(() => rmSync(folder, { recursive: true }))
  const source = inProject('src/backends/database.ts')

  function configure(name: string, exported: string): { config: string; file: string } {
    const file = join(folder, `${name}.db`)
    const config = join(folder, `${name}.mjs`)
    writeFileSync(
      config,
      `import Database from ${JSON.stringify(import.meta.resolve('better-sqlite3'))}
       import { DatabaseCache } from ${JSON.stringify(source)}
       const cache = (location) => new DatabaseCache({ location, database: new Database(${JSON.stringify(file)}) })
       ${exported}`,
    )
    return { config, file }
  }

  async function run(...args: string[]) {
    const out: string[] = []
    const errors: string[] = []
    const code = await main(['createcachetable', ...args], {
      out: (text) => out.push(text),
      error: (text) => errors.push(text),
    })
    return { code, out: out.join('\n'), error: errors.join('\n') }
  }

  it('makes the missing tables of the caches that a file exports', async () => {
    const { config, file } = configure('both', `export default { a: cache('a'), b: cache('b') }`)
    expect(await run('--config', config)).toEqual({
      code: 0,
      out: 'a was created\nb was created',
      error: '',
    })
    expect(tablesOf(new Database(file))).toEqual(['a', 'b'])
    expect(await run('--config', config)).toEqual({
      code: 0,
      out: 'a exists\nb exists',
      error: '',
    })
  })

  it('takes an export named caches too', async () => {
    const { config } = configure('named', `export const caches = [cache('a')]`)
    expect(await run('--config', config)).toMatchObject({ code: 0, out: 'a was created' })
  })

  it('prints the SQL with --dry-run, which can be run as it is', async () => {
    const { config, file } = configure('dry', `export default cache('a')`)
    const { code, out } = await run('--config', config, '--dry-run')
    expect(code).toBe(0)
    const database = new Database(file)
    expect(tablesOf(database)).toEqual([])
    database.exec(out)
    expect(tablesOf(database)).toEqual(['a'])
    expect(await run('--config', config, '--dry-run')).toMatchObject({
      code: 0,
      out: '-- a exists',
    })
  })

  it('answers 2 when it is called wrongly and 1 when it cannot be done', async () => {
    expect(await run()).toMatchObject({
      code: 2,
      error: expect.stringContaining('--config FILE is missing') as string,
    })
    expect(await run('--config', 'x', 'y')).toMatchObject({ code: 2 })
    expect(await run('--colour')).toMatchObject({ code: 2 })
    expect(await run('--config', join(folder, 'missing.mjs'))).toMatchObject({
      code: 2,
      error: expect.stringMatching(/there is no file .*missing\.mjs/) as string,
    })
    const { config } = configure('none', `export const other = 1`)
    expect(await run('--config', config)).toMatchObject({
      code: 1,
      error: expect.stringContaining('exports no caches') as string,
    })
    const { config: foreign } = configure('foreign', `export default { a: new Map() }`)
    expect(await run('--config', foreign)).toMatchObject({
      code: 1,
      error: expect.stringContaining('no DatabaseCache') as string,
    })
  })

  it('names the caches of which none needs a table', async () => {
    const index = JSON.stringify(inProject('src/index.ts'))
    const dummies = `new DummyCache(), pages: new DummyCache()`
    for (const [name, exported, caches] of [
      ['record', `{ default: ${dummies} }`, 'default: DummyCache, pages: DummyCache'],
      ['caches', `createCaches({ default: ${dummies} })`, 'default: DummyCache, pages: DummyCache'],
      ['list', '[new DummyCache()]', '0: DummyCache'],
      ['one', 'new DummyCache()', 'default: DummyCache'],
    ] as const) {
      const { config } = configure(
        name,
        `import { createCaches, DummyCache } from ${index}
         export default ${exported}`,
      )
      expect(await run('--config', config)).toEqual({
        code: 1,
        out: '',
        error: `fragcache: createcachetable: there is no DatabaseCache among the caches of ${config} (${caches}); no other needs a table`,
      })
    }
  })

  it.skipIf(postgres === undefined)('names the database’s own fault', async () => {
    const location = newTable()
    const config = join(folder, 'pg.mjs')
    writeFileSync(
      config,
      `import { DatabaseCache } from ${JSON.stringify(source)}
       export default new DatabaseCache({
         location: ${JSON.stringify(`nowhere.${location}`)},
         database: { dialect: 'postgresql', query: (...call) => globalThis.query(...call) },
       })`,
    )
    const pool = new pg.Pool({ connectionString: postgres?.url })
    Object.assign(globalThis, {
      query: async (sql: string, values: unknown[]) =>
        (await pool.query(sql, values)).rows as unknown[],
    })
    const { code, error } = await run('--config', config)
    await pool.end()
    expect({ code, error }).toMatchObject({
      code: 1,
      error: expect.stringMatching(
        /^fragcache: createcachetable: .*schema "nowhere" does not exist/,
      ) as string,
    })
  })
})
