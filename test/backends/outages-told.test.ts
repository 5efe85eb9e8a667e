import { Registry } from 'prom-client'
import { afterAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { responseCache } from '../../adapters/express/index.js'
import { openTelemetry, prometheusMetrics } from '../../adapters/metrics/index.js'
import { MemcachedCache } from '../../src/backends/memcached.js'
import { TieredCache } from '../../src/backends/tiered.js'
import { createCaches, LocMemCache, logAccess, type Cache, type Caches } from '../../src/index.js'
import { Inspected } from '../adapters/inspector-support.js'
import { configure, ownFolder, runJson } from '../cli/support.js'
import { freezableServers, type Freezable } from '../support/frozen-servers.js'
import { metering } from '../support/open-telemetry.js'
import { Scrape } from '../support/scrape.js'
import { sharedServer } from '../support/servers.js'
import { startMemcached } from '../support/servers/memcached.js'

const WAITING = { timeout: 10_000, interval: 50 }

const folder = ownFolder()

beforeEach(() => {
  const spy = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  onTestFinished(() => spy.mockRestore())
})

const near = () => new LocMemCache()

/** What a cache over a server may be part of. `default` keeps the pages. */
const compositions: readonly {
  readonly name: string
  readonly compose: (remote: Cache) => Readonly<Record<string, Cache>> & { readonly default: Cache }
  /** The state of each cache while the server hangs. */
  readonly states: Readonly<Record<string, 'up' | 'degraded' | 'down'>>
  /** Of all. */
  readonly state: 'degraded' | 'down'
}[] = [
  {
    name: 'alone',
    compose: (remote) => ({ default: remote }),
    states: { default: 'down' },
    state: 'down',
  },
  {
    name: 'beside a cache that works',
    compose: (remote) => ({ default: remote, memory: near() }),
    states: { default: 'down', memory: 'up' },
    state: 'degraded',
  },
  {
    name: 'under two aliases',
    compose: (remote) => ({ default: remote, again: remote }),
    states: { default: 'down', again: 'down' },
    state: 'down',
  },
  {
    name: 'behind a TieredCache',
    compose: (remote) => ({ default: new TieredCache({ local: near(), remote }) }),
    states: { default: 'degraded' },
    state: 'degraded',
  },
  {
    name: 'behind a TieredCache, and under an alias of its own',
    compose: (remote) => ({ default: new TieredCache({ local: near(), remote }), far: remote }),
    states: { default: 'degraded', far: 'down' },
    state: 'degraded',
  },
  {
    name: 'behind two TieredCaches',
    compose: (remote) => ({
      default: new TieredCache({ local: near(), remote }),
      other: new TieredCache({ local: near(), remote }),
    }),
    states: { default: 'degraded', other: 'degraded' },
    state: 'degraded',
  },
  {
    name: 'behind a TieredCache behind another',
    compose: (remote) => ({
      default: new TieredCache({
        local: near(),
        remote: new TieredCache({ local: near(), remote }),
      }),
    }),
    states: { default: 'degraded' },
    state: 'degraded',
  },
]

/** Who is told of outages, and how. */
async function watch(caches: Caches) {
  const register = new Registry()
  const metrics = prometheusMetrics(caches, { register })
  const { provider, values } = metering()
  const telemetry = openTelemetry(caches, { meterProvider: provider })
  const lines: string[] = []
  const write = (fields: unknown) => void lines.push(String(fields))
  const logger = { debug: write, info: write, warn: write, error: write }
  const log = logAccess(caches, { logger, events: ['outages'] })
  onTestFinished(() => {
    for (const one of [metrics, telemetry, log]) one.close()
  })
  const { site, overview } = await Inspected.open(caches, {}, (app) => {
    app.get('/page/:id', responseCache(caches).cachePage(60), (req, res) => {
      res.send(req.params['id'])
    })
  })
  return {
    lines,
    site,
    overview,
    /** By alias, of both kinds of metrics: whether an outage lasts. */
    lasting: async () => {
      const scraped = new Scrape(await register.metrics()).values('fragcache_outage')
      const active = (await values())['fragcache.outages.active'] ?? {}
      return {
        scraped: Object.values(scraped),
        measured: Object.values(active),
      }
    },
  }
}

let written = 0

/** What the command line tool finds out about caches of this process. */
async function check(caches: Caches) {
  const name = `caches of a test ${written++}`
  Object.assign(globalThis, { [name]: caches })
  const config = configure(folder, `export default globalThis[${JSON.stringify(name)}]`)
  const { code, json } = await runJson(['check', '--config', config])
  const { aliases } = json as {
    readonly aliases: readonly {
      readonly alias: string
      readonly findings: readonly { readonly level: string; readonly sentence: string }[]
    }[]
  }
  const wrong = aliases.filter(({ findings }) => findings.some(({ level }) => level === 'wrong'))
  return { code, wrong: wrong.map(({ alias }) => alias) }
}

describe.each(freezableServers)('a %s that hangs', (_name, start) => {
  describe.skipIf(start === undefined)('is told of by everything that watches', () => {
    const started = start?.()
    afterAll(async () => (await started)?.stop())

    it.each(compositions)('$name', async ({ compose, states, state }) => {
      const { server, open } = (await started) as Freezable
      const remote = open()
      const caches: Caches = createCaches(compose(remote))
      onTestFinished(() => caches.close())
      const { lines, site, overview, lasting } = await watch(caches)
      const touched = Object.keys(states).filter((alias) => states[alias] !== 'up')
      const told = async () => {
        const { aliases, status } = await overview()
        return [status, Object.fromEntries(aliases.map((one) => [one.alias, one.status]))]
      }
      const allUp = ['up', Object.fromEntries(Object.keys(states).map((alias) => [alias, 'up']))]
      // The first connection may take longer than a call may.
      await vi.waitFor(async () => {
        await site.get('/page/1')
        expect((await lasting()).scraped).not.toContain(1)
        expect(await told()).toEqual(allUp)
      }, WAITING)
      const before = caches.stats().aliases
      lines.length = 0
      // Who begins to watch in the middle of it.
      const later: Awaited<ReturnType<typeof watch>>[] = []

      server.pause()
      try {
        const { headers, text } = await site.get('/page/2')
        expect(text).toBe('2')
        expect(headers['cache-status']).toContain('detail=cache-failed')

        const { scraped, measured } = await lasting()
        const caught = [...new Set(touched.map((alias) => caches.get(alias)))]
        const ones = (values: readonly unknown[]) => values.filter((value) => value === 1)
        expect(ones(scraped)).toHaveLength(caught.length)
        expect(ones(measured)).toHaveLength(caught.length)

        expect(await told()).toEqual([state, states])
        for (const { alias, outage } of (await overview()).aliases) {
          if (touched.includes(alias)) expect(outage?.error).toContain(remote.constructor.name)
          else expect(outage).toBeUndefined()
        }
        const after = caches.stats().aliases
        expect(after['default']?.errors).toBeGreaterThan(before['default']?.errors ?? NaN)

        const tellingOfOutage = lines.filter((line) => line.includes('outage'))
        expect(tellingOfOutage).toHaveLength(caught.length)
        for (const line of tellingOfOutage) expect(line).toContain(remote.constructor.name)
        for (const cache of caught) {
          // Of a cache with two aliases everything tells the first.
          const alias = caches.aliases.find((one) => caches.get(one) === cache)
          expect(tellingOfOutage.filter((line) => line.includes(`${alias}`))).toHaveLength(1)
        }

        const figures = await caches.serverStats()
        for (const alias of touched) {
          const told = figures[alias]
          const errors = [told, ...(told?.servers ?? [])].map((one) => one?.error)
          expect([alias, errors.some((error) => error !== undefined)]).toEqual([alias, true])
        }

        expect(await check(caches)).toEqual({ code: 1, wrong: touched })

        const late = await watch(caches)
        later.push(late)
        expect(ones((await late.lasting()).scraped)).toHaveLength(caught.length)
        expect(ones((await late.lasting()).measured)).toHaveLength(caught.length)
        expect((await late.overview()).status).toBe(state)
        expect(late.lines).toHaveLength(caught.length)
      } finally {
        server.resume()
      }
      await vi.waitFor(async () => {
        await site.get(`/page/${Math.random()}`)
        const { scraped, measured } = await lasting()
        expect([...scraped, ...measured]).not.toContain(1)
        expect(await told()).toEqual(allUp)
        expect((await check(caches)).wrong).toEqual([])
        for (const late of later) {
          expect((await late.lasting()).scraped).not.toContain(1)
          expect((await late.overview()).status).toBe('up')
        }
      }, WAITING)
      // On a slow machine there may have been another one meanwhile.
      const over = lines.filter((line) => line.includes('recovery'))
      expect(over.length).toBeGreaterThanOrEqual(
        new Set(touched.map((one) => caches.get(one))).size,
      )
      expect(lines).toHaveLength(2 * over.length)
    })
  })
})

const isThere = (await sharedServer('memcached')) !== undefined

describe.skipIf(!isThere)('one of three Memcached servers that hangs', () => {
  it.each([
    ['alone', (remote: Cache) => remote],
    ['behind a TieredCache', (remote: Cache) => new TieredCache({ local: near(), remote })],
  ])(
    'is told of by who asks for the servers, and is no outage of the cache (%s)',
    async (_, compose) => {
      const servers = await Promise.all([startMemcached(), startMemcached(), startMemcached()])
      onTestFinished(async () => {
        await Promise.all(servers.map((server) => server.stop()))
      })
      const location = servers.map(({ port }) => `127.0.0.1:${port}`)
      const remote = new MemcachedCache({ location, options: { timeLimitMs: 500 } })
      const caches: Caches = createCaches({ default: compose(remote) })
      onTestFinished(() => caches.close())
      const { lines, site, overview, lasting } = await watch(caches)
      const ask = async (path: string) =>
        (await site.get(path)).headers['cache-status']?.toString() ?? ''
      // Page by page: all of them again after each miss would take a busy machine too long.
      const allAreFound = async () => {
        for (let i = 0; i < 20; i++) {
          await vi.waitFor(async () => expect(await ask(`/page/${i}`)).toContain('hit'), WAITING)
        }
      }
      await allAreFound()
      lines.length = 0

      const [frozen] = servers
      frozen.pause()
      try {
        const said: string[] = []
        for (let i = 20; i < 40; i++) said.push(await ask(`/page/${i}`))
        // All fail where it has a counter that they share.
        expect(said).toContainEqual(expect.stringContaining('detail=cache-failed'))
        for (const one of said) expect(one).toMatch(/detail=cache-failed|stored/)

        // The cache as a whole has no outage: metrics count errors, and a warning names the server.
        expect(lines).toEqual([])
        expect((await lasting()).scraped).not.toContain(1)
        expect(caches.stats().aliases['default']?.errors).toBeGreaterThan(0)
        const warned = vi.mocked(process.emitWarning).mock.calls.map(([text]) => String(text))
        expect(warned).toContainEqual(
          expect.stringMatching(
            new RegExp(`MemcachedCache.*some of its calls fail: .*127.0.0.1:${frozen.port}`),
          ),
        )
        const figures = (await caches.serverStats())['default']?.servers ?? []
        const silent = figures.filter(({ error }) => error !== undefined)
        expect([figures.length, silent.length]).toEqual([3, 1])
        expect(await check(caches)).toEqual({ code: 1, wrong: ['default'] })
        const { status, aliases } = await overview()
        expect([status, ...aliases.map((one) => one.status)]).toEqual(['degraded', 'degraded'])
      } finally {
        frozen.resume()
      }
      await allAreFound()
      await vi.waitFor(async () => {
        const { scraped, measured } = await lasting()
        expect([...scraped, ...measured]).not.toContain(1)
        expect((await overview()).status).toBe('up')
        expect((await check(caches)).wrong).toEqual([])
      }, WAITING)
    },
  )
})
