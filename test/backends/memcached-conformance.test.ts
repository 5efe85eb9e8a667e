import { afterAll, beforeAll, describe, it, vi } from 'vitest'
import type { MemcachedOptions } from '../../src/backends/memcached.js'
import { testBackend, type BackendUnderTest } from '../conformance/backend-suite.js'
import { SteppedClock } from '../support/clock.js'
import { testInRealTime } from '../support/dealt-suite.js'
import { memcachedUnderTest } from '../support/memcached.js'
import { sharedServer } from '../support/servers.js'
import { startMemcached } from '../support/servers/memcached.js'

const isThere = (await sharedServer('memcached')) !== undefined
/** So many are tested at the same time, where that takes real time. */
const STORES = 8

// The suite empties them again and again.
const servers = isThere
  ? await Promise.all(Array.from({ length: STORES }, () => startMemcached()))
  : []
const [server] = servers
afterAll(() => Promise.all(servers.map((one) => one.kill())))

// Damage and outages are reported as warnings; what they say is tested where it is written.
beforeAll(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
})

const clock = new SteppedClock()
const isExact = 'the stepped clock is not the server’s; by the real one, above, deadlines are exact'

/**
 * Without waiting: what these spend time on is the same for all ways of speaking. Each way of making
 * keys is tested with one of them, since the two have nothing to do with each other.
 */
function stepped(
  options: MemcachedOptions,
  variants: BackendUnderTest['variants'],
): BackendUnderTest {
  const backend = memcachedUnderTest(server?.location ?? '', options)
  return {
    ...backend,
    reset: async () => {
      await backend.reset()
      clock.start()
    },
    release: clock.stop,
    advance: clock.advance,
    variants,
    differences: { ...backend.differences, wholeSecondClock: isExact },
  }
}

describe.skipIf(server === undefined)('MemcachedCache', () => {
  testInRealTime(
    'meta commands, in real time',
    servers.map(({ location }): BackendUnderTest => {
      return memcachedUnderTest(location)
    }),
  )
  testBackend('meta commands', stepped({}, ['plain', 'version']), { describe, it })
  testBackend('classic commands', stepped({ protocol: 'classic' }, ['prefix']), { describe, it })
  testBackend('binary protocol', stepped({ protocol: 'binary' }, ['keyFunction']), {
    describe,
    it,
  })
})
