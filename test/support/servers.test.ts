import { connect } from 'node:net'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, expect, it } from 'vitest'
import { sharedServer, startProxy } from './servers.js'
import { startMemcached } from './servers/memcached.js'
import { startRedis } from './servers/redis.js'

const redis = await sharedServer('redis')
const memcached = await sharedServer('memcached')

/** Sends a line to a port of this machine, and gives the first line of the answer. */
async function ask(port: number, line: string, limitMs = 200): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1' })
  try {
    await once(socket, 'connect')
    socket.write(`${line}\r\n`)
    const answered = once(socket, 'data') as Promise<[Buffer]>
    const late = sleep(limitMs).then(() => Promise.reject(new Error('no answer')))
    const closed = once(socket, 'close').then(() => Promise.reject(new Error('closed')))
    const [bytes] = await Promise.race([answered, late, closed])
    return String(bytes).split('\r\n')[0] ?? ''
  } finally {
    socket.destroy()
  }
}

describe('the servers of a test run', () => {
  it.skipIf(redis === undefined)('are shared: the second suite is told the same', async () => {
    expect(await sharedServer('redis')).toEqual(redis)
    expect(await ask(Number(new URL(redis?.url ?? '').port || 6379), 'PING')).toMatch(/PONG|NOAUTH/)
  })

  it.skipIf(memcached === undefined)('speak', async () => {
    expect(await ask(Number(memcached?.url.split(':').at(-1)), 'version')).toMatch(/^VERSION /)
  })
})

describe.skipIf(memcached === undefined)('a server of one test', () => {
  it('can be paused, killed and started again in the same place', async () => {
    const server = await startMemcached()
    afterAll(server.stop)
    const version = () => ask(server.port, 'version')
    expect(await version()).toMatch(/^VERSION/)
    server.pause()
    await expect(version()).rejects.toThrow('no answer')
    server.resume()
    expect(await version()).toMatch(/^VERSION/)
    await server.kill()
    await expect(version()).rejects.toThrow('ECONNREFUSED')
    await server.restart()
    expect(await version()).toMatch(/^VERSION/)
    await server.stop()
    await expect(version()).rejects.toThrow('ECONNREFUSED')
  })
})

describe.skipIf(redis === undefined)('the network of one test', () => {
  it('can be slow, silent and cut, and comes back', async () => {
    const server = await startRedis()
    const proxy = await startProxy(server)
    afterAll(async () => {
      await proxy.close()
      await server.stop()
    })
    const ping = () => ask(proxy.port, 'PING')
    expect(await ping()).toBe('+PONG')
    proxy.delayMs = 100
    const startedMs = performance.now()
    expect(await ping()).toBe('+PONG')
    expect(performance.now() - startedMs).toBeGreaterThan(90)
    proxy.delayMs = 0
    proxy.silence()
    await expect(ping()).rejects.toThrow('no answer')
    await proxy.restore()
    expect(await ping()).toBe('+PONG')
    proxy.cut()
    await expect(ping()).rejects.toThrow('ECONNREFUSED')
    await proxy.restore()
    expect(await ping()).toBe('+PONG')
  })
})
