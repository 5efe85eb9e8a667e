import { Eta } from 'eta'
import Handlebars from 'handlebars'
import type { RedisOptions as Ioredis6 } from 'ioredis'
import type { RedisOptions as Ioredis5 } from 'ioredis5'
import { describe, expect, expectTypeOf, it } from 'vitest'
import { createCacheTable, DatabaseCache } from '../../src/backends/database.js'
import { MemcachedCache } from '../../src/backends/memcached.js'
import { RedisCache } from '../../src/backends/redis.js'
import type { CLIENT_OPTIONS } from '../../src/backends/redis/client-options.js'
import { TieredCache } from '../../src/backends/tiered.js'
import { didYouMean } from '../../src/did-you-mean.js'
import {
  createCaches,
  FragmentCache,
  LocMemCache,
  logAccess,
  makeTemplateFragmentKey,
} from '../../src/index.js'
import { cachePlugin } from '../../adapters/eta/index.js'
import { responseCache } from '../../adapters/express/index.js'
import { registerCache as registerHandlebars } from '../../adapters/handlebars/index.js'
import { inspector, overlay } from '../../adapters/inspector/index.js'
import { prometheusMetrics } from '../../adapters/metrics/index.js'
import { registerCache } from '../../adapters/nunjucks/index.js'
import nunjucks from 'nunjucks'

const caches = createCaches({ default: new LocMemCache(), sessions: new LocMemCache() })
const fragments = new FragmentCache(caches)
const pages = responseCache(caches)
const body = () => 'text'
const redis = (settings: object) => new RedisCache({ location: 'redis://x', ...settings })

describe('what is asked of a name that nobody knows', () => {
  it.each<[what: string, act: () => unknown, meant: string | undefined]>([
    ['a setting', () => new LocMemCache({ timout: 5 } as never), 'timeout'],
    ['a setting of another library', () => new LocMemCache({ ttl: 5 } as never), 'timeout'],
    ['an address', () => new RedisCache({ url: 'redis://x' } as never), 'location'],
    ['addresses', () => new MemcachedCache({ hosts: ['a:1'] } as never), 'location'],
    ['caches over each other', () => new TieredCache({ stores: [] } as never), 'local'],
    ['a prefix', () => new LocMemCache({ prefix: 'a' } as never), 'keyPrefix'],
    ['another spelling', () => new LocMemCache({ key_prefix: 'a' } as never), 'keyPrefix'],
    [
      'an option beside the options',
      () => new LocMemCache({ maxEntries: 5 } as never),
      'options.maxEntries',
    ],
    [
      'a limit of another library',
      () => new LocMemCache({ max: 5 } as never),
      'options.maxEntries',
    ],
    [
      'a limit among the options',
      () => new LocMemCache({ options: { max: 5 } } as never),
      'maxEntries',
    ],
    [
      'a limit that a backend does not have',
      () => new RedisCache({ location: 'redis://x', max: 5 } as never),
      undefined,
    ],
    ['an option of a call', () => caches.default.set('k', 1, { ttl: 5 } as never), 'timeout'],
    [
      'an option of getOrSet',
      () => caches.default.getOrSet('k', 1, { swr: 5 } as never),
      'staleWhileRevalidate',
    ],
    ['an alias', () => caches.get('defualt' as never), 'default'],
    ['an alias that is like none', () => caches.get('shop' as never), undefined],
    ['an option of fragments', () => new FragmentCache(caches, { stict: true } as never), 'strict'],
    [
      'an option of an engine',
      () => registerCache(new nunjucks.Environment(), caches, { stict: true } as never),
      'strict',
    ],
    ['an option of pages', () => responseCache(caches, { prefix: 'a' } as never), 'keyPrefix'],
    ['a time of pages', () => responseCache(caches, { ttl: 5 } as never), 'seconds'],
    [
      'a setting of compression',
      () => new RedisCache({ location: 'redis://x', compress: { treshold: 5 } } as never),
      'threshold',
    ],
    [
      'a list of parameters',
      () => responseCache(caches, { query: { ignored: [] } as never }),
      'ignore',
    ],
    ['an option of Redis', () => redis({ options: { flushOnClaer: true } }), 'flushOnClear'],
    ['an option of its client', () => redis({ options: { pasword: 'x' } }), 'password'],
    ['a setting of Redis', () => redis({ serialize: JSON }), 'serializer'],
    ['a parameter of a location', () => redis({ location: 'redis://x?dbb=1' }), 'db'],
    [
      'a part of a set of databases',
      () => new DatabaseCache({ location: 't', database: { write: {}, raed: {} } }),
      'read',
    ],
    ['an option of a table', () => createCacheTable([], { dry: true } as never), 'dryRun'],
    [
      'an option of a key',
      () => makeTemplateFragmentKey('a', [], { compatible: 'django<6.1' } as never),
      'compat',
    ],
    ['a keyword in code', () => fragments.render({ name: 'a', ttl: 5 } as never, body), 'timeout'],
    ['a key in code', () => fragments.render({ name: 'a', key: 5 } as never, body), 'varyOn'],
    ['where a fragment is', () => fragments.delete('a', [], { cache: 'b' } as never), 'using'],
    ['where it is that expires', () => fragments.expire('a', [], { store: '' } as never), 'using'],
    ['what is invalidated', () => fragments.invalidate('a', { alias: 'b' } as never), 'using'],
    ['what is explained', () => fragments.explain('a', { cache: 'b' } as never), 'using'],
    ['a key of pages', () => responseCache(caches, { key: 'a' } as never), 'keyPrefix'],
    ['a timeout of pages', () => responseCache(caches, { timeout: 5 } as never), 'seconds'],
    ['an alias of a page', () => pages.cachePage(5, { alias: 'x' } as never), 'cache'],
    [
      'an alias that a page names',
      () => pages.cachePage(5, { cache: 'sesions' as never }),
      'sessions',
    ],
    ['whom it shows', () => overlay({ auth: () => true } as never), 'authorize'],
    ['who may look', () => inspector(caches, { isAdmin: () => true } as never), 'authorize'],
    ['whose figures are shared', () => inspector(caches, { processes: 'defualt' }), 'default'],
    [
      'the place of the overlay',
      () => overlay({ position: 'bottom-rihgt' as never }),
      'bottom-right',
    ],
    [
      'an option of metrics',
      () => prometheusMetrics(caches, { registry: {} } as never),
      'register',
    ],
    ['an option of the log', () => logAccess(caches, { key: 'hash' } as never), 'keys'],
    ['something else', () => new LocMemCache({ qqqqqq: 5 } as never), undefined],
    ['an option of a client that is to come', () => redis({ options: { qqqqqq: 5 } }), undefined],
  ])('%s', async (_, act, meant) => {
    let message = ''
    try {
      await act()
    } catch (error) {
      message = (error as Error).message
    }
    expect(message).toMatch(/unknown|is not an alias/)
    const asked = /; did you mean "([^"]*)"(?:, in seconds)?\?$/.exec(message)?.[1]
    expect(asked).toBe(meant)
  })

  it.each<[what: string, act: () => unknown, advice: string]>([
    [
      'a setting among the options',
      () => new LocMemCache({ options: { ttl: 5 } } as never),
      'did you mean "timeout", in seconds, beside "options"?',
    ],
    [
      'a cache for an invalidation of tags',
      () => caches.invalidateTags(['t'], { using: 'default' } as never),
      'did you mean "using", which is not needed: call invalidateTags of that cache, caches.get(alias)?',
    ],
    [
      'the time limit of a producer for one fragment',
      () =>
        new FragmentCache(caches).render(
          { name: 'n', timeout: 60, producerTimeoutMs: 5 } as never,
          () => '',
        ),
      'did you mean "producerTimeoutMs", as a setting of the cache?',
    ],
    [
      'a setting among the options of Redis',
      () => redis({ options: { timeout: 5 } }),
      'did you mean "timeout", in seconds, beside "options"?',
    ],
    [
      'a limit of Redis',
      () => redis({ options: { max: 5 } }),
      'did you mean "maxEntries", which it does not have: set maxmemory and maxmemory-policy of the server?',
    ],
    [
      'a setting in a location',
      () => redis({ location: 'redis://x?timeout=1' }),
      'did you mean "timeout", in seconds, a setting?',
    ],
    [
      'a setting among the options of tiers',
      () =>
        new TieredCache({
          local: new LocMemCache(),
          remote: new RedisCache({ location: 'redis://x' }),
          options: { ttl: 5 },
        } as never),
      'did you mean "timeout", in seconds, beside "options"?',
    ],
    [
      'a time of one page',
      () => pages.cachePage(5, { ttl: 5 } as never),
      'did you mean "seconds", the first argument: cachePage(60)?',
    ],
    [
      'an option of one page',
      () => pages.cachePage(5, { statuses: [200] } as never),
      'did you mean "statuses", an option of responseCache?',
    ],
    [
      'an option of all pages',
      () => responseCache(caches, { tags: ['a'] } as never),
      'did you mean "tags", an option of cachePage?',
    ],
    [
      'what is given to each fragment',
      () => new FragmentCache(caches, { ttl: 5 } as never),
      'did you mean "timeout", in seconds, given to each fragment: render({ name: \'sidebar\', timeout: 500 }, body)?',
    ],
    [
      'what stands in a tag',
      () => registerCache(new nunjucks.Environment(), caches, { using: 'default' } as never),
      'did you mean "using", a keyword of the tag?',
    ],
    [
      'a time that a tag is to have',
      () => registerCache(new nunjucks.Environment(), caches, { ttl: 5 } as never),
      'did you mean "timeout", in seconds, the first argument of the tag: 500 sidebar?',
    ],
  ])('%s: where it stands', async (_, act, advice) => {
    await expect(async () => act()).rejects.toThrow(`; ${advice}`)
  })

  it('options of ioredis are those that its types name', () => {
    // Those that are refused stand in a list of their own.
    type Refused = 'host' | 'port' | 'path' | 'keyPrefix' | 'lazyConnect' | 'monitor'
    type Named = (typeof CLIENT_OPTIONS)[number] | Refused
    expectTypeOf<keyof Ioredis6>().toExtend<Named>()
    expectTypeOf<keyof Ioredis5>().toExtend<Named>()
    expectTypeOf<(typeof CLIENT_OPTIONS)[number]>().toExtend<keyof Ioredis6>()
  })

  it('a time says its unit', () => {
    const make = () => new LocMemCache({ ttl: 60_000 } as never)
    expect(make).toThrow(/did you mean "timeout", in seconds\?$/)
  })

  it('what Django and other libraries take without a name', async () => {
    const cache = caches.default
    await expect(cache.set('k', 1, 60 as never)).rejects.toThrow(/did you mean \{ timeout: … \}\?$/)
    await expect(cache.getOrSet('k', 1, 60 as never)).rejects.toThrow(/mean \{ timeout: … \}\?$/)
    await expect(cache.get('k', 'none' as never)).rejects.toThrow(/mean \{ default: … \}\?$/)
    await expect(cache.set('k', 1, ['t'] as never)).rejects.toThrow(/staleIfError$/)
    await expect(cache.delete('k', 2 as never)).rejects.toThrow(/known are version$/)
    await expect(cache.get('k', { fallback: 1 } as never)).rejects.toThrow(/mean "default"\?$/)
  })

  it('what other libraries call the parts of a cache', () => {
    const near = new LocMemCache()
    expect(() => new TieredCache({ l1: near, l2: near } as never)).toThrow(/mean "local"\?$/)
    expect(() => new TieredCache({ local: near, l2: near } as never)).toThrow(/mean "remote"\?$/)
    expect(() => new DatabaseCache({ pool: {} } as never)).toThrow(/mean "database"\?$/)
    const inPlace = () => new TieredCache(near as never)
    expect(inPlace).toThrow(
      /LocMemCache\) is not an object of settings; give one such as \{ local: /,
    )
  })

  it('a name in place of the timeout of a tag', () => {
    const env = new nunjucks.Environment()
    registerCache(env, caches)
    const render = () => env.renderString('{% cache "sidebar" 500 %}{% endcache %}', {})
    expect(render).toThrow(/the timeout is "sidebar".*; the timeout comes first.*: 500 sidebar$/)
  })

  it('a keyword of a tag', () => {
    const env = new nunjucks.Environment()
    registerCache(env, caches)
    const render = (keyword: string) => () =>
      env.renderString(`{% cache 5 x ${keyword}=1 %}{% endcache %}`, {})
    expect(render('tag')).toThrow(/unknown keyword "tag".*did you mean "tags"\?/)
    expect(render('alias')).toThrow(/did you mean "using"\?/)
    expect(render('versoin')).toThrow(/did you mean "version"\?/)
  })

  it.each([
    ['ttl', 'did you mean "timeout", in seconds, the first argument: 500 sidebar?'],
    ['timeout', 'did you mean "timeout", in seconds, the first argument: 500 sidebar?'],
    ['key', 'did you mean "varyOn", the values behind the name: 500 sidebar user.name?'],
    ['name', 'did you mean "name", the second argument: 500 sidebar?'],
  ])('a keyword %s of a tag stands without a name, in every engine', (keyword, advice) => {
    const env = new nunjucks.Environment()
    registerCache(env, caches)
    const handlebars = Handlebars.create()
    registerHandlebars(handlebars, caches)
    const eta = new Eta({ plugins: [cachePlugin(caches)] })
    for (const render of [
      () => env.renderString(`{% cache 5 x ${keyword}=1 %}{% endcache %}`, {}),
      () => handlebars.compile(`{{#cache 5 "x" ${keyword}=1}}{{/cache}}`)({}),
      () => eta.renderString(`<% cache 5 x ${keyword}=1 %><% endcache %>`, {}),
    ]) {
      expect(render).toThrow(advice)
    }
  })

  it('takes what is no text, and a text without end, in its stride', () => {
    expect(didYouMean(5, ['a'])).toBe('')
    expect(didYouMean('x'.repeat(1_000_000), ['timeout'])).toBe('')
    expect(didYouMean('', ['timeout'])).toBe('')
  })
})

describe('what is given in the place of a cache', () => {
  it.each([
    [LocMemCache, 'new LocMemCache('],
    [{ backend: LocMemCache, ttl: 5 }, 'new LocMemCache('],
    [{ BACKEND: 'django.core.cache.backends.redis.RedisCache' }, 'new RedisCache('],
    [{ ttl: 5 }, 'new LocMemCache()'],
    ['redis://localhost', 'new LocMemCache()'],
  ])('%j is told how to be written', (given, example) => {
    expect(() => createCaches({ default: given as never })).toThrow(example)
  })
})
