import { randomUUID } from 'node:crypto'
import { beforeAll, describe, it, vi } from 'vitest'
import { DummyCache, LocMemCache } from '../../src/index.js'
import { testBackend, type BackendUnderTest } from '../conformance/backend-suite.js'
import { AsyncTestCache } from '../support/async-cache.js'

// Damage and outages are reported as warnings; what they say is tested where it is written.
beforeAll(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
})

/** A clock that stands still but for what a test lets pass. Dates stay dates. */
const fakeClock = {
  start: () => {
    let nowMs = Date.UTC(2026, 0, 1)
    fakeClock.advance = (seconds) => {
      nowMs = Math.round(nowMs + seconds * 1000)
    }
    vi.spyOn(Date, 'now').mockImplementation(() => nowMs)
  },
  advance: (_seconds: number): void => undefined,
  stop: () => {
    vi.mocked(Date.now).mockRestore()
  },
}

let location = ''
const freshLocation = () => {
  fakeClock.start()
  location = randomUUID()
}

testBackend(
  'LocMemCache',
  {
    reset: freshLocation,
    create: (settings) => new LocMemCache({ ...settings, location }),
    advance: (seconds) => fakeClock.advance(seconds),
    release: fakeClock.stop,
  },
  { describe, it },
)

testBackend(
  'LocMemCache with maxBytes',
  {
    reset: freshLocation,
    create: (settings) =>
      new LocMemCache({ ...settings, location, options: { maxBytes: 2 ** 21 } }),
    advance: (seconds) => fakeClock.advance(seconds),
    release: fakeClock.stop,
    differences: { refusesLargeValues: 'maxBytes is 2 MiB' },
    variants: ['plain'],
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
    advance: (seconds) => fakeClock.advance(seconds),
    release: fakeClock.stop,
    outage: { begin: setFailing(true), end: setFailing(false) },
    damage: (storedKey, bytes) => caches[0]?.plant(storedKey, bytes),
    differences: { refusesLargeValues: 'it takes a mebibyte' },
  }
}

testBackend('AsyncTestCache', asynchronous(), { describe, it })
