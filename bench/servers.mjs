/** Servers for the benchmarks: those that the environment names, or private ones on free ports, as the tests have them. */
import { createJiti } from 'jiti'

const load = (name) => createJiti(import.meta.url).import(`../test/support/servers/${name}.ts`)

export const { freePort, startServer } = await load('process')
const { openServer } = await load('kinds')

/**
 * @param {'redis' | 'memcached' | 'postgres' | 'mysql'} kind
 * @returns {Promise<{ url: string, stop(): Promise<void> }>} Of Memcached, the URL is `host:port`.
 * @throws {Error} It is not installed, and cannot be.
 */
export async function openOrFail(kind) {
  const server = await openServer(kind)
  if ('missing' in server) throw new Error(server.missing)
  return server
}
