import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import mysql from 'mysql2/promise'
import pg from 'pg'
import { describe, expect, it, vi } from 'vitest'
import { coreOf } from '../../src/backend/core.js'
import { createCaches, FragmentCache, type Cache, type OutageMessage } from '../../src/index.js'
import { databaseCaches } from '../support/database-caches.js'
import { sharedServer } from '../support/servers.js'

const servers = {
  postgres: await sharedServer('postgres'),
  mysql: await sharedServer('mysql'),
}

const { ends, open } = databaseCaches()

const endAfter = (...connections: readonly { end(): unknown }[]) =>
  ends.push(...connections.map((one) => () => one.end()))

/** A cache, and how its server is kept from writing while it goes on answering reads. */
interface Held {
  readonly cache: Cache
  readonly hold: () => Promise<unknown>
  readonly release: () => Promise<unknown>
}

const kinds: Record<keyof typeof servers, (url: string) => Promise<Held>> = {
  /** As `CREATE INDEX` does. */
  postgres: async (url) => {
    const pool = new pg.Pool({ connectionString: url })
    const admin = new pg.Client({ connectionString: url })
    await admin.connect()
    endAfter(pool, admin)
    const { cache, location } = await open(pool)
    return {
      cache,
      hold: () => admin.query(`BEGIN; LOCK TABLE ${location} IN SHARE MODE`),
      release: () => admin.query('ROLLBACK'),
    }
  },
  /** As `mysqldump` does. */
  mysql: async (url) => {
    const pool = mysql.createPool(url)
    const admin = await mysql.createConnection(url)
    endAfter(pool, admin)
    const { cache, location } = await open(pool)
    return {
      cache,
      hold: () => admin.query(`LOCK TABLES ${location} READ`),
      release: () => admin.query('UNLOCK TABLES'),
    }
  },
}

function heardOutages(): OutageMessage[] {
  const outages: OutageMessage[] = []
  const listener = (message: unknown) => void outages.push(message as OutageMessage)
  subscribe('fragcache:outage', listener)
  ends.push(() => unsubscribe('fragcache:outage', listener))
  return outages
}

describe.each(Object.keys(kinds) as (keyof typeof kinds)[])('%s that holds writes up', (kind) => {
  const server = servers[kind]

  it.skipIf(server === undefined)(
    'is not written to any more after three attempts, and still read, until it takes something',
    async () => {
      const { cache, hold, release } = await kinds[kind](server?.url ?? '')
      ends.unshift(release)
      const outages = heardOutages()
      const fragments = new FragmentCache(createCaches({ default: cache }))
      const render = (name: string, text: string) =>
        fragments.render({ name, timeout: 500 }, () => text)
      await cache.set('k', 'before')
      await render('old', 'before')
      await hold()

      const failures: unknown[] = []
      const found: unknown[] = []
      for (let i = 0; i < 5; i++) {
        failures.push(await cache.set('k', i).catch((error: unknown) => error))
        found.push(await cache.get('k'))
      }
      const notInTime = expect.objectContaining({
        message: expect.stringContaining('no answer within 1000 ms') as string,
      }) as unknown
      const notAsked = expect.objectContaining({
        message: expect.stringContaining('not asked') as string,
      }) as unknown
      expect(failures).toEqual([notInTime, notInTime, notInTime, notAsked, notAsked])
      expect(found).toEqual(Array(5).fill('before'))
      expect(await render('old', 'after')).toBe('before')
      expect(await render('new', 'not stored')).toBe('not stored')
      expect(await render('new', 'nor this time')).toBe('nor this time')
      expect(outages).toHaveLength(1)
      expect(outages[0]).not.toHaveProperty('until')

      await release()
      await vi.waitFor(() => cache.set('k', 'after'), 5000)
      expect(outages).toHaveLength(2)
      expect(outages[1]).toHaveProperty('until')
      expect(await cache.get('k')).toBe('after')
      expect([await render('new', 'stored'), await render('new', 'no more')]).toEqual([
        'stored',
        'stored',
      ])
    },
  )

  it.skipIf(server === undefined)(
    'is in no outage any more once it takes something, if it was closed meanwhile and is only read',
    async () => {
      const { cache, hold, release } = await kinds[kind](server?.url ?? '')
      ends.unshift(release)
      const outages = heardOutages()
      await cache.set('k', 'before')
      await hold()
      await expect(cache.set('k', 'refused')).rejects.toThrow('no answer within 1000 ms')
      await cache.close()
      await release()
      await vi.waitFor(async () => {
        await cache.get('k')
        expect(outages).toHaveLength(2)
      }, 5000)
      expect(outages[1]).toHaveProperty('until')
    },
  )

  it.skipIf(server === undefined)(
    'is not said to refuse what is read while it has not heard of an invalidation',
    async () => {
      const { cache, hold, release } = await kinds[kind](server?.url ?? '')
      ends.unshift(release)
      const codes: unknown[] = []
      vi.mocked(process.emitWarning).mockImplementation((_message, options) => {
        codes.push((options as { readonly code: string }).code)
      })
      await cache.set('k', 'before')
      await hold()
      for (let i = 0; i < 3; i++) await cache.set('k', i).catch(() => undefined)
      await coreOf(cache).invalidateStoredTags(['t'], { later: true })
      await expect(cache.get('k')).rejects.toThrow('invalidateTags failed: not asked')
      expect(codes).toEqual(['FRAGCACHE_OUTAGE'])
    },
  )
})
