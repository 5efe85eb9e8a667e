import { access, mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { FileBasedOptions } from '../../src/backends/file.js'
import { EntryCount } from '../../src/backends/file/count.js'
import { Culling } from '../../src/backends/file/culling.js'
import { Folders } from '../../src/backends/file/folders.js'
import { encodeEntry } from '../../src/backends/file/format.js'
import { BusyLockError, Locks } from '../../src/backends/file/locks.js'
import { tagKey, userTag } from '../../src/tags.js'
import { entryFiles, entryPath, openFileCache } from '../support/file-location.js'
import { folderOfTest } from '../support/folders.js'

let location: string

beforeEach(async () => {
  location = folderOfTest()
})
afterEach(() => {
  vi.useRealTimers()
})

const open = (options: FileBasedOptions, more: { readonly keyPrefix?: string } = {}) =>
  openFileCache({ location, options, ...more })
const count = async () => (await entryFiles(location)).length
/** What the count says. */
async function counted(): Promise<number> {
  const names = await readdir(join(location, '.fragcache'))
  const [name, ...more] = names.filter((one) => /^count-(0|[1-9][0-9]{0,14})$/.test(one))
  expect(more).toEqual([])
  return Number(name?.slice(6))
}
const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  )
/** The key of a tag's counter. */
const counterOf = (tag: string) => tagKey(userTag(tag))
const pass = (seconds: number) => vi.setSystemTime(Date.now() + seconds * 1000)

/** Puts entries on the disk as another process would, without telling the count. */
async function plant(count: number, expiresAtMs: number | null = null): Promise<void> {
  for (let i = 0; i < count; i++) {
    const key = `:1:planted${i}`
    const path = entryPath(location, key)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, encodeEntry({ owner: '', key, expiresAtMs, payload: Buffer.from('1') }))
  }
}

describe('FileBasedCache when it is full', () => {
  // Django's own figures: tests/cache/tests.py, _perform_cull_test.
  it.each([
    [3, 29],
    [0, 19],
  ])(
    'keeps with cullFrequency %d as many of 49 entries as Django: %d',
    async (cullFrequency, kept) => {
      const cache = open({ maxEntries: 30, cullFrequency })
      for (let i = 1; i < 50; i++) await cache.set(`cull${i}`, 'value')
      expect(await count()).toBe(kept)
      expect(await cache.get('cull49')).toBe('value')
    },
  )

  it('never loses the entry that is being stored', async () => {
    const cache = open({ maxEntries: 5, cullFrequency: 1 })
    for (let i = 0; i < 30; i++) {
      await cache.set(`k${i}`, i)
      expect(await cache.get(`k${i}`)).toBe(i)
    }
  })

  it('makes room for one where cullFrequency would make none', async () => {
    const cache = open({ maxEntries: 5, cullFrequency: 1000 })
    for (let i = 0; i < 20; i++) await cache.set(`k${i}`, i)
    expect(await count()).toBe(5)
  })

  it('does not cull for a key that is there, nor for what adds none', async () => {
    const cache = open({ maxEntries: 4, cullFrequency: 0 })
    await cache.setMany({ a: 1, b: 2, c: 3, d: 4 })
    await cache.set('a', 5)
    await cache.incr('b')
    await cache.touch('c')
    await cache.add('d', 6)
    await cache.set('e', 1, { timeout: 0 })
    expect([...(await cache.getMany(['a', 'b', 'c', 'd'])).values()]).toEqual([5, 3, 3, 4])
  })

  it('counts what was deleted', async () => {
    const cache = open({ maxEntries: 4, cullFrequency: 0 })
    for (let i = 0; i < 40; i++) {
      await cache.set(`k${i}`, i)
      if (i >= 3) expect(await cache.delete(`k${i - 3}`)).toBe(true)
    }
    expect(await count()).toBe(3)
  })

  it.each([12, 300])('lets expired entries of %d go before live ones', async (maxEntries) => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const cache = open({ maxEntries })
    const half = Array.from({ length: maxEntries / 2 }, (_, i) => i)
    await cache.setMany(
      half.map((i) => [`dead${i}`, i] as const),
      { timeout: 10 },
    )
    await cache.setMany(
      half.map((i) => [`live${i}`, i] as const),
      { timeout: 100 },
    )
    pass(50)
    await cache.set('one more', 1)
    expect((await cache.getMany(half.map((i) => `live${i}`))).size).toBe(maxEntries / 2)
    expect(await count()).toBe(maxEntries / 2 + 1)
  })

  it('lets as many live ones go as the expired do not make up for', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const cache = open({ maxEntries: 30, cullFrequency: 3 })
    await cache.setMany({ x: 1, y: 2 }, { timeout: 10 })
    for (let i = 0; i < 28; i++) await cache.set(`live${i}`, i, { timeout: 100 })
    pass(50)
    await cache.set('one more', 1)
    // 30 entries: 10 go, the 2 expired and 8 others.
    expect(await count()).toBe(21)
  })

  it('lets versions of tags go last, after all that does not stand on them', async () => {
    const cache = open({ maxEntries: 90, cullFrequency: 2 })
    const tagged = Array.from({ length: 20 }, (_, i) => `tagged${i}`)
    const own = async () =>
      (
        await Promise.all(tagged.map((key) => exists(entryPath(location, `:1:${counterOf(key)}`))))
      ).filter(Boolean).length
    for (const key of tagged) await cache.set(key, 1, { tags: [key] })
    expect(await own()).toBe(20)
    for (let i = 0; i < 100; i++) await cache.set(`k${i}`, i, { timeout: null })
    expect(await own()).toBe(20)
  })

  it('keeps entries although each has a tag of its own', async () => {
    const cache = open({ maxEntries: 60 })
    const keys = Array.from({ length: 200 }, (_, i) => `k${i}`)
    for (const [i, key] of keys.entries()) {
      await cache.set(key, i, { tags: [key] })
      if (i < 60 || i % 10 > 0) continue
      expect((await cache.getMany(keys)).size).toBeGreaterThan(4)
    }
  })

  it('takes what is damaged for expired', async () => {
    const cache = open({ maxEntries: 9 })
    for (let i = 0; i < 9; i++) await cache.set(`k${i}`, i)
    for (const i of [0, 1, 2]) await writeFile(entryPath(location, `:1:k${i}`), 'no entry')
    await cache.set('one more', 1)
    expect((await cache.getMany(['k3', 'k4', 'k5', 'k6', 'k7', 'k8'])).size).toBe(6)
    expect(await count()).toBe(7)
  })

  it('counts the entries of all key prefixes together', async () => {
    const a = open({ maxEntries: 30 }, { keyPrefix: 'a' })
    const b = open({ maxEntries: 30 }, { keyPrefix: 'b' })
    for (let i = 0; i < 40; i++) {
      await a.set(`k${i}`, i)
      await b.set(`k${i}`, i)
    }
    expect(await count()).toBeLessThanOrEqual(32)
    expect(await count()).toBeGreaterThan(15)
  })

  it('stays within its limit when many entries come at once', async () => {
    const cache = open({ maxEntries: 30 })
    let most = 0
    await Promise.all(
      Array.from({ length: 200 }, async (_, i) => {
        await cache.set(`k${i}`, i)
        if (i % 10 === 0) most = Math.max(most, await count())
      }),
    )
    await cache.setMany(Array.from({ length: 100 }, (_, i) => [`m${i}`, i] as const))
    expect(most).toBeLessThanOrEqual(62)
    expect(await count()).toBeLessThanOrEqual(30)
    expect(await count()).toBeGreaterThan(10)
  })
})

describe('an entry that is replaced while room is made', () => {
  it('stays, though it was seen expired', async () => {
    const place = entryPath(location, ':1:a')
    await plant(2)
    const write = async (expiresAtMs: number | null) => {
      await mkdir(dirname(place), { recursive: true })
      const entry = { owner: '', key: ':1:a', expiresAtMs, payload: Buffer.from('1') }
      await writeFile(place, encodeEntry(entry))
    }
    await write(1)
    /** Another process sets the entry just before its shard is locked. */
    class LateLocks extends Locks {
      override async run<T>(...[name, draft, action]: Parameters<typeof Locks.prototype.run<T>>) {
        if (name !== 'cull') await write(null)
        return super.run(name, draft, action)
      }
    }
    const folders = new Folders(location)
    await folders.make()
    const locks = new LateLocks(folders.work, async () => {})
    const count = new EntryCount(folders.work, 32, async () => 3)
    const culling = new Culling(folders, locks, count, { maxEntries: 3, cullFrequency: 3 })
    await count.load()
    expect(await culling.makeRoom()).toBe(false)
    expect(await openFileCache({ location }).get('a')).toBe(1)
  })
})

describe('a cache whose room is being made by another process for very long', () => {
  it('stores nevertheless', async () => {
    class HeldLocks extends Locks {
      override async run<T>(...[name, draft, action]: Parameters<typeof Locks.prototype.run<T>>) {
        if (name === 'cull') throw new BusyLockError('held by others')
        return super.run(name, draft, action)
      }
    }
    const folders = new Folders(location)
    await folders.make()
    const locks = new HeldLocks(folders.work, async () => {})
    const count = new EntryCount(folders.work, 32, async () => 3)
    const culling = new Culling(folders, locks, count, { maxEntries: 3, cullFrequency: 3 })
    // The caller takes that for its answer and writes, over the limit.
    expect(await culling.makeRoom()).toBe(false)
  })
})

describe('the count', () => {
  it('is found out where the directory was filled before', async () => {
    await plant(50)
    const cache = open({ maxEntries: 40, cullFrequency: 2 })
    await cache.set('a', 1)
    expect(await count()).toBe(26)
  })

  it('is put right where somebody removed files by hand', async () => {
    const cache = open({ maxEntries: 40, cullFrequency: 0 })
    for (let i = 0; i < 40; i++) await cache.set(`k${i}`, i)
    for (let i = 0; i < 20; i++) await rm(entryPath(location, `:1:k${i}`))
    for (let i = 0; i < 20; i++) await cache.set(`new${i}`, i)
    expect(await count()).toBe(40)
    await cache.set('one more', 1)
    expect(await count()).toBe(1)
  })

  it('is put right where somebody added files by hand', async () => {
    const cache = open({ maxEntries: 40 })
    await cache.set('a', 1)
    await plant(100)
    for (let i = 0; i < 40; i++) await cache.set(`k${i}`, i)
    expect(await count()).toBeLessThanOrEqual(40)
  })

  it.each([
    'count',
    'count-',
    'count-0x10',
    'count--5',
    'count-007',
    'count-5.5',
    'count-9999999999999999',
  ])('is found out again where there is only %j', async (name) => {
    await plant(20)
    await mkdir(join(location, '.fragcache', name), { recursive: true })
    await open({ maxEntries: 20, cullFrequency: 2 }).set('a', 1)
    expect(await count()).toBe(11)
    expect(await counted()).toBe(11)
  })

  it('is one again where two processes began one each', async () => {
    await plant(20)
    for (const name of ['count-3', 'count-21', 'count-20']) {
      await mkdir(join(location, '.fragcache', name), { recursive: true })
    }
    await open({ maxEntries: 20, cullFrequency: 2 }).set('a', 1)
    expect(await counted()).toBe(11)
  })

  it('survives the end of a process, and is known to the next one', async () => {
    for (let i = 0; i < 3; i++) {
      const cache = open({ maxEntries: 10_000 })
      await cache.setMany(Array.from({ length: 5 }, (_, k) => [`k${i}.${k}`, k] as const))
      await cache.close()
      expect(await counted()).toBe(5 * (i + 1))
    }
  })

  it('is shared by processes that add and remove in turn', async () => {
    const [a, b] = [open({ maxEntries: 100 }), open({ maxEntries: 100 })]
    for (let i = 0; i < 30; i++) await (i % 2 === 0 ? a : b).set(`k${i}`, i)
    expect(await counted()).toBe(30)
    for (let i = 0; i < 20; i++) await b.delete(`k${i}`)
    await b.close()
    expect(await counted()).toBe(10)
  })

  it('costs nothing where nothing is added', async () => {
    const cache = open({ maxEntries: 10 })
    await cache.set('a', 1)
    await rm(join(location, '.fragcache', 'count-1'), { recursive: true })
    for (let i = 0; i < 20; i++) await cache.set('a', i)
    expect(await readdir(join(location, '.fragcache'))).not.toContain('count-1')
    await cache.set('b', 1)
    expect(await counted()).toBe(2)
  })
})

describe('a large cache', () => {
  it(
    'looks at a part of its entries only, and keeps to its limit',
    { timeout: 60_000 },
    async () => {
      const maxEntries = 3000
      // More by so much that a sample surely shows it.
      await plant(maxEntries * 1.2)
      const cache = open({ maxEntries })
      await cache.set('first', 1)
      const after = await count()
      // A part of a sample goes, not a third of all.
      expect(after).toBeLessThan(maxEntries * 1.1)
      expect(after).toBeGreaterThan(maxEntries * 0.9)
      let most = 0
      for (let round = 0; round < 8; round++) {
        await cache.setMany(Array.from({ length: 150 }, (_, i) => [`r${round}.${i}`, i] as const))
        most = Math.max(most, await count())
      }
      expect(most).toBeLessThanOrEqual(maxEntries * 1.1)
      expect(most).toBeGreaterThan(maxEntries * 0.8)
    },
  )

  it('keeps no call longer than a second over a limit that was lowered', async () => {
    await plant(2500)
    const cache = open({ maxEntries: 100 })
    // Whatever is looked at takes two seconds.
    let nowMs = 0
    vi.spyOn(performance, 'now').mockImplementation(() => (nowMs += 2000))
    await cache.set('a', 1)
    vi.restoreAllMocks()
    // One sample at a time goes, not all that is too much.
    expect(await count()).toBeGreaterThan(1000)
    expect(await count()).toBeLessThan(2500)
  })

  it('comes down to a limit that was lowered', { timeout: 60_000 }, async () => {
    await plant(2500)
    const cache = open({ maxEntries: 100 })
    for (let i = 0; i < 20; i++) await cache.set(`k${i}`, i)
    expect(await count()).toBeLessThanOrEqual(132)
    expect((await cache.getMany(['k19'])).size).toBe(1)
  })
})
