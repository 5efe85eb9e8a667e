import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { Redis as Redis5 } from 'ioredis5'
import { afterAll, beforeAll, describe, it, vi } from 'vitest'
import { RedisCache } from '../../src/backends/redis.js'
import { testBackend, type BackendUnderTest } from '../conformance/backend-suite.js'
import { testInRealTime } from '../support/dealt-suite.js'
import { ageKeys } from '../support/redis-aging.js'
import { redisOfFile } from '../support/redis.js'
import { sharedServer } from '../support/servers.js'

// Damage, outages and keys that are not portable are reported as warnings; what they say is tested
// where it is written.
beforeAll(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
})

// Of its own, since the suite also writes and clears without a key prefix.
const { isThere, server, url, control } = await redisOfFile()
let given: Redis5

/** So many are tested at the same time, where that takes real time. */
const STORES = 12

const WAITING = { timeout: 10_000, interval: 20 }

const common = {
  reset: async () => {
    await control.flushall()
  },
  damage: async (storedKey, bytes) => {
    await control.set(storedKey, Buffer.from(bytes))
  },
} satisfies Partial<BackendUnderTest>

const aging = {
  advance: (seconds) => ageKeys(control, seconds),
  differences: { wholeSecondClock: 'its time really passes, besides what the test lets pass' },
} satisfies Partial<BackendUnderTest>

describe.skipIf(!isThere)('RedisCache', () => {
  testInRealTime(
    'by its location, in real time',
    Array.from({ length: STORES }, (_, i): BackendUnderTest => {
      const location = `${url}/${i + 1}`
      const ownControl = new Redis(location, { lazyConnect: true })
      afterAll(() => ownControl.disconnect())
      return {
        reset: async () => void (await ownControl.flushdb()),
        create: (settings) => new RedisCache({ ...settings, location }),
      }
    }),
  )

  // How keys are made has nothing to do with how commands reach a server: each way of making them is
  // tested here, with one way of reaching it or another.
  let opened: RedisCache[] = []
  testBackend(
    'by its location',
    {
      ...common,
      ...aging,
      create: (settings) => {
        const cache = new RedisCache({ ...settings, location: url })
        opened.push(cache)
        return cache
      },
      outage: {
        begin: () => server?.pause(),
        end: async () => {
          server?.resume()
          // A cache that met the outage finds out by itself that it is over.
          for (const cache of opened) {
            const isBack = async () => {
              await cache.set('is back', true)
              if ((await cache.get('is back')) !== true) throw new Error('not yet')
            }
            await vi.waitFor(isBack, WAITING)
            await cache.delete('is back')
          }
        },
      },
      release: () => {
        opened = []
      },
      variants: ['plain', 'keyFunction'],
    },
    { describe, it },
  )

  testBackend(
    'with JSON and compression',
    {
      ...common,
      ...aging,
      // What damages the binary format is mostly good JSON.
      damage: undefined,
      create: (settings) =>
        new RedisCache({
          ...settings,
          location: url,
          serializer: 'json',
          compress: { threshold: 100 },
        }),
      variants: ['plain'],
    },
    { describe, it },
  )

  testBackend(
    'over a client that was given, of ioredis 5, with a prefix of its own',
    {
      ...common,
      ...aging,
      damage: undefined,
      reset: async () => {
        await common.reset()
        given = new Redis5(url, { keyPrefix: 'given[*]:' })
        given.on('error', () => undefined)
      },
      create: (settings) => new RedisCache({ ...settings, client: given }),
      release: () => given.disconnect(),
      variants: ['prefix'],
    },
    { describe, it },
  )
})

const shared = await sharedServer('redis')

describe.skipIf(shared === undefined)('RedisCache on a server that may be somebody’s own', () => {
  let client: Redis
  let corner = ''
  testBackend(
    'in a corner of its own',
    {
      reset: () => {
        corner = `fragcache-test:${randomUUID()}:`
        client = new Redis(shared?.url ?? '', { keyPrefix: corner })
      },
      create: (settings) => new RedisCache({ ...settings, client }),
      release: async () => {
        await new RedisCache({ client, keyFunction: (key) => key }).clear()
        client.disconnect()
      },
      advance: async (seconds) => {
        const bare = client.duplicate({ keyPrefix: '' })
        await ageKeys(bare, seconds, `${corner}*`)
        bare.disconnect()
      },
      differences: aging.differences,
      variants: ['version'],
    },
    { describe, it },
  )
})
