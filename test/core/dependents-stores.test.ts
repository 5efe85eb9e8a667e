import { setTimeout as sleep } from 'node:timers/promises'
import express from 'express'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { responseCache } from '../../adapters/express/index.js'
import { createCacheTable, DatabaseCache } from '../../src/backends/database.js'
import { FileBasedCache } from '../../src/backends/file.js'
import { MemcachedCache } from '../../src/backends/memcached.js'
import { RedisCache } from '../../src/backends/redis.js'
import { TieredCache } from '../../src/backends/tiered.js'
import { createCaches, FragmentCache, LocMemCache, type Cache } from '../../src/index.js'
import { newTable, openBetterSqlite3 } from '../support/databases.js'
import { Site } from '../support/express.js'
import { folderOfFile } from '../support/folders.js'
import { redisOfFile } from '../support/redis.js'
import { sharedServer } from '../support/servers.js'

const redis = await redisOfFile()
const memcached = await sharedServer('memcached')
const database = openBetterSqlite3()
const table = newTable()
const folder = folderOfFile()
const onDatabase = (keyPrefix: string) =>
  new DatabaseCache({ location: table, database: database.database, keyPrefix })
beforeAll(() => createCacheTable(onDatabase('')))
afterAll(() => database.end())

// A busy machine answers late, which is no outage.
const options = { timeLimitMs: 10_000 }

/** What opens the same store again and again, and whether other processes share it. */
const stores: readonly (readonly [string, boolean, boolean, (id: string) => Cache])[] = [
  ['local memory', true, false, (id) => new LocMemCache({ keyPrefix: id })],
  ['files', true, true, (id) => new FileBasedCache({ location: folder, keyPrefix: id })],
  ['SQLite', true, true, (id) => onDatabase(id)],
  [
    'Redis',
    redis.isThere,
    true,
    (id) => new RedisCache({ location: redis.url, keyPrefix: id, options }),
  ],
  [
    'Memcached',
    memcached !== undefined,
    true,
    (id) => new MemcachedCache({ location: memcached?.url ?? '', keyPrefix: id, options }),
  ],
  [
    'memory in front of Redis',
    redis.isThere,
    true,
    (id) =>
      new TieredCache({
        local: new LocMemCache(),
        remote: new RedisCache({ location: redis.url, keyPrefix: id, options }),
      }),
  ],
]

let number = 0
const opened: Cache[] = []
afterEach(async () => {
  for (const cache of opened.splice(0)) await cache.close()
})

function processOn(cache: Cache) {
  opened.push(cache)
  const caches = createCaches({ default: cache })
  return { caches, cache, fragments: new FragmentCache(caches) }
}

for (const [name, isThere, isShared, open] of stores) {
  describe.runIf(isThere)(`what a tag would drop, over ${name}`, () => {
    const newProcess = (id = `${process.pid}.${++number}`) => processOn(open(id))

    it('is what is still there: past its time, with another timeout, of another version', async () => {
      const { caches, cache, fragments } = newProcess()
      const times = { timeout: 1, staleWhileRevalidate: 60, staleIfError: 60 }
      await fragments.render({ name: 'kept', tags: ['a'], ...times }, () => 'text')
      await fragments.render({ name: 'gone', tags: ['a'], timeout: 1 }, () => 'text')
      await cache.set('key', 1, { timeout: 1, tags: ['a'] })
      await cache.touch('key', { timeout: 60 })
      await sleep(2100)
      expect(await caches.explainTags(['a'])).toMatchObject({
        entries: 2,
        fragments: [{ name: 'kept', entries: 1 }],
        values: { entries: 1, keys: ['key'] },
        isWhole: !isShared,
      })
      await cache.incrVersion('key')
      expect((await caches.explainTags(['a'])).values).toEqual({ entries: 1, keys: ['key'] })
      await cache.delete('key', { version: 2 })
      expect((await caches.explainTags(['a'])).values.entries).toBe(0)
      await caches.invalidateTags(['a'], { soft: true })
      expect((await caches.explainTags(['a'])).entries).toBe(1)
      await caches.invalidateTags(['a'])
      expect((await caches.explainTags(['a'])).entries).toBe(0)
    })

    it('is not what something without the tag has replaced', async () => {
      const { caches, cache } = newProcess()
      await cache.set('one', 1, { tags: ['a'] })
      await cache.setMany({ two: 2, three: 3 }, { tags: ['a'] })
      await cache.set('one', 2)
      await cache.setMany({ two: 3 })
      expect((await caches.explainTags(['a'])).values).toEqual({ entries: 1, keys: ['three'] })
    })

    it.runIf(isShared)('is not what another process removed, and perhaps more', async () => {
      const one = newProcess('shared')
      const other = newProcess('shared')
      await one.cache.set('key', 1, { tags: ['a', 'b'] })
      await one.cache.set('other', 1, { tags: ['a', 'b'] })
      expect(await other.cache.get('key')).toBe(1)
      expect(await other.caches.explainTags(['a'])).toMatchObject({ entries: 0, isWhole: false })
      await other.cache.delete('other')
      expect((await one.caches.explainTags(['b'])).entries).toBe(1)
      await other.caches.invalidateTags(['a'])
      expect((await one.caches.explainTags(['b'])).entries).toBe(0)
    })

    it.runIf(isShared)('has no page whose URL another process dropped', async () => {
      const one = newProcess('pages')
      const pages = responseCache(one.caches, { seconds: 60 })
      const app = express()
      app.use(pages.cacheSite())
      app.get('/:id', (_req, res) => res.setHeader('Vary', 'Accept-Language').send('page'))
      const site = await Site.open(app)
      const visit = (path: string, language = 'de') =>
        site.get(path, { headers: { 'accept-language': language } })
      await visit('/1')
      await visit('/1', 'fr')
      await visit('/2')
      const url = `${site.origin}/1`
      await expect.poll(async () => (await pages.explain(url)).entries).toBe(2)
      await responseCache(newProcess('pages').caches).invalidate(url)
      expect((await pages.explain(url)).entries).toBe(0)
      expect((await pages.explain(`${site.origin}/2`)).entries).toBe(1)
      await visit('/1')
      await expect.poll(async () => (await pages.explain(url)).entries).toBe(1)
    })
  })
}

it('what was evicted is not counted, and counting is not a use', async () => {
  for (const policy of ['lru', 's3-fifo'] as const) {
    const cache = new LocMemCache({ options: { maxEntries: 10, policy } })
    const { caches, fragments } = processOn(cache)
    const render = (id: number) =>
      fragments.render({ name: 'card', varyOn: [id], timeout: 60, tags: ['a'] }, () => 'text')
    for (let i = 0; i < 100; i++) {
      await render(i)
      expect((await caches.explainTags(['a'])).entries).toBe(Math.min(i + 1, 10))
    }
    await cache.set('more', 1)
    expect((await caches.explainTags(['a'])).entries).toBe(9)
  }
})

it('memory that several caches share may have more', async () => {
  const location = 'dependents'
  const one = processOn(new LocMemCache({ location }))
  expect((await one.caches.explainTags(['a'])).isWhole).toBe(true)
  const other = processOn(new LocMemCache({ location }))
  await other.cache.set('key', 1, { tags: ['a'] })
  expect(await one.caches.explainTags(['a'])).toMatchObject({ entries: 0, isWhole: false })
})

it('of a store that does not answer nothing is known', async () => {
  const { caches, cache } = processOn(
    new RedisCache({ location: 'redis://127.0.0.1:1', options: { timeLimitMs: 500 } }),
  )
  await cache.set('key', 1, { tags: ['a'] }).catch(() => undefined)
  expect(await caches.explainTags(['a'])).toMatchObject({ entries: 0, isWhole: false })
})
