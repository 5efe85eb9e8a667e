import { afterAll, beforeAll, describe, it, vi } from 'vitest'
import type { MemcachedOptions } from '../../src/backends/memcached.js'
import { testBackend, type BackendUnderTest } from '../conformance/backend-suite.js'
import { SteppedClock } from '../support/clock.js'
import { memcachedUnderTest } from '../support/memcached.js'
import { sharedServer } from '../support/servers.js'
import { startMemcached } from '../support/servers/memcached.js'

const isThere = (await sharedServer('memcached')) !== undefined
// The suite empties it again and again.
const server = isThere ? await startMemcached() : undefined
afterAll(() => server?.stop())

// Damage and outages are reported as warnings; what they say is tested where it is written.
beforeAll(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
})

const clock = new SteppedClock()
const isExact = 'the stepped clock is not the server’s; by the real one, above, deadlines are exact'

/** Without waiting: what these spend time on is the same for all ways of speaking. */
function stepped(options: MemcachedOptions): BackendUnderTest {
  const backend = memcachedUnderTest(server?.location ?? '', options)
  return {
    ...backend,
    reset: async () => {
      await backend.reset()
      clock.start()
    },
    release: clock.stop,
    advance: clock.advance,
    variants: ['prefix', 'keyFunction'],
    differences: { ...backend.differences, wholeSecondClock: isExact },
  }
}

describe.skipIf(server === undefined)('MemcachedCache', () => {
  testBackend('meta commands', memcachedUnderTest(server?.location ?? ''), { describe, it })
  testBackend('classic commands', stepped({ protocol: 'classic' }), { describe, it })
  testBackend('binary protocol', stepped({ protocol: 'binary' }), { describe, it })
})
