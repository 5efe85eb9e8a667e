/**
 * What a user of each peer writes for a page of cached texts over Redis, as its documentation shows: one
 * `getOrSet` a text, all at once. Each gives the texts of the keys, and is closed in the end.
 */
import KeyvRedis from '@keyv/redis'
import { BentoCache, bentostore } from 'bentocache'
import { redisDriver } from 'bentocache/drivers/redis'
import { createCache } from 'cache-manager'
import { Cacheable } from 'cacheable'
import { Redis } from 'ioredis'
import { Keyv } from 'keyv'
import { defineCachedFunction } from 'ocache'

const TTL_MS = 300_000

/**
 * @param {string} url
 * @param {(key: string) => Promise<string>} make - Of a text that is not there.
 * @returns {Record<string, { text(key: string): Promise<string>, close(): Promise<unknown> }>}
 */
export function textsOverRedis(url, make) {
  const connection = new Redis(url, { enableAutoPipelining: true })
  const bento = new BentoCache({
    default: 'one',
    ttl: TTL_MS,
    stores: { one: bentostore().useL2Layer(redisDriver({ connection })) },
  })
  const cacheable = new Cacheable({ primary: new Keyv(new KeyvRedis(url)), ttl: TTL_MS })
  const manager = createCache({ stores: [new Keyv(new KeyvRedis(url))], ttl: TTL_MS })
  const keyv = new Keyv({ store: new KeyvRedis(url), ttl: TTL_MS, namespace: 'page' })
  const client = new Redis(url, { enableAutoPipelining: true })
  const ocached = defineCachedFunction(make, {
    name: 'page',
    maxAge: TTL_MS / 1000,
    getKey: (key) => key,
    storage: ocacheOver(client),
  })
  return {
    bentocache: {
      text: (key) => bento.getOrSet({ key, factory: () => make(key) }),
      close: () => bento.disconnectAll(),
    },
    cacheable: {
      text: (key) => cacheable.getOrSet(`cacheable-${key}`, () => make(key)),
      close: () => cacheable.disconnect(),
    },
    'cache-manager': {
      text: (key) => manager.wrap(`manager-${key}`, () => make(key)),
      close: () => manager.disconnect(),
    },
    /** It has no such function. */
    keyv: {
      async text(key) {
        const found = await keyv.get(key)
        if (found !== undefined) return found
        const text = await make(key)
        await keyv.set(key, text)
        return text
      },
      close: () => keyv.disconnect(),
    },
    ocache: { text: ocached, close: () => client.quit() },
  }
}

/** It has no storage for Redis of its own: as little as it asks for. */
function ocacheOver(client) {
  return {
    async get(key) {
      const json = await client.get(`ocache:${key}`)
      return json === null ? null : JSON.parse(json)
    },
    async set(key, value, { ttl } = {}) {
      if (value === null) await client.del(`ocache:${key}`)
      else if (ttl === undefined) await client.set(`ocache:${key}`, JSON.stringify(value))
      else await client.set(`ocache:${key}`, JSON.stringify(value), 'EX', Math.ceil(ttl))
    },
  }
}
