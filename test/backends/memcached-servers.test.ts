import { createServer, type AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { MemcachedCache, type MemcachedOptions } from '../../src/backends/memcached.js'
import { parseLocations } from '../../src/backends/memcached/location.js'
import { Ring } from '../../src/backends/memcached/ring.js'
import { isForTime, Load } from '../support/load.js'
import { tell } from '../support/memcached.js'
import { ownTime } from '../support/own-time.js'
import { sharedServer, startProxy, type Proxy } from '../support/servers.js'
import { startMemcached, type MemcachedServer } from '../support/servers/memcached.js'

const isThere = (await sharedServer('memcached')) !== undefined

const LIMIT_MS = 400
const RECOVERY_MS = 1000

/** Whatever is waited for comes sooner on any machine, if it comes. */
const WAITING = { timeout: 10_000, interval: 20 }

const caches: MemcachedCache[] = []
let servers: MemcachedServer[] = []

beforeEach(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  if (isThere) servers = await Promise.all([0, 1, 2].map(() => startMemcached()))
})
afterEach(async () => {
  for (const cache of caches.splice(0)) await cache.close()
  // To end in order takes it up to a second.
  await Promise.all(servers.map((server) => server.kill()))
  vi.restoreAllMocks()
})

const locations = () => servers.map(({ location }) => location)

function open(options: MemcachedOptions = {}, location: readonly string[] = locations()) {
  const cache = new MemcachedCache({ location, options: { timeLimitMs: LIMIT_MS, ...options } })
  caches.push(cache)
  return cache
}

function placeOf(key: string, of: readonly string[] = locations()): number {
  const ring = new Ring(parseLocations(of).map(({ ringName }) => ({ ringName, weight: 1 })))
  return ring.find(key)
}

/** Keys by the server they live on, as many of each. */
function keysByServer(count: number): string[][] {
  const found: string[][] = [[], [], []]
  for (let i = 0; found.some(({ length }) => length < count); i++) {
    const own = found[placeOf(`:1:key-${i}`)]
    if (own !== undefined && own.length < count) own.push(`key-${i}`)
  }
  return found
}

const failed = { code: 'FRAGCACHE_BACKEND_FAILED' }

describe.skipIf(!isThere)('three Memcached servers', () => {
  it('share the keys as the ring says, and batches go to all of them', async () => {
    const cache = open()
    const groups = keysByServer(20)
    const entries = groups.flatMap((keys, i) => keys.map((key) => [key, i] as const))
    expect(await cache.setMany(entries)).toEqual([])
    for (const [i, location] of locations().entries()) {
      const others = groups.filter((_, j) => j !== i).flat()
      const own = groups[i] ?? []
      const lines = [...own, ...others].map((key) => `get :1:${key}\r\n`).join('')
      const answer = await tell(location, `${lines}mn\r\n`, 'MN\r\n')
      expect([...answer.matchAll(/VALUE :1:(\S+)/g)].map(([, key]) => key)).toEqual(own)
    }
    expect([...(await cache.getMany(entries.map(([key]) => key)))]).toEqual(entries)
    await cache.deleteMany(groups.flat())
    expect((await cache.getMany(groups.flat())).size).toBe(0)
  })

  it('are all cleared, and share tags', async () => {
    const [one, two] = [open(), open()]
    const keys = keysByServer(5).flat()
    await one.setMany(
      keys.map((key) => [key, 1] as const),
      { tags: ['t'] },
    )
    await two.invalidateTags(['t'])
    expect((await one.getMany(keys)).size).toBe(0)
    await one.setMany(keys.map((key) => [key, 2] as const))
    await two.clear()
    expect((await one.getMany(keys)).size).toBe(0)
    await two.setMany(keys.map((key) => [key, 3] as const))
    expect((await one.getMany(keys)).size).toBe(keys.length)
  })

  const faults = [
    [
      'killed',
      (server: MemcachedServer) => server.kill(),
      (server: MemcachedServer) => server.restart(),
    ],
    [
      'stopped in its tracks',
      (server: MemcachedServer) => {
        server.pause()
      },
      (server: MemcachedServer) => {
        server.resume()
      },
    ],
    [
      'ended in order',
      (server: MemcachedServer) => server.stop(),
      (server: MemcachedServer) => server.restart(),
    ],
  ] as const

  it.each(faults)(
    'of which one is %s fail for its keys alone, in time, and serve again within a second',
    async (_, begin, end) => {
      const cache = open()
      const groups = keysByServer(10)
      const broken = servers[1] as MemcachedServer
      await cache.setMany(groups.flat().map((key) => [key, 1] as const))
      await begin(broken)
      // The first calls find out.
      await Promise.all(
        (groups[1] ?? []).map(async (key) => {
          const startMs = ownTime.now()
          await expect(cache.get(key)).rejects.toMatchObject(failed)
          expect(ownTime.now() - startMs).toBeLessThan(LIMIT_MS + 300)
        }),
      )
      for (let i = 0; i < 5; i++) {
        const startMs = ownTime.now()
        await expect(cache.get(groups[1]?.[i] ?? '')).rejects.toMatchObject(failed)
        await expect(cache.set(groups[1]?.[i] ?? '', 2)).rejects.toMatchObject(failed)
        expect(ownTime.now() - startMs).toBeLessThan(100)
        expect(await cache.get(groups[0]?.[i] ?? '')).toBe(1)
        await cache.set(groups[2]?.[i] ?? '', 2)
      }
      expect(await cache.setMany(groups.map(([key = '']) => [key, 3] as const))).toEqual([
        groups[1]?.[0],
      ])
      await expect(cache.clear()).rejects.toMatchObject(failed)
      await end(broken)
      await vi.waitFor(() => cache.set(groups[1]?.[0] ?? '', 4), WAITING)
      expect(await cache.get(groups[1]?.[0] ?? '')).toBe(4)
    },
  )

  it.each(faults)('of which one is %s under load mix nothing up', async (_, begin, end) => {
    const cache = open()
    const load = new Load(cache)
    await load.settle(200)
    expect(load.failures.filter(({ error }) => !isForTime(error))).toEqual([])
    load.reset()
    const broken = servers[2] as MemcachedServer
    const fault = async () => {
      await sleep(200)
      await begin(broken)
      // Until calls that began after the first had failed have failed too.
      await sleep(2 * LIMIT_MS)
      await end(broken)
      return ownTime.now()
    }
    const backMs = await load.runUntil(fault())
    await load.settle(300)
    expect(load.mixedUp).toEqual([])
    expect(load.pending).toBe(0)
    expect(load.longestMs).toBeLessThan(LIMIT_MS + 400)
    const late = load.failures.filter(({ endMs }) => endMs > backMs + RECOVERY_MS)
    expect(late.filter(({ error }) => !isForTime(error))).toEqual([])
  })
})

/** A server that works answers within this on any machine: it must not be taken for down. */
const FAILOVER = { failover: true, timeLimitMs: 5 * LIMIT_MS }

describe.skipIf(!isThere)('failover', () => {
  it('moves the keys of a server that is down to the others, and back', async () => {
    const cache = open(FAILOVER)
    const groups = keysByServer(10)
    const keys = groups.flat()
    await cache.setMany(keys.map((key) => [key, 'before'] as const))
    await servers[1]?.kill()
    await vi.waitFor(() => cache.get(groups[1]?.[0] ?? ''), WAITING)
    // Its keys are misses once, and then live elsewhere; nobody else's moved.
    expect([...(await cache.getMany(keys)).keys()]).toEqual([
      ...(groups[0] ?? []),
      ...(groups[2] ?? []),
    ])
    expect(await cache.setMany(keys.map((key) => [key, 'during'] as const))).toEqual([])
    expect((await cache.getMany(keys)).size).toBe(keys.length)
    await servers[1]?.restart()
    await vi.waitFor(
      async () => expect((await cache.getMany(keys)).size).toBe(keys.length - 10),
      WAITING,
    )
    await cache.setMany(keys.map((key) => [key, 'after'] as const))
    expect(new Set((await cache.getMany(keys)).values())).toEqual(new Set(['after']))
  })

  it('serves nothing outdated from a server that was only cut off', async () => {
    const proxies: Proxy[] = []
    for (const { port } of servers) proxies.push(await startProxy({ port }))
    const through = proxies.map(({ port }) => `127.0.0.1:${port}`)
    const cut = proxies[0] as Proxy
    const cache = open(FAILOVER, through)
    const keys = Array.from({ length: 60 }, (_, i) => `key-${i}`)
    const its = keys.filter((key) => placeOf(`:1:${key}`, through) === 0)
    expect(its.length).toBeGreaterThan(3)
    for (const round of ['one', 'two']) {
      await cache.setMany(its.map((key) => [key, `before ${round}`] as const))
      cut.cut()
      await vi.waitFor(() => cache.set(its[0] ?? '', `during ${round}`), WAITING)
      // What the others kept from the last time is not found any more.
      expect([...(await cache.getMany(its))]).toEqual([[its[0], `during ${round}`]])
      await cache.setMany(its.map((key) => [key, `during ${round}`] as const))
      await cut.restore()
      await vi.waitFor(async () => expect((await cache.getMany(its)).size).toBe(0), WAITING)
    }
    await cache.close()
    for (const proxy of proxies) await proxy.close()
  })

  it('is told of what was cleared meanwhile', async () => {
    const cache = open(FAILOVER)
    const [key = '', other = ''] = keysByServer(2)[1] ?? []
    const isStored = async (one: string) =>
      (await tell(locations()[1] ?? '', `get :1:${one}\r\n`, 'END\r\n')).includes('VALUE')
    await cache.set(key, 'before')
    servers[1]?.pause()
    await vi.waitFor(() => cache.set(key, 'during'), WAITING)
    await cache.clear()
    expect(await cache.get(key)).toBeUndefined()
    servers[1]?.resume()
    while (!(await isStored(other))) {
      expect(await cache.get(key)).toBeUndefined()
      await cache.set(other, 'there')
    }
    expect(await cache.get(key)).toBeUndefined()
    await cache.set(key, 'after')
    expect(await cache.get(key)).toBe('after')
    expect(await isStored(key)).toBe(true)
  })

  it('fails where no server is left', async () => {
    const cache = open(FAILOVER)
    await Promise.all(servers.map((server) => server.kill()))
    await expect(cache.get('k')).rejects.toMatchObject(failed)
    await expect(cache.set('k', 1)).rejects.toMatchObject(failed)
    await Promise.all(servers.map((server) => server.restart()))
    // While servers come back one by one, the one a key belongs to changes.
    await vi.waitFor(async () => {
      await cache.set('k', 1)
      expect(await cache.get('k')).toBe(1)
    }, WAITING)
  })
})

describe.skipIf(!isThere)('a process that is busy', () => {
  it('for longer than the time limit takes no answer that is there for late', async () => {
    const cache = open({}, locations().slice(0, 1))
    await cache.set('k', 1)
    for (let i = 0; i < 3; i++) {
      const asked = Promise.all([cache.get('k'), cache.getMany(['k']), cache.set('other', i)])
      // What was asked goes out, and then nothing is read for a while.
      await new Promise(setImmediate)
      const untilMs = ownTime.now() + 1.5 * LIMIT_MS
      while (ownTime.now() < untilMs);
      expect(await asked).toEqual([1, new Map([['k', 1]]), undefined])
    }
  })
})

describe('a server that speaks nonsense', () => {
  it.each([
    ['answers nobody asked for', 'VERSION 1.6.18\r\nHD\r\nHD\r\n'],
    ['HTTP', 'HTTP/1.1 400 Bad Request\r\n\r\n'],
    ['no end of a line', 'x'.repeat(10_000)],
  ])('such as %s is a failure, not a hang', async (_, words) => {
    const fake = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.on('data', () => socket.write(words))
    })
    await new Promise<void>((listening) => fake.listen(0, '127.0.0.1', listening))
    const { port } = fake.address() as AddressInfo
    const cache = open({}, [`127.0.0.1:${port}`])
    const startMs = ownTime.now()
    await expect(cache.get('k')).rejects.toMatchObject(failed)
    expect(ownTime.now() - startMs).toBeLessThan(LIMIT_MS + 300)
    await cache.close()
    await new Promise((closed) => fake.close(closed))
  })

  it('is let go of if its answers only trickle', async () => {
    let closed = 0
    const fake = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.once('data', () => {
        socket.write('VERSION 1.6.18\r\nVA 100000 f0\r\n')
        const trickle = setInterval(() => socket.write('x'), LIMIT_MS / 10)
        socket.once('close', () => {
          closed++
          clearInterval(trickle)
        })
      })
    })
    await new Promise<void>((listening) => fake.listen(0, '127.0.0.1', listening))
    const { port } = fake.address() as AddressInfo
    const cache = open({}, [`127.0.0.1:${port}`])
    await expect(cache.get('k')).rejects.toMatchObject(failed)
    await vi.waitFor(() => expect(closed).toBeGreaterThan(0), 6 * LIMIT_MS)
    await cache.close()
    await new Promise((ended) => fake.close(ended))
  })
})
