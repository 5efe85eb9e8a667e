import { freePort, startServer, type TestServer } from './process.js'

/** A Memcached server of a test's own, on a port of 127.0.0.1. */
export interface MemcachedServer extends TestServer {
  readonly port: number
  readonly location: string
}

/** Starts memcached, which must be there, with these arguments. */
export async function startMemcached(args: readonly string[] = []): Promise<MemcachedServer> {
  const port = await freePort()
  const own = ['-l', '127.0.0.1', '-p', String(port), '-U', '0', '-m', '64']
  const asRoot = process.getuid?.() === 0 ? ['-u', 'nobody'] : []
  const server = await startServer({
    command: 'memcached',
    args: [...own, ...asRoot, ...args],
    listensAt: port,
  })
  return Object.assign(server, { port, location: `127.0.0.1:${port}` })
}
