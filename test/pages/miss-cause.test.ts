import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { setTimeout as sleep } from 'node:timers/promises'
import express from 'express'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  responseCache,
  type ResponseCacheOptions,
  type ResponseMessage,
} from '../../adapters/express/index.js'
import { FileBasedCache } from '../../src/backends/file.js'
import { createCaches, dependOn, DummyCache, LocMemCache, type Cache } from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { Site } from '../support/express.js'
import { folderOfTest } from '../support/folders.js'
import { everyStore } from '../testing/every-store.js'

const told: ResponseMessage[] = []
const onMessage = (message: unknown) => void told.push(message as ResponseMessage)
beforeEach(() => {
  told.length = 0
  subscribe('fragcache:response', onMessage)
})
afterEach(() => unsubscribe('fragcache:response', onMessage))

const { all, connections, onDatabase } = await everyStore('page-causes')

async function siteOn(cache: Cache, seconds = 60, options: ResponseCacheOptions<'default'> = {}) {
  const caches = createCaches({ default: cache })
  const pages = responseCache(caches, options)
  const app = express()
  app.get('/countries', pages.cachePage(seconds), (_req, res) => {
    dependOn(['countries'])
    res.vary('X-Size')
    res.send('page')
  })
  const site = await Site.open(app)
  /** What became of a request, once it is told. */
  const get = async (headers: Record<string, string> = {}) => {
    const before = told.length
    const { cacheStatus } = await site.get('/countries', { headers })
    await expect.poll(() => told.length).toBeGreaterThan(before)
    return { cacheStatus, cause: told.at(-1)?.cause, outcome: told.at(-1)?.outcome }
  }
  return { caches, pages, get, url: `${site.origin}/countries` }
}

for (const [name, isThere, open] of all) {
  describe.runIf(isThere)(`a page that is missing over ${name}`, () => {
    it('was never stored', async () => {
      const { get } = await siteOn(open())
      expect(await get()).toMatchObject({
        outcome: 'miss',
        cause: { code: 'not-stored' },
        cacheStatus: 'fragcache; fwd=uri-miss; stored',
      })
      expect(await get()).toMatchObject({ outcome: 'hit', cause: undefined })
    })

    it('has expired', async () => {
      const { get } = await siteOn(open(), 1)
      await get()
      await sleep(1500)
      const { cause, cacheStatus } = await get()
      expect(cause?.code).toBe('expired')
      // The handler is asked by the page's ETag, and confirms it.
      expect(cacheStatus).toMatch(/^fragcache; fwd=stale; fwd-status=304; stored$/)
    })

    it('was invalidated by a tag', async () => {
      const { caches, get } = await siteOn(open())
      await get()
      await caches.invalidateTags(['countries'])
      expect(await get()).toMatchObject({
        cause: { code: 'dropped', tag: 'countries', from: expect.any(String) as string },
        cacheStatus: expect.stringMatching(/; stored; detail=dropped$/) as string,
      })
    })

    it('was invalidated by its URL', async () => {
      const { pages, get, url } = await siteOn(open())
      await get()
      await pages.invalidate(url)
      expect(await get()).toMatchObject({
        cause: {
          code: 'removed',
          from: expect.stringContaining('pages/miss-cause.test.ts:') as string,
        },
        cacheStatus: expect.stringMatching(/; stored; detail=removed$/) as string,
      })
    })

    it('is stale, and why', async () => {
      const { caches, get } = await siteOn(open(), 60, { staleWhileRevalidate: 60 })
      await get()
      await caches.invalidateTags(['countries'], { soft: true })
      await get()
      // It is rendered again in the background.
      await expect.poll(() => told.filter(({ outcome }) => outcome === 'miss')).toHaveLength(2)
      expect(told.find(({ outcome }) => outcome === 'stale')?.cause).toMatchObject({
        code: 'dropped',
        tag: 'countries',
        from: expect.stringContaining('pages/miss-cause.test.ts:') as string,
      })
    })

    it('is stored in another variant, of which nothing is told that a visitor sent', async () => {
      const { get } = await siteOn(open())
      await get({ 'X-Size': 'secret-small' })
      const { cause, cacheStatus } = await get({ 'X-Size': 'secret-large' })
      expect(cause).toEqual({
        code: 'other-variant',
        text: 'Another variant is stored: the request header x-size differs.',
      })
      expect(JSON.stringify(cause)).not.toContain('secret')
      expect(cacheStatus).toBe('fragcache; fwd=vary-miss; stored')
    })
  })
}

const limited = { maxEntries: 20 }
it.each<[string, () => Cache]>([
  ['local memory', () => new LocMemCache({ options: limited })],
  ['files', () => new FileBasedCache({ location: folderOfTest(), options: limited })],
  ...connections.flatMap(([name, one]): [string, () => Cache][] =>
    one ? [[name, () => onDatabase(one.database, limited)]] : [],
  ),
])('a page was evicted from %s', async (_name, open) => {
  const { get, caches } = await siteOn(open())
  await get()
  for (let i = 0; i < 200; i++) await caches.default.set(String(i), i)
  expect(await get()).toMatchObject({
    cause: { code: 'evicted' },
    cacheStatus: expect.stringMatching(/; stored; detail=evicted$/) as string,
  })
})

it.each([
  [{ 'X-Size': 'small' }, { 'X-Size': 'large' }, 'the request header x-size differs'],
  [{ 'X-Language': 'de' }, { 'X-Language': 'fr' }, 'the language differs'],
  [
    { 'X-Language': 'de', 'X-Size': 'small' },
    { 'X-Language': 'fr', 'X-Size': 'large' },
    'the language differs',
  ],
  [{}, { Authorization: 'Basic Ym9iOnNlY3JldA==' }, 'the request header authorization differs'],
])('a page for %j is stored, and one for %j is not', async (one, other, difference) => {
  const { get } = await siteOn(new LocMemCache(), 60, {
    language: ({ headers }) => headers['x-language']?.toString() ?? 'en',
  })
  await get(one)
  await get({ ...one, 'X-Size': 'far from it', 'X-Language': 'it' })
  expect(await get(other)).toMatchObject({
    cacheStatus: 'fragcache; fwd=vary-miss; stored',
    cause: { code: 'other-variant', text: `Another variant is stored: ${difference}.` },
  })
})

it('Cache-Status has the whole sentence in development, and nothing but the code elsewhere', async () => {
  const { caches, get } = await siteOn(new LocMemCache())
  await get()
  try {
    for (const [environment, detail] of [
      ['production', 'dropped'],
      ['', 'dropped'],
      [
        'development',
        /^"dropped: It depends on the tag \\"countries\\", which was invalidated less than a second ago, from test\/pages\/miss-cause\.test\.ts:\d+\."$/,
      ],
    ] as const) {
      vi.stubEnv('NODE_ENV', environment)
      await caches.invalidateTags(['countries'])
      const { cacheStatus } = await get()
      const said = cacheStatus?.replace('fragcache; fwd=vary-miss; stored; detail=', '')
      if (typeof detail === 'string') expect(said).toBe(detail)
      else expect(said).toMatch(detail)
    }
  } finally {
    vi.unstubAllEnvs()
  }
})

it('a cache that stores nothing does not say that it stored a page', async () => {
  try {
    for (const [environment, detail] of [
      ['production', ''],
      ['development', '; detail="not-stored: Its cache stores nothing."'],
    ] as const) {
      vi.stubEnv('NODE_ENV', environment)
      const { get } = await siteOn(new DummyCache())
      for (let i = 0; i < 2; i++) {
        expect((await get()).cacheStatus).toBe(`fragcache; fwd=uri-miss${detail}`)
      }
    }
  } finally {
    vi.unstubAllEnvs()
  }
})

it('every variant of a URL that was invalidated was removed', async () => {
  const { pages, get, url } = await siteOn(new LocMemCache())
  for (let i = 0; i < 30; i++) await get({ 'X-Size': String(i) })
  expect((await pages.explain(url)).entries).toBe(30)
  await pages.invalidate(url)
  expect((await pages.explain(url)).entries).toBe(0)
  expect((await get({ 'X-Size': '0' })).cause?.code).toBe('removed')
})

it('a page is stored in a cache of another version', async () => {
  const caches = createCaches({
    default: new LocMemCache(),
    next: new LocMemCache({ version: 2 }),
  })
  const app = express()
  let alias: 'default' | 'next' = 'default'
  const before = responseCache(caches).cachePage(60)
  const after = responseCache(caches, { alias: 'next' }).cachePage(60)
  app.get(
    '/',
    (req, res, next) => (alias === 'default' ? before : after)(req, res, next),
    (_req, res) => void res.send('page'),
  )
  const site = await Site.open(app)
  await site.get('/')
  alias = 'next'
  await site.get('/')
  await expect.poll(() => told.at(-1)?.cause?.code).toBe('other-version')
})

it('a page is missing since the store fails', async () => {
  const cache = new AsyncTestCache()
  const { get } = await siteOn(cache)
  await get()
  cache.failing = true
  expect(await get()).toMatchObject({ outcome: 'bypass', cause: { code: 'store-failed' } })
})

it('a stale page has expired', async () => {
  const { get } = await siteOn(new LocMemCache(), 1, { staleWhileRevalidate: 60 })
  await get()
  await sleep(1100)
  await get()
  await expect.poll(() => told.filter(({ outcome }) => outcome === 'miss')).toHaveLength(2)
  expect(told.find(({ outcome }) => outcome === 'stale')?.cause?.code).toBe('expired')
})

it('a request that no page was looked up for has no cause', async () => {
  const { get } = await siteOn(new LocMemCache())
  await get()
  expect((await get({ 'Cache-Control': 'no-store' })).cause).toBeUndefined()
})
