import { randomUUID } from 'node:crypto'
import { beforeAll, describe, it, vi } from 'vitest'
import { TieredCache } from '../../src/backends/tiered.js'
import { LocMemCache } from '../../src/index.js'
import { testBackend } from '../conformance/backend-suite.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { SteppedClock } from '../support/clock.js'
import { MemoryBus } from '../support/memory-bus.js'

// Damage and outages are reported as warnings; what they say is tested where it is written.
beforeAll(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
})

const clock = new SteppedClock()
let location = ''
let bus = new MemoryBus()
let remotes: AsyncTestCache[] = []

/** The remote cache and the bus fail together: a hit in local memory is none while they do. */
const setFailing = (failing: boolean) => () => {
  for (const remote of remotes) remote.failing = failing
  if (failing) bus.cut()
  else bus.restore()
}

testBackend(
  'TieredCache',
  {
    reset: () => {
      clock.start()
      location = randomUUID()
      bus = new MemoryBus()
      remotes = []
    },
    create: ({ timeout, ignoreErrors, ...settings }) => {
      const remote = new AsyncTestCache({ ...settings, location })
      remote.maxPayloadBytes = 2 ** 20
      remotes.push(remote)
      const local = new LocMemCache({ options: { maxEntries: 2000 } })
      return new TieredCache({ local, remote, bus: bus.end, timeout, ignoreErrors })
    },
    advance: clock.advance,
    release: clock.stop,
    outage: { begin: setFailing(true), end: setFailing(false) },
    damage: (storedKey, bytes) => {
      remotes[0]?.plant(storedKey, bytes)
      bus.inject(JSON.stringify(['whoever did it', 1, [storedKey]]))
    },
    differences: { refusesLargeValues: 'its remote cache takes a mebibyte' },
    // Its remote cache makes the keys; these two differ most.
    variants: ['prefix', 'keyFunction'],
  },
  { describe, it },
)
