import { Registry } from 'prom-client'
import { afterAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { responseCache } from '../../adapters/express/index.js'
import { prometheusMetrics } from '../../adapters/metrics/index.js'
import { createCaches, logAccess } from '../../src/index.js'
import { Inspected } from '../adapters/inspector-support.js'
import { compositions, freezableServers, type Freezable } from '../support/frozen-servers.js'
import { Scrape } from '../support/scrape.js'

const WAITING = { timeout: 10_000, interval: 50 }

beforeEach(() => {
  const spy = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  onTestFinished(() => spy.mockRestore())
})

describe.each(freezableServers)('a %s that hangs', (_name, start) => {
  describe.skipIf(start === undefined)('is told of', () => {
    const started = start?.()
    afterAll(async () => (await started)?.stop())

    it.each(compositions)(
      '%s: by metrics, inspector, log, stats and pages alike',
      async (_, compose) => {
        const { server, open } = (await started) as Freezable
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
