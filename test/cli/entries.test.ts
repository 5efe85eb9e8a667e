import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { randomUUID } from 'node:crypto'
import { beforeAll, describe, expect, it, vi } from 'vitest'
import { RedisCache } from '../../src/backends/redis.js'
import { MemcachedCache } from '../../src/backends/memcached.js'
import { createCacheTable, DatabaseCache } from '../../src/backends/database.js'
import Database from 'better-sqlite3'
import { FileBasedCache } from '../../src/backends/file.js'
import {
  createCaches,
  FragmentCache,
  makeTemplateFragmentKey,
  type Cache,
} from '../../src/index.js'
import { inProject } from '../support/samples.js'
import { freePort, sharedServer } from '../support/servers.js'
import { configure, ownFolder, run, runJson } from './support.js'

// Outages are reported as warnings; what they say is tested where it is written.
beforeAll(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
})

const [redis, memcached] = [await sharedServer('redis'), await sharedServer('memcached')]
const folder = ownFolder()
const keyPrefix = `cli-${randomUUID()}`
const file = join(folder, 'cache.db')

/** The same store as the configuration names, as the application has it. */
const stores: [string, string, () => Promise<Cache>][] = [
  [
    'SQLite',
    `new DatabaseCache({ location: 'entries', database: new Database(${JSON.stringify(file)}), keyPrefix })`,
    async () => {
      const database = new Database(file)
      const cache = new DatabaseCache({ location: 'entries', database, keyPrefix })
      await createCacheTable(cache)
      return cache
    },
  ],
  [
    'files',
    `new FileBasedCache({ location: ${JSON.stringify(join(folder, 'files'))}, keyPrefix })`,
    () => Promise.resolve(new FileBasedCache({ location: join(folder, 'files'), keyPrefix })),
  ],
]
if (redis !== undefined) {
  const location = redis.url
  stores.push([
    'Redis',
    `new RedisCache({ location: ${JSON.stringify(location)}, keyPrefix })`,
    () => Promise.resolve(new RedisCache({ location, keyPrefix })),
  ])
}
if (memcached !== undefined) {
  const location = memcached.url
  stores.push([
    'Memcached',
    `new MemcachedCache({ location: ${JSON.stringify(location)}, keyPrefix })`,
    () => Promise.resolve(new MemcachedCache({ location, keyPrefix })),
  ])
}

function configOf(expression: string, more = ''): string {
  return configure(
    folder,
    `const keyPrefix = ${JSON.stringify(keyPrefix)}
     const open = (keyPrefix) => ${expression}
     export default createCaches({ default: open(keyPrefix), ${more}local: new LocMemCache() })`,
  )
}

describe.each(stores)('fragcache over %s', (store, expression, open) => {
  const config = configOf(expression)
  let cache: Cache
  beforeAll(async () => {
    cache = await open()
    return () => cache.close()
  })
  const lists = store !== 'Memcached'
  /** How many entries there were, as far as the store can tell. */
  const counted = (count: string) =>
    lists ? `${count} in default` : 'what there was in default (not counted)'
  const over = (...args: string[]) => run([...args, '--config', config])
  const overJson = (...args: string[]) => runJson([...args, '--config', config])

  it('explain says why an entry is missing, as far as the store can tell', async () => {
    await cache.set('there', 1)
    expect((await overJson('explain', 'default', 'there')).json).toMatchObject({ cause: 'found' })
    await cache.set('tagged', 1, { tags: ['country:de'] })
    await cache.invalidateTags(['country:de'])
    const dropped = await over('explain', 'default', 'tagged')
    expect(dropped).toMatchObject({ code: 1 })
    expect(dropped.out).toMatch(/"tagged" in default: It depends on the tag "country:de"/)
    await cache.set('lost', 1, { tags: ['country:pt'] })
    await cache.delete('fragcache.tag.t:country:pt')
    const isLost = { cause: 'evicted', text: expect.stringContaining('version') as string }
    expect((await overJson('explain', 'default', 'lost')).json).toMatchObject(isLost)
    await cache.set('old', 1, { staleIfError: 60 })
    await cache.expire('old')
    expect((await over('explain', 'default', 'old')).out).toMatch(
      /It expired less than a second ago/,
    )
    await cache.set('ended', 1, { timeout: 1 })
    await cache.set('renewed', 1, { timeout: 1 })
    await cache.touch('renewed', { timeout: 60 })
    await sleep(2100)
    expect((await over('explain', 'default', 'renewed')).code).toBe(0)
    expect((await overJson('explain', 'default', 'ended')).json).toMatchObject(
      // Redis and Memcached remove what expires.
      store === 'SQLite' || store === 'files'
        ? { cause: 'expired', text: expect.stringMatching(/^It expired \d second/) as string }
        : { cause: 'absent' },
    )
    expect((await over('explain', 'default', 'nothing')).out).toMatch(/the store keeps no reason/i)
    await cache.set('here', 1)
    const two = configOf(expression, "other: open(keyPrefix + '-other'), ")
    const astray = await runJson(['explain', 'other', 'here', '--config', two])
    expect(astray.json).toMatchObject({ cause: 'other-cache', aliases: ['default'] })
    await cache.set('versioned', 1, { version: 2 })
    const elsewhere = (await over('explain', 'default', 'versioned')).out
    expect(elsewhere).toMatch(/stored under another version: 2/)
    await cache.set('far', 1, { version: 99 })
    expect((await over('explain', 'default', 'far')).out).toMatch(
      store === 'Memcached' ? /keeps no reason/ : /stored under another version: 99/,
    )
    for (const user of ['ann', 'bob']) {
      await cache.set(makeTemplateFragmentKey('greeting', [user]), 'Hello')
    }
    await cache.set(makeTemplateFragmentKey('greeting.large', ['zoe']), 'Hello')
    const other = makeTemplateFragmentKey('greeting', ['zoe'])
    expect((await overJson('explain', 'default', other)).json).toMatchObject(
      lists ? { cause: 'other-variant', variants: 2 } : { cause: 'absent' },
    )
    const page = (user: string) =>
      `views.decorators.cache.cache_page..GET.${'a'.repeat(32)}.${user}`
    await cache.set(page('b'.repeat(32)), 'a page')
    expect((await over('explain', 'default', page('c'.repeat(32)))).out).toMatch(
      lists ? /Another variant of it is stored\./ : /keeps no reason/,
    )
  })

  it('get prints the value that the application stored, and nothing else', async () => {
    await cache.set('text', 'hello\nworld')
    expect(await over('get', 'default', 'text')).toEqual({
      code: 0,
      out: 'hello\nworld',
      error: '',
    })
    await cache.set('number', 42)
    expect((await over('get', 'default', 'number')).out).toBe('42')
  })

  it('get of a missing key answers 1 and names the stored key', async () => {
    const { code, out, error } = await over('get', 'default', 'none')
    expect({ code, out }).toEqual({ code: 1, out: '' })
    expect(error).toContain(JSON.stringify(cache.makeKey('none')))
  })

  it('get --json tells the value exactly, with its tags and its times', async () => {
    const value = { a: [1, null, 'x'] }
    await cache.set('object', value, { tags: ['t', 'user:7'], timeout: 100 })
    const { code, json } = await overJson('get', 'default', 'object')
    expect(code).toBe(0)
    expect(json).toMatchObject({
      alias: 'default',
      key: 'object',
      storedKey: cache.makeKey('object'),
      version: 1,
      found: true,
      value,
      tags: ['t', 'user:7'],
      fragments: [],
      isStale: false,
    })
    const { expiresAtMs } = json as { expiresAtMs: number }
    expect(Math.abs(expiresAtMs - Date.now() - 100_000)).toBeLessThan(15_000)
    expect(await overJson('get', 'default', 'none')).toMatchObject({
      code: 1,
      json: { found: false, key: 'none', isStale: false },
    })
  })

  it('get --json tells bytes as base64, and what is not a JSON as text', async () => {
    await cache.set('bytes', Buffer.from([0, 255]))
    expect((await overJson('get', 'default', 'bytes')).json).toMatchObject({ valueBase64: 'AP8=' })
    await cache.set('map', new Map([['a', 1n]]))
    expect((await overJson('get', 'default', 'map')).json).toMatchObject({
      valueText: "Map(1) { 'a' => 1n }",
    })
  })

  it('get takes a version, as a number or as text', async () => {
    await cache.set('k', 'two', { version: 2 })
    await cache.set('k', 'draft', { version: 'draft' })
    expect((await over('get', 'default', 'k', '--key-version', '2')).out).toBe('two')
    expect((await over('get', 'default', 'k', '--key-version', 'draft')).out).toBe('draft')
    expect((await over('get', 'default', 'k', '--key-version', '3')).code).toBe(1)
  })

  it('get does not show what is expired', async () => {
    await cache.set('stale', 'old', { timeout: 100, staleIfError: 100 })
    await cache.expire('stale')
    const { code, out, error } = await over('get', 'default', 'stale')
    expect({ code, out }).toEqual({ code: 1, out: '' })
    expect(error).toContain('expired')
    expect((await overJson('get', 'default', 'stale')).json).toMatchObject({
      found: false,
      isStale: true,
    })
  })

  it('get shows what a terminal would obey instead of letting it', async () => {
    await cache.set('evil', 'a\x1b[2Jb\x9bc\x07\u202ed\r\te')
    const { out } = await over('get', 'default', 'evil')
    expect(out).toBe('a\\x1b[2Jb\\x9bc\\x07\\u202ed\\x0d\te')
    const { out: json } = await overJson('get', 'default', 'evil')
    // eslint-disable-next-line no-control-regex -- these are looked for
    expect(json).not.toMatch(/[\x00-\x1f\x7f-\x9f\u202e]/)
    expect(JSON.parse(json)).toMatchObject({ value: 'a\x1b[2Jb\x9bc\x07\u202ed\r\te' })
  })

  it('get --info tells what is known of an entry, hostile tags on one line', async () => {
    await cache.set('k', 'v', { tags: ['one', 'two\n\x1b[2J'], timeout: null })
    const { code, out } = await over('get', 'default', 'k', '--info')
    expect(code).toBe(0)
    expect(out.split('\n').map((line) => line.slice(0, 12).trim())).toEqual([
      'cache',
      'key',
      'stored key',
      'version',
      'expires',
      'size',
      'tags',
      'fragments',
    ])
    expect(out).toContain('expires     never')
    expect(out).toContain('two\\n\\x1b[2J')
  })

  it('finds a fragment by the key that fragcache key prints', async () => {
    const fragments = new FragmentCache(createCaches({ default: cache }))
    await fragments.render({ name: 'sidebar', varyOn: ['alice', 7], tags: ['user:7'] }, () => '<p>')
    const { out: key } = await run(['key', 'sidebar', 'alice', '7'])
    const { json } = await overJson('get', 'default', key)
    expect(json).toMatchObject({ value: '<p>', tags: ['user:7'], fragments: ['sidebar'] })
  })

  it('delete says whether the entry was there', async () => {
    await cache.set('k', 1)
    expect(await over('delete', 'default', 'k')).toEqual({
      code: 0,
      out: '"k" was deleted from default',
      error: '',
    })
    expect(await cache.has('k')).toBe(false)
    const again = await over('delete', 'default', 'k')
    expect(again.code).toBe(0)
    expect(again.out).toContain('was not in default')
    expect((await overJson('delete', 'default', 'k')).json).toEqual({
      alias: 'default',
      key: 'k',
      storedKey: cache.makeKey('k'),
      deleted: false,
    })
  })

  it('clear removes what the cache keeps, and says so', async () => {
    await cache.setMany({ a: 1, b: 2 })
    expect(await over('clear', 'default')).toEqual({
      code: 0,
      out: 'default was cleared',
      error: '',
    })
    expect((await cache.getMany(['a', 'b'])).size).toBe(0)
    expect((await overJson('clear', 'default')).json).toEqual({ alias: 'default', cleared: true })
  })

  it('invalidate --tag makes what has the tag a miss, and says what it cannot reach', async () => {
    await cache.set('k', 1, { tags: ['country:de'] })
    await cache.set('other', 2)
    const { code, out, error } = await over('invalidate', '--tag', 'country:de')
    expect({ code, out }).toEqual({
      code: 0,
      out: `tag "country:de": invalidated: ${counted('1 entry')}`,
    })
    expect(error).toMatch(/not reached.*: local$/)
    expect(await cache.has('k')).toBe(false)
    expect(await cache.get('other')).toBe(2)
  })

  it('invalidate --soft makes it stale', async () => {
    await cache.set('k', 'old', { tags: ['t'], staleWhileRevalidate: 100 })
    const args = ['invalidate', '--tag', 't', '--using', 'default', '--soft']
    const { json, error } = await overJson(...args)
    expect(error).toBe('')
    const entries = { default: lists ? 1 : null }
    expect(json).toEqual({ tag: 't', aliases: ['default'], soft: true, counters: 1, entries })
    expect(await cache.describe('k')).toMatchObject({ value: 'old', isStale: true })
  })

  it('invalidate --fragment makes every variant a miss', async () => {
    const fragments = new FragmentCache(createCaches({ default: cache }))
    const render = (name: string) =>
      fragments.render({ name: 'menu', varyOn: [name] }, () => `made for ${name}`)
    await render('a')
    await render('b')
    const { code, json, error } = await overJson('invalidate', '--fragment', 'menu')
    expect(code).toBe(0)
    expect(error).toMatch(/not reached.*: local; entries that contain the fragment may stay there$/)
    const entries = { default: lists ? 2 : null }
    expect(json).toEqual({ fragment: 'menu', using: 'default', soft: false, counters: 1, entries })
    for (const name of ['a', 'b']) {
      expect(await cache.has(fragments.makeKey('menu', [name]))).toBe(false)
    }
  })

  it('invalidate says so where nothing has the tag any more', async () => {
    const tag = `twice-${randomUUID()}`
    await cache.set('a', 1, { tags: [tag] })
    await cache.set('b', 1, { tags: [tag] })
    const invalidate = () => over('invalidate', '--tag', tag, '--using', 'default')
    const done = (out: string) => ({ code: 0, out: `tag "${tag}": ${out}`, error: '' })
    expect(await invalidate()).toEqual(done(`invalidated: ${counted('2 entries')}`))
    const none = lists ? 'no entry in default belongs to it' : `invalidated: ${counted('none')}`
    expect(await invalidate()).toEqual(done(none))
  })

  it('invalidate says so where nothing was ever stored with the tag, or under the name', async () => {
    const none = `none-${randomUUID()}`
    const tag = await over('invalidate', '--tag', none, '--using', 'default')
    expect(tag).toEqual({
      code: 0,
      out: `tag "${none}": no entry in default belongs to it`,
      error: '',
    })
    const other = await overJson('invalidate', '--tag', `${none}-2`, '--using', 'default')
    expect(other).toMatchObject({ code: 0, json: { counters: 0, entries: { default: 0 } } })
    const fragment = await over('invalidate', '--fragment', none)
    expect(fragment.out).toBe(`fragment "${none}" in default: no entry in default belongs to it`)
  })

  it('--dry-run says what would be dropped, and drops nothing', async () => {
    await cache.clear()
    const fragments = new FragmentCache(createCaches({ default: cache }))
    const body = { name: 'menu', varyOn: ['a'], tags: ['dry'] }
    await fragments.render(body, () => 'made')
    await cache.set('k', 1, { tags: ['dry'] })
    await cache.set('other', 2)
    const dry = async (...args: string[]) => {
      const { code, json } = await overJson(...args, '--dry-run')
      expect({ code, dryRun: (json as { dryRun?: boolean }).dryRun }).toEqual({
        code: 0,
        dryRun: true,
      })
      return json
    }
    expect(await dry('delete', 'default', 'k')).toMatchObject({ key: 'k', found: true })
    expect(await dry('delete', 'default', 'none')).toMatchObject({ found: false })
    const key = makeTemplateFragmentKey('menu', ['a'])
    const fragment = { kind: 'fragment', name: 'menu', entries: 1, keys: [key] }
    const value = { kind: 'value', entries: 2, keys: expect.arrayContaining(['k', 'other']) as [] }
    expect(await dry('clear', 'default')).toMatchObject(
      lists ? { entries: 3, found: [value, fragment] } : { entries: null, found: [] },
    )
    const ofTag = { tag: 'dry', aliases: ['default'], entries: { default: lists ? 2 : null } }
    expect(await dry('invalidate', '--tag', 'dry')).toMatchObject(ofTag)
    expect(await dry('invalidate', '--fragment', 'menu')).toMatchObject({
      fragment: 'menu',
      entries: { default: lists ? 1 : null },
    })
    const { out } = await over('invalidate', '--tag', 'dry', '--soft', '--dry-run')
    const [counts, ...samples] = out.split('\n')
    expect(counts).toBe(
      `tag "dry": would be stale: ${lists ? '2 entries' : 'a number of entries that the store cannot count'} in default`,
    )
    expect(samples.sort()).toEqual(
      lists
        ? [
            `  default: 1 × fragment "menu": ${makeTemplateFragmentKey('menu', ['a'])}`,
            '  default: 1 × value: k',
          ]
        : [],
    )
    expect([...(await cache.getMany(['k', 'other'])).values()]).toEqual([1, 2])
    expect(await fragments.render(body, () => 'made again')).toBe('made')
  })

  it('list and tags show what there is, or say that the store cannot tell', async () => {
    await cache.clear()
    const fragments = new FragmentCache(createCaches({ default: cache }))
    await fragments.render({ name: 'menu', varyOn: ['a'], tags: ['t1'] }, () => 'made')
    await cache.set('user:7', 'x'.repeat(2000), { tags: ['t1', 't2'], timeout: 600 })
    await cache.set('draft', 1, { timeout: null, version: 2 })
    await cache.set('gone', 1, { tags: ['t3'] })
    await cache.invalidateTags(['t3'])
    await cache.add('fragcache.lock.x', 1)
    if (store === 'Memcached') {
      for (const command of ['list', 'tags']) {
        const { code, out, error } = await over(command, 'default')
        expect({ code, out }).toEqual({ code: 1, out: '' })
        expect(error).toBe(
          `fragcache: ${command}: default (MemcachedCache) cannot list its entries; use fragcache get for one key, and fragcache stats for figures`,
        )
      }
      return
    }
    const { json } = await overJson('list', 'default')
    const menu = fragments.makeKey('menu', ['a'])
    expect(json).toMatchObject({
      alias: 'default',
      isWhole: true,
      entries: [
        { key: 'draft', version: 2, kind: 'value', tags: [], expiresAtMs: null },
        { key: menu, kind: 'fragment', tags: ['t1'], fragments: ['menu'] },
        { key: 'user:7', storedKey: cache.makeKey('user:7'), kind: 'value', tags: ['t1', 't2'] },
      ],
    })
    const { out } = await over('list', 'default', '--tag', 't2')
    expect(out.split('\n')).toHaveLength(2)
    expect(out).toMatch(
      /^KEY +KIND +EXPIRES IN +SIZE +TAGS\nuser:7 +value +10 min +\d\.\d kB +t1, t2$/,
    )
    const few = await over('list', 'default', '--limit', '1')
    expect(few.out.split('\n')).toHaveLength(2)
    expect(few.error).toBe('fragcache: list: there are more than 1; --limit 0 lists all')
    expect((await over('tags', 'default')).out).toBe('TAG  ENTRIES\nt1         2\nt2         1')
    expect((await overJson('tags', 'default')).json).toEqual({
      alias: 'default',
      tags: [
        { tag: 't1', entries: 2 },
        { tag: 't2', entries: 1 },
      ],
    })
    expect((await over('list', 'default', '--tag', 'none')).out).toBe(
      'default: there is no entry with the tag "none"',
    )
    await cache.clear()
    expect((await over('tags', 'default')).out).toBe('default: no entry has a tag')
  })
})

describe('fragcache list', () => {
  it('shows none of another key prefix, and of a tiered cache what the remote one has', async () => {
    const location = join(folder, 'neighbours')
    const [own, other] = ['own', 'own:eu'].map(
      (prefix) => new FileBasedCache({ location, keyPrefix: prefix }),
    ) as [Cache, Cache]
    await own.set('mine', 1, { tags: ['t'] })
    await other.set('theirs', 1, { tags: ['t'] })
    const remote = `new FileBasedCache({ location: ${JSON.stringify(location)}, keyPrefix: 'own' })`
    const config = configure(
      folder,
      `import { TieredCache } from ${JSON.stringify(inProject('src/backends/tiered.ts'))}
       export default createCaches({ default: new TieredCache({ local: new LocMemCache(), remote: ${remote} }) })`,
    )
    const { json, error } = await runJson(['list', 'default', '--config', config])
    expect(error).toBe('')
    expect(json).toMatchObject({ entries: [{ key: 'mine', tags: ['t'] }] })
    const tag = await runJson(['invalidate', '--tag', 't', '--config', config])
    expect(tag.json).toMatchObject({ counters: 1 })
    const none = await runJson(['invalidate', '--tag', 'nothing', '--config', config])
    expect(none.json).toMatchObject({ counters: 0 })
    expect([await own.has('mine'), await other.has('theirs')]).toEqual([false, true])
  })

  it('names an entry by its stored key where the key function hides the key', async () => {
    const location = join(folder, 'hidden')
    const keyFunction = (key: string, prefix: string, version: unknown) =>
      `${prefix}/${String(version)}/${Buffer.from(key).toString('hex')}`
    await new FileBasedCache({ location, keyFunction }).set('mine', 1)
    const config = configure(
      folder,
      `const keyFunction = (key, prefix, version) => \`\${prefix}/\${version}/\${Buffer.from(key).toString('hex')}\`
       export default createCaches({ default: new FileBasedCache({ location: ${JSON.stringify(location)}, keyFunction }) })`,
    )
    // Of the only cache, which need not be named.
    const { json } = await runJson(['list', '--config', config])
    expect((await runJson(['tags', '--config', config])).json).toEqual({
      alias: 'default',
      tags: [],
    })
    const storedKey = keyFunction('mine', '', 1)
    expect(json).toMatchObject({ entries: [{ key: storedKey, storedKey, kind: 'value' }] })
  })
})

describe('fragcache over caches that it cannot reach', () => {
  it('says of local memory that it is the application’s, and answers 1', async () => {
    const config = configure(folder, 'export default createCaches({ default: new LocMemCache() })')
    const calls = [
      ['get', 'default', 'k'],
      ['delete', 'default', 'k'],
      ['clear', 'default'],
      ['invalidate', '--fragment', 'x'],
      ['invalidate', '--tag', 'x'],
    ]
    for (const args of calls) {
      const { code, out, error } = await run([...args, '--config', config])
      expect({ args, code, out }).toEqual({ args, code: 1, out: '' })
      expect(error).toMatch(/in the memory of the application's own process|no cache that can be/)
    }
  })

  it.each([
    [
      'Redis',
      (port: number) => `new RedisCache({ location: 'redis://127.0.0.1:${port}', options })`,
    ],
    [
      'Redis whose failures are ignored',
      (port: number) =>
        `new RedisCache({ location: 'redis://127.0.0.1:${port}', ignoreErrors: true, options })`,
    ],
    [
      'Memcached',
      (port: number) => `new MemcachedCache({ location: '127.0.0.1:${port}', options })`,
    ],
  ])('answers 1 in time where the server is down: %s', async (_, expression) => {
    const config = configure(
      folder,
      `const options = { timeLimitMs: 300 }
       export default createCaches({ default: ${expression(await freePort())} })`,
    )
    const calls = [
      ['get', 'default', 'k'],
      ['delete', 'default', 'k'],
      ['clear', 'default'],
      ['invalidate', '--fragment', 'x'],
      ['invalidate', '--tag', 'x', '--using', 'default'],
    ]
    for (const args of calls) {
      const { code, out, error } = await run([...args, '--config', config])
      expect({ args, code, out }).toEqual({ args, code: 1, out: '' })
      expect(error).toMatch(
        new RegExp(
          `^fragcache: ${args[0]}: (Redis|Memcached)Cache: .*(ECONNREFUSED|no connection)`,
        ),
      )
      expect(error).not.toContain(' failed: ')
    }
  })
})
