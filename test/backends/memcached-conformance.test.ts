import { connect } from 'node:net'
import { beforeAll, describe, it, vi } from 'vitest'
import { MemcachedCache, type MemcachedOptions } from '../../src/backends/memcached.js'
import { testBackend, type BackendUnderTest } from '../conformance/backend-suite.js'
import { sharedServer } from '../support/servers.js'

const server = await sharedServer('memcached')

// Damage and outages are reported as warnings; what they say is tested where it is written.
beforeAll(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
})

/** Sends lines as another program would, and gives what is answered to the last. */
function tell(location: string, ...parts: readonly (string | Uint8Array)[]): Promise<string> {
  const [host = '', port = ''] = location.split(':')
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: Number(port) }, () => {
      for (const part of parts) socket.write(part)
    })
    socket.once('data', (answer) => {
      socket.destroy()
      resolve(String(answer))
    })
    socket.once('error', reject)
  })
}

function over(location: string, options: MemcachedOptions): BackendUnderTest {
  return {
    reset: async () => void (await tell(location, 'flush_all\r\n')),
    create: (settings) => new MemcachedCache({ ...settings, location, options }),
    damage: async (storedKey, bytes) => {
      const line = `set ${storedKey} 0 0 ${bytes.length}\r\n`
      await tell(location, line, bytes, '\r\n')
    },
    differences: {
      portableKeysOnly: 'Memcached takes no others',
      refusesLargeValues: 'Memcached takes a mebibyte, unless it is started with -I',
    },
  }
}

describe.skipIf(server === undefined)('MemcachedCache', () => {
  const location = server?.url ?? ''
  testBackend('meta commands', over(location, {}), { describe, it })
})
