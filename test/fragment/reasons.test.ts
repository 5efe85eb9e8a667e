import { setTimeout as sleep } from 'node:timers/promises'
import express from 'express'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { responseCache } from '../../adapters/express/index.js'
import { FileBasedCache } from '../../src/backends/file.js'
import { MemcachedCache } from '../../src/backends/memcached.js'
import { RedisCache } from '../../src/backends/redis.js'
import { dependOn, createCaches, FragmentCache, LocMemCache, type Cache } from '../../src/index.js'
import { noteRead } from '../../src/fragment/guard.js'
import { renderDeferred } from '../../src/fragment/deferred.js'
import { explainFragment, type FragmentReason } from '../../src/observe/reasons.js'
import { Site } from '../support/express.js'
import { folderOfTest } from '../support/folders.js'
import { freezableServers } from '../support/frozen-servers.js'
import { startMemcached } from '../support/servers/memcached.js'
import { startRedis } from '../support/servers/redis.js'
import { everyStore } from '../testing/every-store.js'
import { HoleEngine } from './hole-engine.js'
import { fragmentsTold } from './told.js'

const { messages } = fragmentsTold()
const last = () => messages.at(-1)

const { all, settings, memcached } = await everyStore('fragment-reasons')

function fragmentsOn(cache: Cache) {
  const caches = createCaches({ default: cache })
  const fragments = new FragmentCache(caches, { strict: false })
  type Options = Partial<Parameters<typeof fragments.render>[0]>
  const render = (
    body: () => string | Promise<string> = () => 'text',
    options: Options = {},
  ): Promise<string> => fragments.render({ name: 'card', timeout: 60, ...options }, body)
  return { caches, fragments, render }
}

type Fragments = ReturnType<typeof fragmentsOn>

/** What keeps a fragment from being stored over any store. */
const refusals: readonly [FragmentReason, (of: Fragments) => Promise<unknown>][] = [
  ['if-false', ({ render }) => render(undefined, { if: false })],
  ['zero-seconds', ({ render }) => render(undefined, { timeout: 0 })],
  [
    'invalidated',
    ({ caches, render }) =>
      render(
        async () => {
          await caches.invalidateTags(['countries'])
          return 'text'
        },
        { tags: ['countries'] },
      ),
  ],
  [
    'overtaken',
    ({ fragments, render }) =>
      render(async () => {
        await fragments.delete('card')
        return 'text'
      }),
  ],
  [
    'undeclared-read',
    ({ render }) =>
      render(() => {
        noteRead('user')
        return 'Ann'
      }),
  ],
  ['inside-itself', ({ render }) => render(() => render(() => 'inner', { name: 'card' }))],
]

for (const [name, isThere, open] of all) {
  describe.runIf(isThere)(`a fragment that is not stored over ${name}`, () => {
    it.each(refusals)('says why: %s', async (reason, make) => {
      await make(fragmentsOn(open()))
      const refused = messages.find(({ outcome }) => outcome === 'bypass')
      expect(refused).toMatchObject({ name: 'card', reason })
      expect(explainFragment(refused ?? {})).toMatch(/^It|^Another/)
    })

    it('says why: something in it was stale', async () => {
      const { fragments, render } = fragmentsOn(open())
      const inner = () =>
        fragments.render({ name: 'inner', timeout: 60, staleWhileRevalidate: 60 }, () => 'inner')
      await inner()
      await fragments.invalidate('inner', { soft: true })
      await render(inner)
      expect(messages.find(({ name }) => name === 'card')).toMatchObject({
        outcome: 'bypass',
        reason: 'stale-inside',
      })
      expect(messages.find(({ outcome }) => outcome === 'stale')).toMatchObject({
        name: 'inner',
        reason: 'stale-while-revalidate',
        cause: { code: 'dropped', fragment: 'inner' },
      })
    })

    it('gives up without a failure what took long', async () => {
      const { caches, render } = fragmentsOn(open())
      await render(async () => {
        await sleep(600)
        noteRead('user')
        return 'Ann'
      })
      await expect.poll(() => last()?.reason).toBe('undeclared-read')
      await render()
      expect(caches.stats().aliases['default']?.errors).toBe(0)
    })

    it('that is stored has no reason, nor has one that is found', async () => {
      const { render } = fragmentsOn(open())
      await render()
      expect(last()).toMatchObject({ outcome: 'miss' })
      expect(last()).not.toHaveProperty('reason')
      await render()
      expect(last()).toMatchObject({ outcome: 'hit' })
      expect(last()).not.toHaveProperty('reason')
    })
  })
}

describe('a stale fragment', () => {
  it('is told of as stale by who begins to render it again too, and why it is stale', async () => {
    const { caches, fragments } = fragmentsOn(new LocMemCache())
    let runs = 0
    const render = () =>
      fragments.render(
        { name: 'card', timeout: 1, staleWhileRevalidate: 60 },
        () => `run ${++runs}`,
      )
    await render()
    await sleep(1100)
    messages.length = 0
    expect(await render()).toBe('run 1')
    await expect.poll(() => messages.length).toBe(2)
    expect(messages[0]).toMatchObject({
      outcome: 'stale',
      bodyMs: 0,
      reason: 'stale-while-revalidate',
      cause: { code: 'expired', agoMs: expect.any(Number) as number },
    })
    // What is rendered in the background is another one.
    expect(messages[1]).toMatchObject({ outcome: 'miss', cause: { code: 'expired' } })
    const [stats] = caches.stats().fragments
    expect(stats).toMatchObject({ misses: 2, stale: 1, hits: 0 })
  })

  it('was invalidated softly, and by which tag', async () => {
    const { caches, fragments } = fragmentsOn(new LocMemCache())
    const render = () =>
      fragments.render(
        { name: 'card', timeout: 60, tags: ['countries'], staleWhileRevalidate: 60 },
        () => 'text',
      )
    await render()
    await caches.invalidateTags(['countries'], { soft: true })
    await render()
    expect(messages.find(({ outcome }) => outcome === 'stale')).toMatchObject({
      cause: {
        code: 'dropped',
        tag: 'countries',
        from: expect.stringContaining('fragment/reasons.test.ts:') as string,
      },
    })
  })

  it('stands in for one whose body failed', async () => {
    const { fragments } = fragmentsOn(new LocMemCache())
    const render = (body: () => string) =>
      fragments.render({ name: 'card', timeout: 60, staleIfError: 60 }, body)
    await render(() => 'old')
    await fragments.invalidate('card', { soft: true })
    const text = await render(() => {
      throw new Error('boom')
    })
    expect(text).toBe('old')
    expect(last()).toMatchObject({
      outcome: 'stale',
      reason: 'body-failed',
      cause: { code: 'dropped', fragment: 'card' },
    })
  })

  it('is a hit where it is rendered again before its time ends', async () => {
    const cache = new LocMemCache({ earlyRefresh: 1_000_000 })
    const { fragments } = fragmentsOn(cache)
    const render = () =>
      fragments.render({ name: 'card', timeout: 2 }, async () => {
        await sleep(50)
        return 'text'
      })
    await render()
    messages.length = 0
    await render()
    expect(messages[0]).toMatchObject({ outcome: 'hit' })
    expect(messages[0]).not.toHaveProperty('cause')
  })
})

describe('a fragment that is not whole', () => {
  it('lacks the text of one in it', async () => {
    const engine = new HoleEngine((caches) => new FragmentCache(caches))
    await renderDeferred(() =>
      engine.tag('outer', { name: 'Ann' }, () => {
        engine.tag('inner', { name: 'Ann' }, () => 'inner', { using: 'far' })
        return 'without'
      }),
    )
    expect(messages.find(({ name }) => name === 'outer')).toMatchObject({
      outcome: 'bypass',
      reason: 'incomplete',
    })
  })
})

it('a fragment that depends on more tags than can be stored says so', async () => {
  const { render } = fragmentsOn(new LocMemCache())
  const names = (letter: string) => Array.from({ length: 10_000 }, (_, i) => `${letter}${i}`)
  await render(async () => {
    await dependOn(names('a'))
    await dependOn(names('b'))
    return 'text'
  })
  expect(last()).toMatchObject({ outcome: 'bypass', reason: 'too-many-tags' })
})

describe('a fragment that is larger than its store takes', () => {
  const large = 'x'.repeat(2_000_000)

  it('says so: local memory', async () => {
    const { render } = fragmentsOn(new LocMemCache({ options: { maxBytes: 1000 } }))
    await render(() => large)
    expect(last()).toMatchObject({ outcome: 'bypass', reason: 'entry-too-large' })
  })

  it.runIf(memcached)('says so: Memcached', async () => {
    const { render } = fragmentsOn(
      new MemcachedCache({ location: memcached?.url ?? '', ...settings() }),
    )
    // What is compressed may be smaller than the limit.
    const text = Array.from({ length: 200_000 }, () => Math.random().toString(36)).join('')
    await render(() => text)
    expect(last()).toMatchObject({ outcome: 'bypass', reason: 'entry-too-large' })
  })
})

/** Servers that are full and throw nothing away. */
const full = {
  redis: async () => {
    const server = await startRedis(['--maxmemory', '3mb', '--maxmemory-policy', 'noeviction'])
    const options = { timeLimitMs: 10_000 }
    return { server, open: () => new RedisCache({ location: server.url, options }) }
  },
  memcached: async () => {
    const server = await startMemcached(['-m', '2', '-M'])
    const options = { timeLimitMs: 10_000 }
    return { server, open: () => new MemcachedCache({ location: server.location, options }) }
  },
}

const WAITING = { timeout: 10_000, interval: 20 }

for (const [kind, start] of freezableServers) {
  if (kind !== 'redis' && kind !== 'memcached') continue
  describe.runIf(start)(`over ${kind} that is full`, () => {
    let own: Awaited<ReturnType<(typeof full)[typeof kind]>>
    let cache: Cache
    beforeAll(async () => {
      own = await full[kind]()
      cache = own.open()
    })
    afterAll(async () => {
      await cache.close()
      await own.server.stop()
    })
    afterEach(() => cache.clear())

    const noise = (size: number) =>
      Array.from({ length: size / 10 }, () => Math.random().toString(36).slice(2, 12)).join('')

    it('a fragment says that it was refused', async () => {
      const { render } = fragmentsOn(cache)
      for (let i = 0; last()?.outcome !== 'bypass'; i++) {
        expect(i).toBeLessThan(2000)
        await render(() => noise(5000), { varyOn: [i] })
      }
      expect(last()).toMatchObject({ reason: 'cache-refused', cause: { code: 'other-variant' } })
    })

    it('a page tells of it, and does not say that it is stored if that is known before it is sent', async () => {
      const caches = createCaches({ default: cache })
      const app = express()
      const pages = responseCache(caches)
      app.get('/page', pages.cachePage(60), (_req, res) => void res.send(noise(5000)))
      const site = await Site.open(app)
      const reasons = () => caches.stats().routes[0]?.reasons ?? {}
      for (let i = 0; reasons()['cache-refused'] === undefined; i++) {
        expect(i).toBeLessThan(2000)
        await site.get(`/page?${i}`)
      }
      expect(reasons()).toEqual({ 'cache-refused': expect.any(Number) as number })
      // Nothing is left for what is written before the handler is called. Memcached has room of its own for each size.
      if (kind === 'redis') {
        for (let i = 0; i < 1000; i++) await cache.set(`little ${i}`, i).catch(() => undefined)
        const { cacheStatus } = await site.get('/page?last')
        expect(cacheStatus).toBe('fragcache; fwd=uri-miss; detail=cache-refused')
      }
    })
  })
}

for (const [kind, start] of freezableServers) {
  describe.runIf(start)(`over ${kind} that does not answer`, () => {
    it('a fragment says so', async () => {
      const frozen = await (start as NonNullable<typeof start>)()
      const cache = frozen.open({ timeLimitMs: 500 })
      const { render } = fragmentsOn(cache)
      // A busy machine may need longer than the limit for the first call, which connects.
      await vi.waitFor(async () => {
        await render()
        expect(last()?.outcome).toBe('hit')
      }, WAITING)
      frozen.server.pause()
      await render(undefined, { varyOn: ['other'] })
      expect(last()).toMatchObject({
        outcome: 'bypass',
        reason: 'cache-failed',
        cause: { code: 'store-failed' },
      })
      expect(explainFragment(last() ?? {})).toBe('The store did not answer.')
      // It fails while the body runs, too.
      frozen.server.resume()
      await vi.waitFor(async () => {
        await render()
        expect(last()?.outcome).toBe('hit')
      }, WAITING)
      await render(
        () => {
          frozen.server.pause()
          return 'text'
        },
        { varyOn: ['third'] },
      )
      expect(last()).toMatchObject({ outcome: 'bypass', reason: 'cache-failed' })
      frozen.server.resume()
      await sleep(600)
      await cache.close()
      await frozen.stop()
    })
  })
}

describe('a fragment over files', () => {
  let location: string
  beforeEach(() => {
    location = folderOfTest()
  })

  it('over a folder that is gone says that the store failed', async () => {
    const { writeFile, rm } = await import('node:fs/promises')
    const { render } = fragmentsOn(new FileBasedCache({ location }))
    await render()
    await render(
      async () => {
        await rm(location, { recursive: true })
        await writeFile(location, '')
        return 'text'
      },
      { varyOn: ['other'] },
    )
    expect(last()).toMatchObject({ outcome: 'bypass', reason: 'cache-failed' })
  })
})
