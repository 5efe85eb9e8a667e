import { once } from 'node:events'
import type http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { afterAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { responseCache } from '../../adapters/node/index.js'
import { coreOf } from '../../src/backend/core.js'
import { InvalidationQueue, LateInvalidations } from '../../src/backend/late-invalidations.js'
import { RedisCache } from '../../src/backends/redis.js'
import {
  CacheKeyNotFoundError,
  createCaches,
  dependOn,
  FragmentCache,
  LocMemCache,
  type Cache,
} from '../../src/index.js'
import { checkTags } from '../../src/tags.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { Site } from '../support/express.js'
import { compositions, freezableServers, type Freezable } from '../support/frozen-servers.js'
import { gate, settle } from '../support/waiting.js'

const WAITING = { timeout: 10_000, interval: 20 }

/** A call that is to succeed, which on a busy machine may take longer than its limit. */
const succeeding = <T>(call: () => T | Promise<T>) => vi.waitFor(call, WAITING)

beforeEach(() => {
  const spy = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  onTestFinished(() => spy.mockRestore())
})

describe.each(freezableServers)('an invalidation while %s', (_name, start) => {
  describe.skipIf(start === undefined)('hangs', () => {
    const started = start?.()
    afterAll(async () => (await started)?.stop())

    describe.each(compositions)('%s', (_, compose) => {
      /** Two processes over one server. */
      async function two(options?: { retryInvalidations: boolean }) {
        const { server, open } = (await started) as Freezable
        const cachesOf = (remote: Cache) => createCaches({ default: compose(remote) })
        const [here, there] = [cachesOf(open(options)), cachesOf(open())]
        onTestFinished(async () => {
          server.resume()
          await here.close()
          await there.close()
        })
        for (const caches of [here, there]) {
          await succeeding(() => caches.get('default').set('warm', 1))
        }
        const pause = async () => {
          server.pause()
          // From now on calls fail at once, until the server is back.
          for (let i = 0; i < 3; i++) {
            await here
              .get('default')
              .set('probe', i)
              .catch(() => undefined)
          }
        }
        return { here, there, server, pause }
      }

      it('with later resolves, and is sent before anything older is read', async () => {
        const { here, there, server, pause } = await two()
        const [cache, other] = [here.get('default'), there.get('default')]
        const fragments = new FragmentCache(here)
        await succeeding(() => cache.set('k', 'old', { tags: ['t'] }))
        await succeeding(() => cache.set('soft', 'old', { tags: ['s'], staleIfError: 60 }))
        await succeeding(() => cache.set('apart', 'kept'))
        await fragments.render({ name: 'side' }, () => 'old')
        await pause()
        await expect(cache.invalidateTags(['t'])).rejects.toThrow()
        await cache.invalidateTags(['t'], { later: true })
        await here.invalidateTags(['s'], { soft: true, later: true })
        await fragments.invalidate('side', { later: true })
        server.resume()
        // It fails while the server is not back, and never gives what is older.
        expect(await succeeding(() => cache.get('k'))).toBeUndefined()
        expect(await fragments.render({ name: 'side' }, () => 'new')).toBe('new')
        expect(await succeeding(() => other.get('k'))).toBeUndefined()
        expect(await succeeding(() => other.get('soft'))).toBeUndefined()
        expect(await succeeding(() => other.get('apart'))).toBe('kept')
        const options = { staleIfError: 60 }
        const fails = () => Promise.reject(new Error('down'))
        expect(await succeeding(() => other.getOrSet('soft', fails, options))).toBe('old')
      })

      it('is sent without anybody asking, for the other processes', async () => {
        const { here, there, server, pause } = await two({ retryInvalidations: true })
        const other = there.get('default')
        await succeeding(() => other.set('k', 'old', { tags: ['t'] }))
        await pause()
        await expect(here.get('default').invalidateTags(['t'])).rejects.toThrow()
        server.resume()
        await vi.waitFor(async () => {
          expect(await other.get('k').catch(() => 'failed')).toBeUndefined()
        }, WAITING)
      })

      it('of a page with later resolves, and is sent', async () => {
        const { here, there, server, pause } = await two()
        let runs = 0
        const open = async (caches: typeof here) => {
          const pages = responseCache(caches)
          const site = await Site.open(
            pages.handler((_req: http.IncomingMessage, res: http.ServerResponse) => {
              res.setHeader('Cache-Control', 'max-age=600')
              res.end(`made ${++runs}`)
            }) as http.RequestListener,
          )
          const get = async () => (await site.get('/', { headers: { host: 'shop.test' } })).text
          return { pages, get }
        }
        const [near, far] = [await open(here), await open(there)]
        const url = 'http://shop.test/'
        let first = ''
        await vi.waitFor(async () => {
          first = await near.get()
          expect(await far.get()).toBe(first)
        }, WAITING)
        await pause()
        await expect(near.pages.invalidate(url)).rejects.toThrow()
        await near.pages.invalidate(url, { later: true })
        await near.pages.invalidate(url, { vary: { accept: 'text/html' }, later: true })
        server.resume()
        await vi.waitFor(async () => {
          expect(await far.get()).not.toBe(first)
        }, WAITING)
        expect(await near.get()).not.toBe(first)
      })
    })
  })
})

describe('invalidations that wait for the store', () => {
  it('are lost without later, as ever, and told of with ignoreErrors', async () => {
    const cache = new AsyncTestCache()
    await cache.set('k', 'old', { tags: ['t'] })
    cache.failing = true
    await expect(cache.invalidateTags(['t'])).rejects.toThrow()
    cache.failing = false
    expect(await cache.get('k')).toBe('old')
  })

  it('keep reads failing until they are sent', async () => {
    const cache = new AsyncTestCache()
    await cache.set('k', 'old', { tags: ['t'] })
    cache.failing = true
    await cache.invalidateTags(['t'], { later: true })
    await expect(cache.get('k')).rejects.toThrow()
    cache.failing = false
    expect(await cache.get('k')).toBeUndefined()
    await cache.set('k', 'new', { tags: ['t'] })
    expect(await cache.get('k')).toBe('new')
  })

  it('keep what is counted, touched or added from going by what is older', async () => {
    const cache = new AsyncTestCache()
    await cache.setMany({ count: 41, touched: 'old', added: 'old' }, { tags: ['t'] })
    cache.failing = true
    await cache.invalidateTags(['t'], { later: true })
    cache.failing = false
    await expect(cache.incr('count')).rejects.toThrow(CacheKeyNotFoundError)
    expect(await cache.touch('touched', { timeout: 60 })).toBe(false)
    expect(await cache.add('added', 'new')).toBe(true)
  })

  it.each(['a value', 'a fragment'])(
    'are heeded by who waits for %s that was begun before, and has named its tag since',
    async (what) => {
      const cache = new AsyncTestCache()
      const fragments = new FragmentCache(createCaches({ default: cache }))
      const [began, ends] = [gate(), gate()]
      let version = 'old'
      const make = async () => {
        const made = version
        began.open()
        await ends.opened
        // Not awaited, so that the failure of the store stops nothing.
        void dependOn(['t'])
        return made
      }
      const ask = () =>
        what === 'a value' ? cache.getOrSet('k', make) : fragments.render({ name: 'side' }, make)
      cache.failing = true
      const first = ask()
      await began.opened
      version = 'new'
      await cache.invalidateTags(['t'], { later: true })
      const asked = ask()
      await settle()
      ends.open()
      expect([await first, await asked]).toEqual(['old', 'new'])
    },
  )

  it('are sent as far as there was room', async () => {
    const cache = new AsyncTestCache()
    await cache.set('k', 'old', { tags: ['t'] })
    cache.failing = true
    const many = Array.from({ length: 10_000 }, (_, i) => `more-${i}`)
    await expect(cache.invalidateTags(['t', ...many], { later: true })).rejects.toThrow()
    cache.failing = false
    expect(await cache.get('k')).toBeUndefined()
  })

  it('are bounded: what has no room rejects as without later', () => {
    const queue = new InvalidationQueue()
    const tag = (i: number, soft = false) => ({ kind: 'tag', tag: `t${i}`, soft }) as const
    for (let i = 0; i < 10_000; i++) expect(queue.add(tag(i))).toBe(true)
    expect(queue.add(tag(10_000))).toBe(false)
    // One that is there already needs no room, and stays hard.
    expect(queue.add(tag(0, true))).toBe(true)
    expect(queue.next(1)).toEqual([tag(0)])
    queue.remove(queue.next(9_999))
    expect(queue.size).toBe(1)
  })

  it('are sent again where one came while the one before was on its way', () => {
    const queue = new InvalidationQueue()
    queue.add({ kind: 'tag', tag: 't', soft: false })
    const sent = queue.next(1)
    queue.add({ kind: 'tag', tag: 't', soft: true })
    queue.remove(sent)
    expect(queue.next(1)).toEqual([{ kind: 'tag', tag: 't', soft: false }])
    queue.remove(queue.next(1))
    expect(queue.size).toBe(0)
  })

  it('are sent before anything is read where a log has kept them since an earlier process', async () => {
    const cache = new AsyncTestCache()
    await cache.set('a', 1, { tags: ['t'] })
    await cache.set('b', 2, { tags: ['other'] })
    const kept = new InvalidationQueue()
    for (const tag of checkTags(['t'])) kept.add({ kind: 'tag', tag, soft: false })
    new LateInvalidations(coreOf(cache), kept)
    expect(await cache.get('a')).toBeUndefined()
    expect(await cache.get('b')).toBe(2)
    expect(kept.size).toBe(0)
  })

  it('reject once there is no room', async () => {
    const cache = new AsyncTestCache()
    cache.failing = true
    const many = Array.from({ length: 5_000 }, (_, i) => `a${i}`)
    await cache.invalidateTags(many, { later: true })
    await cache.invalidateTags(
      many.map((tag) => `b${tag}`),
      { later: true },
    )
    await expect(cache.invalidateTags(['one more'], { later: true })).rejects.toThrow()
  })

  it('do not open a connection again that was closed', async () => {
    let connections = 0
    const server = net.createServer((socket) => {
      connections++
      socket.on('error', () => undefined)
      socket.destroy()
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    onTestFinished(() => void server.close())
    const { port } = server.address() as AddressInfo
    const options = { retryInvalidations: true }
    const cache = new RedisCache({ location: `redis://127.0.0.1:${port}`, options })
    await expect(cache.invalidateTags(['t'])).rejects.toThrow()
    await cache.close()
    const before = connections
    // Longer than the pause between two attempts.
    await new Promise((resolve) => setTimeout(resolve, 600))
    expect(connections).toBe(before)
  })

  it('refuse what is not a flag, and an option of servers at a cache that is none', async () => {
    const cache = new LocMemCache()
    await expect(cache.invalidateTags(['t'], { later: 1 as never })).rejects.toThrow(
      'later: 1 is neither true nor false',
    )
    const location = 'redis://127.0.0.1:1'
    const options = { retryInvalidations: 'yes' as never }
    expect(() => new RedisCache({ location, options })).toThrow(
      /^RedisCache: options\.retryInvalidations: "yes"/,
    )
    expect(() => new LocMemCache({ options: { retryInvalidations: true } as object })).toThrow(
      /retryInvalidations/,
    )
  })
})
