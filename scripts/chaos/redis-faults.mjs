/** What can be done to Redis servers. */
import { setTimeout as sleep } from 'node:timers/promises'
import { PAUSE_MS } from './faults.mjs'

export async function withRedis({ url }, use) {
  const { Redis } = await import('ioredis')
  const client = new Redis(url, { enableReadyCheck: false, retryStrategy: null })
  client.on('error', () => undefined)
  try {
    return await use(client)
  } finally {
    client.disconnect()
  }
}

export async function redisFaults(all) {
  const each = (use) => async () => {
    for (const server of all) await withRedis(server, use).catch(() => undefined)
  }
  return {
    // A replica refuses, and has it from its leader.
    flush: each((client) => client.flushall()),
    disconnect: each((client) => client.client('KILL', 'TYPE', 'normal', 'SKIPME', 'yes')),
    pause: each((client) => client.call('CLIENT', 'PAUSE', PAUSE_MS, 'ALL')),
    evict: each(evict),
  }
}

/** For a moment there is room for nothing more. */
async function evict(client) {
  const [, used] = /used_memory:(\d+)/.exec(await client.info('memory'))
  await client.config('SET', 'maxmemory-policy', 'allkeys-lru')
  await client.config('SET', 'maxmemory', used)
  await sleep(PAUSE_MS)
  await client.config('SET', 'maxmemory', '0')
}

/** The leader dies, and comes back as a replica of its replica. */
export async function failOver(all, sentinels) {
  const [{ port }] = sentinels.addresses
  const leaderPort = () =>
    withRedis({ url: `redis://127.0.0.1:${port}` }, async (client) =>
      Number((await client.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'main'))[1]),
    )
  const before = await leaderPort()
  const leader = all.find((server) => server.port === before)
  await leader.kill()
  const untilMs = Date.now() + 10_000
  let now = before
  while ((now = await leaderPort()) === before && Date.now() < untilMs) await sleep(50)
  await leader.restart()
  // Until it is demoted it would answer who still reaches it, as documented of split networks.
  await withRedis(leader, (client) => client.replicaof('127.0.0.1', now))
}

/** Each call moves some slots with what is in them to the next node. */
export async function slotMover(nodes) {
  const slots = 200
  let first = 0
  let at = 0
  const ids = await Promise.all(
    nodes.map((node) => withRedis(node, (client) => client.call('CLUSTER', 'MYID'))),
  )
  return async () => {
    const [from, to] = [at, (at + 1) % nodes.length]
    await withRedis(nodes[from], (source) =>
      withRedis(nodes[to], async (target) => {
        for (let slot = first; slot < first + slots; slot++) {
          await target.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', ids[from])
          await source.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', ids[to])
          const keys = await source.call('CLUSTER', 'GETKEYSINSLOT', slot, 1000)
          const move = ['127.0.0.1', nodes[to].port, '', 0, 1000, 'REPLACE', 'KEYS', ...keys]
          if (keys.length > 0) await source.call('MIGRATE', ...move)
          for (const client of [target, source]) {
            await client.call('CLUSTER', 'SETSLOT', slot, 'NODE', ids[to])
          }
        }
      }),
    )
    at = to
    if (at === 0) first += slots
  }
}
