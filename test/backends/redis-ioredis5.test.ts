import { Redis } from 'ioredis5'
import { afterAll, describe, it, vi } from 'vitest'
import { RedisCache } from '../../src/backends/redis.js'
import { testBackend } from '../conformance/backend-suite.js'
import { testOutages } from '../support/outages.js'
import { ageKeys } from '../support/redis-aging.js'
import { canStartRedis } from '../support/redis.js'
import { startRedis } from '../support/servers/redis.js'

// As where version 5 of the client is installed.
vi.mock('ioredis', () => import('ioredis5'))
vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)

const isThere = await canStartRedis()
const server = isThere ? await startRedis() : undefined
const control = new Redis(server?.url ?? '', { lazyConnect: true })
afterAll(async () => {
  control.disconnect()
  await server?.stop()
})

describe.skipIf(!isThere)('RedisCache with ioredis 5', () => {
  testBackend(
    'by its location',
    {
      reset: async () => void (await control.flushall()),
      create: (settings) => new RedisCache({ ...settings, location: server?.url }),
      advance: (seconds) => ageKeys(control, seconds),
      differences: { wholeSecondClock: 'its time really passes, besides what the test lets pass' },
      variants: ['prefix'],
    },
    { describe, it },
  )

  testOutages('a Redis server', {
    start: () => startRedis(),
    create: (port, settings) =>
      new RedisCache({ ...settings, location: `redis://127.0.0.1:${port}` }),
  })
})
