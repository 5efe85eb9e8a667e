import { Writable } from 'node:stream'
import express from 'express'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { responseCache } from '../../adapters/express/index.js'
import {
  createCaches,
  FragmentCache,
  LocMemCache,
  logAccess,
  type AccessLogOptions,
  type Caches,
} from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { Site } from '../support/express.js'

/** A logger of the shape of `console`, and the lines it was given. */
function consoleLike() {
  const lines: string[] = []
  const at =
    (level: string) =>
    (...args: unknown[]) => {
      expect(args).toHaveLength(1)
      lines.push(`${level} ${String(args[0])}`)
    }
  return {
    lines,
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
  }
}

/** pino itself, and what it wrote. */
function pinoToMemory(level = 'trace') {
  const records: Record<string, unknown>[] = []
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      records.push(JSON.parse(chunk.toString()) as Record<string, unknown>)
      done()
    },
  })
  return { records, logger: pino({ level, base: null, timestamp: false }, stream) }
}

function log(caches: Caches, options: AccessLogOptions) {
  const access = logAccess(caches, options)
  onTestFinished(() => access.close())
  return access
}

let warnings: string[]

beforeEach(() => {
  warnings = []
  vi.spyOn(process, 'emitWarning').mockImplementation((warning) => {
    warnings.push(String(warning))
  })
})
afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

describe('what is logged', () => {
  it('is one line per operation for a logger like console', async () => {
    vi.spyOn(performance, 'now').mockReturnValue(5)
    const logger = consoleLike()
    const caches = createCaches({ default: new LocMemCache() })
    log(caches, { logger })
    await caches.default.set('a', 'a secret')
    await caches.default.get('a')
    await caches.default.getMany(['a', 'b'])
    await caches.default.clear()
    const cache = 'alias=default backend=LocMemCache'
    expect(logger.lines).toEqual([
      `info cache set: ok ${cache} operation=set keys=["a"] keyCount=1 hits=0 misses=0 durationMs=0`,
      `info cache get: hit ${cache} operation=get keys=["a"] keyCount=1 hits=1 misses=0 durationMs=0`,
      `info cache getMany: miss ${cache} operation=getMany keys=["a","b"] keyCount=2 hits=1 misses=1 durationMs=0`,
      `info cache clear: ok ${cache} operation=clear keyCount=0 hits=0 misses=0 durationMs=0`,
    ])
  })

  it('is an object and a text for pino', async () => {
    vi.spyOn(performance, 'now').mockReturnValue(5)
    const { logger, records } = pinoToMemory()
    const caches = createCaches({ default: new LocMemCache() })
    log(caches, { logger, events: ['fragments'], level: 'debug' })
    new FragmentCache(caches).renderSync(
      { name: 'menu', varyOn: [7], template: 'page.njk' },
      () => 'a secret',
    )
    expect(records).toEqual([
      {
        level: 20,
        msg: 'cache fragment: miss',
        event: 'fragment',
        fragment: 'menu',
        alias: 'default',
        outcome: 'miss',
        key: expect.stringMatching(/^template\.cache\.menu\.…#[0-9a-f]{10}$/),
        bodyMs: 0,
        durationMs: 0,
        template: 'page.njk',
      },
    ])
  })

  it('is how requests were answered, and why not from the cache', async () => {
    const { logger, records } = pinoToMemory()
    const caches = createCaches({ default: new LocMemCache() })
    log(caches, { logger, events: ['responses'] })
    const app = express()
    const pages = responseCache(caches)
    app.get('/page', pages.cachePage(60), (_req, res) => res.send('a secret'))
    app.get('/private', pages.cachePage(60), (_req, res) => {
      res.set('Cache-Control', 'private').send('a secret')
    })
    const site = await Site.open(app)
    for (const path of ['/page?token=secret', '/page?token=secret', '/private'])
      await site.get(path)
    await vi.waitFor(() => expect(records).toHaveLength(3))
    expect(records.map(({ key: _, level: __, ...record }) => record)).toEqual([
      { msg: 'cache response: miss', ...told('/page', 'miss') },
      { msg: 'cache response: hit', ...told('/page', 'hit') },
      { msg: 'cache response: bypass', ...told('/private', 'bypass'), reason: 'private' },
    ])
    expect(JSON.stringify(records)).not.toContain('secret')
  })

  function told(url: string, outcome: string) {
    return { event: 'response', method: 'GET', url, alias: 'default', outcome }
  }

  it('is the begin and the end of an outage, and each failure', async () => {
    const { logger, records } = pinoToMemory()
    const late = new AsyncTestCache()
    log(createCaches({ late }), { logger, sample: 0 })
    late.failing = true
    await expect(late.get('user:alice@example.com')).rejects.toThrow()
    late.failing = false
    await late.get('a')
    expect(records.map(({ level, msg }) => [level, msg])).toEqual([
      [50, 'cache outage'],
      [50, 'cache get: error'],
      [30, 'cache recovery'],
    ])
    expect(records[1]).toMatchObject({
      error: { name: 'CacheBackendError', code: 'FRAGCACHE_BACKEND_FAILED' },
      keys: [expect.stringMatching(/^user:alice@example\.c…#/)],
    })
    expect(records[0]).toMatchObject({ since: expect.stringMatching(/^\d{4}-.*Z$/) })
    expect(records[2]).toMatchObject({ durationMs: expect.any(Number) })
  })

  it('is what could not be made again', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const logger = consoleLike()
    const caches = createCaches({ default: new LocMemCache() })
    log(caches, { logger, events: ['refreshes'] })
    const options = { timeout: 1, staleIfError: 60 }
    await caches.default.getOrSet('a', () => 1, options)
    vi.setSystemTime(Date.now() + 2000)
    await caches.default.getOrSet('a', () => Promise.reject(new Error('no\ndatabase')), options)
    expect(logger.lines).toEqual([
      'warn cache refresh failed: the old value is served alias=default backend=LocMemCache key=a error={"name":"Error","message":"no\\ndatabase"}',
    ])
  })

  it('is nothing of other caches', async () => {
    const logger = consoleLike()
    const theirs = createCaches({ theirs: new LocMemCache({ location: 'theirs' }) })
    log(createCaches({ ours: new LocMemCache() }), { logger })
    await theirs.theirs.get('a')
    new FragmentCache(theirs).renderSync({ name: 'f', using: 'theirs' }, () => 'text')
    expect(logger.lines).toEqual([])
  })

  it('is nothing any more after close', async () => {
    const logger = consoleLike()
    const caches = createCaches({ default: new LocMemCache() })
    const access = log(caches, { logger })
    access.close()
    access.close()
    await caches.default.get('a')
    expect(logger.lines).toEqual([])
  })

  it('goes to the console if no logger is given', async () => {
    const info = vi.spyOn(console, 'info').mockImplementation(() => undefined)
    const caches = createCaches({ default: new LocMemCache() })
    log(caches, { events: ['operations'] })
    await caches.default.get('a')
    expect(info.mock.calls).toEqual([[expect.stringMatching(/^cache get: miss alias=default /)]])
  })
})

describe('keys', () => {
  const KEY = 'user:alice@example.com:profile'

  it.each([
    ['full', KEY],
    ['short', expect.stringMatching(/^user:alice@example\.c…#[0-9a-f]{10}$/)],
    ['hash', expect.stringMatching(/^#[0-9a-f]{10}$/)],
    ['none', undefined],
  ] as const)('%s', async (keys, shown) => {
    const { logger, records } = pinoToMemory()
    const caches = createCaches({ default: new LocMemCache() })
    log(caches, { logger, keys })
    await caches.default.get(KEY)
    expect(records[0]?.['keys']).toEqual(shown === undefined ? undefined : [shown])
    expect(records[0]?.['keyCount']).toBe(1)
  })

  it('are shown in errors in no other way', async () => {
    const { logger, records } = pinoToMemory()
    const caches = createCaches({ default: new LocMemCache() })
    log(caches, { logger, keys: 'none' })
    await caches.default.set(KEY, 'no number')
    await expect(caches.default.incr(KEY)).rejects.toThrow('alice')
    expect(records[1]).toMatchObject({ error: { name: 'TypeError' } })
    expect(JSON.stringify(records)).not.toContain('alice')
  })

  it('are hidden where a store puts them into its errors', async () => {
    const { logger, records } = pinoToMemory()
    class TalkingCache extends AsyncTestCache {
      override async readEntries(keys: readonly string[]): Promise<never> {
        throw new Error(`no row for ${keys.join()}, or "${KEY}"`)
      }
    }
    const caches = createCaches({ late: new TalkingCache() })
    log(caches, { logger, keys: 'hash', events: ['operations'] })
    await expect(caches.late.get(KEY)).rejects.toThrow('alice')
    expect(JSON.stringify(records)).not.toContain('alice')
    expect(JSON.stringify(records)).toContain('no row for :1:#')
  })

  it('cannot end a line, nor pass for another field', async () => {
    const logger = consoleLike()
    const caches = createCaches({ default: new LocMemCache() })
    log(caches, { logger, events: ['fragments'], keys: 'full' })
    new FragmentCache(caches).renderSync({ name: 'a\nerror x=1' }, () => 'text')
    expect(logger.lines[0]).toContain('fragment="a\\nerror x=1" alias=default')
    expect(logger.lines[0]).not.toContain('\n')
  })

  it('cannot make a terminal do something, nor turn a line around', async () => {
    const logger = consoleLike()
    const caches = createCaches({ default: new LocMemCache() })
    log(caches, { logger, events: ['operations'] })
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    await caches.default.get('a\x1b[31m\x9b2J\u202eb')
    expect(logger.lines[0]).toContain(String.raw`keys=["a\u001b[31m\u009b2J\u202eb"]`)
  })

  it('of many are shown ten', async () => {
    const { logger, records } = pinoToMemory()
    const caches = createCaches({ default: new LocMemCache() })
    log(caches, { logger })
    await caches.default.getMany(Array.from({ length: 100 }, (_, i) => `key-${i}`))
    expect(records[0]).toMatchObject({ keyCount: 100, keys: { length: 10 } })
  })
})

describe('level', () => {
  it('of each outcome can be given, and false leaves it out', async () => {
    const logger = consoleLike()
    const caches = createCaches({ default: new LocMemCache() })
    log(caches, { logger, level: { hit: false, miss: 'warn', ok: 'debug' } })
    await caches.default.set('a', 1)
    await caches.default.get('a')
    await caches.default.get('b')
    expect(logger.lines.map((line) => line.split(' alias')[0])).toEqual([
      'debug cache set: ok',
      'warn cache get: miss',
    ])
  })

  it('that pino is not writing costs no more than to ask', async () => {
    const { logger, records } = pinoToMemory('warn')
    const debug = vi.spyOn(logger, 'debug')
    const caches = createCaches({ default: new LocMemCache() })
    log(caches, { logger, level: 'debug' })
    await caches.default.get('a')
    expect(debug).not.toHaveBeenCalled()
    expect(records).toEqual([])
  })
})

describe('sample', () => {
  it('logs about that share, by chance', async () => {
    const logger = consoleLike()
    const caches = createCaches({ default: new LocMemCache() })
    log(caches, { logger, sample: 0.1 })
    for (let i = 0; i < 20_000; i++) await caches.default.get('a')
    // 2000, give or take eleven times the standard deviation.
    expect(logger.lines.length).toBeGreaterThan(1500)
    expect(logger.lines.length).toBeLessThan(2500)
  })

  it('of very little draws that share too', async () => {
    const logger = consoleLike()
    const caches = createCaches({ default: new LocMemCache() })
    await caches.default.set('a', 1)
    log(caches, { logger, sample: 0.0001 })
    for (let i = 0; i < 1_000_000; i++) await caches.default.get('a')
    // 100, give or take five times the standard deviation.
    expect(logger.lines.length).toBeGreaterThan(50)
    expect(logger.lines.length).toBeLessThan(150)
    for (const line of logger.lines) {
      expect(line).toMatch(/ get: hit .*keys=\["a"\] .*hits=1 misses=0 /)
    }
  })

  it('of 0 leaves only failures', async () => {
    const logger = consoleLike()
    const late = new AsyncTestCache()
    const caches = createCaches({ late })
    log(caches, { logger, sample: 0 })
    const fragments = new FragmentCache(caches)
    await caches.late.get('a')
    const fails = () => Promise.reject(new Error('template'))
    await expect(fragments.render({ name: 'f', using: 'late' }, fails)).rejects.toThrow('template')
    expect(logger.lines.map((line) => line.split(' fragment')[0])).toEqual(['error cache'])
    expect(logger.lines[0]).toMatch(/^error cache fragment: error fragment=f /)
  })
})

describe('a logger', () => {
  it('that throws is reported once, and neither the page nor the others notice', async () => {
    const good = consoleLike()
    const bad = {
      ...consoleLike(),
      info: () => {
        throw new Error('disk full')
      },
    }
    const caches = createCaches({ default: new LocMemCache() })
    log(caches, { logger: bad })
    log(caches, { logger: good })
    for (let i = 0; i < 3; i++) await expect(caches.default.get('a')).resolves.toBeUndefined()
    expect(good.lines).toHaveLength(3)
    expect(warnings).toEqual(['logAccess: the logger failed: Error: disk full; reported once'])
  })

  it('that rejects is reported likewise', async () => {
    const bad = { ...consoleLike(), info: () => Promise.reject(new Error('disk full')) }
    const caches = createCaches({ default: new LocMemCache() })
    log(caches, { logger: bad })
    await caches.default.get('a')
    await caches.default.get('a')
    expect(warnings).toEqual(['logAccess: the logger failed: Error: disk full; reported once'])
  })

  it('that uses the cache itself does not log itself', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    let lines = 0
    const counting = {
      ...consoleLike(),
      info: () => {
        lines++
        void caches.default.get('count')
      },
    }
    log(caches, { logger: counting })
    await caches.default.get('a')
    expect(lines).toBe(1)
  })

  it('keeps its own this', async () => {
    const lines: string[] = []
    class Logger {
      readonly #lines = lines
      info(line: string) {
        this.#lines.push(line)
      }
      warn(line: string) {
        this.#lines.push(line)
      }
      error(line: string) {
        this.#lines.push(line)
      }
    }
    const caches = createCaches({ default: new LocMemCache() })
    log(caches, { logger: new Logger() })
    await caches.default.get('a')
    expect(lines).toHaveLength(1)
  })

  it("that takes an object and a text without pino's methods is told so by format", async () => {
    const calls: unknown[][] = []
    const at = (...args: unknown[]) => void calls.push(args)
    const caches = createCaches({ default: new LocMemCache() })
    log(caches, { logger: { info: at, warn: at, error: at }, format: 'object' })
    await caches.default.get('a')
    expect(calls).toEqual([[expect.objectContaining({ event: 'operation' }), 'cache get: miss']])
  })
})

describe('wrong options', () => {
  const caches = createCaches({ default: new LocMemCache() })

  it.each([
    [{ loger: console }, 'logAccess: unknown option "loger"; known are logger, level, sample'],
    [{ logger: 'console' }, 'logger: "console" is not a logger; give console or pino()'],
    [{ logger: {} }, 'level: the logger has no method "info", the level of "hit"'],
    [{ level: 'loud' }, 'level: the logger has no method "loud"'],
    [{ level: { hits: 'info' } }, 'logAccess: level: unknown option "hits"; known are hit'],
    [{ level: { hit: true } }, 'level: hit: true is neither the name of a level nor false'],
    [{ sample: 2 }, 'sample: 2 is not a number from 0 to 1'],
    [{ sample: NaN }, 'sample: NaN is not a number from 0 to 1'],
    [{ keys: 'some' }, 'keys: "some" is unknown'],
    [{ events: ['hits'] }, 'events: "hits" is unknown; known are operations'],
    [{ events: 'operations' }, 'events: "operations" is not a list'],
    [{ format: 'json' }, 'format: "json" is neither "object" nor "text"'],
  ])('%j are refused', (options, message) => {
    expect(() => logAccess(caches, options as AccessLogOptions)).toThrow(message)
  })

  it('as is what is not a set of caches', () => {
    expect(() => logAccess({} as Caches)).toThrow('logAccess: caches: an object')
  })
})
