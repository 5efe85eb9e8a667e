import { Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect, it, vi, type MockInstance } from 'vitest'
import { LocMemCache } from '../../src/backends/locmem.js'
import { RedisCache, type RedisSettings } from '../../src/backends/redis.js'
import { TieredCache } from '../../src/backends/tiered.js'
import { canStartRedis } from '../support/redis.js'
import { startProxy, type Proxy } from '../support/servers/proxy.js'
import { startRedis, type RedisServer } from '../support/servers/redis.js'

const isThere = await canStartRedis()

describe.skipIf(!isThere)('a Redis that is killed and comes back from a snapshot', () => {
  let server: RedisServer
  let control: Redis
  let warn: MockInstance<typeof process.emitWarning>
  const ends: (() => unknown)[] = []

  beforeEach(async () => {
    warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    server = await startRedis()
    control = new Redis(server.url, { retryStrategy: () => 20, maxRetriesPerRequest: null })
    control.on('error', () => undefined)
  })
  afterEach(async () => {
    for (const end of ends.splice(0)) await end()
    control.disconnect()
    await server.stop()
    vi.restoreAllMocks()
  })

  /** A cache as another process has it. */
  function open(settings: RedisSettings = {}): RedisCache {
    const location = settings.client === undefined ? { location: server.url } : undefined
    const cache = new RedisCache({ ...location, keyPrefix: 'shop', ...settings })
    ends.push(() => cache.close())
    return cache
  }

  const codes = () =>
    warn.mock.calls.map(([, options]) => (options as unknown as { code: string }).code)

  async function dieAndReturn(): Promise<void> {
    await server.kill()
    await server.restart()
  }

  /** What a call gives once the server is back. */
  const once = <T>(call: () => Promise<T>): Promise<T> => vi.waitFor(call, 10_000)

  it('gives back nothing that was invalidated, deleted, cleared or overwritten before', async () => {
    const [one, other] = [open(), open()]
    await one.set('tagged', 'old', { tags: ['t'], timeout: null })
    await one.set('deleted', 'old')
    await one.set('overwritten', 'old')
    await one.set('counted', 1)
    await control.save()
    await one.invalidateTags(['t'])
    await one.delete('deleted')
    await other.set('overwritten', 'new')
    await other.incr('counted', 10)
    await dieAndReturn()
    const keys = ['tagged', 'deleted', 'overwritten', 'counted']
    expect(await once(() => other.getMany(keys))).toEqual(new Map())
    for (const key of keys) expect(await once(() => one.get(key))).toBe(undefined)
    expect(await one.add('deleted', 'now')).toBe(true)
    expect(await open().get('deleted')).toBe('now')
  })

  it.each([
    ['over connections of their own', () => open()],
    [
      'over clients that repeat by themselves what they lost',
      () => {
        const client = new Redis(server.url, { retryStrategy: () => 5 })
        client.on('error', () => undefined)
        ends.push(() => client.disconnect())
        return open({ client })
      },
    ],
  ])('gives nothing old to any of many readers: %s', async (_, make) => {
    const readers = Array.from({ length: 6 }, make)
    const [writer] = readers as [RedisCache]
    const keys = Array.from({ length: 20 }, (_, i) => `k${i}`)
    await writer.setMany(Object.fromEntries(keys.map((key) => [key, 'old'])), { timeout: null })
    for (const reader of readers) expect(await reader.get('k1')).toBe('old')
    await control.save()
    await writer.deleteMany(keys)
    const seen: unknown[] = []
    let isOver = false
    let answers = 0
    const reading = readers.map(async (reader) => {
      while (!isOver) {
        const found = await reader.getMany(keys).catch(() => undefined)
        if (found !== undefined) answers++
        seen.push(...(found ?? []))
        await new Promise(setImmediate)
      }
    })
    await dieAndReturn()
    const before = answers
    await vi.waitFor(() => expect(answers).toBeGreaterThan(before + 100), 10_000)
    isOver = true
    await Promise.all(reading)
    expect(seen).toEqual([])
  })

  it('keeps what others have there, and what was stored since', async () => {
    const [one, other] = [open(), open()]
    await control.set('shop:eu:1:k', 'theirs')
    await one.set('k', 'old')
    await control.save()
    await dieAndReturn()
    expect(await once(() => one.get('k'))).toBe(undefined)
    await one.set('k', 'new')
    expect(await once(() => other.get('k'))).toBe('new')
    expect(await open().get('k')).toBe('new')
    expect(await control.get('shop:eu:1:k')).toBe('theirs')
  })

  it('is emptied where clear would do that', async () => {
    const cache = open({ keyPrefix: '', options: { flushOnClear: true } })
    await cache.set('k', 'old')
    await control.set('theirs', 1)
    await control.save()
    await dieAndReturn()
    expect(await once(() => cache.get('k'))).toBe(undefined)
    expect(await control.exists('theirs')).toBe(0)
  })

  it('is also noticed by who knows which server it was, if the record of that was evicted', async () => {
    const cache = open()
    await cache.set('k', 'old')
    await control.del('shop:1:fragcache.server')
    await control.save()
    await cache.delete('k')
    await dieAndReturn()
    expect(await once(() => cache.get('k'))).toBe(undefined)
  })

  it('leaves nothing in the local memory of a tiered cache', async () => {
    const [one, other] = [open(), open()].map((remote) => {
      const cache = new TieredCache({ local: new LocMemCache(), remote })
      ends.push(() => cache.close())
      return cache
    }) as [TieredCache, TieredCache]
    await one.set('k', 'old', { tags: ['t'] })
    await vi.waitFor(async () => expect(await other.get('k')).toBe('old'))
    await control.save()
    await one.invalidateTags(['t'])
    await vi.waitFor(async () => expect(await other.get('k')).toBe(undefined))
    await dieAndReturn()
    expect(await once(() => other.get('k'))).toBe(undefined)
    expect(await once(() => one.get('k'))).toBe(undefined)
  })

  it('says so where a key function hides whose keys they are, and goes on', async () => {
    const keyFunction = (key: string) => Buffer.from(key).toString('hex')
    const cache = open({ keyPrefix: '', keyFunction })
    await cache.set('k', 'old')
    await control.save()
    await dieAndReturn()
    expect(await once(() => cache.get('k'))).toBe('old')
    expect(codes().filter((code) => code === 'FRAGCACHE_NO_REMOVAL')).toHaveLength(1)
  })

  it('is not told from another where INFO is forbidden, which is reported once', async () => {
    await control.acl('SETUSER', 'app', 'on', '>pw', '~*', '&*', '+@all', '-info')
    const location = server.url.replace('//', '//app:pw@')
    const cache = open({ location, options: { enableReadyCheck: false } })
    await cache.set('k', 1)
    expect(await cache.get('k')).toBe(1)
    await control.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    expect(await once(() => cache.get('k'))).toBe(1)
    expect(codes()).toContain('FRAGCACHE_NO_RUN_ID')
    expect(codes().filter((code) => code === 'FRAGCACHE_NO_RUN_ID')).toHaveLength(1)
  })
})

describe.skipIf(!isThere)('a Redis that was not restarted', () => {
  let server: RedisServer
  let control: Redis
  let cache: RedisCache

  beforeEach(async () => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    server = await startRedis()
    control = new Redis(server.url)
    cache = new RedisCache({ location: server.url, keyPrefix: 'shop' })
    return async () => {
      await cache.close()
      control.disconnect()
      await server.stop()
      vi.restoreAllMocks()
    }
  })

  it('keeps everything, however often connections are lost', async () => {
    await cache.set('k', 1)
    for (let i = 0; i < 3; i++) {
      await control.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
      expect(await vi.waitFor(() => cache.get('k'), 5000)).toBe(1)
    }
    expect(await new RedisCache({ location: server.url, keyPrefix: 'shop' }).get('k')).toBe(1)
  })

  it('is written down again where that was evicted, and survives clear', async () => {
    const record = 'shop:1:fragcache.server'
    await cache.set('k', 1)
    const runId = /^run_id:(\w+)/m.exec(await control.info('server'))?.[1]
    expect(await control.get(record)).toBe(runId)
    await cache.clear()
    expect(await control.get(record)).toBe(runId)
    const keys: string[] = []
    for await (const key of cache.iterateKeys()) keys.push(key)
    expect(keys).toEqual([])

    await control.del(record)
    const { now } = performance
    vi.spyOn(performance, 'now').mockImplementation(() => now.call(performance) + 60_000)
    await vi.waitFor(async () => {
      await cache.get('k')
      expect(await control.get(record)).toBe(runId)
    })
  })
})

describe.skipIf(!isThere)(
  'a Redis that is the leader again, with what it had when it was replaced',
  () => {
    const leader = { port: 0 }
    let servers: readonly [RedisServer, RedisServer]
    let proxy: Proxy
    const caches: RedisCache[] = []

    beforeEach(async () => {
      vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
      servers = [await startRedis(), await startRedis()]
      leader.port = servers[0].port
      proxy = await startProxy(leader)
      return async () => {
        for (const cache of caches.splice(0)) await cache.close()
        await proxy.close()
        for (const server of servers) await server.stop()
        vi.restoreAllMocks()
      }
    })

    /** A cache as another process has it. */
    function open(): RedisCache {
      const location = `redis://127.0.0.1:${proxy.port}`
      const cache = new RedisCache({ location, keyPrefix: 'shop' })
      caches.push(cache)
      return cache
    }

    async function leadBy({ port }: RedisServer): Promise<void> {
      leader.port = port
      proxy.cut()
      await proxy.restore()
    }

    const once = <T>(call: () => Promise<T>): Promise<T> => vi.waitFor(call, 10_000)

    it('gives back nothing that was invalidated in the meantime', async () => {
      const [one, other] = [open(), open()]
      await one.set('tagged', 'old', { tags: ['t'], timeout: null })
      await one.set('deleted', 'old')
      expect(await other.get('deleted')).toBe('old')
      for (let turn = 0; turn < 2; turn++) {
        await leadBy(servers[1])
        await once(() => one.invalidateTags(['t']))
        await one.delete('deleted')
        expect(await once(() => other.getMany(['tagged', 'deleted']))).toEqual(new Map())
        await leadBy(servers[0])
        expect(await once(() => other.getMany(['tagged', 'deleted']))).toEqual(new Map())
        expect(await once(() => one.getMany(['tagged', 'deleted']))).toEqual(new Map())
        await one.set('deleted', 'old')
        expect(await open().get('deleted')).toBe('old')
        expect(await other.get('deleted')).toBe('old')
      }
    })

    it('gives nothing old to a process that was started on the server in between', async () => {
      await open().setMany({ tagged: 'old', deleted: 'old' }, { tags: ['t'], timeout: null })
      await leadBy(servers[1])
      const late = open()
      await late.set('tagged', 'new', { tags: ['t'] })
      await late.invalidateTags(['t'])
      await late.delete('deleted')
      await leadBy(servers[0])
      expect(await once(() => late.getMany(['tagged', 'deleted']))).toEqual(new Map())
    })

    it('removes nothing for a process that was away and knows less', async () => {
      const [one, other] = [open(), open()]
      await one.set('k', 'old')
      expect(await other.get('k')).toBe('old')
      await other.close()
      await leadBy(servers[1])
      expect(await once(() => one.get('k'))).toBe(undefined)
      await one.set('k', 'new')
      expect(await once(() => other.get('k'))).toBe('new')
      expect(await open().get('k')).toBe('new')
    })
  },
)
