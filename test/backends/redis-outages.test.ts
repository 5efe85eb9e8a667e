import { describe } from 'vitest'
import { RedisCache } from '../../src/backends/redis.js'
import { testOutages } from '../support/outages.js'
import { canStartRedis } from '../support/redis.js'
import { startRedis } from '../support/servers/redis.js'

const isThere = await canStartRedis()

describe.skipIf(!isThere)('RedisCache and what becomes of its server', () => {
  testOutages('a Redis server', {
    start: () => startRedis(),
    create: (port, settings) =>
      new RedisCache({ ...settings, location: `redis://127.0.0.1:${port}` }),
  })
})
