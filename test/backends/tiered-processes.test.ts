import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { bundleSources, type Bundle } from '../support/bundle.js'
import { sharedServer, startProxy, type Proxy } from '../support/servers.js'
import { startRedis, type RedisServer } from '../support/servers/redis.js'
import { startWorker, type Worker } from '../support/worker.js'

/** Milliseconds after which an old value would be one that stays. Figures: `npm run bench tiered`. */
const LIMIT_MS = 1000

const script = `
  import { LocMemCache } from './src/index.js'
  import { coreOf } from './src/backend/core.js'
  import { RedisCache } from './src/backends/redis.js'
  import { TieredCache } from './src/backends/tiered.js'
  const [location] = args
  const remote = new RedisCache({ location, keyPrefix: 'shop' })
  const cache = new TieredCache({ local: new LocMemCache(), remote })
  let asked = 0
  const { entries } = coreOf(remote)
  const { lookup, lookupOne } = entries
  entries.lookup = (...all) => (asked++, lookup.apply(entries, all))
  entries.lookupOne = (...all) => (asked++, lookupOne.apply(entries, all))
  const answer = async ({ method, given }) => {
    if (method === 'asked') return asked
    return (await cache[method](...given)) ?? null
  }
  await new Promise((end) => {
    process.on('message', async (message) => {
      if (message === 'end') return end()
      try {
        process.send({ value: await answer(message) })
      } catch (error) {
        process.send({ error: String(error) })
      }
    })
    process.send('ready')
  })
  process.removeAllListeners('message')
  await cache.close()
`

interface Answer {
  readonly value?: unknown
  readonly error?: string
}

/** A process with a tiered cache of its own. */
class Process {
  constructor(private readonly worker: Worker) {}

  async call(method: string, ...given: unknown[]): Promise<unknown> {
    this.worker.child.send({ method, given })
    const { value, error } = (await this.worker.message()) as Answer
    if (error !== undefined) throw new Error(error)
    return value
  }

  get(key: string): Promise<unknown> {
    return this.call('get', key)
  }

  /** Whether a value comes from its memory now. */
  async isKept(key: string): Promise<boolean> {
    const before = await this.call('asked')
    await this.get(key)
    return (await this.call('asked')) === before
  }

  async end(): Promise<void> {
    this.worker.child.send('end')
    await this.worker.ended
  }
}

const isThere = (await sharedServer('redis')) !== undefined

describe.skipIf(!isThere)('four processes over one Redis', () => {
  let bundle: Bundle
  let server: RedisServer
  let proxy: Proxy
  let processes: [Process, Process, Process, Process]

  beforeAll(async () => {
    bundle = await bundleSources()
    server = await startRedis()
    proxy = await startProxy(server)
    const behindProxy = `redis://127.0.0.1:${proxy.port}`
    const start = async (location: string) => {
      const worker = await startWorker(bundle, script, { args: [location] })
      expect(await worker.message()).toBe('ready')
      return new Process(worker)
    }
    // The last one loses its connections in some tests; the others never do.
    processes = await Promise.all([
      start(server.url),
      start(server.url),
      start(server.url),
      start(behindProxy),
    ])
  })
  afterAll(async () => {
    await Promise.all(processes.map((one) => one.end()))
    await proxy.close()
    await server.stop()
    await bundle.remove()
  })

  beforeEach(async () => {
    await processes[0].call('clear')
  })
  afterEach(() => proxy.restore())

  /** Waits until a value comes from memory, once it is told of changes. */
  const keeps = (one: Process, key: string) =>
    expect.poll(() => one.isKept(key), { timeout: 5000, interval: 20 }).toBe(true)

  /** All four have it in memory. */
  async function warm(key: string, value: unknown, options: object = {}): Promise<void> {
    await processes[0].call('set', key, value, options)
    for (const one of processes) await keeps(one, key)
    for (const one of processes) expect(await one.get(key)).toBe(value)
  }

  const agree = (key: string, value: unknown) =>
    Promise.all(
      processes.map((one) =>
        expect.poll(() => one.get(key), { timeout: LIMIT_MS, interval: 1 }).toBe(value),
      ),
    )

  it.each([
    ['a write', ['set', 'k', 'new'], 'new'],
    ['a deletion', ['delete', 'k'], null],
    ['an invalidation', ['invalidateTags', ['t']], null],
    ['a clear', ['clear'], null],
    ['a number counted up', ['incr', 'n'], null],
  ] as const)('see %s in one of them', async (_, [method, ...given], expected) => {
    await warm('k', 'old', { tags: ['t'] })
    await warm('n', 1)
    await processes[1].call(method, ...given)
    if (method === 'incr') await agree('n', 2)
    else await agree('k', expected)
  })

  it('see what another program writes to Redis', async () => {
    await warm('k', 1)
    const { Redis } = await import('ioredis')
    const other = new Redis(server.url)
    await other.set('shop:1:k', '2')
    await other.quit()
    await agree('k', 2)
  })

  it('serve nothing from memory once they have lost the connection, and again when it is back', async () => {
    await warm('k', 'old', { timeout: null })
    const last = processes[3]
    proxy.cut()
    await processes[0].call('set', 'k', 'new')
    await expect
      .poll(() => last.get('k').catch(String), { timeout: LIMIT_MS })
      .toMatch(/RedisCache/)
    await processes[0].call('set', 'k', 'newer')
    await proxy.restore()
    await expect
      .poll(() => last.get('k').catch(() => 'no connection'), { timeout: 5000, interval: 1 })
      .toBe('newer')
    await keeps(last, 'k')
    await processes[2].call('set', 'k', 'newest')
    await agree('k', 'newest')
  })

  it('notice a network that drops everything, and serve no old value after it', async () => {
    await warm('k', 'old', { timeout: null })
    const last = processes[3]
    proxy.silence()
    await processes[0].call('set', 'k', 'new')
    // Nobody can tell at once that a silent network is broken: the heartbeat does.
    await expect.poll(() => last.get('k').catch(String), { timeout: 4000 }).toMatch(/RedisCache/)
    await proxy.restore()
    await expect
      .poll(() => last.get('k').catch(() => 'no connection'), { timeout: 5000, interval: 5 })
      .toBe('new')
  })
})
