import { randomUUID } from 'node:crypto'
import { beforeAll, describe, it, vi } from 'vitest'
import { DummyCache, LocMemCache } from '../../src/index.js'
import { testBackend, type BackendUnderTest } from '../conformance/backend-suite.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { SteppedClock } from '../support/clock.js'

// Damage and outages are reported as warnings; what they say is tested where it is written.
beforeAll(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
})

let location = ''
const clock = new SteppedClock()
const freshLocation = () => {
  clock.start()
  location = randomUUID()
}

testBackend(
  'LocMemCache',
  {
    reset: freshLocation,
    create: (settings) => new LocMemCache({ ...settings, location }),
    advance: clock.advance,
    release: clock.stop,
  },
  { describe, it },
)

testBackend(
  'DummyCache',
  {
    reset: () => undefined,
    create: (settings) => new DummyCache(settings),
    differences: { keepsNothing: 'it is for development' },
  },
  { describe, it },
)

function asynchronous(): BackendUnderTest {
  let caches: AsyncTestCache[] = []
  const setFailing = (failing: boolean) => () => {
    for (const cache of caches) cache.failing = failing
  }
  return {
    reset: () => {
      freshLocation()
      caches = []
    },
    create: (settings) => {
      const cache = new AsyncTestCache({ ...settings, location })
      cache.maxPayloadBytes = 2 ** 20
      caches.push(cache)
      return cache
    },
    advance: clock.advance,
    release: clock.stop,
    outage: { begin: setFailing(true), end: setFailing(false) },
    damage: (storedKey, bytes) => caches[0]?.plant(storedKey, bytes),
    differences: { refusesLargeValues: 'it takes a mebibyte' },
    // The two that differ most: the class of which it is one makes the keys.
    variants: ['plain', 'keyFunction'],
  }
}

testBackend('AsyncTestCache', asynchronous(), { describe, it })
