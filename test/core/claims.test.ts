import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { LocMemCache, type Cache, type WriteEntry, type WriteOutcome } from 'fragcache'
import { FileBasedCache } from 'fragcache/file'
import { AsyncTestCache } from '../support/async-cache.js'
import { folderOfTest } from '../support/folders.js'
import { coreOf } from '../../src/backend/core.js'

/** A store that something can be done to just before it writes, or that fails to. */
class InterruptedCache extends AsyncTestCache {
  beforeWriting: (() => Promise<unknown>) | undefined

  override async writeEntries(entries: readonly WriteEntry<Uint8Array>[]): Promise<WriteOutcome[]> {
    const before = this.beforeWriting
    this.beforeWriting = undefined
    await before?.()
    return super.writeEntries(entries)
  }
}

/** A promise that is kept by hand. */
function signal() {
  let give: () => void = () => undefined
  const given = new Promise<void>((resolve) => (give = resolve))
  return { given, give }
}

let locations = 0
const newLocation = () => `claims-${++locations}`

describe('expire', () => {
  const caches: readonly (readonly [string, () => Cache])[] = [
    ['local memory', () => new LocMemCache()],
    ['a store that answers later', () => new AsyncTestCache()],
  ]

  it.each(caches)(
    'wins over what was begun before it, in %s, also once what it made stale has ended',
    async (_, create) => {
      vi.useFakeTimers({ toFake: ['Date'] })
      onTestFinished(() => void vi.useRealTimers())
      const cache = create()
      const begun = signal()
      const end = signal()
      const made = cache.getOrSet('k', async () => {
        begun.give()
        await end.given
        return 'old'
      })
      await begun.given
      await cache.set('k', 'set meanwhile', { timeout: 10 })
      await cache.expire('k')
      vi.setSystemTime(Date.now() + 11_000)
      end.give()
      await made
      expect(await cache.get('k')).toBeUndefined()
    },
  )

  it('wins over a refresh that is stored while it runs', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    onTestFinished(() => void vi.useRealTimers())
    const location = newLocation()
    const here = new AsyncTestCache({ location })
    const there = new InterruptedCache({ location })
    const stale = { timeout: 60, staleWhileRevalidate: 600 }
    await here.getOrSet('k', () => 'first', stale)
    vi.setSystemTime(Date.now() + 61_000)
    const begun = signal()
    const end = signal()
    await here.getOrSet(
      'k',
      async () => {
        begun.give()
        await end.given
        return 'old'
      },
      stale,
    )
    await begun.given
    there.beforeWriting = async () => {
      end.give()
      await vi.waitFor(async () => expect(await here.get('k')).toBe('old'))
    }
    await there.expire('k')
    expect(await there.get('k')).toBeUndefined()
  })
})

it('who joined a making that could not be begun is given what was made after they asked', async () => {
  const location = newLocation()
  const here = new InterruptedCache({ location })
  const there = new AsyncTestCache({ location })
  const tags = ['t']
  const begun = signal()
  const end = signal()
  here.beforeWriting = () => Promise.reject(new Error('the connection was lost'))
  const first = here.getOrSet(
    'k',
    async () => {
      begun.give()
      await end.given
      return 'old'
    },
    { tags },
  )
  await begun.given
  // As in another process: nothing here knows of it but the store.
  await coreOf(there).entries.bumpTags(['t:t'])
  const joined = here.getOrSet('k', () => 'new', { tags })
  end.give()
  expect(await first).toBe('old')
  expect(await joined).toBe('new')
})

it('what is not kept, or cannot be made, takes no room for long', async () => {
  vi.useFakeTimers({ toFake: ['Date'] })
  onTestFinished(() => void vi.useRealTimers())
  const cache = new AsyncTestCache()
  await cache.set('other', 1)
  await cache.getOrSet('not-kept', () => 1, { timeout: 0 })
  expect(cache.storedKeys.filter((key) => key.includes('not-kept'))).toEqual([])
  const fault = new Error('there is no such product')
  await expect(cache.getOrSet('none', () => Promise.reject(fault))).rejects.toBe(fault)
  vi.setSystemTime(Date.now() + 5_000)
  const storedKey = cache.makeKey('none')
  const [lying] = (await coreOf(cache).entries.lookup([storedKey], [])).lying
  expect(lying).toBeUndefined()
})

it('what is asked for and not kept leaves the entries of a full folder where they are', async () => {
  const location = folderOfTest()
  const cache = new FileBasedCache({ location, options: { maxEntries: 50 } })
  const keys = Array.from({ length: 20 }, (_, i) => `kept-${i}`)
  await cache.setMany(keys.map((key) => [key, 1] as const))
  for (let i = 0; i < 100; i++) await cache.getOrSet(`passing-${i}`, () => i, { timeout: 0 })
  expect((await cache.getMany(keys)).size).toBe(20)
})
