import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { findingsOf, isOlder, type Finding } from '../../src/cli/findings.js'
import { failureOf } from '../../src/cli/round-trip.js'
import { newTable, openPostgres } from '../support/databases.js'
import { canStartRedis } from '../support/redis.js'
import { freePort, sharedServer } from '../support/servers.js'
import { startMemcached } from '../support/servers/memcached.js'
import { startRedis } from '../support/servers/redis.js'
import { configure, ownFolder, run, runJson } from './support.js'

// Outages are reported as warnings; what they say is tested where it is written.
beforeAll(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
})
afterEach(() => vi.unstubAllEnvs())

const redis = await canStartRedis()
const memcached = (await sharedServer('memcached')) !== undefined
const postgres = await sharedServer('postgres')
const folder = ownFolder()

interface Report {
  readonly ok: boolean
  readonly wrong: number
  readonly risks: number
  readonly notes: number
  readonly findings: Finding[]
  readonly aliases: {
    alias: string
    backend: string
    roundTripMs: number | null
    findings: Finding[]
  }[]
}

async function check(code: string) {
  const config = configure(folder, code)
  const { code: exit, json } = await runJson(['check', '--config', config])
  const report = json as Report
  const codesOf = (alias: string) =>
    report.aliases.find((one) => one.alias === alias)?.findings.map((one) => one.code)
  return { exit, report, codesOf, config }
}

describe('fragcache check', () => {
  it('works where everything does, and tells what is to be known', async () => {
    const { exit, report, codesOf } = await check(
      `export default createCaches({
         default: new FileBasedCache({ location: ${JSON.stringify(join(folder, 'files'))}, options: { maxEntries: 5000 } }),
         local: new LocMemCache(),
       })`,
    )
    expect(exit).toBe(0)
    expect(report).toMatchObject({ ok: true, wrong: 0, risks: 0, notes: 3, findings: [] })
    expect(codesOf('default')).toEqual(['machine-only'])
    expect(codesOf('local')).toEqual(['process-memory', 'default-limit'])
    expect(report.aliases[0]?.roundTripMs).toBeGreaterThan(0)
  })

  it('leaves no entry of its own behind', async () => {
    const location = join(folder, `left-${randomUUID()}`)
    const { config } = await check(
      `export default createCaches({ default: new FileBasedCache({ location: ${JSON.stringify(location)} }) })`,
    )
    const { json } = await runJson(['stats', '--config', config])
    // The counter of its tag, and the clock of invalidations.
    expect(json).toMatchObject({ aliases: { default: { entries: 2 } } })
  })

  it('counts local memory as a risk where there are several processes', async () => {
    vi.stubEnv('WEB_CONCURRENCY', '4')
    const { exit, report } = await check(
      'export default createCaches({ default: new LocMemCache({ options: { maxEntries: 9 } }) })',
    )
    expect({ exit, risks: report.risks }).toEqual({ exit: 0, risks: 1 })
  })

  it('finds a cache that keeps nothing, two that are one, and a default that is missing', async () => {
    const { exit, report, codesOf } = await check(
      `export default createCaches({
         a: new LocMemCache({ location: 'same' }),
         b: new LocMemCache({ location: 'same' }),
         c: new LocMemCache({ location: 'same', keyPrefix: 'own' }),
         none: new DummyCache(),
       })`,
    )
    expect(exit).toBe(0)
    expect(codesOf('b')).toContain('same-store')
    expect(codesOf('c')).not.toContain('same-store')
    expect(codesOf('none')).toEqual(['keeps-nothing'])
    expect(report.findings.map(({ code }) => code)).toEqual(['no-default'])
  })

  it('finds a table that is missing, and works once it is made', async () => {
    const database = JSON.stringify(join(folder, 'check.db'))
    const code = `export default createCaches({
      default: new DatabaseCache({ location: 'entries', database: new Database(${database}) }),
    })`
    const before = await check(code)
    expect(before.exit).toBe(1)
    expect(before.codesOf('default')).toEqual(['no-table'])
    expect((await run(['createcachetable', '--config', before.config])).out).toBe(
      'entries was created',
    )
    const after = await check(code)
    expect(after.exit).toBe(0)
    expect(after.codesOf('default')).toEqual(['machine-only', 'default-limit'])
  })

  it('finds a table that is nearly full', async () => {
    const database = JSON.stringify(join(folder, 'full.db'))
    const { codesOf } = await check(
      `import { createCacheTable } from ${JSON.stringify(join(process.cwd(), 'src/backends/database.ts'))}
       const cache = new DatabaseCache({ location: 'entries', database: new Database(${database}), options: { maxEntries: 20 } })
       await createCacheTable(cache)
       for (let i = 0; i < 19; i++) await cache.set('k' + i, i)
       export default createCaches({ default: cache })`,
    )
    expect(codesOf('default')).toContain('nearly-full')
  })

  it.skipIf(postgres === undefined)('checks a table on PostgreSQL', async () => {
    const { ask, end } = openPostgres(postgres?.url ?? '')
    const table = newTable()
    const code = (location: string) =>
      `import pg from ${JSON.stringify(import.meta.resolve('pg'))}
       const database = new pg.Pool({ connectionString: ${JSON.stringify(postgres?.url)} })
       export default createCaches({ default: new DatabaseCache({ location: ${JSON.stringify(location)}, database, options: { maxEntries: 50 } }) })`
    const before = await check(code(table))
    expect(before.exit).toBe(1)
    expect(before.codesOf('default')).toEqual(['no-table'])
    await run(['createcachetable', '--config', before.config])
    const after = await check(code(table))
    await ask(`DROP TABLE ${table}`)
    await end()
    expect(after.exit).toBe(0)
    expect(after.codesOf('default')).toEqual([])
  })

  it.skipIf(!redis)('finds how a Redis is set up', async () => {
    const bare = await startRedis()
    const bounded = await startRedis(['--maxmemory', '50mb', '--maxmemory-policy', 'allkeys-lru'])
    onTestFinished(async () => void (await Promise.all([bare.stop(), bounded.stop()])))
    const { exit, codesOf } = await check(
      `const options = { timeLimitMs: 20_000 }
       export default createCaches({
         default: new RedisCache({ location: ${JSON.stringify(bare.url)}, options }),
         good: new RedisCache({ location: ${JSON.stringify(bounded.url)}, keyPrefix: 'shop', options }),
       })`,
    )
    expect(exit).toBe(0)
    expect(codesOf('default')).toEqual(['no-prefix', 'no-limit', 'no-eviction'])
    expect(codesOf('good')).toEqual([])
  })

  it.skipIf(!redis)('finds a Redis that makes room by dropping live entries', async () => {
    const server = await startRedis(['--maxmemory', '3mb', '--maxmemory-policy', 'allkeys-lru'])
    onTestFinished(() => server.stop())
    const { exit, codesOf } = await check(
      `const cache = new RedisCache({ location: ${JSON.stringify(server.url)}, keyPrefix: 'x' })
       for (let i = 0; i < 100; i++) await cache.set('k' + i, 'x'.repeat(100_000))
       export default createCaches({ default: cache })`,
    )
    expect(exit).toBe(0)
    expect(codesOf('default')).toContain('evicting')
  })

  it.skipIf(!redis)('finds a password that is wrong, without showing it', async () => {
    const server = await startRedis(['--requirepass', 'right'])
    onTestFinished(() => server.stop())
    const location = server.url.replace('//', '//:hunter2@')
    const { exit, codesOf, report } = await check(
      `export default createCaches({ default: new RedisCache({ location: ${JSON.stringify(location)} }) })`,
    )
    expect(exit).toBe(1)
    expect(codesOf('default')).toEqual(['no-access'])
    expect(JSON.stringify(report)).not.toContain('hunter2')
  })

  it.skipIf(!redis)('says so where a server may not tell of itself', async () => {
    const user = ['--user', 'app', 'on', '>pw', '~*', '&*', '+@all', '-info']
    const server = await startRedis(user)
    onTestFinished(() => server.stop())
    const location = server.url.replace('//', '//app:pw@')
    const { exit, codesOf } = await check(
      `export default createCaches({ default: new RedisCache({ location: ${JSON.stringify(location)} }) })`,
    )
    expect(exit).toBe(0)
    expect(codesOf('default')).toEqual(['no-figures'])
  })

  it.skipIf(!redis)('tells a Redis that takes no writes from one that is not there', async () => {
    const server = await startRedis(['--replicaof', '127.0.0.1', String(await freePort())])
    onTestFinished(() => server.stop())
    const { codesOf } = await check(
      `export default createCaches({ default: new RedisCache({ location: ${JSON.stringify(server.url)} }) })`,
    )
    expect(codesOf('default')?.[0]).toBe('refused')
  })

  it.skipIf(postgres === undefined)(
    'says why PostgreSQL does not do what it is asked',
    async () => {
      const { ask, end } = openPostgres(postgres?.url ?? '')
      const table = newTable()
      const nowhere = new URL(postgres?.url ?? '')
      nowhere.pathname = '/nowhere'
      const cache = (connectionString: string, options: string) =>
        `new DatabaseCache({
         location: ${JSON.stringify(table)},
         database: new pg.Pool({ connectionString: ${JSON.stringify(connectionString)}, options: ${JSON.stringify(options)} }),
         options: { maxEntries: 50 },
       })`
      const url = postgres?.url ?? ''
      const config = (code: string) =>
        `import pg from ${JSON.stringify(import.meta.resolve('pg'))}
       export default createCaches(${code})`
      const { config: file } = await check(config(`{ default: ${cache(url, '')} }`))
      await run(['createcachetable', '--config', file])
      const { codesOf } = await check(
        config(`{
        default: ${cache(url, '-c default_transaction_read_only=on')},
        nowhere: ${cache(nowhere.href, '')},
      }`),
      )
      await ask(`DROP TABLE ${table}`)
      await end()
      expect(codesOf('default')?.[0]).toBe('refused')
      expect(codesOf('nowhere')).toEqual(['no-db'])
    },
  )

  it('ends in time where servers accept and never answer', async () => {
    const sockets = new Set<Socket>()
    const server = createServer((socket) => void sockets.add(socket)).listen(0, '127.0.0.1')
    await once(server, 'listening')
    onTestFinished(() => {
      for (const socket of sockets) socket.destroy()
      server.close()
    })
    const { port } = server.address() as AddressInfo
    const { exit, codesOf } = await check(
      `const options = { timeLimitMs: 300 }
       export default createCaches({
         default: new RedisCache({ location: 'redis://127.0.0.1:${port}', options }),
         memcached: new MemcachedCache({ location: '127.0.0.1:${port}', options }),
       })`,
    )
    expect(exit).toBe(1)
    expect(codesOf('default')).toEqual(['unreachable'])
    expect(codesOf('memcached')).toEqual(['unreachable'])
  })

  it.skipIf(!memcached)('finds how a Memcached is set up, and which server is down', async () => {
    const server = await startMemcached(['-M'])
    onTestFinished(() => server.stop())
    const down = `127.0.0.1:${await freePort()}`
    const { exit, codesOf } = await check(
      `export default createCaches({
         default: new MemcachedCache({ location: ${JSON.stringify(server.location)} }),
         ring: new MemcachedCache({
           location: [${JSON.stringify(server.location)}, ${JSON.stringify(down)}],
           keyPrefix: 'ring',
           options: { failover: true, timeLimitMs: 400 },
         }),
       })`,
    )
    expect(exit).toBe(1)
    expect(codesOf('default')).toEqual(['no-prefix', 'no-eviction', 'entry-size'])
    expect(codesOf('ring')?.[0]).toMatch(/^(?:server-down|unreachable)$/)
  })

  it('answers in time where servers are down, and goes on with the others', async () => {
    const port = await freePort()
    const { exit, report, codesOf } = await check(
      `const options = { timeLimitMs: 300 }
       export default createCaches({
         redis: new RedisCache({ location: 'redis://127.0.0.1:${port}', options }),
         quiet: new RedisCache({ location: 'redis://127.0.0.1:${port}', ignoreErrors: true, options }),
         memcached: new MemcachedCache({ location: '127.0.0.1:${port}', options }),
         default: new LocMemCache({ options: { maxEntries: 9 } }),
       })`,
    )
    expect(exit).toBe(1)
    expect(report.wrong).toBe(3)
    for (const alias of ['redis', 'quiet', 'memcached'])
      expect(codesOf(alias)).toEqual(['unreachable'])
    expect(codesOf('default')).toEqual(['process-memory'])
  })

  it('says it to people in 80 columns, what is wrong first, with remedies', async () => {
    const config = configure(
      folder,
      `export default createCaches({
         default: new LocMemCache(),
         table: new DatabaseCache({ location: 'entries', database: new Database(':memory:') }),
       })`,
    )
    const { code, out, error } = await run(['check', '--config', config])
    expect({ code, error }).toEqual({ code: 1, error: '' })
    for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(80)
    const [head, , second] = out.split('\n')
    expect(head).toBe('CACHE    BACKEND        RESULT  ROUND TRIP')
    expect(second).toMatch(/^table {4}DatabaseCache {2}WRONG {2} +-$/)
    expect(out.indexOf('wrong  table:')).toBeLessThan(out.indexOf('note   default'))
    expect(out).toContain('-> run npx fragcache createcachetable')
    expect(out.trimEnd().split('\n').at(-1)).toBe('1 wrong, 0 risks, 2 notes')
  })
})

describe('what check advises for a failure', () => {
  it.each([
    ["DELETE command denied to user 'app'@'%' for table `shop`.`entries`", 'no-access'],
    ["Access denied for user 'app'@'%' to database 'shop'", 'no-access'],
    ["Access denied for user 'app'@'%' (using password: YES)", 'no-access'],
    ["Unknown database 'shop'", 'no-db'],
    [
      'The MariaDB server is running with the --read-only option so it cannot execute this statement',
      'refused',
    ],
    ["The table 'entries' is full", 'refused'],
    ['attempt to write a readonly database', 'refused'],
    ['database or disk is full', 'refused'],
    ['could not extend file "base/1": No space left on device', 'refused'],
    ['location "/cache": ENOSPC: no space left on device, write', 'refused'],
    ['location "/cache": EROFS: read-only file system, mkdir \'/cache\'', 'refused'],
    ['SERVER_ERROR out of memory storing object', 'refused'],
    ["no connection to 127.0.0.1:6379 (READONLY You can't write against a replica.)", 'refused'],
    ['no connection to read-only.example:6379 (connect ECONNREFUSED)', 'unreachable'],
    ['something else', 'failed'],
  ])('%s: %s', (message, code) => {
    expect(failureOf(message)).toMatchObject({ level: 'wrong', code, sentence: message })
  })
})

describe('what check judges', () => {
  const settings = { keyPrefix: 'x', timeout: 300, ignoreErrors: false }
  const codes = (stats: object, backend = 'RedisCache') =>
    findingsOf({
      backend,
      settings,
      hasSeveralProcesses: false,
      stats: { backend, scope: 'shared', maxBytes: 1000, ...stats },
    }).map(({ level, code }) => `${level} ${code}`)

  it('is nothing about a server that is set up well', () => {
    expect(codes({ version: '7.0.15', evictionPolicy: 'allkeys-lru', clockAheadMs: 100 })).toEqual(
      [],
    )
  })

  it('is a clock that is far from this machine’s, ahead or behind', () => {
    expect(codes({ clockAheadMs: 2001 })).toEqual(['risk clock'])
    expect(codes({ clockAheadMs: -60_000 })).toEqual(['risk clock'])
    expect(codes({ clockAheadMs: 2000 })).toEqual([])
  })

  it('is a server that is older than what is needed', () => {
    expect(codes({ version: '3.2.12' })).toEqual(['wrong old-server'])
    expect(codes({ version: '1.4.5' }, 'MemcachedCache')).toEqual(['wrong old-server'])
    expect(codes({ version: '1.6.40' }, 'MemcachedCache')).toEqual([])
  })

  it('is memory that is nearly used up, and a policy that spares what never expires', () => {
    expect(codes({ bytes: 950 })).toEqual(['risk nearly-full'])
    expect(codes({ bytes: 949 })).toEqual([])
    expect(codes({ evictionPolicy: 'volatile-ttl' })).toEqual(['note volatile-eviction'])
  })

  it('is a server that tells nothing of itself', () => {
    expect(codes({ error: 'NOPERM' })).toEqual(['risk no-figures'])
  })

  it('compares versions by their numbers', () => {
    expect(isOlder('1.6.9', '1.6.12')).toBe(true)
    expect(isOlder('1.6.12', '1.6.12')).toBe(false)
    expect(isOlder('v10.0', '9.9.9')).toBe(false)
    expect(isOlder('3.34.1', '3.35')).toBe(true)
  })
})
