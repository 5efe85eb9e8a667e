import { hash } from 'node:crypto'
import { createCaches, FragmentCache, LocMemCache } from 'fragcache'
import { LRUCache } from 'lru-cache'
import { compare, goal, row, sink } from './measure.mjs'

const TEXT = 'x'.repeat(500)
const USERS = Array.from({ length: 100 }, (_, i) => `user-${i}`)

/** A warm synchronous hit with one vary-on value, against a raw get and one MD5 of the same bytes. */
async function fragmentHit() {
  const raw = new LRUCache({ max: 10_000 })
  for (const user of USERS) {
    const bytes = `${user.length}:${user},`
    raw.set(`:1:template.cache.sidebar.${hash('md5', bytes)}`, TEXT)
  }
  const cache = new LocMemCache({ options: { maxEntries: 10_000 } })
  const fragments = new FragmentCache(createCaches({ default: cache }))
  const body = () => TEXT
  let i = 0
  let j = 0
  const result = await compare({
    raw: () => {
      const user = USERS[i++ % USERS.length]
      return raw.get(`:1:template.cache.sidebar.${hash('md5', `${user.length}:${user},`)}`)
    },
    renderSync: () =>
      fragments.renderSync(
        { name: 'sidebar', timeout: 500, varyOn: [USERS[j++ % USERS.length]] },
        body,
      ),
  })
  return [
    row(
      'fragment hit, renderSync / raw lru-cache get + MD5',
      result.renderSync.ratio,
      3,
      `${result.renderSync.ns.toFixed(0)} ns`,
    ),
  ]
}

/** `get` of a string, against raw lru-cache behind an async function. */
async function get() {
  const raw = new LRUCache({ max: 10_000 })
  const cache = new LocMemCache({ options: { maxEntries: 10_000 } })
  const keys = Array.from({ length: 1000 }, (_, i) => `key-${i}`)
  for (const key of keys) {
    raw.set(key, TEXT)
    await cache.set(key, TEXT)
  }
  const rawGet = async (key) => raw.get(key)
  let i = 0
  let j = 0
  const result = await compare({
    raw: () => rawGet(keys[i++ % keys.length]),
    get: () => cache.get(keys[j++ % keys.length]),
  })
  return [
    row(
      'LocMemCache.get / async raw lru-cache get',
      result.get.ratio,
      2,
      `${result.get.ns.toFixed(0)} ns`,
    ),
  ]
}

/** Single writes, against the least that keeps the same promises: a key, an entry with a deadline, a promise. */
async function writes() {
  const LIFE_MS = 300_000
  const raw = new LRUCache({ max: 10_000 })
  const keyOf = (key) => `:1:${key}`
  const put = (storedKey, value) => {
    raw.set(storedKey, { value, expiresAtMs: Date.now() + LIFE_MS })
  }
  const live = (storedKey) => {
    const entry = raw.get(storedKey)
    if (entry === undefined || entry.expiresAtMs > Date.now()) return entry
    raw.delete(storedKey)
    return undefined
  }
  const byHand = {
    set: async (key, value) => put(keyOf(key), value),
    add: async (key, value) => {
      const storedKey = keyOf(key)
      if (live(storedKey) !== undefined) return false
      put(storedKey, value)
      return true
    },
    incr: async (key) => {
      const entry = live(keyOf(key))
      if (entry === undefined) throw new Error('not there')
      return (entry.value += 1)
    },
  }
  const cache = new LocMemCache({ options: { maxEntries: 10_000 } })
  const keys = Array.from({ length: 1000 }, (_, i) => `key-${i}`)
  for (const one of [byHand, cache]) await one.set('count', 0)
  const calls = (one) => {
    let i = 0
    return {
      set: () => one.set(keys[i++ % keys.length], TEXT),
      // Each time another key, so that one goes for each that comes.
      add: () => one.add(`new-${i++}`, TEXT),
      incr: () => one.incr('count'),
    }
  }
  const [hand, ours] = [calls(byHand), calls(cache)]
  const rows = []
  for (const name of ['set', 'add', 'incr']) {
    await cache.set('count', 0)
    await byHand.set('count', 0)
    const result = await compare({ hand: hand[name], ours: ours[name] })
    const detail = `${result.ours.ns.toFixed(0)} ns`
    rows.push(goal('4', `LocMemCache.${name} / by hand`, result.ours, 1.5, detail))
  }
  return rows
}

/** Heap per entry at 100 000 entries of 500 bytes, against raw lru-cache. */
async function memory() {
  const count = 100_000
  const text = (i) => Buffer.alloc(500, `${i} `).toString('latin1')
  const perEntry = async (fill) => {
    globalThis.gc()
    const before = process.memoryUsage().heapUsed
    const kept = await fill()
    globalThis.gc()
    const bytes = (process.memoryUsage().heapUsed - before) / count
    sink.value = kept
    return bytes
  }
  const raw = await perEntry(async () => {
    const store = new LRUCache({ max: count })
    for (let i = 0; i < count; i++) store.set(`:1:key-${i}`, text(i))
    return store
  })
  const ours = await perEntry(async () => {
    const cache = new LocMemCache({ options: { maxEntries: count } })
    for (let i = 0; i < count; i++) await cache.set(`key-${i}`, text(i))
    return cache
  })
  return [
    row('LocMemCache bytes per entry / raw lru-cache', ours / raw, 1.3, `${ours.toFixed(0)} bytes`),
  ]
}

export async function run() {
  return [...(await fragmentHit()), ...(await get()), ...(await writes()), ...(await memory())]
}
