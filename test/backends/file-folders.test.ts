import { constants } from 'node:fs'
import {
  chmod,
  chown,
  link,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { execFileSync } from 'node:child_process'
import { basename, dirname, join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { bundleSources, type Bundle } from '../support/bundle.js'
import { entryFiles, entryPath, openFileCache } from '../support/file-location.js'
import { folderOfTest } from '../support/folders.js'
import { runWorker } from '../support/worker.js'

let bundle: Bundle
let parent: string
let location: string

beforeAll(async () => {
  bundle = await bundleSources()
})
afterAll(() => bundle.remove())
beforeEach(async () => {
  parent = folderOfTest()
  location = join(parent, 'cache')
})
afterEach(() => {
  vi.restoreAllMocks()
})

const modeOf = async (path: string) => ((await stat(path)).mode & 0o7777).toString(8)
const kindOf = (path: string) =>
  lstat(path).then(
    (stats) => (stats.isSymbolicLink() ? 'link' : stats.isDirectory() ? 'folder' : 'file'),
    () => 'nothing',
  )

describe('permissions', () => {
  it.each([0o000, 0o022, 0o077, 0o777])(
    'are 0600 for files and 0700 for folders under the umask %o',
    async (umask) => {
      const deep = join(location, 'a', 'b')
      const held = await runWorker(
        bundle,
        `process.umask(${umask})
         const cache = new FileBasedCache({ location: args[0] })
         await cache.set('a', 1)
         await cache.set('b', 'text')
         await cache.touch('b')
         await cache.incr('a')
         process.send(await cache.get('a'))`,
        { args: [deep] },
      )
      expect(held).toBe(2)
      for (const folder of [location, join(location, 'a'), deep]) {
        expect(await modeOf(folder), folder).toBe('700')
      }
      const paths = (await readdir(deep, { recursive: true })).map((name) => join(deep, name))
      expect(paths.length).toBeGreaterThan(4)
      for (const path of paths) {
        expect(await modeOf(path), path).toBe((await kindOf(path)) === 'file' ? '600' : '700')
      }
    },
  )

  it('of folders that were there before are left as they are', async () => {
    await mkdir(join(location, '..', 'shared'), { recursive: true })
    await mkdir(location)
    await chmod(parent, 0o755)
    await chmod(location, 0o750)
    await mkdir(dirname(entryPath(location, ':1:a')))
    await chmod(dirname(entryPath(location, ':1:a')), 0o711)
    await openFileCache({ location }).set('a', 1)
    expect(await modeOf(parent)).toBe('755')
    expect(await modeOf(location)).toBe('750')
    expect(await modeOf(dirname(entryPath(location, ':1:a')))).toBe('711')
    expect(await modeOf(entryPath(location, ':1:a'))).toBe('600')
  })

  it('that let others write are warned of once', async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    await mkdir(location)
    await chmod(location, 0o777)
    await openFileCache({ location }).set('a', 1)
    await openFileCache({ location }).set('b', 1)
    expect(warn).toHaveBeenCalledTimes(1)
    expect(warn.mock.calls[0]?.[0]).toContain(
      `other users may write to ${JSON.stringify(location)}`,
    )
    expect(warn.mock.calls[0]?.[1]).toMatchObject({
      type: 'CacheLocationWarning',
      code: 'FRAGCACHE_SHARED_DIRECTORY',
    })
  })

  // Root may write everywhere, so it takes another user to be refused.
  it.runIf(process.getuid?.() === 0)(
    'that forbid writing are an error that names the location',
    async () => {
      await openFileCache({ location }).set('a', 1)
      for (const path of [parent, bundle.folder]) await chmod(path, 0o755)
      const answer = await runWorker(
        bundle,
        `const cache = new FileBasedCache({ location: args[0] })
       const fresh = new FileBasedCache({ location: args[0] + '-other/deep' })
       const failures = []
       for (const call of [() => cache.get('a'), () => cache.set('a', 1), () => fresh.set('a', 1)]) {
         await call().catch((error) => failures.push([error.code, error.message, error.cause.code]))
       }
       process.send(failures)`,
        { args: [location], uid: 65_534 },
      )
      const failures = answer as [string, string, string][]
      expect(failures).toHaveLength(3)
      for (const [code, message, cause] of failures) {
        expect(code).toBe('FRAGCACHE_BACKEND_FAILED')
        expect(message).toContain(`location "${location}`)
        expect(message).toContain('not writable or not readable')
        expect(cause).toBe('EACCES')
      }
    },
  )

  it.runIf(process.getuid?.() === 0)(
    'that forbid to read an entry make it a miss, and the next write replaces it',
    async () => {
      await chmod(bundle.folder, 0o755)
      await chown(parent, 65_534, 65_534)
      const asSite = (code: string) =>
        runWorker(
          bundle,
          `const cache = new FileBasedCache({ location: args[0] })
           ${code}
           process.send(await Promise.all(['a', 'b', 'c'].map((key) => cache.get(key, { default: 'none' }))))`,
          { args: [location], uid: 65_534 },
        )
      const store = (value: number) => `
        await cache.set('a', ${value}, { tags: ['t'] })
        await cache.set('b', ${value}, { tags: ['u'] })
        await cache.set('c', ${value})`
      expect(await asSite(store(1))).toEqual([1, 1, 1])
      const asRoot = openFileCache({ location })
      // Its tag's version, the clock of the invalidations and an entry are root's from here on.
      const writeAsRoot = async () => {
        await asRoot.invalidateTags(['t'])
        await asRoot.set('c', 2)
      }
      await writeAsRoot()
      expect(await asSite('')).toEqual(['none', 1, 'none'])
      await writeAsRoot()
      expect(await asSite(`await cache.invalidateTags(['u'])`)).toEqual(['none', 'none', 'none'])
      await writeAsRoot()
      expect(await asSite(store(3))).toEqual([3, 3, 3])
      await writeAsRoot()
      expect(await asSite('await cache.clear()')).toEqual(['none', 'none', 'none'])
      expect(await entryFiles(location)).toEqual([])
    },
  )
})

describe('links', () => {
  let outside: string

  beforeEach(async () => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    outside = join(parent, 'outside')
    await mkdir(outside)
    await writeFile(join(outside, 'precious'), 'precious')
  })
  afterEach(async () => {
    expect(await readFile(join(outside, 'precious'), 'utf8')).toBe('precious')
  })

  /** Puts an entry of another location where only a followed link would find it. */
  async function plant(key: string): Promise<string> {
    const other = openFileCache({ location: join(parent, 'other') })
    await other.set(key, 'planted', { timeout: null })
    const path = entryPath(join(parent, 'other'), `:1:${key}`)
    await rename(path, join(outside, basename(path)))
    return join(outside, basename(path))
  }

  it('to an entry are a miss and go, their target stays', async () => {
    const planted = await plant('a')
    const place = entryPath(location, ':1:a')
    await mkdir(dirname(place), { recursive: true })
    const cache = openFileCache({ location })
    await symlink(planted, place)
    expect(await cache.get('a')).toBeUndefined()
    expect(await kindOf(place)).toBe('nothing')
    for (const change of [
      () => cache.touch('a'),
      () => cache.delete('a'),
      () => cache.incr('a').catch(() => 'absent'),
      () => cache.clear(),
    ]) {
      await rm(place, { force: true })
      await symlink(planted, place)
      await change()
      expect(await cache.get('a')).toBeUndefined()
    }
    expect((await readFile(planted)).length).toBeGreaterThan(0)
  })

  it('to an entry are replaced by a set and an add, their target stays', async () => {
    const target = join(outside, 'precious')
    const place = entryPath(location, ':1:a')
    await mkdir(dirname(place), { recursive: true })
    const cache = openFileCache({ location })
    for (const write of [() => cache.set('a', 1), () => cache.add('a', 1)]) {
      await rm(place, { force: true })
      await symlink(target, place)
      await write()
      expect(await kindOf(place)).toBe('file')
      expect(await cache.get('a')).toBe(1)
    }
  })

  it('that lead nowhere or to themselves are a miss, and replaced by a set', async () => {
    const place = entryPath(location, ':1:a')
    await mkdir(dirname(place), { recursive: true })
    const cache = openFileCache({ location })
    for (const target of [join(outside, 'nothing'), place]) {
      await symlink(target, place)
      expect(await cache.get('a')).toBeUndefined()
      expect(await kindOf(place)).toBe('nothing')
      await symlink(target, place)
      await cache.set('a', 1)
      expect(await cache.get('a')).toBe(1)
      await rm(place)
    }
    expect(await readdir(outside)).toEqual(['precious'])
  })

  it('in the place of a shard are never followed', async () => {
    const planted = await plant('a')
    const shard = dirname(entryPath(location, ':1:a'))
    await mkdir(location)
    const cache = openFileCache({ location, options: { maxEntries: 2 } })
    const calls: [string, () => Promise<unknown>][] = [
      ['get', () => cache.get('a')],
      ['set', () => cache.set('a', 'mine')],
      ['add', () => cache.add('a', 'mine')],
      ['touch', () => cache.touch('a')],
      ['incr', () => cache.incr('a').catch(() => {})],
      ['delete', () => cache.delete('a')],
      ['clear', () => cache.clear()],
      ['culling', () => cache.setMany({ x: 1, y: 1, z: 1 })],
    ]
    for (const [name, call] of calls) {
      await rm(shard, { recursive: true, force: true })
      await symlink(outside, shard)
      await call()
      if (name === 'get') expect(await kindOf(shard)).toBe('nothing')
      expect(await cache.get('a'), name).not.toBe('planted')
      expect((await readdir(outside)).sort(), name).toEqual([basename(planted), 'precious'].sort())
    }
  })

  it('in the place of the folder for passing things are never followed', async () => {
    const cache = openFileCache({ location })
    await cache.set('n', 1)
    for (const call of [
      () => cache.set('n', 2),
      () => cache.incr('n'),
      () => cache.touch('n'),
      () => cache.delete('n'),
      () => cache.clear(),
    ]) {
      await rm(join(location, '.fragcache'), { recursive: true, force: true })
      await symlink(outside, join(location, '.fragcache'))
      await call()
      expect(await readdir(outside)).toEqual(['precious'])
      expect(await kindOf(join(location, '.fragcache'))).toBe('folder')
    }
  })

  it('in the place of the count are not followed', async () => {
    const cache = openFileCache({ location })
    await cache.set('a', 1)
    await rm(join(location, '.fragcache', 'count-1'), { recursive: true })
    await symlink(outside, join(location, '.fragcache', 'count-1'))
    for (let i = 0; i < 40; i++) await cache.set(`k${i}`, i)
    expect(await readdir(outside)).toEqual(['precious'])
  })

  it('to the location itself are its owner’s choice', async () => {
    await mkdir(join(parent, 'real'))
    await symlink(join(parent, 'real'), location)
    const cache = openFileCache({ location })
    await cache.set('a', 1)
    expect(await cache.get('a')).toBe(1)
    await cache.clear()
    expect(await readlink(location)).toBe(join(parent, 'real'))
  })

  it('to nowhere in the place of the location are an error that names it', async () => {
    await symlink(join(parent, 'nowhere'), location)
    const cache = openFileCache({ location })
    expect(await cache.get('a')).toBeUndefined()
    await expect(cache.set('a', 1)).rejects.toThrow(
      `location ${JSON.stringify(location)}: it cannot be made; is it a link to nowhere?`,
    )
  })

  it('of the hard kind are a miss, and only the name goes', async () => {
    const place = entryPath(location, ':1:a')
    await mkdir(dirname(place), { recursive: true })
    await link(join(outside, 'precious'), place)
    expect(await openFileCache({ location }).get('a')).toBeUndefined()
    expect(await kindOf(place)).toBe('nothing')
  })
})

describe('what is neither file nor folder', () => {
  it('is a miss and goes, and nobody waits for a pipe', async () => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    const place = entryPath(location, ':1:a')
    await mkdir(dirname(place), { recursive: true })
    execFileSync('mkfifo', [place])
    const cache = openFileCache({ location })
    expect(await cache.get('a')).toBeUndefined()
    expect(await kindOf(place)).toBe('nothing')
    execFileSync('mkfifo', [place])
    await cache.set('a', 1)
    expect(await cache.get('a')).toBe(1)
    expect((await stat(place)).mode & constants.S_IFMT).toBe(constants.S_IFREG)
  })

  it('in the place of a lock goes', async () => {
    const cache = openFileCache({ location })
    await cache.set('a', 1)
    const lock = join(location, '.fragcache', `lock-${dirname(entryPath('', ':1:a')).slice(-2)}`)
    await writeFile(lock, 'not a lock')
    await cache.set('a', 2)
    await symlink(parent, lock)
    expect(await cache.incr('a')).toBe(3)
    expect(await readdir(parent)).toEqual(['cache'])
    expect(await entryFiles(location)).toHaveLength(1)
  })
})
