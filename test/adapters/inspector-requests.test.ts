import { setTimeout as sleep } from 'node:timers/promises'
import { channel, subscribe, unsubscribe } from 'node:diagnostics_channel'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { responseCache } from '../../adapters/express/index.js'
import type { RequestEvent } from '../../adapters/inspector/index.js'
import { createCaches, FragmentCache, LocMemCache, type FragmentMessage } from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { eventually } from '../support/express.js'
import { Inspected, type Listener } from './inspector-support.js'

async function open() {
  const caches = createCaches({ default: new LocMemCache() })
  const fragments = new FragmentCache(caches)
  const pages = responseCache(caches, { seconds: 600 })
  const body = async (ms: number) => {
    await sleep(ms)
    return 'text'
  }
  const inspected = await Inspected.open(caches, { pages }, (app) => {
    app.get('/plain', (_req, res) => res.send('no cache'))
    app.get('/value/:key', async (req, res) => {
      await caches.default.get(req.params.key)
      res.send('a value')
    })
    app.get('/many', async (_req, res) => {
      for (let i = 0; i < 250; i++) await caches.default.get(`key-${i}`)
      res.send('many')
    })
    app.use('/countries', pages.cacheSite())
    app.get('/countries/:code', async (req, res) => {
      const { code } = req.params
      const box = fragments.render({ name: 'box', varyOn: [code] }, async () => {
        await sleep(10)
        return fragments.render({ name: 'facts', varyOn: [code] }, () => body(20))
      })
      const both = [box, fragments.render({ name: 'menu', varyOn: [code] }, () => body(5))]
      res.send((await Promise.all(both)).join(' '))
    })
  })
  return { inspected, listener: await inspected.listen() }
}

const requestsOf = (listener: Listener) => listener.batches.flatMap(({ requests }) => requests)

async function request(
  listener: Listener,
  matches: (request: RequestEvent) => boolean,
): Promise<RequestEvent> {
  let found: RequestEvent | undefined
  await eventually(() => {
    found = requestsOf(listener).find(matches)
    return found !== undefined
  })
  return found as RequestEvent
}

describe('the feed by request', () => {
  it('has the fragments of each, with their start, wait and body, and no other’s', async () => {
    const { inspected, listener } = await open()
    await Promise.all(['FRA', 'PRT'].map((code) => inspected.site.get(`/countries/${code}`)))
    for (const code of ['FRA', 'PRT']) {
      const one = await request(listener, ({ url }) => url.endsWith(`/countries/${code}`))
      expect(one).toMatchObject({ method: 'GET', outcome: 'miss', left: 0 })
      const fragments = one.parts.filter(({ kind }) => kind === 'fragment')
      expect(fragments.map(({ title }) => title).sort()).toEqual(['box', 'facts', 'menu'])
      const box = fragments.find(({ title }) => title === 'box')
      const facts = fragments.find(({ title }) => title === 'facts')
      expect(facts?.outcome).toBe('miss')
      expect(facts?.bodyMs).toBeGreaterThanOrEqual(19)
      // It is made inside the other's body.
      expect(facts?.startMs).toBeGreaterThan((box?.startMs ?? 0) + 8)
      for (const { startMs, waitMs, bodyMs, writeMs } of fragments) {
        expect(startMs + waitMs + bodyMs + writeMs).toBeLessThanOrEqual(one.durationMs + 1)
      }
    }
    await inspected.site.get('/countries/FRA')
    const hit = await request(listener, ({ outcome }) => outcome === 'hit')
    expect(hit.parts.filter(({ kind }) => kind === 'fragment')).toEqual([])
  })

  it('has the fragments of its own caches, where two inspectors of one process are looked at', async () => {
    const [one, other] = [await open(), await open()]
    for (const { inspected, listener } of [one, other]) {
      await inspected.site.get('/countries/FRA')
      const found = await request(listener, ({ url }) => url.endsWith('/countries/FRA'))
      const fragments = found.parts.filter(({ kind }) => kind === 'fragment')
      expect(fragments.map(({ title }) => title).sort()).toEqual(['box', 'facts', 'menu'])
    }
  })

  it('has the start of a fragment that another listener hears about first, and takes its time', async () => {
    const busy = (message: unknown) => {
      if ((message as FragmentMessage).name !== 'box') return
      const untilMs = performance.now() + 40
      while (performance.now() < untilMs);
    }
    subscribe('fragcache:fragment', busy)
    onTestFinished(() => void unsubscribe('fragcache:fragment', busy))
    const { inspected, listener } = await open()
    await inspected.site.get('/countries/FRA')
    const { parts } = await request(listener, ({ url }) => url.endsWith('/FRA'))
    const startMs = (name: string) => parts.find(({ title }) => title === name)?.startMs ?? NaN
    expect(startMs('box')).toBeLessThan(startMs('facts'))
  })

  it('tells how long it took to write a fragment, and not twice', async () => {
    const { inspected, listener } = await open()
    await inspected.site.get('/countries/FRA')
    const { parts } = await request(listener, ({ url }) => url.endsWith('/FRA'))
    const fragments = parts.filter(({ kind }) => kind === 'fragment')
    for (const { writeMs } of fragments) expect(writeMs).toBeGreaterThan(0)
    const keys = new Set(fragments.map(({ key }) => key))
    expect(parts.filter(({ kind, key }) => kind === 'operation' && keys.has(key))).toEqual([])
  })

  it('has what became of a page that a slow store keeps after it was sent', async () => {
    const slow = new AsyncTestCache()
    slow.latencyMs = 100
    const caches = createCaches({ default: slow })
    const pages = responseCache(caches, { seconds: 600 })
    const inspected = await Inspected.open(caches, { pages }, (app) => {
      app.use('/countries', pages.cacheSite())
      app.get('/countries/:code', (_req, res) => res.send('a country'))
    })
    const listener = await inspected.listen()
    await inspected.site.get('/countries/FRA')
    const one = await request(listener, ({ url }) => url.endsWith('/FRA'))
    expect(one).toMatchObject({ outcome: 'miss', why: expect.stringContaining('not stored') })
    // The page was sent before it was stored.
    const write = one.parts.findLast(({ title }) => title.startsWith('set'))
    expect(write?.writeMs).toBeGreaterThanOrEqual(190)
    expect(write?.waitMs).toBe(0)
    expect(one.durationMs).toBeLessThan((write?.startMs ?? 0) + 190)
  })

  it('has calls of a cache that are of no fragment, at most 200 parts, and no requests without', async () => {
    const { inspected, listener } = await open()
    await inspected.site.get('/plain')
    await inspected.site.get('/value/absent')
    await inspected.site.get('/many')
    const one = await request(listener, ({ url }) => url === '/value/absent')
    expect(one.parts).toMatchObject([
      { kind: 'operation', title: 'get', key: 'absent', outcome: 'miss' },
    ])
    expect(one.outcome).toBe(undefined)
    const many = await request(listener, ({ url }) => url === '/many')
    expect([many.parts.length, many.left]).toEqual([200, 50])
    // Nor those of the inspector itself.
    expect(requestsOf(listener).map(({ url }) => url)).toEqual(['/value/absent', '/many'])
  })

  it('listens to no request once nobody has looked for a quarter of an hour', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'Date'] })
    onTestFinished(() => void vi.useRealTimers())
    const started = channel('http.server.request.start')
    const { listener } = await open()
    const idle = () => vi.advanceTimersByTime(16 * 60_000)
    idle()
    expect(started.hasSubscribers).toBe(true)
    listener.close()
    // The site hears of that a moment later.
    await eventually(() => {
      idle()
      return !started.hasSubscribers
    })
  })
})
