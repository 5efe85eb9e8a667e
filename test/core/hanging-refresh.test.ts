import { afterEach, describe, expect, it, vi } from 'vitest'
import { createCaches, FragmentCache, LocMemCache, type Cache } from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { SteppedClock } from '../support/clock.js'
import { settle } from '../support/waiting.js'

const timeout = 10

type Ask = (make: () => Promise<string>) => Promise<string>

interface Subject {
  ask: Ask
  remove: () => Promise<unknown>
}

type Open = (cache: Cache, lock: boolean, staleWhileRevalidate?: number) => Subject

const subjects: [string, Open][] = [
  [
    'a value',
    (cache, lock, staleWhileRevalidate = 1000) => ({
      ask: (make) => cache.getOrSet('k', make, { timeout, staleWhileRevalidate, lock }),
      remove: () => cache.delete('k'),
    }),
  ],
  [
    'a fragment',
    (cache, lock, staleWhileRevalidate = 1000) => {
      const fragments = new FragmentCache(createCaches({ default: cache }))
      return {
        ask: (make) => fragments.render({ name: 'f', timeout, staleWhileRevalidate, lock }, make),
        remove: () => fragments.delete('f'),
      }
    },
  ],
]

const caches: [string, () => Cache][] = [
  ['LocMemCache', () => new LocMemCache()],
  ['AsyncTestCache', () => new AsyncTestCache()],
]

afterEach(() => {
  vi.restoreAllMocks()
})

describe.each(subjects)('a refresh of %s that does not end', (_, open) => {
  describe.each(caches)('in %s', (__, create) => {
    /** Something stale, of which each making ends when it is told to. */
    async function stale(lock = false) {
      const clock = new SteppedClock()
      clock.start()
      const { ask, remove } = open(create(), lock)
      await ask(async () => 'old')
      clock.advance(15)
      const ends: (() => void)[] = []
      const find = async () => {
        const made = `made ${ends.length + 1}`
        const found = await ask(() => new Promise((resolve) => void ends.push(() => resolve(made))))
        await settle()
        return found
      }
      const end = async (which: number) => {
        ends[which - 1]?.()
        await settle()
      }
      return { clock, ends, find, end, remove }
    }

    it.each([false, true])('is waited for, then another begins; lock: %s', async (lock) => {
      const { clock, ends, find, end } = await stale(lock)
      expect(await find()).toBe('old')
      clock.advance(9)
      expect(await find()).toBe('old')
      expect(ends).toHaveLength(1)
      clock.advance(2)
      expect(await find()).toBe('old')
      expect(ends).toHaveLength(2)
      await end(2)
      expect(await find()).toBe('made 2')
    })

    it('does not take the place of what was made since, when it ends after all', async () => {
      const { clock, find, end } = await stale()
      await find()
      clock.advance(11)
      await find()
      await end(2)
      await end(1)
      expect(await find()).toBe('made 2')
    })

    it('is kept if it ends before what was begun after it', async () => {
      const { clock, find, end } = await stale()
      await find()
      clock.advance(11)
      await find()
      await end(1)
      expect(await find()).toBe('made 1')
    })

    it('is begun again less and less often', async () => {
      const { clock, ends, find } = await stale()
      const counts: number[] = []
      for (let seconds = 0; seconds <= 80; seconds += 8) {
        await find()
        counts.push(ends.length)
        clock.advance(8)
      }
      // It is waited for 10 seconds, then 20, then 40.
      expect(counts).toEqual([1, 1, 2, 2, 2, 3, 3, 3, 3, 3, 4])
    })

    it('brings nothing back that is removed, nor does any that was begun after it', async () => {
      const { clock, find, end, remove } = await stale()
      await find()
      clock.advance(11)
      await find()
      await remove()
      await end(1)
      await end(2)
      expect(await firstOf(find, end)).toBe('made 3')
    })

    it('is joined by no other once it was made again without it', async () => {
      const clock = new SteppedClock()
      clock.start()
      const { ask } = open(create(), false, 5)
      await ask(async () => 'old')
      clock.advance(12)
      expect(await ask(() => new Promise(() => undefined))).toBe('old')
      await settle()
      clock.advance(6)
      expect(await ask(async () => 'newer')).toBe('newer')
      clock.advance(12)
      expect(await ask(async () => 'newest')).toBe('newer')
      await settle()
      expect(await ask(async () => 'not asked for')).toBe('newest')
    })

    /** What is made where nothing is there. */
    async function firstOf(find: () => Promise<string>, end: (which: number) => Promise<void>) {
      const found = find()
      await settle()
      await end(3)
      return found
    }
  })
})
