/**
 * Against the peers, over the same server in one run: a page of 20 texts over Redis, and what a `get` of theirs
 * takes of ours. There are no targets: other libraries promise other things for it.
 */
import { LocMemCache } from 'fragcache'
import { MemcachedCache } from 'fragcache/memcached'
import { RedisCache } from 'fragcache/redis'
import { TieredCache } from 'fragcache/tiered'
import { setTimeout as sleep } from 'node:timers/promises'
import { compare, compareWaiting, inFlight, row } from './measure.mjs'
import { pagesOverRedis } from './peers-pages.mjs'
import { openOrFail } from './servers.mjs'

const KEYS = Array.from({ length: 100 }, (_, i) => `key-${i}`)
const TEXT = 'x'.repeat(500)

export async function run() {
  const peers = await load()
  const redis = await openOrFail('redis')
  const memcached = await openOrFail('memcached')
  const local = () => new LocMemCache({ options: { maxEntries: 10_000 } })
  const remote = () => new RedisCache({ location: redis.url, keyPrefix: 'bench-peers' })
  try {
    return [
      ...(await pagesOverRedis(redis.url, peers.textsOverRedis)),
      ...(await inProcess('local memory', local(), peers.inMemory())),
      ...(await inProcess(
        'tiered over Redis',
        new TieredCache({ local: local(), remote: remote() }),
        peers.tiered(redis.url),
      )),
      ...(await overServer('Redis', remote(), peers.overRedis(redis.url))),
      ...(await overServer(
        'Memcached',
        new MemcachedCache({ location: memcached.url }),
        peers.overMemcached(memcached.url),
      )),
    ]
  } finally {
    redis.stop()
    memcached.stop()
  }
}

async function load() {
  try {
    return { ...(await import('./peers/subjects.mjs')), ...(await import('./peers/pages.mjs')) }
  } catch (error) {
    if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error
    throw new Error('the peers are not installed: npm ci --prefix bench/peers', { cause: error })
  }
}

/** Hits in memory: by processor time. */
async function inProcess(name, ours, theirs) {
  return measured(name, ours, theirs, async (calls) => {
    const results = await compare(calls)
    return Object.entries(results).map(([peer, { ratio, ns }]) => [
      peer,
      ratio,
      `${ns.toFixed(0)} ns`,
    ])
  })
}

/** Fifty at a time, by the wall clock. */
async function overServer(name, ours, theirs) {
  return measured(`${name}, 50 in flight`, ours, theirs, async (calls) => {
    const together = Object.entries(calls).map(([peer, call]) => [peer, inFlight(50, call)])
    const results = await compareWaiting(Object.fromEntries(together))
    return Object.entries(results).map(([peer, { ratio, us }]) => [
      peer,
      ratio,
      `${(us / 50).toFixed(1)} µs`,
    ])
  })
}

async function measured(name, ours, theirs, measure) {
  const subjects = { fragcache: ours, ...theirs }
  const calls = {}
  for (const [peer, cache] of Object.entries(subjects)) {
    for (const key of KEYS) await cache.set(key, TEXT)
    // Until what a cache is told of its own writes has come back to it.
    await sleep(100)
    for (const key of KEYS) {
      if ((await cache.get(key)) !== TEXT) throw new Error(`${peer} did not keep ${key}`)
    }
    let i = 0
    calls[peer] = () => cache.get(KEYS[i++ % KEYS.length])
  }
  const results = await measure(calls)
  for (const cache of Object.values(subjects)) await cache.close()
  return results
    .filter(([peer]) => peer !== 'fragcache')
    .map(([peer, ratio, detail]) =>
      row(`get, ${name}: ${peer} / fragcache`, ratio, undefined, detail),
    )
}
