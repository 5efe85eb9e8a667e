import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { rm, writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  it,
  onTestFinished,
  vi,
} from 'vitest'
import { createCacheTable, DatabaseCache } from '../../src/backends/database.js'
import { FileBasedCache } from '../../src/backends/file.js'
import { MemcachedCache } from '../../src/backends/memcached.js'
import { RedisCache } from '../../src/backends/redis.js'
import { TieredCache } from '../../src/backends/tiered.js'
import {
  createCaches,
  DummyCache,
  FragmentCache,
  LocMemCache,
  makeTemplateFragmentKey,
  type Cache,
  type FragmentMessage,
} from '../../src/index.js'
import { resolveTag } from '../../src/fragment/render.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { SteppedClock } from '../support/clock.js'
import { newTable, type OpenDatabase } from '../support/databases.js'
import { folderOfTest } from '../support/folders.js'
import { compositions, freezableServers, type Freezable } from '../support/frozen-servers.js'
import { startMemcached } from '../support/servers/memcached.js'
import { startRedis } from '../support/servers/redis.js'
import { sqlDatabases } from '../support/sql-databases.js'
import { renderTagSync } from './render-tag.js'

const told: FragmentMessage[] = []
const onMessage = (message: unknown) => void told.push(message as FragmentMessage)
beforeEach(() => {
  told.length = 0
  subscribe('fragcache:fragment', onMessage)
})
afterEach(() => unsubscribe('fragcache:fragment', onMessage))

const lastCause = () => told.at(-1)?.cause

function fragmentsOn(cache: Cache) {
  const caches = createCaches({ default: cache })
  const fragments = new FragmentCache(caches)
  const render = (options: { varyOn?: string[]; tags?: string[]; timeout?: number } = {}) =>
    fragments.render({ name: 'card', timeout: 60, ...options }, () => 'text')
  return { caches, fragments, render }
}

/** A store that is full goes on without the first. @param text - Of each fragment. */
function testEviction(
  open: (options: { readonly maxEntries: number }) => Cache | Promise<Cache>,
  text = 'text',
): void {
  it('was evicted', async () => {
    const { fragments } = fragmentsOn(await open({ maxEntries: 10 }))
    const render = (id: string) =>
      fragments.render({ name: 'card', timeout: 60, varyOn: [id] }, () => text)
    await render('first')
    for (let i = 0; i < 100; i++) await render(String(i))
    await render('first')
    expect(lastCause()?.code).toBe('evicted')
  })
}

/** Has time pass, until the test ends, for stores that go by the clock of this process. */
function passHere(seconds: number): void {
  const clock = new SteppedClock()
  clock.start()
  onTestFinished(clock.stop)
  clock.advance(seconds)
}

/** The servers that end entries by their own clock, and not by that of this process. */
const HAVE_OWN_CLOCK: ReadonlySet<string> = new Set(['redis', 'memcached'])

/** For those. */
const passEverywhere = (seconds: number) => sleep(1000 * seconds)

/**
 * @param openOther - Another process' cache over the same store; `undefined`: the store is this process' own.
 * @param pass - Has time pass for the store.
 */
function testCauses(
  open: () => Cache,
  openOther: (() => Cache) | undefined,
  pass: (seconds: number) => Promise<void> | void = passHere,
): void {
  it('was never stored', async () => {
    const { render } = fragmentsOn(open())
    await render()
    expect(told.at(-1)).toMatchObject({ outcome: 'miss', cause: { code: 'not-stored' } })
    await render()
    expect(told.at(-1)?.outcome).toBe('hit')
    expect(lastCause()).toBeUndefined()
  })

  it('has expired', async () => {
    const { render } = fragmentsOn(open())
    await render({ timeout: 1 })
    await pass(2.1)
    await render({ timeout: 1 })
    expect(lastCause()).toMatchObject({
      code: 'expired',
      agoMs: expect.any(Number) as number,
      text: 'It expired 1 second ago.',
    })
  })

  it('has expired after touch gave it less time', async () => {
    const { caches, render } = fragmentsOn(open())
    await render()
    await caches.default.touch(makeTemplateFragmentKey('card'), { timeout: 1 })
    await pass(2.1)
    await render()
    expect(lastCause()).toMatchObject({ code: 'expired', text: 'It expired 1 second ago.' })
  })

  it('was invalidated by a tag, and from where', async () => {
    const { caches, render } = fragmentsOn(open())
    await render({ tags: ['country:FRA', 'country:DEU'] })
    await caches.invalidateTags(['country:FRA'])
    await render({ tags: ['country:FRA', 'country:DEU'] })
    expect(lastCause()).toMatchObject({
      code: 'dropped',
      tag: 'country:FRA',
      from: expect.stringMatching(/^test\/fragment\/miss-cause\.test\.ts:\d+$/) as string,
      text: expect.stringContaining('the tag "country:FRA", which was invalidated less') as string,
    })
  })

  it('was invalidated by its name', async () => {
    const { fragments, render } = fragmentsOn(open())
    await render()
    await fragments.invalidate('card')
    await render()
    expect(lastCause()).toMatchObject({ code: 'dropped', fragment: 'card' })
  })

  it('was removed', async () => {
    const { caches, fragments, render } = fragmentsOn(open())
    await render({ varyOn: ['a'] })
    await fragments.delete('card', ['a'])
    await render({ varyOn: ['a'] })
    expect(lastCause()).toMatchObject({
      code: 'removed',
      from: expect.stringContaining('miss-cause.test.ts:') as string,
    })
    await caches.default.clear()
    await render({ varyOn: ['a'] })
    expect(lastCause()?.code).toBe('removed')
  })

  it('is something that cannot be shown', async () => {
    const { caches, render } = fragmentsOn(open())
    await render({ varyOn: ['a'] })
    await caches.default.set(makeTemplateFragmentKey('card', ['a']), { not: 'a fragment' })
    await render({ varyOn: ['a'] })
    expect(told.at(-1)).toMatchObject({ outcome: 'miss', cause: { code: 'unusable' } })
    await render({ varyOn: ['a'] })
    expect(told.at(-1)?.outcome).toBe('hit')
  })

  it('is stored in another variant, and in what they differ', async () => {
    const { render } = fragmentsOn(open())
    await render({ varyOn: ['fr', 'small'] })
    await render({ varyOn: ['en', 'large'] })
    await render({ varyOn: ['en', 'small'] })
    expect(lastCause()).toMatchObject({
      code: 'other-variant',
      text: expect.stringMatching(
        /vary-on value [12] is "(en|small)" and was "(fr|large)"/,
      ) as string,
    })
  })

  it('is stored under another version', async () => {
    const cache = open()
    const { fragments } = fragmentsOn(cache)
    const render = (version: number) =>
      fragments.render({ name: 'card', timeout: 60, version }, () => 'text')
    await render(1)
    await render(2)
    expect(lastCause()?.code).toBe('other-version')
    await fragments.invalidate('card')
    await render(3)
    expect(lastCause()).toMatchObject({ code: 'not-stored' })
  })

  it.runIf(openOther)('was removed by another process, or evicted', async () => {
    const { render } = fragmentsOn(open())
    const other = fragmentsOn(openOther?.() as Cache)
    await render({ varyOn: ['a'] })
    await other.fragments.delete('card', ['a'])
    await render({ varyOn: ['a'] })
    expect(lastCause()?.code).toBe('evicted')
  })

  it.runIf(openOther)('was invalidated here, and stored by another process before', async () => {
    const { caches, render } = fragmentsOn(open())
    const other = fragmentsOn(openOther?.() as Cache)
    await other.render({ tags: ['country:FRA'] })
    await caches.invalidateTags(['country:FRA'])
    await render({ tags: ['country:FRA'] })
    expect(lastCause()).toMatchObject({
      code: 'dropped',
      from: expect.stringContaining('miss-cause.test.ts:') as string,
    })
  })

  it.runIf(openOther)('was invalidated by another process after one here', async () => {
    const { caches, render } = fragmentsOn(open())
    const other = fragmentsOn(openOther?.() as Cache)
    await other.render({ tags: ['country:FRA'] })
    await caches.invalidateTags(['country:FRA'])
    await other.render({ tags: ['country:FRA'] })
    await other.caches.invalidateTags(['country:FRA'])
    await expect
      .poll(async () => {
        await render({ tags: ['country:FRA'] })
        return told.findLast(({ cause }) => cause?.code === 'dropped')?.cause?.text
      })
      .toMatch(/invalidated less than a second ago, by another process\.$/)
  })

  it.runIf(openOther)('was invalidated by another process', async () => {
    const { render } = fragmentsOn(open())
    const other = fragmentsOn(openOther?.() as Cache)
    await render({ tags: ['country:FRA'] })
    await other.caches.invalidateTags(['country:FRA'])
    await expect
      .poll(async () => {
        await render({ tags: ['country:FRA'] })
        return told.find(({ cause }) => cause?.code === 'dropped')?.cause
      })
      .toEqual({
        code: 'dropped',
        tag: 'country:FRA',
        agoMs: expect.any(Number) as number,
        text: expect.stringMatching(
          /^It depends on the tag "country:FRA", which was invalidated .* ago, by another process\.$/,
        ) as string,
      })
  })
}

describe('a miss over local memory', () => {
  testCauses(() => new LocMemCache(), undefined)

  it.each(['this process', 'another'])(
    'depends on a tag whose version the store has lost: stored by %s',
    async (who) => {
      const location = `lost versions, ${who}`
      const cache = new AsyncTestCache({ location })
      const own = fragmentsOn(cache)
      const other = who === 'another' ? fragmentsOn(new AsyncTestCache({ location })) : own
      const loseVersions = async () => {
        const counters = cache.storedKeys.filter((key) => key.includes('fragcache.tag.t:'))
        await cache.deleteMany(counters.map((key) => key.slice(':1:'.length)))
      }
      const expected = {
        code: 'evicted',
        text: 'It depends on the tag "all", whose version the store has lost.',
      }
      await other.render({ varyOn: ['a'], tags: ['all'] })
      await loseVersions()
      await own.render({ varyOn: ['a'], tags: ['all'] })
      expect(lastCause()).toEqual(expected)

      await other.render({ varyOn: ['b'], tags: ['all'] })
      await loseVersions()
      // The tag has a version again, which nobody's invalidation gave it.
      await own.render({ varyOn: ['c'], tags: ['all'] })
      await own.render({ varyOn: ['b'], tags: ['all'] })
      expect(lastCause()).toEqual(expected)
    },
  )

  it('is stored in another cache of the site', async () => {
    const caches = createCaches({
      default: new LocMemCache(),
      old: new LocMemCache({ keyPrefix: 'old' }),
    })
    const fragments = new FragmentCache(caches)
    const render = (using: 'default' | 'old') =>
      fragments.render({ name: 'card', timeout: 60, using }, () => 'text')
    await render('old')
    await render('default')
    expect(lastCause()).toMatchObject({
      code: 'other-version',
      text: 'It is stored in another cache of the site: under another alias, key prefix or version.',
    })
  })

  it('is compared with the nearest of many variants', async () => {
    const { render } = fragmentsOn(new LocMemCache())
    for (let i = 0; i < 20; i++) await render({ varyOn: [`product ${i}`, 'fr'] })
    await render({ varyOn: ['product 3', 'en'] })
    expect(lastCause()?.text).toBe(
      'Another variant is stored: vary-on value 2 is "en" and was "fr".',
    )
  })

  it.each([
    ['one', 'en', 'vary-on value 1 is "en" and was "fr"'],
    ['two', 'fr', 'its tag or its template differs'],
  ])('tells the digest of a template from the values: %s', (digest, language, difference) => {
    const { fragments } = fragmentsOn(new LocMemCache())
    const site = { fragment: 'card', remedy: '' }
    const render = (value: string, of: string) => {
      const values = { timeout: 60, varyOn: [value], digest: of }
      renderTagSync(resolveTag(fragments, site, values), () => 'text')
    }
    render('fr', 'one')
    render(language, digest)
    expect(lastCause()?.text).toBe(`Another variant is stored: ${difference}.`)
  })

  it('shows long values from where they differ', async () => {
    const { render } = fragmentsOn(new LocMemCache())
    const path = '/a/long/path'.repeat(10)
    await render({ varyOn: [`${path}/first`] })
    await render({ varyOn: [`${path}/second`] })
    expect(lastCause()?.text).toBe(
      'Another variant is stored: vary-on value 1 is "…long/path/second" and was "…long/path/first".',
    )
  })

  it('does not say that it was never stored where that is not remembered', async () => {
    const { caches, fragments } = fragmentsOn(new LocMemCache({ options: { maxEntries: 20_000 } }))
    const render = (name: string) => fragments.render({ name, timeout: 60 }, () => 'text')
    await render('first')
    await fragments.invalidate('first')
    expect((await caches.explainTags(['none'])).isWhole).toBe(true)
    for (let i = 0; i < 20_000; i++) await render(`fragment ${i}`)
    await render('never')
    expect(lastCause()).toEqual({
      code: 'not-stored',
      text: 'It was not stored, as far as this process remembers.',
    })
    expect((await caches.explainTags(['none'])).isWhole).toBe(false)
  })

  it('remembers 3,500 fragments', async () => {
    const { caches, fragments } = fragmentsOn(new LocMemCache({ options: { maxEntries: 20_000 } }))
    for (let i = 0; i < 20_000; i++) {
      const tags = ['all', `product:${i}`]
      await fragments.render({ name: `card ${i % 100}`, varyOn: [i], timeout: 60, tags }, () => '')
    }
    expect((await caches.explainTags(['all'])).entries).toBeGreaterThan(3_500)
  })

  testEviction((options) => new LocMemCache({ options }))

  it('says in production not from where', async () => {
    const before = process.env['NODE_ENV']
    process.env['NODE_ENV'] = 'production'
    try {
      const { fragments, render } = fragmentsOn(new LocMemCache())
      await render()
      await fragments.invalidate('card')
      await render()
      expect(lastCause()).toMatchObject({ code: 'dropped', fragment: 'card' })
      expect(lastCause()).not.toHaveProperty('from')
    } finally {
      process.env['NODE_ENV'] = before
    }
  })
})

it('a miss over DummyCache says that it stores nothing', async () => {
  const { render } = fragmentsOn(new DummyCache())
  for (let i = 0; i < 2; i++) await render()
  expect(lastCause()).toEqual({ code: 'not-stored', text: 'Its cache stores nothing.' })
})

describe('a miss over files', () => {
  let location: string
  const open = () => new FileBasedCache({ location })
  beforeEach(() => {
    location = folderOfTest()
  })
  testCauses(open, open)
  testEviction((options) => new FileBasedCache({ location, options }))

  describe('behind memory', () => {
    testEviction((options) => {
      const remote = new FileBasedCache({ location, options })
      return new TieredCache({ local: new LocMemCache({ options }), remote })
    })
  })

  it('comes from a folder that is none any more', async () => {
    const { render } = fragmentsOn(open())
    await render()
    await rm(location, { recursive: true })
    await writeFile(location, '')
    await render({ varyOn: ['other'] })
    expect(told.at(-1)).toMatchObject({ outcome: 'bypass', cause: { code: 'store-failed' } })
  })
})

for (const [name, openDatabase] of sqlDatabases) {
  describe.runIf(openDatabase)(`a miss over ${name}`, () => {
    const location = newTable()
    let number = 0
    let connection: OpenDatabase
    const openOver = ({ database }: OpenDatabase, options: { readonly maxEntries?: number } = {}) =>
      new DatabaseCache({ location, database, keyPrefix: String(number), options })
    const open = (options = {}) => openOver(connection, options)
    beforeAll(async () => {
      connection = (openDatabase as () => OpenDatabase)()
      await createCacheTable(open())
    })
    beforeEach(() => void number++)
    afterAll(async () => {
      await connection.ask(`DROP TABLE ${location}`)
      await connection.end()
    })
    testCauses(open, open)
    testEviction(open)

    it('comes from a database that is closed', async () => {
      const closed = (openDatabase as () => OpenDatabase)()
      const cache = openOver(closed)
      await createCacheTable(cache)
      const { render } = fragmentsOn(cache)
      await render()
      await closed.end()
      await render({ varyOn: ['other'] })
      expect(told.at(-1)).toMatchObject({ outcome: 'bypass', cause: { code: 'store-failed' } })
    })
  })
}

/** A busy machine answers late, which is no outage. */
const options = { timeLimitMs: 10_000 }

/** Servers that have room for little, and how they are started. */
const small = {
  redis: async () => {
    const server = await startRedis(['--maxmemory', '4mb', '--maxmemory-policy', 'allkeys-lru'])
    return { server, open: () => new RedisCache({ location: server.url, options }) }
  },
  memcached: async () => {
    const server = await startMemcached(['-m', '8'])
    return { server, open: () => new MemcachedCache({ location: server.location, options }) }
  },
}

for (const [server, start] of freezableServers) {
  if (server !== 'redis' && server !== 'memcached') continue
  describe.runIf(start)(`a miss over ${server} that has no more room`, () => {
    let own: Awaited<ReturnType<(typeof small)[typeof server]>>
    let cache: Cache
    beforeAll(async () => {
      own = await small[server]()
      cache = own.open()
    })
    afterAll(async () => {
      await cache.close()
      await own.server.stop()
    })
    testEviction(() => cache, 'text'.repeat(50_000))
  })
}

for (const [server, start] of freezableServers) {
  for (const [composition, compose] of compositions) {
    describe.runIf(start)(`a miss over ${server} ${composition}`, () => {
      let frozen: Freezable
      const opened: Cache[] = []
      const open = (timeLimitMs = 10_000) => {
        const cache = compose(frozen.open({ timeLimitMs }))
        opened.push(cache)
        return cache
      }
      beforeAll(async () => {
        frozen = await (start as () => Promise<Freezable>)()
      })
      afterEach(async () => {
        await opened[0]?.clear()
        for (const cache of opened.splice(0)) await cache.close()
      })
      afterAll(() => frozen.stop())
      testCauses(
        () => open(),
        () => open(),
        HAVE_OWN_CLOCK.has(server) ? passEverywhere : passHere,
      )

      it('comes from a store that does not answer', async () => {
        const { render } = fragmentsOn(open(500))
        // A busy machine may need longer than the limit for the first call, which connects.
        await vi.waitFor(async () => {
          await render()
          expect(told.at(-1)?.outcome).toBe('hit')
        })
        frozen.server.pause()
        await render({ varyOn: ['other'] })
        expect(told.at(-1)).toMatchObject({ outcome: 'bypass', cause: { code: 'store-failed' } })
        frozen.server.resume()
        await sleep(600)
      })
    })
  }
}
