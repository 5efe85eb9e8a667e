import { readdir, type mkdir, type rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { CacheBackendError } from '../../src/errors.js'
import { openFileCache } from '../support/file-location.js'
import { folderOfTest } from '../support/folders.js'

const disk = vi.hoisted(() => ({ foldersLeft: Infinity }))

vi.mock('node:fs/promises', async (original) => {
  const real = await original<{ mkdir: typeof mkdir; rmdir: typeof rmdir }>()
  const mkdirWithRoom = async (...given: Parameters<typeof mkdir>) => {
    const made = await real.mkdir(...given)
    if (disk.foldersLeft-- > 0) return made
    await real.rmdir(given[0])
    throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })
  }
  return { ...real, mkdir: mkdirWithRoom }
})

let location: string
beforeEach(() => {
  location = folderOfTest()
})
afterEach(() => {
  disk.foldersLeft = Infinity
})

it('leaves no folder behind on a disk that has room for the first of two only', async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
  const cache = openFileCache({ location })
  const passing = () => readdir(join(location, '.fragcache'))
  await cache.setMany({ a: 'old', b: 'old' })
  // Its folders would serve the next writers.
  await cache.close()
  const before = await passing()

  disk.foldersLeft = 1
  await expect(cache.set('a', 'new')).rejects.toThrow(CacheBackendError)
  expect(await passing()).toEqual(before)

  disk.foldersLeft = 1
  await expect(cache.delete('b')).rejects.toThrow(CacheBackendError)
  expect(await passing()).toEqual(before)
})
