import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort, startServer, type TestServer } from './process.js'

/** A Redis server of a test's own, on a port of 127.0.0.1. */
export interface RedisServer extends TestServer {
  readonly port: number
  /** Its working directory, which goes with it. */
  readonly folder: string
  readonly url: string
}

/** Starts redis-server, which must be there, without persistence and with these arguments. */
export async function startRedis(args: readonly string[] = []): Promise<RedisServer> {
  const port = await freePort()
  const folder = await mkdtemp(join(tmpdir(), 'fragcache-redis-'))
  const own = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder]
  const bare = ['--save', '', '--appendonly', 'no', '--databases', '1000']
  const server = await startServer({
    command: 'redis-server',
    args: [...own, ...bare, ...args],
    listensAt: port,
  })
  return Object.assign(server, {
    port,
    folder,
    url: `redis://127.0.0.1:${port}`,
    stop: after(server.stop, () => rm(folder, { recursive: true, force: true })),
  })
}

function after(first: () => Promise<void>, then: () => Promise<void>): () => Promise<void> {
  return async () => {
    await first()
    await then()
  }
}
