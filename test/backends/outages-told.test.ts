import pg from 'pg'
import { Registry } from 'prom-client'
import { afterAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { responseCache } from '../../adapters/express/index.js'
import { prometheusMetrics } from '../../adapters/metrics/index.js'
import { createCacheTable, DatabaseCache } from '../../src/backends/database.js'
import { MemcachedCache } from '../../src/backends/memcached.js'
import { RedisCache } from '../../src/backends/redis.js'
import { TieredCache } from '../../src/backends/tiered.js'
import { createCaches, LocMemCache, logAccess, type Cache } from '../../src/index.js'
import { Inspected } from '../adapters/inspector-support.js'
import { Scrape } from '../support/scrape.js'
import { sharedServer, type TestServer } from '../support/servers.js'
import { startMemcached } from '../support/servers/memcached.js'
import { startPostgres } from '../support/servers/postgres.js'
import { startRedis } from '../support/servers/redis.js'

const has = {
  redis: (await sharedServer('redis')) !== undefined,
  memcached: (await sharedServer('memcached')) !== undefined,
  postgres: (await sharedServer('postgres')) !== undefined,
}

const options = { timeLimitMs: 500 }
const WAITING = { timeout: 10_000, interval: 50 }
interface Started {
  readonly server: TestServer
  readonly open: () => Cache
  /** Called at the end. */
  readonly close?: () => Promise<unknown>
}

const servers: Readonly<Record<keyof typeof has, () => Promise<Started>>> = {
  redis: async () => {
    const server = await startRedis()
    return { server, open: () => new RedisCache({ location: server.url, options }) }
  },
  memcached: async () => {
    const server = await startMemcached()
    const location = `127.0.0.1:${server.port}`
    return { server, open: () => new MemcachedCache({ location, options }) }
  },
  postgres: async () => {
    const server = await startPostgres()
    const database = new pg.Pool({ connectionString: server.url, max: 20 })
    database.on('error', () => undefined)
    const open = () => new DatabaseCache({ location: 'told', database, options })
    await createCacheTable(open())
    return { server, open, close: () => database.end() }
  },
}

const compositions: readonly (readonly [string, (remote: Cache) => Cache])[] = [
  ['alone', (remote) => remote],
  ['behind a TieredCache', (remote) => new TieredCache({ local: new LocMemCache(), remote })],
]

beforeEach(() => {
  const spy = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  onTestFinished(() => spy.mockRestore())
})

describe.each(Object.keys(servers) as (keyof typeof has)[])('a %s that hangs', (name) => {
  describe.skipIf(!has[name])('is told of', () => {
    const started = has[name] ? servers[name]() : undefined
    afterAll(async () => {
      const { server, close } = (await started) ?? {}
      server?.resume()
      await close?.()
      await server?.stop()
    })

    it.each(compositions)(
      '%s: by metrics, inspector, log, stats and pages alike',
      async (_, compose) => {
        const { server, open } = (await started) as Started
        const remote = open()
        const caches = createCaches({ default: compose(remote) })
        onTestFinished(() => caches.default.close())
        const register = new Registry()
        const metrics = prometheusMetrics(caches, { register })
        onTestFinished(() => metrics.close())
        const lines: Record<string, unknown>[] = []
        const write = (fields: object) => void lines.push(fields as Record<string, unknown>)
        const logger = { debug: write, info: write, warn: write, error: write }
        const log = logAccess(caches, { logger, events: ['outages'] })
        onTestFinished(() => log.close())
        const { site, overview } = await Inspected.open(caches, {}, (app) => {
          app.get('/page/:id', responseCache(caches).cachePage(60), (req, res) => {
            res.send(req.params['id'])
          })
        })
        const row = async () => (await overview()).aliases[0]
        const gauge = async () =>
          Object.values(new Scrape(await register.metrics()).values('fragcache_outage'))
        // The first connection may take longer than a call may.
        await vi.waitFor(async () => {
          await site.get('/page/1')
          expect(await gauge()).toEqual([0])
        }, WAITING)
        lines.length = 0

        server.pause()
        try {
          const { headers, text } = await site.get('/page/2')
          expect(text).toBe('2')
          expect(headers['cache-status']).toContain('detail=cache-failed')
          expect(await gauge()).toEqual([1])
          const down = await row()
          expect(down?.outage?.error).toContain(remote.constructor.name)
          expect(down?.errors).toBeGreaterThan(0)
          expect(lines).toHaveLength(1)
          expect(lines[0]).toMatch(/outage.*default/)
          expect(lines[0]).toContain(remote.constructor.name)
        } finally {
          server.resume()
        }
        await vi.waitFor(async () => {
          await site.get(`/page/${Math.random()}`)
          expect(await gauge()).toEqual([0])
        }, WAITING)
        expect((await row())?.outage).toBeUndefined()
        expect(lines[1]).toMatch(/recovery.*default/)
      },
    )
  })
})
