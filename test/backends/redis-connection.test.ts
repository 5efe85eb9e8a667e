import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { Redis as Redis5 } from 'ioredis5'
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
import { RedisCache, type RedisOptions, type RedisSettings } from '../../src/backends/redis.js'
import { CacheBackendError, createCaches, type Cache } from '../../src/index.js'
import { bundleSources, type Bundle } from '../support/bundle.js'
import { canStartRedis } from '../support/redis.js'
import { freePort, startServer, type TestServer } from '../support/servers.js'
import { startProxy } from '../support/servers/proxy.js'
import { startRedis, type RedisServer } from '../support/servers/redis.js'

const isThere = await canStartRedis()

describe.skipIf(!isThere)('the connections of RedisCache', () => {
  let server: RedisServer
  let control: Redis
  const caches: Cache[] = []

  beforeAll(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fragcache-socket-'))
    server = await startRedis(['--unixsocket', join(folder, 'redis.sock')])
    Object.assign(server, { socket: join(folder, 'redis.sock') })
    control = new Redis(server.url)
  })
  afterAll(async () => {
    control.disconnect()
    await server.stop()
    await rm(join(socketPath(), '..'), { recursive: true })
  })
  beforeEach(() => control.flushall())
  afterEach(async () => {
    for (const cache of caches.splice(0)) await cache.close()
    vi.restoreAllMocks()
  })

  const socketPath = () => (server as RedisServer & { readonly socket: string }).socket

  function open(settings: RedisSettings): RedisCache {
    const cache = new RedisCache(settings)
    caches.push(cache)
    return cache
  }

  /** The connections the server knows besides the control's own. */
  async function clients(): Promise<Record<string, string>[]> {
    const list = String(await control.client('LIST'))
    return list
      .trim()
      .split('\n')
      .filter((line) => !line.includes('cmd=client|list'))
      .map((line) => {
        const pairs = line.split(' ').map((pair) => pair.split('=', 2) as [string, string])
        return Object.fromEntries(pairs)
      })
  }

  /** How often the server ran which command since the last call. */
  async function commands(): Promise<Record<string, number>> {
    const stats = await control.info('commandstats')
    await control.config('RESETSTAT')
    const counts = [...stats.matchAll(/cmdstat_([^:]+):calls=(\d+)/g)].map(
      ([, name = '', calls]): [string, number] => [name, Number(calls)],
    )
    return Object.fromEntries(counts.filter(([name]) => !/^(info|config\|)/.test(name)))
  }

  /** How many writes to the server's socket a call takes. */
  async function turns(call: () => Promise<unknown>): Promise<number> {
    const before = Number(/total_reads_processed:(\d+)/.exec(await control.info('stats'))?.[1])
    await call()
    const after = Number(/total_reads_processed:(\d+)/.exec(await control.info('stats'))?.[1])
    // One read is that of the second INFO.
    return after - before - 1
  }

  it('are opened on first use, one for a cache, and bear its name', async () => {
    const { shop } = createCaches({
      default: open({ location: server.url }),
      shop: open({ location: server.url }),
    })
    expect(await clients()).toEqual([])
    await Promise.all(Array.from({ length: 50 }, (_, i) => shop.set(`k${i}`, i)))
    await shop.getMany(['k1', 'k2'])
    expect((await clients()).map(({ name }) => name)).toEqual(['fragcache:shop'])
  })

  it('bear a name that the server takes whatever the alias is', async () => {
    const caches = createCaches({ default: open({ location: server.url }) })
    const odd = open({ location: server.url })
    createCaches({ default: caches.default, 'größe & Co\n': odd })
    await odd.get('k')
    expect((await clients()).map(({ name }) => name)).toEqual(['fragcache:gr--e-&-Co-'])
  })

  it('end with close, and are opened again by the next call', async () => {
    const cache = open({ location: server.url })
    await cache.set('k', 1)
    await cache.close()
    await vi.waitFor(async () => expect(await clients()).toEqual([]))
    expect(await cache.get('k')).toBe(1)
    expect(await clients()).toHaveLength(1)
  })

  describe('over a slow network', () => {
    /** Longer than a call may take, and shorter than connecting may. */
    const SLOW_MS = 250
    const options = { timeLimitMs: 100 }

    async function slow() {
      const proxy = await startProxy({ port: server.port })
      onTestFinished(() => proxy.close())
      /** Welcomes the next connection late, and is fast from then on. */
      const welcomeLate = () => {
        proxy.delayMs = SLOW_MS
        setTimeout(() => {
          proxy.delayMs = 0
        }, SLOW_MS / 2)
      }
      return { proxy, welcomeLate, location: `redis://127.0.0.1:${proxy.port}` }
    }

    it.each(['a location', 'a client'])(
      'take the time of the first one from no call: %s',
      async (by) => {
        const { location, welcomeLate } = await slow()
        const client = new Redis(location, { lazyConnect: true })
        onTestFinished(() => client.disconnect())
        const cache = open(by === 'a client' ? { client, options } : { location, options })
        const outages = vi.spyOn(process, 'emitWarning')
        welcomeLate()
        await expect(Promise.all([cache.set('k', 1), cache.get('k')])).resolves.toHaveLength(2)
        expect(await cache.get('k')).toBe(1)
        if (by === 'a location') {
          await cache.close()
          welcomeLate()
          expect(await cache.get('k')).toBe(1)
        }
        expect(outages).not.toHaveBeenCalled()
      },
    )

    it('count every answer after that', async () => {
      const { proxy, location } = await slow()
      // The connection's own limit would end at the same time, and on a busy machine be the first to say so.
      const cache = open({ location, options: { ...options, socketTimeout: 10_000 } })
      await cache.get('k')
      proxy.delayMs = SLOW_MS
      await expect(cache.get('k')).rejects.toThrow('no answer within 100 ms')
    })

    it('give the first one up where it is not welcomed', async () => {
      const { proxy, location } = await slow()
      proxy.silence()
      const cache = open({ location, options: { ...options, connectTimeout: 150 } })
      const reading = cache.get('k')
      await expect(reading).rejects.toThrow(CacheBackendError)
      await expect(reading).rejects.toThrow(/150 ?ms/)
    })
  })

  it('do not end before what was asked is answered', async () => {
    const cache = open({ location: server.url })
    await cache.set('k', 1)
    const asked = [cache.set('k', 2), cache.incr('k', 5), cache.get('k')]
    await cache.close()
    await Promise.all(asked)
    expect(await cache.get('k')).toBe(7)
  })

  it('take a unix socket, by its URL and by its path', async () => {
    const byUrl = open({ location: `unix://${socketPath()}?db=3` })
    const byPath = open({ location: socketPath() })
    await byUrl.set('k', 'db 3')
    await byPath.set('k', 'db 0')
    expect(await byUrl.get('k')).toBe('db 3')
    expect(await byPath.get('k')).toBe('db 0')
    expect((await clients()).map(({ addr, db }) => [addr, db])).toEqual([
      [`${socketPath()}:0`, '3'],
      [`${socketPath()}:0`, '0'],
    ])
  })

  it('take the db from the URL and from the options', async () => {
    const caches = [
      open({ location: server.url }),
      open({ location: `${server.url}/7` }),
      open({ location: server.url, options: { db: 8 } }),
    ]
    await Promise.all(caches.map((cache, i) => cache.set('k', i)))
    expect(await Promise.all(caches.map((cache) => cache.get('k')))).toEqual([0, 1, 2])
    expect((await control.info('keyspace')).match(/db\d+/g)).toEqual(['db0', 'db7', 'db8'])
  })

  it('serve nothing where the server refuses the db, rather than another db', async () => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    await control.set('theirs', 1)
    await control.call('ACL', 'SETUSER', 'eve', 'on', '>pw', '~*', '+@all', '-select')
    const faults = [
      ['ERR DB index is out of range', { location: `${server.url}/99999` }],
      ['NOPERM', { location: `redis://eve:pw@127.0.0.1:${server.port}/3` }],
    ] as const
    for (const [fault, settings] of faults) {
      const cache = open(settings)
      await expect(cache.set('k', 1)).rejects.toThrow(fault)
      await expect(cache.get('k')).rejects.toThrow(fault)
      await expect(cache.clear()).rejects.toThrow(fault)
      await expect(cache.incr('k')).rejects.toThrow(fault)
    }
    expect(await control.keys('*')).toEqual(['theirs'])
  })

  it('take user and password from the URL and from the options', async () => {
    await control.call('ACL', 'SETUSER', 'ann', 'on', '>p@ss,;/', '~*', '+@all')
    const host = `127.0.0.1:${server.port}`
    const byUrl = open({ location: `redis://ann:p%40ss%2C%3B%2F@${host}` })
    const byOptions = open({
      location: server.url,
      options: { username: 'ann', password: 'p@ss,;/' },
    })
    await byUrl.set('k', 1)
    expect(await byOptions.get('k')).toBe(1)
    expect((await clients()).map(({ user }) => user)).toEqual(['ann', 'ann'])

    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    const wrong = open({ location: `redis://ann:secret@${host}` })
    const error = await wrong.get('k').catch((reason: unknown) => reason as Error)
    expect(error).toMatchObject({ code: 'FRAGCACHE_BACKEND_FAILED' })
    expect(String(error)).toContain('WRONGPASS')
    const shown = `${String(error)} ${JSON.stringify(error)} ${String((error as Error).stack)}`
    expect(shown).not.toContain('secret')
  })

  it('send what is asked at the same time together', async () => {
    const cache = open({ location: server.url, keyPrefix: 'p' })
    await cache.set('k0', 0)
    await commands()
    const keys = Array.from({ length: 100 }, (_, i) => `k${i}`)

    expect(await turns(() => Promise.all(keys.map((key) => cache.set(key, 'x'))))).toBe(1)
    expect(await commands()).toMatchObject({ set: 100 })

    expect(await turns(() => Promise.all(keys.map((key) => cache.get(key))))).toBe(1)
    expect(await commands()).toMatchObject({ mget: 1 })

    await Promise.all([cache.set('n', 1), cache.get('k1'), cache.has('k2'), cache.touch('k3')])
    expect(await commands()).toEqual({ set: 1, mget: 1, pexpire: 1 })
  })

  it('listen to a client once, however many caches share it', async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    const client = new Redis(server.url, { lazyConnect: true })
    const shared = Array.from({ length: 12 }, () => open({ client }))
    await Promise.all(shared.map((cache, i) => cache.set(`k${i}`, i)))
    expect(await Promise.all(shared.map((cache, i) => cache.get(`k${i}`)))).toHaveLength(12)
    expect(warn).not.toHaveBeenCalled()
    client.disconnect()
  })

  it('ask once for what several callers ask alike at the same time', async () => {
    const cache = open({ location: server.url, keyPrefix: 'p' })
    await cache.setMany({ a: 'one', b: 'two', c: { three: 3 } })
    const keysRead = async () => {
      const stats = await control.info('stats')
      const [hits = 0, misses = 0] = ['hits', 'misses'].map((what) =>
        Number(new RegExp(`^keyspace_${what}:(\\d+)`, 'm').exec(stats)?.[1]),
      )
      return hits + misses
    }
    const before = await keysRead()
    const [gets, many, pair, swapped] = await Promise.all([
      Promise.all(Array.from({ length: 20 }, () => cache.get('c'))),
      Promise.all(Array.from({ length: 20 }, () => cache.getMany(['a', 'b', 'gone']))),
      cache.getMany(['a', 'b']),
      cache.getMany(['b', 'a', 'gone']),
    ])
    expect(await keysRead()).toBe(before + 1 + 3 + 2 + 3)
    for (const value of gets) expect(value).toEqual({ three: 3 })
    expect(new Set(gets).size).toBe(20)
    const both = { a: 'one', b: 'two' }
    for (const found of [...many, pair, swapped]) expect(Object.fromEntries(found)).toEqual(both)
  })

  it('give each caller bytes of its own, whatever a serializer makes of them', async () => {
    const serializer = {
      serialize: (value: unknown) => value as Buffer,
      deserialize: (bytes: Uint8Array) => bytes,
    }
    for (const settings of [{}, { serializer }]) {
      const cache = open({ location: server.url, keyPrefix: 'bytes', ...settings })
      await cache.set('k', Buffer.from('mine'))
      const [one, other] = await Promise.all([cache.get<Buffer>('k'), cache.get<Buffer>('k')])
      one?.fill('x')
      expect(String(other)).toBe('mine')
    }
  })

  it('take one round trip for getMany, setMany and deleteMany of a thousand', async () => {
    const cache = open({ location: server.url, keyPrefix: 'p' })
    await cache.get('k')
    await commands()
    const keys = Array.from({ length: 1000 }, (_, i) => `k${i}`)
    const entries = Object.fromEntries(keys.map((key) => [key, key]))
    const trips = async (call: () => Promise<unknown>) => {
      const waits = vi.spyOn(globalThis, 'setImmediate')
      await call()
      // Time limits that pass meanwhile, on a busy machine, wait for a turn too.
      const count = waits.mock.calls.filter(([action]) => action.name === '#run').length
      waits.mockRestore()
      return count
    }
    expect(await trips(() => cache.setMany(entries))).toBe(1)
    expect(await commands()).toEqual({ set: 1000 })
    expect(await trips(() => cache.getMany(keys))).toBe(1)
    expect(await commands()).toEqual({ mget: 1 })
    expect(await trips(() => cache.deleteMany(keys))).toBe(1)
    expect(await commands()).toEqual({ unlink: 1000 })
    expect((await cache.getMany(keys)).size).toBe(0)
  })

  it('read entries and the versions of their tags in one round trip', async () => {
    const cache = open({ location: server.url })
    await cache.getOrSet('k', 'v', { tags: ['a', 'b'] })
    await commands()
    expect(await cache.getOrSet('k', 'other', { tags: ['a', 'b'] })).toBe('v')
    expect(await commands()).toEqual({ mget: 1 })
  })

  it('survive that the server forgets its scripts', async () => {
    const cache = open({ location: server.url })
    await cache.set('n', 1)
    expect(await cache.incr('n')).toBe(2)
    await control.script('FLUSH')
    expect(await cache.incr('n')).toBe(3)
    await commands()
    expect(await cache.incr('n')).toBe(4)
    expect(await commands()).toMatchObject({ evalsha: 1 })
    expect(await commands()).not.toHaveProperty('eval')
  })

  describe('of a script', () => {
    let bundle: Bundle
    beforeAll(async () => {
      bundle = await bundleSources()
    }, 60_000)
    afterAll(() => bundle.remove())

    /** Runs a script to its end, which nothing but itself brings about. */
    async function run(url: string, body: string, options: RedisOptions = {}) {
      const file = join(bundle.folder, `script-${Math.random()}.mjs`)
      const head = `
        import { RedisCache } from './src/backends/redis.js'
        const cache = new RedisCache(${JSON.stringify({ location: url, options })})
      `
      await writeFile(file, head + body)
      const child = spawn(process.execPath, ['--no-warnings', file])
      let said = ''
      for (const stream of [child.stdout, child.stderr]) {
        stream.on('data', (text: Buffer) => (said += String(text)))
      }
      const startMs = performance.now()
      const late = setTimeout(() => child.kill('SIGKILL'), 30_000)
      const [code] = (await once(child, 'close')) as [number | null]
      clearTimeout(late)
      return { said, code, ms: performance.now() - startMs }
    }

    it('let it end without close, and not before everything is answered', async () => {
      const script = `
        await cache.set('k', 1)
        cache.incr('k').then((n) => console.log('answered', n))
      `
      const { said, code } = await run(server.url, script, { timeLimitMs: 10_000 })
      expect({ said, code }).toEqual({ said: 'answered 2\n', code: 0 })
    })

    it('let it end where there is no server', async () => {
      const nowhere = `redis://127.0.0.1:${await freePort()}`
      const script = `cache.get('k').catch((error) => console.log(error.code))`
      const { said, code, ms } = await run(nowhere, script)
      expect({ said, code }).toEqual({ said: 'FRAGCACHE_BACKEND_FAILED\n', code: 0 })
      expect(ms).toBeLessThan(9000)
    })
  })

  describe('of a client that was given', () => {
    it.each([
      ['6', () => new Redis(server.url, { connectionName: 'own' })],
      ['5', () => new Redis5(server.url, { connectionName: 'own' })],
    ])('are used as they are and not closed: ioredis %s', async (_, make) => {
      const client = make()
      const options = { ...client.options }
      const listeners = client.eventNames().map((name) => [name, client.listenerCount(name)])
      const caches = Array.from({ length: 20 }, () => open({ client }))
      await Promise.all(caches.map((cache, i) => cache.set(`k${i}`, i)))
      expect(await caches[3]?.get('k7')).toBe(7)
      expect(await caches[3]?.incr('k7')).toBe(8)
      expect((await clients()).map(({ name }) => name)).toEqual(['own'])
      for (const cache of caches) await cache.close()
      expect(client.status).toBe('ready')
      expect(client.options).toEqual(options)
      expect(client.eventNames().map((name) => [name, client.listenerCount(name)])).toEqual(
        listeners,
      )
      expect(await caches[3]?.get('k7')).toBe(8)
      client.disconnect()
    })

    it('may be lazy, auto-pipelining and with string numbers', async () => {
      const client = new Redis(server.url, {
        lazyConnect: true,
        enableAutoPipelining: true,
        stringNumbers: true,
      })
      const cache = open({ client })
      await cache.set('n', 41)
      expect(await cache.incr('n')).toBe(42)
      expect(await cache.touch('n', { timeout: 10 })).toBe(true)
      expect(await cache.touch('n', { timeout: null })).toBe(true)
      expect(await cache.ttl('n')).toBe(null)
      expect(await cache.delete('n')).toBe(true)
      await cache.clear()
      client.disconnect()
      vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
      await expect(cache.get('n')).rejects.toMatchObject({ code: 'FRAGCACHE_BACKEND_FAILED' })
    })
  })
})

describe.skipIf(!isThere)('TLS', () => {
  let folder = ''
  let server: TestServer
  let port = 0
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fragcache-tls-'))
    port = await freePort()
    const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
    execFileSync(
      'openssl',
      ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'].concat(
        ['-keyout', key, '-out', certificate, '-days', '2', '-subj', '/CN=localhost'],
        ['-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'],
      ),
      { stdio: 'ignore' },
    )
    server = await startServer({
      command: 'redis-server',
      args: ['--port', '0', '--tls-port', String(port), '--bind', '127.0.0.1', '--save', ''].concat(
        ['--tls-cert-file', certificate, '--tls-key-file', key, '--tls-auth-clients', 'no'],
      ),
      listensAt: port,
    })
  })
  afterAll(async () => {
    await server.stop()
    await rm(folder, { recursive: true })
  })

  it('is spoken to rediss://, with the certificates of the options', async () => {
    const ca = await readFile(join(folder, 'cert.pem'))
    const cache = new RedisCache({
      location: `rediss://127.0.0.1:${port}/1`,
      options: { tls: { ca } },
    })
    await cache.set('k', 'over TLS')
    expect(await cache.get('k')).toBe('over TLS')
    expect((await cache.getMany(['k'])).size).toBe(1)
    await cache.close()
  })

  it('is refused where the certificate is not trusted', async () => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    const cache = new RedisCache({ location: `rediss://127.0.0.1:${port}` })
    const error = await cache.get('k').catch((reason: unknown) => reason as Error)
    expect(String(error)).toMatch(/certificate/)
    expect(error).toMatchObject({ code: 'FRAGCACHE_BACKEND_FAILED' })
    await cache.close()
    vi.restoreAllMocks()
  })
})
