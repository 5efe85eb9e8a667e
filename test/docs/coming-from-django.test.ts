import { readFileSync } from 'node:fs'
import * as root from 'fragcache'
import * as database from 'fragcache/database'
import * as eta from 'fragcache/eta'
import * as express from 'fragcache/express'
import * as file from 'fragcache/file'
import * as handlebars from 'fragcache/handlebars'
import * as inspector from 'fragcache/inspector'
import * as memcached from 'fragcache/memcached'
import * as nunjucks from 'fragcache/nunjucks'
import * as redis from 'fragcache/redis'
import * as tiered from 'fragcache/tiered'
import { describe, expect, it } from 'vitest'
import { inProject } from '../support/samples.js'

const { createCaches, FragmentCache, LocMemCache } = root
const page = readFileSync(inProject('docs/coming-from-django.md'), 'utf8')
const rows = [...page.matchAll(/^\| (.*?) +\| (.*?) +\|$/gm)]
  .map(([, django = '', here = '']) => ({ django, here }))
  .filter(({ django }) => !/^(?:Django|-+)$/.test(django))

/** Of Django 6.1's documentation "Django's cache framework", and of its reference of headers. */
const framework = `
  CACHES BACKEND LOCATION TIMEOUT KEY_PREFIX VERSION KEY_FUNCTION OPTIONS MAX_ENTRIES CULL_FREQUENCY
  CACHE_MIDDLEWARE_ALIAS CACHE_MIDDLEWARE_SECONDS CACHE_MIDDLEWARE_KEY_PREFIX USE_I18N USE_TZ
  LocMemCache DummyCache FileBasedCache DatabaseCache RedisCache PyMemcacheCache PyLibMCCache BaseCache
  caches.all cache.get cache.set cache.add cache.get_or_set cache.get_many cache.set_many cache.delete
  cache.delete_many cache.has_key cache.touch cache.incr cache.decr cache.incr_version
  cache.decr_version cache.clear cache.close cache.make_key cache.validate_key cache.aget
  make_template_fragment_key using= cache_page key_prefix= UpdateCacheMiddleware
  FetchFromCacheMiddleware ConditionalGetMiddleware conditional_page condition etag last_modified
  cache_control never_cache vary_on_headers vary_on_cookie patch_cache_control patch_vary_headers
  patch_response_headers add_never_cache_headers get_max_age has_vary_header get_cache_key
  learn_cache_key createcachetable CacheKeyWarning InvalidCacheKey InvalidCacheBackendError
`
  .trim()
  .split(/\s+/)

describe('docs/coming-from-django.md', () => {
  it.each(framework)('has a row for %s', (name) => {
    expect(rows.some(({ django }) => django.includes(name))).toBe(true)
  })

  const caches = createCaches({ default: new LocMemCache() })
  const objects: Readonly<Record<string, object>> = {
    cache: caches.default,
    caches,
    fragments: new FragmentCache(caches),
    pages: express.responseCache(caches),
  }
  const exported: object = {
    ...root,
    ...database,
    ...eta,
    ...express,
    ...file,
    ...handlebars,
    ...inspector,
    ...memcached,
    ...nunjucks,
    ...redis,
    ...tiered,
  }

  /** Each once. */
  const found = (pattern: RegExp) =>
    new Set(rows.flatMap(({ here }) => [...here.matchAll(pattern)].map(([text]) => text)))
  const methods = found(/\b(?:cache|caches|fragments|pages)\.\w+\b(?!')/g)
  const functions = found(/(?<![.\w])[a-z]\w+(?=\()/g)
  const classes = found(/(?<=`)[A-Z][a-z]\w+(?=`)/g)
  for (const ofTheLanguage of ['None', 'Map']) classes.delete(ofTheLanguage)

  it('names methods, functions and classes', () => {
    expect(methods.size).toBeGreaterThan(25)
    expect(functions.size).toBeGreaterThan(15)
    expect(classes.size).toBeGreaterThan(10)
  })

  it.each([...methods])('names a method that there is: %s', (name) => {
    const [object = '', method = ''] = name.split('.')
    expect(method in (objects[object] as object)).toBe(true)
  })

  it.each([...functions, ...classes])('names what is exported: %s', (name) => {
    expect(exported).toHaveProperty([name])
  })
})
