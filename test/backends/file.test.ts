import { mkdir, readdir, readFile, rm, stat, unlink, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { FileBasedCache, type FileBasedSettings } from '../../src/backends/file.js'
import { Locks } from '../../src/backends/file/locks.js'
import { CacheBackendError, InvalidCacheBackendError } from '../../src/index.js'
import { entryFiles, entryPath, openFileCache } from '../support/file-location.js'
import { folderOfTest } from '../support/folders.js'

let location: string

beforeEach(async () => {
  location = join(folderOfTest(), 'cache')
})
afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

const open = (settings: Partial<FileBasedSettings> = {}) => openFileCache({ location, ...settings })

describe('the settings of FileBasedCache', () => {
  it('refuse to be made of nothing', () => {
    const make = () => Reflect.construct(FileBasedCache, []) as unknown
    expect(make).toThrow(InvalidCacheBackendError)
    expect(make).toThrow('FileBasedCache: location: it is missing; name a directory')
  })

  it.each([undefined, '', 7, ['a', 'b'], 'a\0b', null])('refuse the location %j', (wrong) => {
    expect(() => new FileBasedCache({ location: wrong as string })).toThrow(
      InvalidCacheBackendError,
    )
    expect(() => new FileBasedCache({ location: wrong as string })).toThrow(
      /FileBasedCache: location: .*name a directory/,
    )
  })

  it('refuse unknown settings and options by name', () => {
    const make = (more: object) => () => new FileBasedCache({ location, ...more })
    expect(make({ directory: '/x' })).toThrow('unknown setting "directory"')
    expect(make({ options: { max_entries: 5 } })).toThrow('unknown option "max_entries"')
    expect(make({ options: { maxEntries: 0 } })).toThrow('maxEntries: 0 is not a whole number')
    expect(make({ options: { cullFrequency: -1 } })).toThrow('cullFrequency: -1 is not')
  })

  it('touch no disk until the first call that stores', async () => {
    const cache = open()
    expect(await cache.get('a')).toBeUndefined()
    expect(await cache.delete('a')).toBe(false)
    expect(await cache.touch('a')).toBe(false)
    await cache.clear()
    await expect(stat(location)).rejects.toThrow('ENOENT')
    await cache.set('a', 1)
    expect((await stat(location)).isDirectory()).toBe(true)
  })

  it('count a relative location from where the cache was made', async () => {
    const cache = open({ location: relative(process.cwd(), location) })
    await cache.set('a', 1)
    expect(await open().get('a')).toBe(1)
  })
})

describe('the files', () => {
  it('are one per entry, named by the hash of the stored key, and no others', async () => {
    const cache = open()
    await cache.set('a', 1)
    await cache.set('b', 2)
    await cache.set('b', 3)
    const all = await readdir(location, { recursive: true, withFileTypes: true })
    const files = all.filter((one) => !one.isDirectory())
    expect(files.map(({ parentPath, name }) => join(parentPath, name)).sort()).toEqual(
      [entryPath(location, ':1:a'), entryPath(location, ':1:b')].sort(),
    )
  })

  it('hold no path from a key, however hostile it is', async () => {
    const cache = open()
    for (const key of [
      '../../../etc/passwd',
      '/etc/passwd',
      'a/b',
      '..',
      'CON',
      'x'.repeat(5000),
    ]) {
      await cache.set(key, key)
      expect(await cache.get(key)).toBe(key)
    }
    const names = await readdir(location)
    expect(names.every((name) => name === '.fragcache' || /^[0-9a-f]{2}$/.test(name))).toBe(true)
    expect(await readdir(join(location, '..'))).toEqual(['cache'])
  })

  it('leave nothing in the making behind', async () => {
    const cache = open()
    await Promise.all(Array.from({ length: 40 }, (_, i) => cache.set(`k${i}`, i)))
    await cache.touch('k1')
    await cache.incr('k2')
    await cache.add('k3', 1)
    await cache.delete('k4')
    await expect(cache.incr('k5', Number.MAX_SAFE_INTEGER)).rejects.toThrow(RangeError)
    await cache.close()
    expect(await readdir(join(location, '.fragcache'))).toEqual(['count-39'])
  })

  it('of an entry with another key at its place are a miss, and replaced by a set', async () => {
    const cache = open()
    await cache.set('mine', 1)
    await cache.set('other', 2)
    const place = entryPath(location, ':1:mine')
    await writeFile(place, await readFile(entryPath(location, ':1:other')))
    expect(await cache.get('mine')).toBeUndefined()
    expect(await cache.touch('mine')).toBe(false)
    expect(await cache.delete('mine')).toBe(false)
    await expect(cache.incr('mine')).rejects.toThrow('not there')
    expect((await stat(place)).isFile()).toBe(true)
    expect(await cache.add('mine', 3)).toBe(true)
    expect(await cache.get('mine')).toBe(3)
  })

  it('that vanish are a miss', async () => {
    const cache = open()
    await cache.set('a', 1)
    await unlink(entryPath(location, ':1:a'))
    expect(await cache.get('a')).toBeUndefined()
    expect(await cache.delete('a')).toBe(false)
    await cache.set('a', 2)
    expect(await cache.get('a')).toBe(2)
  })

  it.each([0, 1, 100, 16_000, 16_348, 16_384, 70_000, 3_000_000])(
    'hold values of %d bytes',
    async (length) => {
      const cache = open()
      const value = Buffer.alloc(length, 'abc')
      await cache.set('a', value)
      expect(value.equals((await cache.get<Buffer>('a')) as Buffer)).toBe(true)
      expect(await cache.touch('a', { timeout: 1 })).toBe(true)
      expect(value.equals((await cache.get<Buffer>('a')) as Buffer)).toBe(true)
    },
  )

  it('hold more in the key prefix than the first look at a file takes in', async () => {
    const cache = open({ keyPrefix: 'long'.repeat(10_000), options: { maxEntries: 2 } })
    for (const key of ['a', 'b', 'c', 'd']) {
      await cache.set(key, key)
      expect(await cache.get(key)).toBe(key)
    }
    await cache.clear()
    expect(await entryFiles(location)).toEqual([])
  })

  it('of other programs in the location are left alone', async () => {
    const cache = open({ options: { maxEntries: 3, cullFrequency: 0 } })
    await mkdir(join(location, 'ab'), { recursive: true })
    const foreign = ['notes.txt', 'ab/object', 'ab/0123.entry', 'zz']
    for (const name of foreign) await writeFile(join(location, name), 'precious')
    for (let i = 0; i < 10; i++) await cache.set(`k${i}`, i)
    await cache.clear()
    for (const name of foreign) {
      expect(await readFile(join(location, name), 'utf8')).toBe('precious')
    }
  })
})

describe('deadlines', () => {
  it('are those of the entry, whatever the times of its file are', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const cache = open()
    await cache.set('a', 1, { timeout: 60 })
    await cache.set('forever', 1, { timeout: null })
    await cache.set('centuries', 1, { timeout: 1e12 })
    vi.setSystemTime(Date.now() + 59_999)
    expect(await cache.get('a')).toBe(1)
    vi.setSystemTime(Date.now() + 1)
    expect(await cache.get('a')).toBeUndefined()
    expect(await cache.add('a', 2)).toBe(true)
    vi.setSystemTime(Date.now() + 40 * 365 * 86_400_000)
    expect(await cache.has('forever')).toBe(true)
    expect(await cache.has('centuries')).toBe(true)
  })

  it('outlast incr, decr and a compare and set', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const cache = open()
    await cache.set('n', 1, { timeout: 60 })
    await cache.set('tagged', 1, { timeout: 60, tags: ['t'] })
    vi.setSystemTime(Date.now() + 30_000)
    expect(await cache.incr('n')).toBe(2)
    expect(await cache.decr('n', 5)).toBe(-3)
    expect(await cache.incr('tagged')).toBe(2)
    vi.setSystemTime(Date.now() + 29_999)
    expect(await cache.get('n')).toBe(-3)
    expect(await cache.get('tagged')).toBe(2)
    vi.setSystemTime(Date.now() + 1)
    expect(await cache.get('n')).toBeUndefined()
    expect(await cache.get('tagged')).toBeUndefined()
  })
})

describe('clear', () => {
  const settings = { keyFunction: (key: string) => `same-for-all:${key}` }

  it.each([{}, settings])('spares the entries of other key prefixes', async (more) => {
    const a = open({ keyPrefix: 'a', ...more })
    const b = open({ keyPrefix: 'b', ...more })
    const none = open(more)
    await a.setMany({ a1: 1, a2: 2 })
    await b.setMany({ b1: 1, b2: 2 })
    await none.setMany({ n1: 1 })
    await a.clear()
    expect((await a.getMany(['a1', 'a2'])).size).toBe(0)
    expect((await b.getMany(['b1', 'b2'])).size).toBe(2)
    await none.clear()
    expect((await none.getMany(['n1'])).size).toBe(0)
    expect((await b.getMany(['b1', 'b2'])).size).toBe(2)
  })

  it('goes by who wrote an entry last, not by who touched or counted it', async () => {
    const a = open({ keyPrefix: 'a', ...settings })
    const b = open({ keyPrefix: 'b', ...settings })
    await a.setMany({ x: 1, y: 1, z: 1 })
    await b.incr('x')
    await b.touch('y')
    await b.set('z', 2)
    await b.clear()
    expect([...(await a.getMany(['x', 'y', 'z'])).keys()]).toEqual(['x', 'y'])
    await a.clear()
    expect(await entryFiles(location)).toEqual([])
  })

  it('is not undone by a touch or a count that runs meanwhile', async () => {
    const cache = open({ timeout: null })
    for (let round = 0; round < 10; round++) {
      await cache.setMany({ n: 1, text: 'stale' })
      const others = Promise.allSettled(
        Array.from({ length: 10 }, async () => [await cache.touch('text'), await cache.incr('n')]),
      )
      await cache.clear()
      await others
      expect(await cache.get('n')).toBeUndefined()
      expect(await cache.get('text')).toBeUndefined()
    }
  })
})

describe('delete', () => {
  it('is not undone by a touch or a count that runs meanwhile', async () => {
    const cache = open({ timeout: null })
    for (let round = 0; round < 20; round++) {
      await cache.set('n', 1)
      const others = Promise.allSettled([cache.touch('n'), cache.incr('n'), cache.touch('n')])
      await cache.delete('n')
      await others
      expect(await cache.get('n')).toBeUndefined()
    }
  })

  it('tells one of its callers that the entry was there', async () => {
    const caches = [open(), open(), open()]
    for (let round = 0; round < 10; round++) {
      await open().set('a', 1)
      const told = await Promise.all(
        caches.flatMap((cache) => [cache.delete('a'), cache.delete('a')]),
      )
      expect(told.filter(Boolean)).toHaveLength(1)
    }
  })
})

describe('many adds of one entry at once', () => {
  it('take its lock no oftener than there are writers at work: the others see that it is there', async () => {
    const cache = open()
    const locked = vi.spyOn(Locks.prototype, 'run')
    const added = await Promise.all(Array.from({ length: 200 }, () => cache.add('k', 'v')))
    expect(added.filter(Boolean)).toHaveLength(1)
    expect(locked.mock.calls.length).toBeLessThanOrEqual(16)
  })
})

describe('clear', () => {
  it('leaves nothing that was made meanwhile from what was not yet gone', async () => {
    const [cache, other] = [open(), open()]
    await cache.set('v0', 'old')
    const shards = ['v0', 'v1'].map((key) => entryPath('', `:1:${key}`).slice(0, 2))
    const makeFrom = (i: number) => other.getOrSet(`v${i + 1}`, () => other.get(`v${i}`))
    const run = Locks.prototype.run
    const made: unknown[] = []
    let isMaking = false
    vi.spyOn(Locks.prototype, 'run').mockImplementation(async function (
      this: Locks,
      name,
      ...rest
    ) {
      // What clear is about to remove, a value in a folder that it does not look into any more is made from.
      if (!isMaking && name === shards[made.length]) {
        isMaking = true
        made.push(await makeFrom(made.length))
        isMaking = false
      }
      return run.call(this, name, ...rest)
    })
    await cache.clear()
    expect(made).toEqual(['old', 'old'])
    expect(await cache.getMany(['v0', 'v1', 'v2'])).toEqual(new Map())
  })
})

describe('a location that fails', () => {
  it.each(['a file', 'below a file'])('is named by the error where it is %s', async (what) => {
    await writeFile(location, 'I was here first')
    const path = what === 'a file' ? location : join(location, 'deeper', 'still')
    const cache = open({ location: path })
    const calls = [
      () => cache.set('a', 1),
      () => cache.add('a', 1),
      () => cache.get('a'),
      () => cache.delete('a'),
      () => cache.incr('a'),
    ]
    for (const call of calls) {
      const error = await call().then(
        () => undefined,
        (reason: unknown) => reason,
      )
      expect(error).toBeInstanceOf(CacheBackendError)
      expect(error).toMatchObject({ code: 'FRAGCACHE_BACKEND_FAILED', backend: 'FileBasedCache' })
      expect((error as Error).message).toContain(JSON.stringify(path))
      expect((error as Error).message).toContain('it is a file')
    }
    expect(await readFile(location, 'utf8')).toBe('I was here first')
  })

  it('is a miss with ignoreErrors', async () => {
    await writeFile(location, '')
    const cache = open({ ignoreErrors: true })
    await cache.set('a', 1)
    expect(await cache.get('a')).toBeUndefined()
    expect(await cache.setMany({ a: 1, b: 2 })).toEqual(['a', 'b'])
  })

  it('works again as soon as it can', async () => {
    await writeFile(location, '')
    const cache = open()
    await expect(cache.set('a', 1)).rejects.toThrow(CacheBackendError)
    await unlink(location)
    await cache.set('a', 1)
    expect(await cache.get('a')).toBe(1)
  })

  it('keeps no older value where a new one could not be written', async () => {
    const cache = open()
    await cache.set('a', 'old')
    // As on a full disk: what is needed to write cannot be made.
    await cache.close()
    await rm(join(location, '.fragcache'), { recursive: true })
    await writeFile(join(location, '.fragcache'), '')
    await expect(cache.set('a', 'new')).rejects.toThrow(CacheBackendError)
    expect(await cache.get('a')).toBeUndefined()
  })

  it('fails only the keys in the way of which something lies', async () => {
    const cache = open()
    await mkdir(entryPath(location, ':1:a'), { recursive: true })
    expect(await cache.setMany({ a: 1, b: 2 })).toEqual(['a'])
    expect(await cache.get('b')).toBe(2)
    await expect(cache.set('a', 1)).rejects.toThrow('is in the way: it is a folder; remove it')
    expect(await cache.delete('a')).toBe(false)
  })
})

describe('a location that is deleted while the cache runs', () => {
  const calls: [string, (cache: FileBasedCache) => Promise<unknown>, unknown][] = [
    ['get', (cache) => cache.get('a'), undefined],
    ['getMany', (cache) => cache.getMany(['a', 'b']), new Map()],
    ['has', (cache) => cache.has('a'), false],
    ['set', (cache) => cache.set('a', 2), undefined],
    ['setMany', (cache) => cache.setMany({ a: 2, b: 3 }), []],
    ['add', (cache) => cache.add('a', 2), true],
    ['touch', (cache) => cache.touch('a'), false],
    ['delete', (cache) => cache.delete('a'), false],
    ['deleteMany', (cache) => cache.deleteMany(['a', 'b']), undefined],
    ['getOrSet', (cache) => cache.getOrSet('a', 5), 5],
    ['clear', (cache) => cache.clear(), undefined],
    ['invalidateTags', (cache) => cache.invalidateTags(['t']), undefined],
  ]

  it.each(calls)('is not an obstacle to %s', async (_, call, answer) => {
    const cache = open()
    await cache.setMany({ a: 1, b: 2 })
    await rm(location, { recursive: true })
    expect(await call(cache)).toEqual(answer)
    await cache.set('c', 3)
    expect(await cache.get('c')).toBe(3)
  })

  it('is made again, also in the middle of many writes', async () => {
    const cache = open({ options: { maxEntries: 1000 } })
    const writes: Promise<void>[] = []
    for (let i = 0; i < 200; i++) {
      writes.push(cache.set(`k${i}`, i))
      if (i % 50 === 25) {
        await new Promise((resolve) => setTimeout(resolve, 5))
        await rm(location, { recursive: true, force: true, maxRetries: 50, retryDelay: 1 })
      }
    }
    await Promise.all(writes)
    await cache.set('last', 1)
    expect(await cache.get('last')).toBe(1)
  })
})

describe('close', () => {
  it('lets the cache open again on use', async () => {
    const cache = open()
    await cache.set('a', 1)
    await cache.close()
    await cache.close()
    expect(await cache.get('a')).toBe(1)
    await cache.set('b', 2)
    expect(await cache.incr('b')).toBe(3)
  })
})
