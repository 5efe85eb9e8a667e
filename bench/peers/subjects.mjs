/**
 * The peers, each set up as its documentation shows, as `{ get, set, close }`. What is compared is the
 * same for all: a text is stored for five minutes, and read.
 */
import KeyvRedis from '@keyv/redis'
import { BentoCache, bentostore } from 'bentocache'
import { memoryDriver } from 'bentocache/drivers/memory'
import { redisBusDriver, redisDriver } from 'bentocache/drivers/redis'
import { createCache } from 'cache-manager'
import { Cacheable, CacheableMemory } from 'cacheable'
import { Redis } from 'ioredis'
import { Keyv } from 'keyv'
import memjs from 'memjs'

const TTL_MS = 300_000

/** Over memory of the process. */
export function inMemory() {
  const bento = bentoOf(() => bentostore().useL1Layer(memoryDriver({ maxItems: 10_000 })))
  const memory = new CacheableMemory({ ttl: TTL_MS, lruSize: 10_000 })
  return {
    bentocache: bento,
    cacheable: {
      get: async (key) => memory.get(key),
      set: async (key, value) => memory.set(key, value),
      close: async () => undefined,
    },
    'cache-manager': managerOf(new Keyv()),
    keyv: keyvOf(new Keyv({ ttl: TTL_MS })),
  }
}

/** Over a Redis server. */
export function overRedis(url) {
  return {
    bentocache: bentoOf(() =>
      bentostore().useL2Layer(redisDriver({ connection: connectionTo(url) })),
    ),
    cacheable: cacheableOf(new Cacheable({ primary: new Keyv(new KeyvRedis(url)), ttl: TTL_MS })),
    'cache-manager': managerOf(new Keyv(new KeyvRedis(url))),
    keyv: keyvOf(new Keyv({ store: new KeyvRedis(url), ttl: TTL_MS })),
  }
}

/** Memory in front of a Redis server. */
export function tiered(url) {
  const bento = bentoOf(() =>
    bentostore()
      .useL1Layer(memoryDriver({ maxItems: 10_000 }))
      .useL2Layer(redisDriver({ connection: connectionTo(url) }))
      .useBus(redisBusDriver({ connection: optionsOf(url) })),
  )
  const secondary = new Keyv(new KeyvRedis(url))
  return {
    bentocache: bento,
    cacheable: cacheableOf(new Cacheable({ secondary, ttl: TTL_MS })),
  }
}

/** Over a Memcached server. */
export function overMemcached(location) {
  const client = memjs.Client.create(location)
  return {
    memjs: {
      get: async (key) => String((await client.get(key)).value),
      set: (key, value) => client.set(key, value, { expires: TTL_MS / 1000 }),
      close: async () => client.quit(),
    },
  }
}

function bentoOf(store) {
  const bento = new BentoCache({ default: 'one', ttl: TTL_MS, stores: { one: store() } })
  return {
    get: (key) => bento.get({ key }),
    set: (key, value) => bento.set({ key, value }),
    close: () => bento.disconnectAll(),
  }
}

function cacheableOf(cache) {
  return {
    get: (key) => cache.get(key),
    set: (key, value) => cache.set(key, value),
    close: () => cache.disconnect(),
  }
}

function managerOf(store) {
  const cache = createCache({ stores: [store], ttl: TTL_MS })
  return {
    get: (key) => cache.get(key),
    set: (key, value) => cache.set(key, value),
    close: () => cache.disconnect(),
  }
}

function keyvOf(keyv) {
  return {
    get: (key) => keyv.get(key),
    set: (key, value) => keyv.set(key, value),
    close: () => keyv.disconnect(),
  }
}

function connectionTo(url) {
  return new Redis(url, { enableAutoPipelining: true })
}

function optionsOf(url) {
  const { hostname, port } = new URL(url)
  return { host: hostname, port: Number(port) }
}
