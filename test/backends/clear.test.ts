import { Redis } from 'ioredis'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { Cache } from 'fragcache'
import { createCacheTable, DatabaseCache, type Parameter } from 'fragcache/database'
import { RedisCache } from 'fragcache/redis'
import { newTable, openBetterSqlite3 } from '../support/databases.js'
import { sharedServer } from '../support/servers.js'

/*
 * A store that is emptied piece by piece, and another process that stores something meanwhile, where the pieces are
 * already gone. FileBasedCache has its own test in file.test.ts.
 */

const redis = await sharedServer('redis')
const options = { timeLimitMs: 10_000 }
const ends: (() => unknown)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

interface Setting {
  /** Calls `before` in front of each statement or command that removes something. */
  readonly clearing: Cache
  readonly other: Cache
}

async function overSqlite(before: () => Promise<void>): Promise<Setting> {
  const { native, end } = openBetterSqlite3()
  ends.push(end)
  const location = newTable()
  const query = (sql: string, parameters: readonly Parameter[]) => native?.(sql, parameters)
  const clearing = new DatabaseCache({
    location,
    options,
    database: {
      dialect: 'sqlite',
      query: async (sql, parameters) => {
        if (/^\s*DELETE/i.test(sql)) await before()
        return query(sql, parameters)
      },
    },
  })
  const other = new DatabaseCache({
    location,
    options,
    database: { dialect: 'sqlite', query: async (sql, parameters) => query(sql, parameters) },
  })
  await createCacheTable(other)
  ends.push(
    () => clearing.close(),
    () => other.close(),
  )
  return { clearing, other }
}

async function overRedis(before: () => Promise<void>): Promise<Setting> {
  const client = new Redis(redis?.url ?? '')
  ends.push(() => {
    client.disconnect()
  })
  const { unlink } = client
  vi.spyOn(client, 'unlink').mockImplementation(async (...keys: unknown[]) => {
    await before()
    return Reflect.apply(unlink, client, keys) as Promise<number>
  })
  const keyPrefix = newTable()
  const clearing = new RedisCache({ client, keyPrefix, options })
  const other = new RedisCache({ location: redis?.url ?? '', keyPrefix, options })
  ends.push(
    () => clearing.close(),
    () => other.close(),
  )
  return { clearing, other }
}

describe.each([
  ['SQLite', overSqlite],
  ...(redis === undefined ? [] : [['Redis', overRedis] as const]),
] as const)('clear over %s', (_, open) => {
  it('leaves nothing that was made meanwhile from what was not yet gone', async () => {
    const made: unknown[] = []
    let isClearing = false
    const { clearing, other } = await open(async () => {
      if (!isClearing || made.length === 2) return
      // Its key is behind those that the statement or the command removes.
      const from = made.length
      made.push(await other.getOrSet(`v${from + 1}`, () => other.get(`v${from}`)))
    })
    await other.set('v0', 'old')
    isClearing = true
    await clearing.clear()
    expect(made).toEqual(['old', 'old'])
    expect(await other.getMany(['v0', 'v1', 'v2'])).toEqual(new Map())
  })
})
