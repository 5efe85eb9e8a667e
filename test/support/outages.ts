import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Cache, CacheSettings } from '../../src/index.js'
import type { OutageMessage } from '../../src/observe/channels.js'
import { isForTime, Load } from './load.js'
import { ownTime } from './own-time.js'
import { startProxy, type Proxy, type TestServer } from './servers.js'

/** What {@link testOutages} sets; `create` adds where the server is. */
export interface OutageSettings extends CacheSettings {
  readonly options: { readonly timeLimitMs: number }
}

/** A backend of a server, and a server for it to lose. */
export interface OutagesUnderTest {
  /** Starts a server of this test's own on a port of 127.0.0.1. */
  readonly start: () => Promise<TestServer & { readonly port: number }>
  /** Makes a cache over the server behind a port of 127.0.0.1: the server's own, or a proxy's. */
  readonly create: (port: number, settings: OutageSettings) => Cache | Promise<Cache>
  /** Called after each test, with what is closed: for a connection that is the user's own. */
  readonly release?: () => void | Promise<void>
}

/** Milliseconds a call may take. */
const LIMIT_MS = 500

/** What a busy machine may add, of this process's own time. */
const MARGIN_MS = 400

/** Milliseconds after a server's return within which it serves again. */
const RECOVERY_MS = 1000

/** How long a fault lasts: until calls that began after the first had failed have failed too. */
const FAULT_MS = 2 * LIMIT_MS

/** For so long no call may fail before all is said to be well. */
const STEADY_MS = 300

/** Whatever is waited for comes sooner on any machine, if it comes. */
const WAITING = { timeout: 15_000, interval: 20 }

interface Scene {
  readonly server: TestServer
  readonly proxy: Proxy
}

interface Fault {
  readonly name: string
  /** Where the cache connects to: the proxy, else the server itself. */
  readonly proxied: boolean
  readonly begin: (scene: Scene) => unknown
  readonly end: (scene: Scene) => unknown
}

const FAULTS: readonly Fault[] = [
  {
    name: 'killed',
    proxied: false,
    begin: ({ server }) => server.kill(),
    end: ({ server }) => server.restart(),
  },
  {
    name: 'stopped in its tracks',
    proxied: false,
    begin: ({ server }) => server.pause(),
    end: ({ server }) => server.resume(),
  },
  {
    name: 'cut off',
    proxied: true,
    begin: ({ proxy }) => proxy.cut(),
    end: ({ proxy }) => proxy.restore(),
  },
  {
    name: 'silent behind a network that drops everything',
    proxied: true,
    begin: ({ proxy }) => proxy.silence(),
    end: ({ proxy }) => proxy.restore(),
  },
  {
    name: 'slower than the time limit',
    proxied: true,
    begin: ({ proxy }) => (proxy.delayMs = 1.6 * LIMIT_MS),
    end: ({ proxy }) => proxy.restore(),
  },
]

/**
 * Defines the tests of what every backend of a server promises for when that fails: the server is
 * killed, stopped, restarted, cut off, silent and slow, all under load.
 *
 * @param name - What the tests are called.
 */
export function testOutages(name: string, { start, create, release }: OutagesUnderTest): void {
  describe(name, { timeout: 60_000 }, () => {
    let server: TestServer & { readonly port: number }
    let proxy: Proxy
    let socketsBefore = 0
    const caches: Cache[] = []
    const outages: OutageMessage[] = []
    const note = (message: unknown) => void outages.push(message as OutageMessage)

    const open = async (proxied: boolean, settings: CacheSettings = {}, timeLimitMs = LIMIT_MS) => {
      const cache = await create(proxied ? proxy.port : server.port, {
        ...settings,
        options: { timeLimitMs },
      })
      caches.push(cache)
      return cache
    }

    /** As `open`, and connected, however long a busy machine takes for that. */
    const openConnected = async (...which: Parameters<typeof open>) => {
      const cache = await open(...which)
      const isConnected = async () => {
        const key = `connected-${Math.random()}`
        await cache.set(key, 1)
        expect(await cache.get(key)).toBe(1)
      }
      await vi.waitFor(isConnected, WAITING)
      outages.length = 0
      return cache
    }

    beforeAll(async () => {
      server = await start()
    })
    afterAll(() => server.stop())

    beforeEach(async () => {
      vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
      socketsBefore = countSockets()
      proxy = await startProxy({ port: server.port })
      outages.length = 0
      subscribe('fragcache:outage', note)
    })

    afterEach(async () => {
      unsubscribe('fragcache:outage', note)
      for (const cache of caches.splice(0)) await cache.close()
      await release?.()
      await proxy.close()
      const warnings = vi.mocked(process.emitWarning).mock.calls.map(([warning]) => String(warning))
      vi.restoreAllMocks()
      expect(warnings.filter((text) => /MaxListeners|possible.*leak/i.test(text))).toEqual([])
      await vi.waitFor(() => expect(countSockets()).toBeLessThanOrEqual(socketsBefore), WAITING)
    })

    describe.each(FAULTS)('a server that is $name', ({ proxied, begin, end }) => {
      it('makes calls reject in time, hangs and mixes up nothing, and serves again within a second', async () => {
        const scene = { server, proxy }
        const cache = await openConnected(proxied)
        const load = new Load(cache)
        await load.settle(STEADY_MS)
        expect(load.failures.filter(({ error }) => !isForTime(error))).toEqual([])
        load.reset()
        outages.length = 0
        const socketsOfLoad = countSockets()

        await begin(scene)
        await load.run(FAULT_MS)
        const failures = load.failures
        expect(failures.length).toBeGreaterThan(3)
        for (const { error } of failures) {
          expect(error).toMatchObject({
            code: 'FRAGCACHE_BACKEND_FAILED',
            name: 'CacheBackendError',
          })
          expect((error as Error).cause).toBeInstanceOf(Error)
        }
        expect(outages.map(({ until }) => until)).toEqual([undefined])

        await end(scene)
        const backMs = ownTime.now()
        await load.settle(STEADY_MS)
        expect(load.firstSuccessAfter(backMs)).toBeLessThan(RECOVERY_MS)
        const late = load.failures.filter(({ endMs }) => endMs > backMs + RECOVERY_MS)
        expect(late.filter(({ error }) => !isForTime(error))).toEqual([])

        expect(load.mixedUp).toEqual([])
        expect(load.longestMs).toBeLessThan(LIMIT_MS + MARGIN_MS)
        expect(load.pending).toBe(0)
        await vi.waitFor(() => expect(countSockets()).toBeLessThanOrEqual(socketsOfLoad), WAITING)
        expectPairs(outages)
      })

      it('costs a call next to nothing once that is known, and is a miss with ignoreErrors', async () => {
        const scene = { server, proxy }
        const cache = await openConnected(proxied)
        const forgiving = await openConnected(proxied, { ignoreErrors: true })
        await cache.set('k', 1)
        await forgiving.set('k', 1)
        await begin(scene)
        try {
          await Promise.all(
            Array.from({ length: 10 }, async () => {
              await expect(cache.get('k')).rejects.toThrow()
              expect(await forgiving.get('k', { default: 'miss' })).toBe('miss')
            }),
          )
          const times: number[] = []
          for (let i = 0; i < 20; i++) {
            const startMs = ownTime.now()
            await expect(cache.get('k')).rejects.toMatchObject({ code: 'FRAGCACHE_BACKEND_FAILED' })
            expect(await forgiving.get('k', { default: 'miss' })).toBe('miss')
            await forgiving.set('k', 2)
            times.push(ownTime.now() - startMs)
          }
          expect(times.sort((a, b) => a - b)[10]).toBeLessThan(20)
        } finally {
          await end(scene)
        }
        await vi.waitFor(() => cache.set('k', 3), WAITING)
        expect(await cache.get('k')).toBe(3)
      })

      it('does not keep close from ending', async () => {
        const scene = { server, proxy }
        const cache = await openConnected(proxied)
        await cache.set('k', 1)
        await begin(scene)
        try {
          const asked = cache.get('k').catch((error: unknown) => error)
          const startMs = ownTime.now()
          await cache.close()
          expect(await asked).toBeInstanceOf(Error)
          expect(ownTime.now() - startMs).toBeLessThan(2 * LIMIT_MS + MARGIN_MS)
        } finally {
          await end(scene)
        }
        await vi.waitFor(() => cache.set('k', 2), WAITING)
        expect(await cache.get('k')).toBe(2)
      })
    })

    it('is served by again after a restart under load', async () => {
      const cache = await openConnected(false)
      const load = new Load(cache)
      await load.settle(STEADY_MS)
      load.reset()
      const running = load.run(1000)
      await server.restart()
      const backMs = ownTime.now()
      await running
      await load.settle(STEADY_MS)
      expect(load.firstSuccessAfter(backMs)).toBeLessThan(RECOVERY_MS)
      const late = load.failures.filter(({ endMs }) => endMs > backMs + RECOVERY_MS)
      expect(late.filter(({ error }) => !isForTime(error))).toEqual([])
      expect(load.mixedUp).toEqual([])
      expect(load.longestMs).toBeLessThan(LIMIT_MS + MARGIN_MS)
    })

    it('may be down when it is first asked', async () => {
      await server.kill()
      const cache = await open(false)
      const startMs = ownTime.now()
      await expect(cache.get('k')).rejects.toMatchObject({ code: 'FRAGCACHE_BACKEND_FAILED' })
      await expect(cache.set('k', 1)).rejects.toMatchObject({ code: 'FRAGCACHE_BACKEND_FAILED' })
      expect(ownTime.now() - startMs).toBeLessThan(2 * (LIMIT_MS + MARGIN_MS))
      await server.restart()
      await vi.waitFor(() => cache.set('k', 1), WAITING)
      expect(await cache.get('k')).toBe(1)
    })

    it('that is slow but within the time limit is not an outage', async () => {
      const cache = await openConnected(true, {}, 20 * LIMIT_MS)
      // Longer than any other call may take here; and a call may take several round trips.
      proxy.delayMs = 1.6 * LIMIT_MS
      const load = new Load(cache)
      await load.run(100)
      expect(load.failures).toEqual([])
      expect(load.mixedUp).toEqual([])
      expect(outages).toEqual([])
    })
  })
}

/**
 * Each outage has its begin and its end. One that follows the first can only be that of a machine too
 * busy to answer twenty callers at once in time.
 */
function expectPairs(outages: readonly OutageMessage[]): void {
  for (let i = 0; i < outages.length; i += 2) {
    const [begin, end] = outages.slice(i, i + 2)
    expect(begin?.until).toBeUndefined()
    expect(end).toMatchObject({ since: begin?.since, until: expect.any(Number) as number })
    if (i > 0) expect(begin?.error).toSatisfy(isForTime)
  }
}

/** Sockets of this process that are open, of whatever kind. */
function countSockets(): number {
  return process.getActiveResourcesInfo().filter((kind) => /^(TCPSocket|Pipe|TLS)Wrap/.test(kind))
    .length
}
