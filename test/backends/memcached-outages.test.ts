import { describe } from 'vitest'
import { MemcachedCache } from '../../src/backends/memcached.js'
import { testOutages } from '../support/outages.js'
import { sharedServer } from '../support/servers.js'
import { startMemcached } from '../support/servers/memcached.js'

const isThere = (await sharedServer('memcached')) !== undefined

describe.skipIf(!isThere)('MemcachedCache and what becomes of its server', () => {
  testOutages('a Memcached server', {
    start: () => startMemcached(),
    create: (port, settings) => new MemcachedCache({ ...settings, location: `127.0.0.1:${port}` }),
  })
})
