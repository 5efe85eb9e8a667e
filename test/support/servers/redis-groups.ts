import { setTimeout as sleep } from 'node:timers/promises'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { freePort, startServer, type TestServer } from './process.js'
import { startRedis, type RedisServer } from './redis.js'

/** Starts a leader and its replicas, and waits until they follow it. */
export async function startReplicated(replicas: number): Promise<readonly RedisServer[]> {
  const leader = await startRedis(['--repl-diskless-sync-delay', '0'])
  const followers = await Promise.all(
    Array.from({ length: replicas }, () =>
      startRedis(['--replicaof', '127.0.0.1', String(leader.port)]),
    ),
  )
  for (const { url } of followers) {
    await untilSo(url, async (client) =>
      (await client.info('replication')).includes('master_link_status:up'),
    )
  }
  return [leader, ...followers]
}

/** A Cluster knows no other db than 0. */
const IN_CLUSTER = [
  '--cluster-enabled',
  'yes',
  '--cluster-node-timeout',
  '1000',
  '--databases',
  '1',
  '--repl-diskless-sync-delay',
  '0',
]

/** Starts a Cluster of so many masters, and waits until it works. */
export async function startCluster(masters: number): Promise<readonly RedisServer[]> {
  const nodes = await Promise.all(Array.from({ length: masters }, () => startRedis(IN_CLUSTER)))
  const [first] = nodes
  const share = Math.ceil(16_384 / masters)
  for (const [i, { url, port }] of nodes.entries()) {
    await withClient(url, async (client) => {
      const last = Math.min(16_383, (i + 1) * share - 1)
      await client.call('CLUSTER', 'ADDSLOTSRANGE', i * share, last)
      if (first !== undefined && port !== first.port) {
        await client.call('CLUSTER', 'MEET', '127.0.0.1', first.port)
      }
    })
  }
  for (const { url } of nodes) {
    await untilSo(url, async (client) => {
      const info = String(await client.call('CLUSTER', 'INFO'))
      return info.includes('cluster_state:ok') && info.includes(`known_nodes:${masters}`)
    })
  }
  return nodes
}

/** Starts a replica of a Cluster's master, and waits until it follows, knows all and all know of it. */
export async function addReplica(
  master: RedisServer,
  nodes: readonly RedisServer[],
): Promise<RedisServer> {
  const replica = await startRedis(IN_CLUSTER)
  const id = await withClient(master.url, async (client) =>
    String(await client.call('CLUSTER', 'MYID')),
  )
  await withClient(replica.url, (client) =>
    client.call('CLUSTER', 'MEET', '127.0.0.1', master.port),
  )
  await untilSo(replica.url, async (client) =>
    client.call('CLUSTER', 'REPLICATE', id).then(
      () => true,
      // It has not heard of the master yet.
      () => false,
    ),
  )
  await untilSo(replica.url, async (client) =>
    (await client.info('replication')).includes('master_link_status:up'),
  )
  for (const { url } of nodes) {
    await untilSo(url, async (client) =>
      String(await client.call('CLUSTER', 'NODES')).includes(`:${replica.port}@`),
    )
  }
  // Of the others it hears from its master only.
  await untilSo(replica.url, async (client) =>
    String(await client.call('CLUSTER', 'INFO')).includes('cluster_state:ok'),
  )
  return replica
}

/** Sentinels that watch over a leader called `main`. */
export interface Sentinels {
  readonly addresses: readonly { readonly host: string; readonly port: number }[]
  stop(): Promise<void>
}

/** Starts so many Sentinels, and waits until they know each other and the replicas. */
export async function startSentinels(
  leader: RedisServer,
  { count, replicas }: { readonly count: number; readonly replicas: number },
): Promise<Sentinels> {
  const quorum = Math.floor(count / 2) + 1
  const servers: TestServer[] = []
  const addresses: { host: string; port: number }[] = []
  for (let i = 0; i < count; i++) {
    const port = await freePort()
    const config = join(leader.folder, `sentinel-${port}.conf`)
    const lines = [
      `port ${port}`,
      'bind 127.0.0.1',
      `dir ${leader.folder}`,
      `sentinel monitor main 127.0.0.1 ${leader.port} ${quorum}`,
      'sentinel down-after-milliseconds main 500',
      'sentinel failover-timeout main 1500',
    ]
    await writeFile(config, lines.join('\n'))
    const args = [config, '--sentinel']
    servers.push(await startServer({ command: 'redis-server', args, listensAt: port }))
    addresses.push({ host: '127.0.0.1', port })
  }
  for (const { port } of addresses) {
    await withClient(`redis://127.0.0.1:${port}`, async (client) => {
      // From Redis 7 on they can be told to look and to tell each other more often than usual, which
      // is every ten and every two seconds.
      await client
        .call('SENTINEL', 'DEBUG', 'info-period', '500', 'publish-period', '500')
        .catch(() => undefined)
    })
    await untilSo(`redis://127.0.0.1:${port}`, async (client) => {
      const fields = (await client.call('SENTINEL', 'MASTER', 'main')) as string[]
      const valueOf = (name: string) => Number(fields[fields.indexOf(name) + 1])
      return valueOf('num-other-sentinels') === count - 1 && valueOf('num-slaves') === replicas
    })
  }
  return {
    addresses,
    stop: async () => {
      for (const server of servers) await server.stop()
    },
  }
}

async function withClient<T>(url: string, use: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(url, { enableReadyCheck: false })
  client.on('error', () => undefined)
  try {
    return await use(client)
  } finally {
    client.disconnect()
  }
}

const SETTLING_LIMIT_MS = 20_000

async function untilSo(url: string, isSo: (client: Redis) => Promise<boolean>): Promise<void> {
  const untilMs = Date.now() + SETTLING_LIMIT_MS
  await withClient(url, async (client) => {
    while (!(await isSo(client))) {
      if (Date.now() > untilMs) throw new Error(`${url} does not get ready`)
      await sleep(50)
    }
  })
}
