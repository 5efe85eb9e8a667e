import { describe, expect, it } from 'vitest'
import { RedisCache } from '../../src/backends/redis.js'
import { didYouMean } from '../../src/did-you-mean.js'
import { createCaches, FragmentCache, LocMemCache } from '../../src/index.js'
import { responseCache } from '../../adapters/express/index.js'
import { registerCache } from '../../adapters/nunjucks/index.js'
import nunjucks from 'nunjucks'

const caches = createCaches({ default: new LocMemCache(), sessions: new LocMemCache() })

describe('what is asked of a name that nobody knows', () => {
  it.each<[what: string, act: () => unknown, meant: string | undefined]>([
    ['a setting', () => new LocMemCache({ timout: 5 } as never), 'timeout'],
    ['a setting of another library', () => new LocMemCache({ ttl: 5 } as never), 'timeout'],
    ['an address', () => new RedisCache({ url: 'redis://x' } as never), 'location'],
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
    ['something else', () => new LocMemCache({ qqqqqq: 5 } as never), undefined],
  ])('%s', async (_, act, meant) => {
    let message = ''
    try {
      await act()
    } catch (error) {
      message = (error as Error).message
    }
    expect(message).toMatch(/unknown/)
    const asked = /; did you mean "([^"]*)"(?:, in seconds)?\?$/.exec(message)?.[1]
    expect(asked).toBe(meant)
  })

  it('a time says its unit', () => {
    const make = () => new LocMemCache({ ttl: 60_000 } as never)
    expect(make).toThrow(/did you mean "timeout", in seconds\?$/)
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
