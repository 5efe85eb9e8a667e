import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import type { Failure, ResponseRow } from '../../adapters/inspector/index.js'
import { MAX_PREVIEW, previewOf } from '../../adapters/inspector/preview.js'
import { responseCache } from '../../adapters/express/index.js'
import { MemcachedCache } from '../../src/backends/memcached.js'
import { RedisCache } from '../../src/backends/redis.js'
import { createCaches, FragmentCache, LocMemCache, type Cache } from '../../src/index.js'
import { sharedServer } from '../support/servers.js'
import { Inspected } from './inspector-support.js'

const hole = { e: 'nunjucks', t: 'menu.njk', h: 'h1' }

describe('a preview', () => {
  it.each<[string, unknown, string, string]>([
    ['a string', 'hello', 'text', 'hello'],
    ['a number', 5, 'json', '5'],
    ['nothing', null, 'json', 'null'],
    ['a large number', 12n, 'json', '12n'],
    ['an empty object', {}, 'json', '{}'],
    [
      'an object',
      { a: [1, 'two', null], b: { c: true } },
      'json',
      '{\n  "a": [\n    1,\n    "two",\n    null\n  ],\n  "b": {\n    "c": true\n  }\n}',
    ],
    ['a date', new Date(0), 'json', '"1970-01-01T00:00:00.000Z"'],
    ['a map', new Map([['a', 1]]), 'json', '{\n  "a": 1\n}'],
    ['a set', new Set([1, 'a']), 'json', '[\n  1,\n  "a"\n]'],
    ['bytes of a text', Buffer.from('grüße'), 'binary', 'grüße'],
    ['other bytes', Buffer.from([0, 255, 16]), 'binary', '00 ff 10'],
    ['bytes among others', { a: Buffer.alloc(9) }, 'json', '{\n  "a": "(9 bytes)"\n}'],
    ['a fragment with a hole', ['<ul>', hole, '</ul>'], 'text', '<ul>⟦hole of menu.njk, h1⟧</ul>'],
    ['control characters', { a: '\u001b[31m\u0000' }, 'json', '{\n  "a": "\\u001b[31m\\u0000"\n}'],
  ])('is made of %s', (_name, value, previewKind, preview) => {
    expect(previewOf(value)).toEqual({ previewKind, preview, isTruncated: false })
  })

  it.each<[string, unknown]>([
    ['a long text', 'x'.repeat(10_000_000)],
    ['long bytes', Buffer.alloc(10_000_000, 'x')],
    ['long bytes that are no text', Buffer.alloc(10_000_000, 0xff)],
    ['a long list', Array.from({ length: 1_000_000 }, (_, i) => i)],
    ['a list with few of four billion', Object.assign([], { length: 2 ** 32 - 1 })],
    ['a long name', { ['x'.repeat(1_000_000)]: 1 }],
    ['a fragment with many holes', Array.from({ length: 9999 }, (_, i) => (i % 2 ? hole : 'x'))],
  ])('is bounded for %s', (_name, value) => {
    const { preview = '', isTruncated } = previewOf(value)
    expect(isTruncated).toBe(true)
    expect(preview.length).toBeLessThanOrEqual(MAX_PREVIEW)
    expect(preview.length).toBeGreaterThan(1000)
  })

  it('ends for what contains itself, and for what is deep', () => {
    const circle: Record<string, unknown> = {}
    circle['self'] = circle
    expect(previewOf(circle).preview).toContain('"…"')
    let deep: unknown = 1
    for (let i = 0; i < 10_000; i++) deep = [deep]
    expect(previewOf(deep).preview).toContain('"…"')
  })

  it('cuts no character in two', () => {
    const { preview = '' } = previewOf('x' + '😀'.repeat(5000))
    expect(preview.isWellFormed()).toBe(true)
    expect(preview.length).toBe(MAX_PREVIEW - 1)
  })
})

describe.each(['local memory', 'redis', 'memcached'])('an entry in %s', (kind) => {
  async function open(): Promise<{ cache: Cache; inspected: Inspected } | undefined> {
    const cache = await newCache(kind)
    if (cache === undefined) return undefined
    const caches = createCaches({ default: cache })
    onTestFinished(() => caches.close())
    return { cache, inspected: await Inspected.open(caches) }
  }

  it('is shown with its key, version, tags, times and value', async () => {
    const opened = await open()
    if (opened === undefined) return
    const { cache, inspected } = opened
    await cache.set('one', { name: 'Ann' }, { timeout: 60, tags: ['people', 'a b'], version: 7 })
    const entry = await inspected.entry('default', 'one', '7')
    expect(entry).toMatchObject({
      found: true,
      alias: 'default',
      key: 'one',
      version: '7',
      storedKey: cache.makeKey('one', 7),
      isStale: false,
      preview: '{\n  "name": "Ann"\n}',
      previewKind: 'json',
      isTruncated: false,
    })
    expect([...entry.tags].sort()).toEqual(['a b', 'people'])
    const leftMs = (entry.expiresAtMs ?? 0) - Date.now()
    expect(leftMs).toBeGreaterThan(50_000)
    expect(leftMs).toBeLessThanOrEqual(61_000)
    await cache.set('two', 'x', { timeout: null })
    expect((await inspected.entry('default', 'two')).expiresAtMs).toBeNull()
  })

  it('is told to be absent where it is', async () => {
    const opened = await open()
    if (opened === undefined) return
    const { cache, inspected } = opened
    expect(await inspected.entry('default', 'nothing')).toEqual({
      found: false,
      alias: 'default',
      key: 'nothing',
      version: '',
      storedKey: cache.makeKey('nothing'),
      tags: [],
      fragments: [],
      expiresAtMs: null,
      freshUntilMs: null,
      isStale: false,
      previewKind: 'text',
      isTruncated: false,
    })
  })

  it('says why it is missing, where that is known', async () => {
    const opened = await open()
    if (opened === undefined) return
    const { cache, inspected } = opened
    const causeOf = async (key: string, version?: string) =>
      (await inspected.entry('default', key, version)).cause
    await cache.set('removed', 1, { tags: ['a'] })
    await cache.delete('removed')
    expect(await causeOf('removed')).toMatchObject({ code: 'removed' })
    await cache.set('dropped', 1, { tags: ['country:de'] })
    await cache.invalidateTags(['country:de'])
    expect(await causeOf('dropped')).toMatchObject({ code: 'dropped', tag: 'country:de' })
    await cache.set('short', 1, { timeout: 0.05, tags: ['b'] })
    await sleep(100)
    expect(await causeOf('short')).toMatchObject({ code: 'expired' })
    expect(await causeOf('untagged')).toBe(undefined)

    const fragments = new FragmentCache(createCaches({ default: cache }))
    const key = fragments.makeKey('menu')
    expect(await causeOf(key)).toMatchObject({ code: 'not-stored' })
    await fragments.render({ name: 'menu' }, () => 'menu')
    expect(await causeOf(key, '7')).toMatchObject({ code: 'other-version' })
    await cache.clear()
    expect(await causeOf(key)).toMatchObject({ code: 'removed' })
  })

  it('of a fragment is its text', async () => {
    const opened = await open()
    if (opened === undefined) return
    const { inspected, cache } = opened
    const fragments = new FragmentCache(createCaches({ default: cache }))
    await fragments.render({ name: 'menu', timeout: 60, tags: ['nav'] }, () => '<b>menu</b>')
    const key = fragments.makeKey('menu')
    expect(await inspected.entry('default', key)).toMatchObject({
      found: true,
      preview: '<b>menu</b>',
      previewKind: 'text',
      tags: ['nav'],
      fragments: ['menu'],
    })
  })

  it('of a page is its status, its headers and its text', async () => {
    const cache = await newCache(kind)
    if (cache === undefined) return
    const caches = createCaches({ default: cache })
    onTestFinished(() => caches.close())
    const pages = responseCache(caches, { seconds: 60, rfc9111: true })
    const inspected = await Inspected.open(caches, {}, (app) =>
      app.get('/', pages.cachePage(60), (_req, res) => {
        res.set({ 'X-Own': 'yes', 'Cache-Control': 'public, max-age=60' })
        res.cookie('session', 'secret').type('html').send('<h1>Grüße</h1>')
      }),
    )
    // The first call loads the client and connects, which a page does not wait for.
    await cache.get('anything')
    await inspected.overview()
    await inspected.site.get('/')
    let row: ResponseRow | undefined
    // It is told once it is stored, after it is sent.
    for (let i = 0; i < 100 && row === undefined; i++) [row] = await inspected.responses()
    expect(row?.outcome).toBe('miss')
    const entry = await inspected.entry('default', row?.key ?? '')
    expect(entry).toMatchObject({ found: true, previewKind: 'page', isTruncated: false })
    const [head = '', body] = (entry.preview ?? '').split('\n\n')
    expect(body).toBe('<h1>Grüße</h1>')
    expect(head.split('\n')[0]).toBe('200 OK')
    expect(head).toContain('X-Own: yes')
    expect(head).toContain('Set-Cookie: (hidden)')
    expect(entry.preview).not.toContain('secret')
  })

  it('of a page is stale once the page answers no longer, and none once its URL is invalidated', async () => {
    const cache = await newCache(kind)
    if (cache === undefined) return
    const caches = createCaches({ default: cache })
    onTestFinished(() => caches.close())
    const pages = responseCache(caches)
    const inspected = await Inspected.open(caches, {}, (app) =>
      app.get('/', pages.cachePage(1), (_req, res) => res.send('home')),
    )
    await cache.get('anything')
    await inspected.overview()
    await inspected.site.get('/')
    const row = await vi.waitUntil(async () => (await inspected.responses())[0])
    const look = () => inspected.entry('default', row.key)
    await vi.waitUntil(async () => (await look()).isStale, { timeout: 5000 })
    const { found, freshUntilMs, expiresAtMs } = await look()
    expect(found).toBe(true)
    expect(freshUntilMs).toBeLessThan(Date.now())
    expect(expiresAtMs).toBeGreaterThan(Date.now())
    await pages.invalidate(`${inspected.site.origin}/`)
    expect(await look()).toMatchObject({ found: false, cause: { code: 'expired' } })
  })
})

async function newCache(kind: string): Promise<Cache | undefined> {
  const settings = { keyPrefix: `entry${process.pid}`, options: { timeLimitMs: 10_000 } }
  if (kind === 'redis') {
    const server = await sharedServer('redis')
    return server && new RedisCache({ ...settings, location: server.url })
  }
  if (kind === 'memcached') {
    const server = await sharedServer('memcached')
    return server && new MemcachedCache({ ...settings, location: server.url })
  }
  return new LocMemCache()
}

describe('a question for an entry', () => {
  it.each([
    ['', 'alias: there is no cache ""'],
    ['alias=default', 'key: give a string'],
    ['alias=nope&key=a', 'alias: there is no cache "nope"'],
    ['alias=__proto__&key=a', 'alias: there is no cache "__proto__"'],
    ['alias=default&key=', 'key: give a string'],
  ])('%j is a fault of the request', async (query, message) => {
    const inspected = await Inspected.open()
    const answer = await inspected.get(`/api/entry?${query}`)
    expect(answer.status).toBe(400)
    expect((JSON.parse(answer.text) as Failure).error).toContain(message)
  })

  it('does not count as a read', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const inspected = await Inspected.open(caches)
    await caches.default.set('one', 1)
    await inspected.entry('default', 'one')
    await inspected.entry('default', 'two')
    const [row] = (await inspected.overview()).aliases
    expect([row?.hits, row?.misses]).toEqual([0, 0])
  })
})
