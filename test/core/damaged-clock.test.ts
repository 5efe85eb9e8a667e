import { dependOn } from 'fragcache'
import { expect, it } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'

it('keeps what declares its tags while it is made, after the clock of invalidations was damaged', async () => {
  const cache = new AsyncTestCache()
  cache.plant(':1:fragcache.clock', Buffer.from('damaged'))
  const make = () => {
    void dependOn(['t'])
    return 'made'
  }
  await cache.getOrSet('first', make)
  await cache.getOrSet('second', make)
  expect(await cache.get('second')).toBe('made')
  await cache.invalidateTags(['t'])
  expect(await cache.get('second')).toBeUndefined()
})
