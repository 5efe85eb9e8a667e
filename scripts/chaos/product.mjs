/** What is under test: the built package, or a copy of it with a planted fault. */
const dist = process.env.CHAOS_DIST ?? new URL('../../dist/', import.meta.url).href

const load = (path) => import(new URL(path, dist).href)

export const { createCaches, dependOn, FragmentCache, LocMemCache } = await load('src/index.js')
export const { FileBasedCache } = await load('src/backends/file.js')
export const { createCacheTable, DatabaseCache } = await load('src/backends/database.js')
export const { MemcachedCache } = await load('src/backends/memcached.js')
export const { RedisCache } = await load('src/backends/redis.js')
export const { TieredCache } = await load('src/backends/tiered.js')
export const { responseCache } = await load('adapters/express/index.js')
