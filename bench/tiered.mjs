/**
 * A hit of a tiered cache against one of local memory, and for how long four processes over one Redis
 * serve an old value after another has written, invalidated or cleared.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { LocMemCache } from 'fragcache'
import { RedisCache } from 'fragcache/redis'
import { TieredCache } from 'fragcache/tiered'
import { compare, median, row } from './measure.mjs'
import { openOrFail } from './servers.mjs'

const ROUNDS = 100
const PROCESSES = 4

const keyPrefix = 'bench-tiered'

const open = (location) =>
  new TieredCache({
    local: new LocMemCache({ options: { maxEntries: 10_000 } }),
    remote: new RedisCache({ location, keyPrefix }),
  })

export async function run() {
  const server = await openOrFail('redis')
  try {
    return [...(await hit(server.url)), ...(await staleness(server.url))]
  } finally {
    server.stop()
  }
}

async function hit(location) {
  const keys = Array.from({ length: 1000 }, (_, i) => `key-${i}`)
  const text = 'x'.repeat(500)
  const local = new LocMemCache({ keyPrefix, options: { maxEntries: 10_000 } })
  const tiered = open(location)
  for (const key of keys) await local.set(key, text)
  await tiered.setMany(keys.map((key) => [key, text]))
  // What it wrote itself is told to it too; from the next reading on it stays.
  await sleep(200)
  await tiered.getMany(keys)
  await sleep(50)
  let i = 0
  let j = 0
  const result = await compare({
    local: () => local.get(keys[i++ % keys.length]),
    tiered: () => tiered.get(keys[j++ % keys.length]),
  })
  await tiered.clear()
  await tiered.close()
  const { ratio, ns } = result.tiered
  return [row('TieredCache hit / LocMemCache.get', ratio, 1 / 0.8, `${ns.toFixed(0)} ns`)]
}

/** Milliseconds from when a change was done in one process to the last time another served the old value. */
async function staleness(location) {
  const children = Array.from({ length: PROCESSES }, () =>
    fork(fileURLToPath(import.meta.url), ['--process', location]),
  )
  const ask = async (child, message) => {
    child.send(message)
    const [answer] = await once(child, 'message')
    return answer
  }
  await Promise.all(children.map((child) => once(child, 'message')))
  const changes = [
    ['a write', (n) => ({ set: n })],
    ['an invalidation', () => ({ invalidate: true })],
    ['a clear', () => ({ clear: true })],
  ]
  const lags = new Map(changes.map(([name]) => [name, []]))
  let n = 0
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, message] of changes) {
      const writer = children[n % PROCESSES]
      await ask(writer, { set: `old ${n}` })
      await sleep(20)
      const { doneMs } = await ask(writer, message(`new ${n}`))
      await sleep(60)
      for (const child of children) {
        if (child === writer) continue
        const seenMs = await ask(child, { lastSeen: `old ${n}` })
        if (seenMs !== null) lags.get(name).push(Math.max(0, seenMs - doneMs))
      }
      n++
    }
  }
  for (const child of children) child.send({ end: true })
  await Promise.all(children.map((child) => once(child, 'exit')))
  return [...lags].flatMap(([name, ms]) => [
    row(`tiered: old value served after ${name}, median ms`, median(ms), 5, `of ${ms.length}`),
    row(`tiered: old value served after ${name}, most ms`, Math.max(...ms), 50),
  ])
}

/** One of the processes: asks for the value every millisecond, and remembers when it saw which last. */
async function serve(location) {
  const cache = open(location)
  const seen = new Map()
  const nowMs = () => performance.timeOrigin + performance.now()
  let ended = false
  process.on('message', async ({ set, invalidate, clear, lastSeen, end }) => {
    if (set !== undefined) await cache.set('k', set, { tags: ['t'] })
    if (invalidate) await cache.invalidateTags(['t'])
    if (clear) await cache.clear()
    if (end) ended = true
    else process.send(lastSeen === undefined ? { doneMs: nowMs() } : (seen.get(lastSeen) ?? null))
  })
  await cache.get('k')
  process.send('ready')
  while (!ended) {
    const value = await cache.get('k')
    if (value !== undefined) seen.set(value, nowMs())
    await sleep(1)
  }
  await cache.close()
  process.disconnect()
}

if (process.argv[2] === '--process') await serve(process.argv[3])
