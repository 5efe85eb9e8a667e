import { channel } from 'node:diagnostics_channel'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import type { KnownNames } from '../../adapters/inspector/index.js'
import { statusOf, statusOfAll } from '../../adapters/inspector/status.js'
import { responseCache } from '../../adapters/express/index.js'
import { createCaches, FragmentCache, LocMemCache } from '../../src/index.js'
import { Inspected, Shaky } from './inspector-support.js'

describe('the status of a cache', () => {
  const outage = { sinceMs: 1, error: 'gone' }
  it.each([
    ['up', undefined, undefined],
    ['up', undefined, { backend: 'RedisCache', entries: 1 }],
    ['down', outage, undefined],
    ['degraded', { ...outage, isPartial: true }, undefined],
    [
      'degraded',
      undefined,
      { backend: 'MemcachedCache', servers: [{ name: 'a' }, { name: 'b', error: 'refused' }] },
    ],
  ] as const)('is %s', (status, lasting, server) => {
    expect(statusOf(lasting, server)).toBe(status)
  })

  it('is degraded for all while one of several is down, and down only if all are', () => {
    expect(statusOfAll([{ status: 'up' }, { status: 'down' }])).toBe('degraded')
    expect(statusOfAll([{ status: 'down' }, { status: 'down' }])).toBe('down')
    expect(statusOfAll([{ status: 'up' }])).toBe('up')
  })

  it('is down while its store fails, and up again after that', async () => {
    const shaky = new Shaky()
    const caches = createCaches({ default: shaky, memory: new LocMemCache() })
    const inspected = await Inspected.open(caches)
    const statuses = async () => {
      const { status, aliases } = await inspected.overview()
      return [status, ...aliases.map((row) => row.status)]
    }
    expect(await statuses()).toEqual(['up', 'up', 'up'])
    shaky.fails = true
    await caches.default.get('x').catch(() => undefined)
    expect(await statuses()).toEqual(['degraded', 'down', 'up'])
    shaky.fails = false
    await expect
      .poll(async () => {
        await caches.default.get('x').catch(() => undefined)
        return statuses()
      })
      .toEqual(['up', 'up', 'up'])
  })
})

describe('the totals', () => {
  it('have requests a second, without the inspector’s own, and memory against its limit', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'Date'] })
    onTestFinished(() => void vi.useRealTimers())
    const caches = createCaches({
      default: new LocMemCache({ options: { maxBytes: 100_000 } }),
      unlimited: new LocMemCache({ location: 'unlimited' }),
    })
    const inspected = await Inspected.open(caches, {}, (app) => {
      app.get('/', (_req, res) => res.send('home'))
    })
    await inspected.overview()
    for (let i = 0; i < 20; i++) await inspected.site.get('/')
    await caches.default.set('key', 'x'.repeat(1000))
    vi.advanceTimersByTime(5000)
    const { requestsPerSecond, totals } = await inspected.overview()
    expect(requestsPerSecond).toBe(4)
    expect(totals.memory?.maxBytes).toBe(100_000)
    expect(totals.memory?.bytes).toBeGreaterThan(1000)
  })

  it('count requests only while somebody looks now and then', async () => {
    const started = channel('http.server.request.start')
    const inspected = await Inspected.open()
    expect(started.hasSubscribers).toBe(false)
    await inspected.overview()
    expect(started.hasSubscribers).toBe(true)
    inspected.inspector.close()
    expect(started.hasSubscribers).toBe(false)
  })
})

describe('what forms suggest', () => {
  it('are the fragments, tags and URLs that this process knows', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const pages = responseCache(caches, { seconds: 60 })
    const inspected = await Inspected.open(caches, { pages }, (app) => {
      app.get('/about', pages.cachePage(60), (_req, res) => res.send('about'))
    })
    await new FragmentCache(caches).render({ name: 'menu', tags: ['nav'] }, () => 'menu')
    await caches.default.set('greek:alpha', 1, { tags: ['nav'] })
    await caches.default.set('beta', 1, { tags: ['nav'] })
    await inspected.site.get('/about')
    expect(await inspected.json<KnownNames>('/api/names')).toEqual({
      fragments: ['menu'],
      tags: ['nav'],
      urls: [`${inspected.site.origin}/about`],
      prefixes: ['template.cache.menu.', 'greek:', 'views.decorators.cache.'],
    })
  })
})
