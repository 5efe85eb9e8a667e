import { describe, expect, it } from 'vitest'
import { MemcachedCache, type MemcachedSettings } from '../../src/backends/memcached.js'
import { parseLocations } from '../../src/backends/memcached/location.js'

const LOCATION = '127.0.0.1:11211'

describe('the location of a MemcachedCache', () => {
  it.each([
    ['a host and a port', 'cache.example:1234', [['cache.example:1234', 'cache.example:1234']]],
    ['a host alone', 'cache.example', [['cache.example:11211', 'cache.example']]],
    [
      'the default port, as libmemcached has it',
      '10.0.0.1:11211',
      [['10.0.0.1:11211', '10.0.0.1']],
    ],
    ['IPv6', '[::1]:11212', [['[::1]:11212', '::1:11212']]],
    [
      'a socket',
      'unix:/run/memcached.sock',
      [['unix:/run/memcached.sock', '/run/memcached.sock:0']],
    ],
    [
      'several by comma',
      'a:1,b:2',
      [
        ['a:1', 'a:1'],
        ['b:2', 'b:2'],
      ],
    ],
    [
      'several by semicolon, with spaces',
      'a:1 ; b:2',
      [
        ['a:1', 'a:1'],
        ['b:2', 'b:2'],
      ],
    ],
    [
      'a list',
      ['a:1', 'unix:/s'],
      [
        ['a:1', 'a:1'],
        ['unix:/s', '/s:0'],
      ],
    ],
  ] as const)('may be %s', (_, location, expected) => {
    const parsed = parseLocations(location).map(({ name, ringName }) => [name, ringName])
    expect(parsed).toEqual(expected)
  })

  it.each([
    ['missing', undefined, 'it is missing'],
    ['an empty list', [], 'it is missing'],
    ['empty', '', '"" is not a server address'],
    ['a number', 11211, '11211 is not a server address'],
    ['without a host', ':11211', '":11211" is not a server address'],
    ['of a port that is none', 'a:70000', '"a:70000" is not a server address'],
    ['of port 0', 'a:0', '"a:0" is not a server address'],
    ['a path without unix:', '/run/memcached.sock', 'give "host:port" or "unix:/path"'],
    ['a relative path', 'unix:run/memcached.sock', 'is not a server address'],
    ['a URL', 'memcached://a:1', 'is not a server address'],
    ['one server twice', 'a:1,b:1,a:1', '"a:1" is named twice'],
    ['with an empty part', 'a:1,,b:1', '"" is not a server address'],
  ])('is refused if it is %s', (_, location, message) => {
    const make = () => new MemcachedCache({ location: location as string })
    expect(make).toThrow(expect.objectContaining({ code: 'FRAGCACHE_INVALID_BACKEND' }) as Error)
    expect(make).toThrow(message)
  })
})

describe('the options of a MemcachedCache', () => {
  it.each<[string, object, string]>([
    ['an unknown one', { poolsize: 2 }, 'unknown option "poolsize"; known options are poolSize'],
    ['a pool of none', { poolSize: 0 }, 'options.poolSize: 0 is not a whole number of at least 1'],
    ['a time limit of 0', { timeLimitMs: 0 }, 'options.timeLimitMs: 0'],
    ['failover as text', { failover: 'yes' }, 'options.failover: "yes" is not a boolean'],
    ['too few weights', { weights: [] }, 'options.weights: give one whole number'],
    ['weights of 0', { weights: [0] }, 'options.weights'],
    ['a username alone', { username: 'shop' }, 'options.password: it is missing'],
    ['a password alone', { password: 'x' }, 'options.username: it is missing'],
    [
      'an empty password',
      { username: 'shop', password: '' },
      'options.password: it is not a string',
    ],
    ['an unknown protocol', { protocol: 'udp' }, 'options.protocol: "udp" is none of'],
    [
      'SASL over text',
      { username: 'shop', password: 'x', protocol: 'meta' },
      'options.protocol: "meta" knows no SASL',
    ],
  ])('refuse %s', (_, options, message) => {
    const make = () => new MemcachedCache({ location: LOCATION, options })
    expect(make).toThrow(expect.objectContaining({ code: 'FRAGCACHE_INVALID_BACKEND' }) as Error)
    expect(make).toThrow(message)
  })

  it('never show a password', () => {
    const options = { username: 'shop', password: 'se\0cret' }
    expect(() => new MemcachedCache({ location: LOCATION, options })).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining('cret') as string }) as Error,
    )
  })

  it('refuse flushOnClear with a key prefix, whose neighbours it would empty', () => {
    const options = { flushOnClear: true }
    const settings: MemcachedSettings = { location: LOCATION, keyPrefix: 'shop', options }
    expect(() => new MemcachedCache(settings)).toThrow('options.flushOnClear')
    expect(new MemcachedCache({ location: LOCATION, options })).toBeInstanceOf(MemcachedCache)
  })

  it('refuse failover with flushOnClear, which has nothing to make outdated entries misses', () => {
    const options = { failover: true, flushOnClear: true }
    const make = () => new MemcachedCache({ location: ['a:1', 'b:1'], options })
    expect(make).toThrow(expect.objectContaining({ code: 'FRAGCACHE_INVALID_BACKEND' }) as Error)
    expect(make).toThrow(/options\.failover.*options\.flushOnClear.*leave one of the two out/)
  })

  it('open no connection before the cache is used', async () => {
    const before = process.getActiveResourcesInfo().length
    const cache = new MemcachedCache({ location: LOCATION })
    expect(cache.makeKey('k')).toBe(':1:k')
    expect(process.getActiveResourcesInfo()).toHaveLength(before)
    await cache.close()
  })
})
