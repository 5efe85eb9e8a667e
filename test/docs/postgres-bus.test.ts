import { readFileSync } from 'node:fs'
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { createCacheTable, DatabaseCache } from '../../src/backends/database.js'
import { TieredCache, type Bus } from '../../src/backends/tiered.js'
import { LocMemCache } from '../../src/index.js'
import { inProject } from '../support/samples.js'
import { sharedServer } from '../support/servers.js'

const path = 'examples/postgres-bus/postgres-bus.mjs'
const { postgresBus } = (await import(inProject(path))) as {
  postgresBus: (url: string, channel: string) => Bus & { close(): Promise<void> }
}
const server = await sharedServer('postgres')
const url = server?.url ?? ''
const pgbouncer = await sharedServer('pgbouncer')

it('docs/backends/tiered.md shows the whole example', () => {
  const page = readFileSync(inProject('docs/backends/tiered.md'), 'utf8')
  expect(page).toContain(readFileSync(inProject(path), 'utf8').trim())
})

describe.skipIf(server === undefined)('two processes with memory in front of PostgreSQL', () => {
  const location = `cache_${randomUUID().replaceAll('-', '')}`
  let pool: pg.Pool
  let ends: { cache: TieredCache; bus: ReturnType<typeof postgresBus> }[]

  beforeAll(async () => {
    pool = new pg.Pool({ connectionString: url })
    const open = () => {
      const bus = postgresBus(url, location)
      const remote = new DatabaseCache({ location, database: pool })
      return { bus, cache: new TieredCache({ local: new LocMemCache(), remote, bus }) }
    }
    await createCacheTable(new DatabaseCache({ location, database: pool }))
    ends = [open(), open()]
  })
  afterAll(async () => {
    for (const { cache, bus } of ends) {
      await cache.close()
      await bus.close()
    }
    await pool.query(`DROP TABLE ${location}`)
    await pool.end()
  })

  const get = (at: number) => ends[at]?.cache.get('k')
  const set = (at: number, value: unknown) => ends[at]?.cache.set('k', value)
  const becomes = (at: number, value: unknown) =>
    expect.poll(() => get(at), { timeout: 5000, interval: 2 }).toBe(value)
  /** Whether it comes from memory: nobody tells of what the table alone is told. */
  const isKept = async (at: number, was: unknown) => {
    await get(at)
    await pool.query(`UPDATE ${location} SET value = '4711', number = NULL`)
    return (await get(at)) === was
  }

  it('see each other’s changes', async () => {
    await set(0, 'old')
    await becomes(1, 'old')
    await set(1, 'new')
    await becomes(0, 'new')
  })

  it('serve nothing old after the connection was lost', async () => {
    await set(0, 'old')
    await becomes(1, 'old')
    await pool.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN ${location}'`,
    )
    await set(0, 'new')
    await becomes(1, 'new')
    await expect
      .poll(
        async () => {
          await set(0, 'kept')
          await becomes(1, 'kept')
          return isKept(1, 'kept')
        },
        { timeout: 5000, interval: 50 },
      )
      .toBe(true)
  })
})

it.skipIf(pgbouncer === undefined)(
  'behind PgBouncer, which loses notifications, memory is not used: nothing old is served',
  async () => {
    const location = `cache_${randomUUID().replaceAll('-', '')}`
    const address = pgbouncer?.url ?? ''
    const pool = new pg.Pool({ connectionString: address })
    await createCacheTable(new DatabaseCache({ location, database: pool }))
    const ends = [0, 1].map(() => {
      const bus = postgresBus(address, location)
      const remote = new DatabaseCache({ location, database: pool })
      return { bus, cache: new TieredCache({ local: new LocMemCache(), remote, bus }) }
    })
    onTestFinished(async () => {
      for (const { cache, bus } of ends) {
        await cache.close()
        await bus.close()
      }
      await pool.end()
    })
    const seen: unknown[] = []
    for (let i = 0; i < 30; i++) {
      await ends[i % 2]?.cache.set('k', i)
      for (const { cache } of ends) seen.push(await cache.get('k'))
      await sleep(20)
    }
    expect(seen).toEqual(Array.from({ length: 60 }, (_, i) => Math.floor(i / 2)))
  },
)
