import { Redis } from 'ioredis'
import { afterAll } from 'vitest'
import { inPath } from './executables.js'
import { sharedServer } from './servers.js'
import { startRedis } from './servers/redis.js'

/**
 * Whether this machine has a redis-server that a test may start as it likes. The shared one may be
 * somebody's own.
 *
 * @throws Error With `CI=true` it must have one.
 */
export async function canStartRedis(): Promise<boolean> {
  // Installs one, where that can be done.
  const shared = await sharedServer('redis')
  if (shared === undefined) return false
  if (inPath('redis-server') !== undefined) return true
  const missing = 'redis-server is not installed: these tests start and stop their own'
  if (process.env['CI'] === 'true') throw new Error(missing)
  console.warn(`skipped: ${missing}`)
  return false
}

/** A server of the test file's own, where one can be started, and a client of it; both go after its tests. */
export async function redisOfFile() {
  const isThere = await canStartRedis()
  const server = isThere ? await startRedis() : undefined
  const url = server?.url ?? ''
  const control = new Redis(url, { lazyConnect: true })
  afterAll(async () => {
    control.disconnect()
    await server?.stop()
  })
  return { isThere, server, url, control }
}
