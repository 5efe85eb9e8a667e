import { Cluster, Redis } from 'ioredis'
import { Redis as Redis5 } from 'ioredis5'
import { describe, expect, it } from 'vitest'
import { RedisCache, type RedisClient, type RedisSettings } from '../../src/backends/redis.js'
import { createClient } from '../../src/backends/redis/client.js'
import { parseLocation } from '../../src/backends/redis/location.js'
import { InvalidCacheBackendError } from '../../src/index.js'

describe('a location', () => {
  it.each([
    ['redis://127.0.0.1:6379', { host: '127.0.0.1', port: 6379 }],
    ['redis://cache.example', { host: 'cache.example', port: 6379 }],
    ['redis://cache.example/', { host: 'cache.example', port: 6379 }],
    ['redis://cache.example:7000/3', { host: 'cache.example', port: 7000, db: 3 }],
    ['redis://cache.example?db=12', { host: 'cache.example', port: 6379, db: 12 }],
    ['redis:///2', { host: 'localhost', port: 6379, db: 2 }],
    ['redis://:secret@h', { host: 'h', port: 6379, password: 'secret' }],
    [
      'redis://ann:secret@h/1',
      { host: 'h', port: 6379, username: 'ann', password: 'secret', db: 1 },
    ],
    [
      'redis://ann:p%40ss%2C%3B%2F@h',
      { host: 'h', port: 6379, username: 'ann', password: 'p@ss,;/' },
    ],
    ['redis://[::1]:7000', { host: '::1', port: 7000 }],
    ['rediss://h', { host: 'h', port: 6379, tls: {} }],
    ['rediss://:p@h:7000/1', { host: 'h', port: 7000, password: 'p', db: 1, tls: {} }],
    ['unix:///run/redis.sock', { path: '/run/redis.sock' }],
    ['unix:///run/redis.sock?db=1', { path: '/run/redis.sock', db: 1 }],
    ['unix://ann:p@/run/redis.sock', { path: '/run/redis.sock', username: 'ann', password: 'p' }],
    ['redis://:p@/2', { host: 'localhost', port: 6379, password: 'p', db: 2 }],
    ['redis+unix:///a%20b.sock', { path: '/a b.sock' }],
    ['redis+socket:///run/redis.sock', { path: '/run/redis.sock' }],
    ['/run/redis.sock', { path: '/run/redis.sock' }],
  ])('%s is read', (text, endpoint) => {
    expect(parseLocation(text)).toEqual([endpoint])
  })

  it('names several servers in a list, or split by commas or semicolons', () => {
    const expected = [
      { host: 'a', port: 6379 },
      { host: 'b', port: 6379, db: 1 },
      { path: '/c.sock' },
    ]
    expect(parseLocation(['redis://a', 'redis://b/1', '/c.sock'])).toEqual(expected)
    expect(parseLocation('redis://a,redis://b/1;/c.sock')).toEqual(expected)
    expect(parseLocation(' redis://a ; redis://b/1 , /c.sock ')).toEqual(expected)
  })

  it.each([
    [undefined, /location: it is missing/],
    ['', /it is empty/],
    [[], /the list is empty/],
    [['redis://a', 7], /location \(2\): 7 is not a URL/],
    ['redis://a,', /location \(2\): it is empty/],
    ['127.0.0.1:6379', /is not a URL|unknown scheme/],
    ['localhost', /"localhost" is not a URL/],
    ['http://h', /unknown scheme/],
    ['redis://h/first', /"first" is not a db number/],
    ['redis://h/1?db=2', /names the db more than once/],
    ['redis://h?db=1&db=2', /names the db more than once/],
    ['redis://h?timeout=1', /unknown parameter "timeout"; only db is known/],
    ['redis://h#1', /has a #/],
    ['redis://:%zz@h', /a % that is not an escape/],
    ['redis://h:99999', /is not a URL/],
    ['unix://run/redis.sock', /names no absolute path/],
  ])('%j is refused by name', (location, message) => {
    const make = () => new RedisCache({ location } as RedisSettings)
    expect(make).toThrow(InvalidCacheBackendError)
    expect(make).toThrow(message)
    expect(make).toThrow(/such as "redis:/)
  })

  it.each([
    'redis://ann:secret@h/first',
    'redis://:secret@h?x=1',
    'http://ann:secret@h',
    'redis://ann:se@cret@h:99999',
    'ann:secret@h',
    'redis://:secret%zz@h',
    'redis://:secret@h#x',
  ])('%s is refused without showing the password', (location) => {
    let message = ''
    try {
      new RedisCache({ location })
    } catch (error) {
      message = String(error)
    }
    expect(message).toContain('RedisCache: location')
    expect(message).not.toMatch(/secret|cret/)
  })
})

const location = 'redis://127.0.0.1'
const lazy = () => new Redis({ lazyConnect: true })

describe('settings that are unknown or contradict each other are refused by name', () => {
  it.each<[string, () => object, RegExp]>([
    ['an unknown setting', () => ({ location, servers: [] }), /unknown setting "servers"/],
    [
      'a client and a location',
      () => ({ location, client: lazy() }),
      /client: a location is given/,
    ],
    ['what is not a client', () => ({ client: {} }), /client: an object.* is not a known client/],
    ['a client as text', () => ({ client: location }), /is not a known client/],
    [
      'a client and options of another',
      () => ({ client: lazy(), options: { password: 'x' } }),
      /options\.password: the client that was given/,
    ],
    [
      'sentinels and a location',
      () => ({ location, options: { sentinels: [], name: 'x' } }),
      /options\.sentinels: a location is given/,
    ],
    [
      'a password in both places',
      () => ({ location: 'redis://:a@h', options: { password: 'b' } }),
      /options\.password: the location says it too/,
    ],
    [
      'a db in both places',
      () => ({ location: 'redis://h/1', options: { db: 1 } }),
      /options\.db: the location says it too/,
    ],
    [
      'an option that nobody knows',
      () => ({ location, options: { stores: [] } }),
      /unknown option "stores".*where a newer ioredis has it, give a client of your own/,
    ],
    [
      'an option of another library',
      () => ({ location, options: { nodes: [] } }),
      /unknown option "nodes".*did you mean "location"/,
    ],
    ['a host', () => ({ location, options: { host: 'h' } }), /options\.host.*in the location/],
    ['a port', () => ({ location, options: { port: 1 } }), /options\.port.*in the location/],
    ['a path', () => ({ location, options: { path: '/s' } }), /options\.path.*in the location/],
    [
      'the key prefix of the client',
      () => ({ location, options: { keyPrefix: 'p' } }),
      /options\.keyPrefix.*use the setting keyPrefix/,
    ],
    ['lazyConnect', () => ({ location, options: { lazyConnect: false } }), /options\.lazyConnect/],
    ['no options', () => ({ location, options: 7 }), /options: 7 is not an object/],
    [
      'no time limit',
      () => ({ location, options: { timeLimitMs: 0 } }),
      /options\.timeLimitMs: 0 is not a whole number/,
    ],
    [
      'no time to connect',
      () => ({ location, options: { connectTimeout: '1' } }),
      /options\.connectTimeout: "1" is not a whole number/,
    ],
    [
      'flushOnClear with a key prefix',
      () => ({ location, keyPrefix: 'p', options: { flushOnClear: true } }),
      /options\.flushOnClear: entries of other key prefixes than "p" would go too/,
    ],
    [
      'flushOnClear as text',
      () => ({ location, options: { flushOnClear: 'yes' } }),
      /options\.flushOnClear: "yes" is not a boolean/,
    ],
    ['an unknown serializer', () => ({ location, serializer: 'pickle' }), /serializer: "pickle"/],
    [
      'half a serializer',
      () => ({ location, serializer: { serialize: String } }),
      /serializer: an object.*serialize, deserialize/,
    ],
    ['compress as a boolean', () => ({ location, compress: true }), /compress: true.*threshold/],
    [
      'compress with more',
      () => ({ location, compress: { threshold: 1, level: 9 } }),
      /compress: unknown setting "level"; known are threshold, method/,
    ],
    [
      'a threshold of nothing',
      () => ({ location, compress: { threshold: 0 } }),
      /compress\.threshold: 0 is not a whole number/,
    ],
  ])('%s', (_, settings, message) => {
    const make = () => new RedisCache(settings())
    expect(make).toThrow(InvalidCacheBackendError)
    expect(make).toThrow(message)
  })

  it('and everything that makes sense is taken', () => {
    const settings: RedisSettings[] = [
      { location },
      { location: [location, location], options: { db: 1, password: 'x' } },
      { location: 'rediss://h', options: { tls: { servername: 'x' } } },
      { options: { sentinels: [{ host: 'h', port: 1 }], name: 'main' } },
      { client: lazy(), serializer: 'json', compress: { threshold: 1024 } },
      { location, serializer: { serialize: String, deserialize: String } },
      { location, options: { flushOnClear: true, timeLimitMs: 1, family: 6 } },
    ]
    for (const one of settings) expect(() => new RedisCache(one)).not.toThrow()
  })
})

describe('the type of a client', () => {
  it('is met by a Redis and a Cluster of ioredis 5 and 6', () => {
    const clients: RedisClient[] = [lazy(), new Redis5({ lazyConnect: true })]
    const makeCluster = (): RedisClient => new Cluster([{ port: 1 }], { lazyConnect: true })
    clients.push(makeCluster())
    for (const client of clients) expect(new RedisCache({ client }).alias).toBe('')
  })
})

describe('the package of the client', () => {
  it('is named where it is missing', async () => {
    const missing = Object.assign(new Error("Cannot find package 'ioredis' imported from /app"), {
      code: 'ERR_MODULE_NOT_FOUND',
    })
    await expect(createClient({}, () => Promise.reject(missing))).rejects.toMatchObject({
      code: 'FRAGCACHE_MISSING_PEER',
      message: 'fragcache/redis needs the package "ioredis": npm install ioredis',
    })
    // Anything else that is wrong with it is said as it is.
    const broken = new SyntaxError('unexpected token')
    await expect(createClient({}, () => Promise.reject(broken))).rejects.toBe(broken)
  })
})
