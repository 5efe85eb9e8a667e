/** Servers for the benchmarks: those that the environment names, or private ones on free ports. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * @returns {Promise<{ url: string, stop(): void }>} `REDIS_URL`, or a server without persistence.
 */
export async function redisServer() {
  const given = process.env.REDIS_URL
  if (given) return { url: given, stop: () => undefined }
  const port = await freePort()
  const bare = ['--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
  const stop = await start('redis-server', ['--port', String(port), ...bare], port)
  return { url: `redis://127.0.0.1:${port}`, stop }
}

/**
 * @returns {Promise<{ location: string, stop(): void }>} `MEMCACHED`, or a server of 64 MB.
 */
export async function memcachedServer() {
  const given = process.env.MEMCACHED
  if (given) return { location: given, stop: () => undefined }
  const port = await freePort()
  const args = ['-l', '127.0.0.1', '-p', String(port), '-U', '0', '-m', '64']
  if (process.getuid?.() === 0) args.push('-u', 'nobody')
  const stop = await start('memcached', args, port)
  return { location: `127.0.0.1:${port}`, stop }
}

function start(command, args, port) {
  return untilListening(spawn(command, args, { stdio: 'ignore' }), command, port)
}

/**
 * Waits until something listens on the port.
 *
 * @returns {Promise<() => void>} Ends the process, which ends with ours too.
 * @throws {Error} It could not be started, or ended.
 */
export async function untilListening(child, command, port) {
  const stop = () => void child.kill()
  process.once('exit', stop)
  let failure
  child.once('error', (error) => {
    failure = error
  })
  while (!(await listens(port))) {
    if (failure !== undefined) throw failure
    if (child.exitCode !== null) throw new Error(`${command} ended with ${child.exitCode}`)
    await sleep(10)
  }
  return stop
}

function listens(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    }).on('error', () => resolve(false))
  })
}

export async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address()
  probe.close()
  await once(probe, 'close')
  return port
}
