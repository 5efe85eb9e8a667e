import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import express from 'express'
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { responseCache } from '../../adapters/express/index.js'
import { operationChannel, type OperationMessage } from '../../src/observe/channels.js'
import { createCaches, FragmentCache, LocMemCache } from '../../src/index.js'

afterEach(() => vi.useRealTimers())

describe('cache.describe', () => {
  it('tells of a fragment its tags, and the fragments whose invalidation it feels', async () => {
    const caches = createCaches({ default: new LocMemCache(), other: new LocMemCache() })
    const fragments = new FragmentCache(caches)
    await fragments.render({ name: 'page', tags: ['outer'] }, async () => {
      await fragments.render({ name: 'far', using: 'other', tags: ['far'] }, () => 'x')
      return fragments.render({ name: 'menu', varyOn: [7], tags: ['inner'] }, () => '<p>')
    })
    const menu = await caches.default.describe(fragments.makeKey('menu', [7]))
    expect(menu).toMatchObject({
      alias: 'default',
      value: '<p>',
      tags: ['inner'],
      fragments: ['menu'],
    })
    const page = await caches.default.describe(fragments.makeKey('page'))
    expect([...(page?.tags ?? [])].sort()).toEqual(['far', 'inner', 'outer'])
    expect([...(page?.fragments ?? [])].sort()).toEqual(['far', 'menu', 'page'])
    await fragments.invalidate('menu')
    expect(await caches.default.describe(fragments.makeKey('page'))).toBeUndefined()
  })

  it('tells of a page that the response cache keeps', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const pages = responseCache(caches, { alias: 'default', seconds: 600 })
    const keys = new Set<string>()
    const app = express()
    app.get('/', pages.cachePage(60), (req, res) => void res.send('a page'))
    app.get('/key', (_req, res) => void res.end())
    const note = (message: unknown) => {
      for (const key of (message as OperationMessage).keys) keys.add(key)
    }
    subscribe(operationChannel.name, note)
    const server = app.listen(0)
    onTestFinished(() => void server.close())
    const { port } = server.address() as { port: number }
    await (await fetch(`http://127.0.0.1:${port}/`)).text()
    await vi.waitFor(async () => {
      const described = await Promise.all([...keys].map((key) => caches.default.describe(key)))
      const page = described.find(({ value } = {} as never) => String(value).includes('a page'))
      expect(page).toMatchObject({ alias: 'default', isStale: false })
      expect(page?.expiresAtMs).toBeGreaterThan(Date.now() + 50_000)
    })
    unsubscribe(operationChannel.name, note)
  })

  it('tells to the millisecond from when on an entry is stale', async () => {
    vi.useFakeTimers({ now: 1_000_000 })
    const cache = new LocMemCache()
    await cache.set('k', 'v', { timeout: 10, staleWhileRevalidate: 5 })
    const times = { freshUntilMs: 1_010_000, expiresAtMs: 1_015_000 }
    expect(await cache.describe('k')).toMatchObject({ ...times, isStale: false })
    vi.setSystemTime(1_009_999)
    expect(await cache.describe('k')).toMatchObject({ ...times, isStale: false })
    vi.setSystemTime(1_010_000)
    expect(await cache.describe('k')).toMatchObject({ ...times, isStale: true })
    vi.setSystemTime(1_015_000)
    expect(await cache.describe('k')).toBeUndefined()
  })

  it('is told on the channel as neither hit nor miss', async () => {
    const cache = new LocMemCache()
    await cache.set('k', 'v')
    const messages: OperationMessage[] = []
    const note = (message: unknown) => void messages.push(message as OperationMessage)
    subscribe(operationChannel.name, note)
    await cache.describe('k')
    await cache.describe('none')
    unsubscribe(operationChannel.name, note)
    expect(messages.map(({ operation, hits, misses }) => [operation, hits, misses])).toEqual([
      ['describe', 0, 0],
      ['describe', 0, 0],
    ])
  })
})
