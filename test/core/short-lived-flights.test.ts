import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createCaches, FragmentCache, LocMemCache } from 'fragcache'
import { expect, it } from 'vitest'

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as (options?: { type: 'minor' }) => void

/** Of some 10 MB that are made. */
const MOST_BYTES = 2_000_000

it('what was made is gone once nobody waits for it, before the collector goes through all memory', async () => {
  const fragments = new FragmentCache(createCaches({ default: new LocMemCache() }))
  let count = 0
  const makeMany = async () => {
    const page = Array.from({ length: 20 }, () => {
      const variant = count++
      const make = async () => {
        await Promise.resolve()
        return Buffer.alloc(20_000, `${variant} `).toString('latin1')
      }
      // Not stored.
      return fragments.render({ name: 'part', varyOn: [variant], timeout: 0 }, make)
    })
    await Promise.all(page)
    gc({ type: 'minor' })
  }
  for (let i = 0; i < 25; i++) await makeMany()
  gc()
  const before = process.memoryUsage().heapUsed
  for (let i = 0; i < 25; i++) await makeMany()
  gc({ type: 'minor' })
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(MOST_BYTES)
})
