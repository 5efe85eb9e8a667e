/** The stores under test: how their servers are started, and what can be done to them. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createJiti } from 'jiti'
import { PAUSE_MS } from './faults.mjs'
import { failOver, redisFaults, slotMover, withRedis } from './redis-faults.mjs'

const servers = (name) =>
  createJiti(import.meta.url).import(`../../test/support/servers/${name}.ts`)

/**
 * @typedef {object} Running
 * @property {object} spec - What a process needs in order to open it.
 * @property {Readonly<Record<string, () => Promise<unknown>>>} faults
 * @property {() => Promise<void>} stop
 */

/** @type {Readonly<Record<string, () => Promise<Running>>>} */
const starters = {
  memory: async () => ({ spec: { kind: 'memory' }, faults: {}, stop: async () => undefined }),

  files: async () => {
    const folder = await temporaryFolder()
    return { spec: { kind: 'files', folder }, faults: {}, stop: () => remove(folder) }
  },

  sqlite: async () => {
    const folder = await temporaryFolder()
    const file = join(folder, 'cache.db')
    const { default: Database } = await import('better-sqlite3')
    const flush = async () => {
      const database = new Database(file, { timeout: 5000 })
      database.exec('DELETE FROM chaos')
      database.close()
    }
    const spec = { kind: 'sqlite', file, table: 'chaos' }
    return { spec, faults: { flush }, stop: () => remove(folder) }
  },

  postgres: async () => {
    const { startPostgres } = await servers('postgres')
    // What is committed is to survive a crash, as on any server that is taken seriously.
    const server = await startPostgres(['synchronous_commit=on', 'full_page_writes=on'])
    const { default: pg } = await import('pg')
    const ask = async (sql) => {
      const client = new pg.Client({ connectionString: server.url })
      client.on('error', () => undefined)
      await client.connect()
      await client.query(sql).finally(() => client.end())
    }
    return {
      spec: { kind: 'postgres', url: server.url, table: 'chaos' },
      faults: {
        flush: () => ask('DELETE FROM chaos'),
        disconnect: () =>
          ask(
            'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()',
          ),
        pause: () => pause(server),
        restart: () => server.restart(),
      },
      stop: () => server.stop(),
    }
  },

  mariadb: async () => {
    const { startMysql } = await servers('mysql')
    const server = await startMysql(['--innodb-flush-log-at-trx-commit=2'])
    const { createConnection } = await import('mysql2/promise')
    const ask = async (use) => {
      const connection = await createConnection(server.url)
      await use(connection).finally(() => connection.end())
    }
    const disconnectAll = async (connection) => {
      const [rows] = await connection.query('SHOW PROCESSLIST')
      for (const { Id, Command, User } of rows) {
        if (User !== 'root' || Command === 'Daemon' || Id === connection.threadId) continue
        await connection.query('KILL ?', [Id]).catch(() => undefined)
      }
    }
    return {
      spec: { kind: 'mariadb', url: server.url, table: 'chaos' },
      faults: {
        flush: () => ask((connection) => connection.query('DELETE FROM chaos')),
        disconnect: () => ask(disconnectAll),
        pause: () => pause(server),
        restart: () => server.restart(),
      },
      stop: () => server.stop(),
    }
  },

  redis: async () => {
    const { startRedis } = await servers('redis')
    const server = await startRedis()
    // It starts with what was in its last snapshot.
    const save = () => withRedis(server, (client) => client.save())
    return {
      spec: { kind: 'redis', locations: [server.url], tells: true },
      faults: {
        ...(await redisFaults([server])),
        save,
        crash: () => server.restart(),
        restart: async () => {
          await save()
          await sleep(PAUSE_MS)
          await server.restart()
        },
      },
      stop: () => server.stop(),
    }
  },

  'redis-replicas': async () => {
    const { startReplicated } = await servers('redis-groups')
    const all = await startReplicated(2)
    return {
      spec: { kind: 'redis', locations: all.map(({ url }) => url), tells: true, lags: true },
      faults: {
        ...(await redisFaults(all.slice(0, 1))),
        // A replica that lags.
        pause: () => pause(all[1]),
      },
      stop: () => stopAll(all),
    }
  },

  'redis-sentinel': async () => {
    const { startReplicated, startSentinels } = await servers('redis-groups')
    const all = await startReplicated(1)
    const sentinels = await startSentinels(all[0], { count: 3, replicas: 1 })
    return {
      spec: { kind: 'redis', sentinels: sentinels.addresses, tells: true },
      faults: {
        ...(await redisFaults(all)),
        failover: () => failOver(all, sentinels),
      },
      stop: async () => {
        await sentinels.stop()
        await stopAll(all)
      },
    }
  },

  'redis-cluster': async () => {
    const { startCluster } = await servers('redis-groups')
    const nodes = await startCluster(3)
    const addresses = nodes.map(({ port }) => ({ host: '127.0.0.1', port }))
    return {
      spec: { kind: 'redis-cluster', nodes: addresses },
      faults: { ...(await redisFaults(nodes)), slots: await slotMover(nodes) },
      stop: () => stopAll(nodes),
    }
  },

  memcached: async () => {
    const { startMemcached } = await servers('memcached')
    const server = await startMemcached(['-m', '2'])
    return {
      spec: { kind: 'memcached', location: server.location },
      faults: {
        flush: () => tellMemcached(server.port, 'flush_all\r\n'),
        evict: () => tellMemcached(server.port, TO_EVICT),
        pause: () => pause(server),
        restart: () => server.restart(),
      },
      stop: () => server.stop(),
    }
  },
}

export const STORES = Object.keys(starters)

/**
 * Starts the servers of a store.
 *
 * @param {string} name
 * @returns {Promise<Running>}
 * @throws {Error} They are not installed, or do not serve.
 */
export async function startStore(name) {
  try {
    return await starters[name]()
  } catch (cause) {
    const remedy = 'install it, or name other stores with --store'
    throw new Error(`chaos: ${name} cannot be started: ${cause.message}; ${remedy}`, { cause })
  }
}

function temporaryFolder() {
  return mkdtemp(join(tmpdir(), 'fragcache-chaos-store-'))
}

function remove(folder) {
  return rm(folder, { recursive: true, force: true })
}

async function stopAll(all) {
  for (const server of all) await server.stop()
}

async function pause(server) {
  server.pause()
  await sleep(PAUSE_MS)
  server.resume()
}

async function tellMemcached(port, text) {
  const { connect } = await import('node:net')
  const socket = connect(port, '127.0.0.1')
  socket.write(text)
  await new Promise((resolve, reject) => socket.once('data', resolve).once('error', reject))
  socket.destroy()
}

/** More than it has room for, of all the sizes that entries have. */
const TO_EVICT = `${Array.from({ length: 20_000 }, (_, i) => {
  const bytes = 50 + (i % 10) * 40
  return `set other-${i} 0 60 ${bytes} noreply\r\n${'x'.repeat(bytes)}\r\n`
}).join('')}version\r\n`
