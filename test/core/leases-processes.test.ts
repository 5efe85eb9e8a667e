import { randomUUID } from 'node:crypto'
import { createPool } from 'mysql2'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createCacheTable, DatabaseCache } from '../../src/backends/database.js'
import type { DatabaseConnection } from '../../src/backends/database.js'
import { bundleSources, type Bundle } from '../support/bundle.js'
import { newTable } from '../support/databases.js'
import { folderOfFile } from '../support/folders.js'
import { sharedServer } from '../support/servers.js'
import { Workers, type Worker } from '../support/worker.js'

const PROCESSES = 4
const CALLERS = 100

/**
 * A shared backend, as a process of its own opens it. What is tested is no matter of time: four
 * processes that start at once on two cores may well have to wait for their first answer.
 */
interface Shared {
  readonly name: string
  /** Defines `cache` and `end`; `args[0]` is a text no other test uses. */
  readonly script: string
}

const [redis, memcached, postgres, mysql] = await Promise.all([
  sharedServer('redis'),
  sharedServer('memcached'),
  sharedServer('postgres'),
  sharedServer('mysql'),
])

const folder = folderOfFile()
const table = newTable()
const ended: (() => Promise<unknown>)[] = []
let bundle: Bundle
let processes: Workers

const backends: readonly (Shared | false)[] = [
  redis !== undefined && {
    name: 'Redis',
    script: `
      const { RedisCache } = await import('./src/backends/redis.js')
      const cache = new RedisCache({ location: ${JSON.stringify(redis.url)}, keyPrefix: args[0], options: { timeLimitMs: 20_000 } })
      const end = () => cache.close()`,
  },
  memcached !== undefined && {
    name: 'Memcached',
    script: `
      const { MemcachedCache } = await import('./src/backends/memcached.js')
      const cache = new MemcachedCache({ location: ${JSON.stringify(memcached.url)}, keyPrefix: args[0], options: { timeLimitMs: 20_000 } })
      const end = () => cache.close()`,
  },
  postgres !== undefined && {
    name: 'PostgreSQL',
    script: `
      const { default: pg } = await import('pg')
      const { DatabaseCache } = await import('./src/backends/database.js')
      const database = new pg.Pool({ connectionString: ${JSON.stringify(postgres.url)}, max: 2 })
      const cache = new DatabaseCache({ location: '${table}', database, keyPrefix: args[0], options: { timeLimitMs: 20_000 } })
      const end = () => database.end()`,
  },
  mysql !== undefined && {
    name: 'MySQL or MariaDB',
    script: `
      const { createPool } = await import('mysql2')
      const { DatabaseCache } = await import('./src/backends/database.js')
      const database = createPool({ uri: ${JSON.stringify(mysql.url)}, connectionLimit: 2 })
      const cache = new DatabaseCache({ location: '${table}', database, keyPrefix: args[0], options: { timeLimitMs: 20_000 } })
      const end = () => database.promise().end()`,
  },
  {
    name: 'files',
    script: `
      const cache = new FileBasedCache({ location: ${JSON.stringify(folder)}, keyPrefix: args[0] })
      const end = () => cache.close()`,
  },
]

beforeAll(async () => {
  bundle = await bundleSources()
  processes = new Workers(bundle)
  const make = (database: DatabaseConnection) =>
    createCacheTable(new DatabaseCache({ location: table, database }))
  if (postgres !== undefined) {
    const database = new pg.Pool({ connectionString: postgres.url })
    await make(database)
    ended.push(
      () => database.query(`drop table ${table}`),
      () => database.end(),
    )
  }
  if (mysql !== undefined) {
    const database = createPool({ uri: mysql.url })
    await make(database)
    ended.push(
      () => database.promise().query(`drop table ${table}`),
      () => database.promise().end(),
    )
  }
}, 60_000)

afterAll(async () => {
  for (const end of ended) await end()
  await processes.close()
  await bundle.remove()
})

/** Starts processes that all wait for the word to begin. */
async function start(count: number, { script }: Shared, own: string, body: string) {
  return Promise.all(
    Array.from({ length: count }, (_, i) =>
      processes.start(
        `${script}
         const number = Number(args[1])
         const begun = new Promise((resolve) => process.once('message', resolve))
         await cache.get('warm')
         process.send('ready')
         await begun
         ${body}
         await end()`,
        [own, String(i)],
      ),
    ),
  )
}

async function answersOf(workers: readonly Worker[]): Promise<unknown[]> {
  for (const worker of workers) expect(await worker.message()).toBe('ready')
  for (const { child } of workers) child.send('begin')
  const answers = await Promise.all(workers.map((worker) => worker.message()))
  await Promise.all(workers.map(({ ended: end }) => end))
  return answers
}

describe.each(backends.filter((one) => one !== false))(
  'leases in several processes over $name',
  { timeout: 60_000 },
  (backend) => {
    it('let one producer run for all callers of all processes', async () => {
      const workers = await start(
        PROCESSES,
        backend,
        randomUUID(),
        `let runs = 0
         const produce = async () => {
           runs++
           await new Promise((resolve) => setTimeout(resolve, 100))
           return 'made by ' + number
         }
         const results = await Promise.all(Array.from({ length: ${CALLERS} }, () =>
           cache.getOrSet('k', produce, { lock: { wait: 30, lease: 30 } })))
         process.send({ runs, results: [...new Set(results)] })`,
      )
      const answers = (await answersOf(workers)) as { runs: number; results: string[] }[]
      expect(answers.reduce((sum, { runs }) => sum + runs, 0)).toBe(1)
      expect(new Set(answers.flatMap(({ results }) => results)).size).toBe(1)
    })

    it('end by themselves when their holder dies', async () => {
      const own = randomUUID()
      const body = (lease: number) =>
        `const produce = async () => {
           process.send('producing')
           if (number === 0) await new Promise((resolve) => setTimeout(resolve, 60_000))
           return number
         }
         const value = await cache.getOrSet('k', produce, { lock: { wait: 30, lease: ${lease} } })
         process.send(value)`
      const [holder, other] = (await start(2, backend, own, body(2))) as [Worker, Worker]
      for (const worker of [holder, other]) expect(await worker.message()).toBe('ready')
      holder.child.send('begin')
      expect(await holder.message()).toBe('producing')
      holder.child.kill('SIGKILL')
      await holder.ended
      other.child.send('begin')
      expect(await other.message()).toBe('producing')
      expect(await other.message()).toBe(1)
      await other.ended
    })

    it('never wait for each other where two processes nest crosswise', async () => {
      const workers = await start(
        2,
        backend,
        randomUUID(),
        `const lock = { wait: 600, lease: 600 }
         const [outer, inner] = number === 0 ? ['a', 'b'] : ['b', 'a']
         const inside = async () => {
           await cache.set('inside' + number, 1)
           while (!(await cache.has('inside' + (1 - number)))) {
             await new Promise((resolve) => setTimeout(resolve, 10))
           }
           return outer + '>' + (await cache.getOrSet(inner, () => inner, { lock }))
         }
         process.send(await cache.getOrSet(outer, inside, { lock }))`,
      )
      const answers = (await answersOf(workers)) as string[]
      expect(answers.map((answer) => answer[0])).toEqual(['a', 'b'])
    })

    it('are not needed for a gate in the producer: an invalidation in another process wins', async () => {
      const own = randomUUID()
      const [maker, other] = (await start(
        2,
        backend,
        own,
        `if (number === 0) {
           const go = new Promise((resolve) => process.once('message', resolve))
           const produce = async () => {
             process.send('producing')
             await go
             return 'made of old data'
           }
           const made = await cache.getOrSet('k', produce, { tags: ['t'] })
           process.send([made, (await cache.get('k')) ?? null])
         } else {
           await cache.invalidateTags(['t'])
           process.send('invalidated')
         }`,
      )) as [Worker, Worker]
      for (const worker of [maker, other]) expect(await worker.message()).toBe('ready')
      maker.child.send('begin')
      expect(await maker.message()).toBe('producing')
      other.child.send('begin')
      expect(await other.message()).toBe('invalidated')
      maker.child.send('go')
      expect(await maker.message()).toEqual(['made of old data', null])
      await Promise.all([maker.ended, other.ended])
    })
  },
)
