import { connect } from 'node:net'
import { MemcachedCache, type MemcachedOptions } from '../../src/backends/memcached.js'
import type { BackendUnderTest } from '../conformance/backend-suite.js'

/**
 * Sends bytes to a server as another program would.
 *
 * @param until - What the answer ends with.
 */
export function tell(
  location: string,
  bytes: string | Uint8Array,
  until = '\r\n',
): Promise<string> {
  const [host = '', port = ''] = location.split(':')
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: Number(port) }, () => socket.write(bytes))
    let answer = ''
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1')
      if (!answer.endsWith(until)) return
      socket.destroy()
      resolve(answer)
    })
    socket.once('error', reject)
    socket.once('close', () => {
      reject(new Error(`the connection was closed after ${JSON.stringify(answer)}`))
    })
  })
}

/** What a Memcached server is to the conformance suite. It must be nobody else's: it is emptied. */
export function memcachedUnderTest(
  location: string,
  options: MemcachedOptions = {},
): BackendUnderTest {
  return {
    reset: async () => void (await tell(location, 'flush_all\r\n')),
    create: (settings) => new MemcachedCache({ ...settings, location, options }),
    damage: async (storedKey, bytes) => {
      const line = Buffer.from(`set ${storedKey} 0 0 ${bytes.length}\r\n`)
      await tell(location, Buffer.concat([line, bytes, Buffer.from('\r\n')]))
    },
    differences: {
      portableKeysOnly: 'Memcached takes no others',
      refusesLargeValues: 'Memcached takes a mebibyte, unless it is started with -I',
    },
  }
}
