import { describe, vi } from 'vitest'
import { RedisCache } from '../../src/backends/redis.js'
import { testOutages } from '../support/outages.js'
import { canStartRedis } from '../support/redis.js'
import { startRedis } from '../support/servers/redis.js'

// As where version 5 of the client is installed.
vi.mock('ioredis', () => import('ioredis5'))
vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)

// What its commands answer is tested over a client that is given, by redis-conformance.test.ts.
describe.skipIf(!(await canStartRedis()))('RedisCache with ioredis 5', () => {
  testOutages('a Redis server', {
    start: () => startRedis(),
    create: (port, settings) =>
      new RedisCache({ ...settings, location: `redis://127.0.0.1:${port}` }),
  })
})
