import { LocMemCache, type Cache } from 'fragcache'
import { FileBasedCache } from 'fragcache/file'
import { RedisCache } from 'fragcache/redis'
import { TieredCache } from 'fragcache/tiered'
import { afterEach } from 'vitest'
import { folderOfTest } from '../support/folders.js'
import { redisOfFile } from '../support/redis.js'

const { isThere, url } = await redisOfFile()

export { isThere as isRedisThere }

/** What opens caches for the tests of a file, which are cleared and closed after each test. */
export function openCaches(name: string) {
  const opened: Cache[] = []
  afterEach(async () => {
    for (const cache of opened.splice(0)) {
      await cache.clear()
      await cache.close()
    }
  })
  const open = <C extends Cache>(cache: C): C => {
    opened.push(cache)
    return cache
  }
  // A busy machine answers late, which is no outage.
  const options = { timeLimitMs: 10_000 }
  const redis = (keyPrefix = name) => open(new RedisCache({ location: url, keyPrefix, options }))
  /** Each with its name, and whether it can be opened. */
  const stores: readonly (readonly [string, boolean, () => Cache])[] = [
    ['local memory', true, () => open(new LocMemCache())],
    ['files', true, () => open(new FileBasedCache({ location: folderOfTest() }))],
    ['Redis', isThere, () => redis()],
    [
      'memory in front of Redis',
      isThere,
      () => open(new TieredCache({ local: new LocMemCache(), remote: redis() })),
    ],
  ]
  return { open, redis, stores }
}
