import { hash } from 'node:crypto'
import { chmod, lstat, mkdir, readdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { codeOf, FOLDER_MODE, kindAt, removeFile, unless } from './entry-file.js'

/** Where locks, files in the making and the count are. */
const WORK = '.fragcache'
/** How often a folder is made that is removed again meanwhile. */
export const MAX_ATTEMPTS = 20
const SHARD = /^[0-9a-f]{2}$/
const ENTRY = /^[0-9a-f]{64}\.entry$/

/** Where an entry lies. */
export interface Place {
  readonly key: string
  /** Two hexadecimal digits. */
  readonly shard: string
  readonly folder: string
  readonly file: string
}

/** A folder that cannot be used as it is. */
export class UnusableFolderError extends Error {
  override readonly name = 'UnusableFolderError'
}

/**
 * The folders of one location: `location/ab/abcd….entry` for entries, by the SHA-256 of the stored
 * key, and `location/.fragcache` for everything passing.
 */
export class Folders {
  readonly work: string

  constructor(readonly location: string) {
    this.work = join(location, WORK)
  }

  placeOf(key: string): Place {
    const name = hash('sha256', key, 'hex')
    const shard = name.slice(0, 2)
    const folder = join(this.location, shard)
    return { key, shard, folder, file: join(folder, `${name}.entry`) }
  }

  shardFolder(shard: string): string {
    return join(this.location, shard)
  }

  /** The shards there are. Links and whatever else lies beside them are none. */
  async shards(): Promise<string[]> {
    const found = await unless(['ENOENT'], readdir(this.location, { withFileTypes: true }))
    return (found ?? [])
      .filter((one) => one.isDirectory() && SHARD.test(one.name))
      .map(({ name }) => name)
  }

  /** The files of a shard that are named as entries are. */
  async entries(shard: string): Promise<string[]> {
    const folder = this.shardFolder(shard)
    const found = await unless(['ENOENT', 'ENOTDIR'], readdir(folder, { withFileTypes: true }))
    return (found ?? [])
      .filter((one) => !one.isDirectory() && ENTRY.test(one.name))
      .map(({ name }) => join(folder, name))
  }

  /** Makes the location and the folder for everything passing. */
  async make(): Promise<void> {
    await makeLocation(this.location)
    await this.makeInside(this.work)
  }

  /** Makes a folder of ours in the location, and the location if it is gone. */
  async makeInside(folder: string): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      try {
        await makeFolder(folder)
        return
      } catch (error) {
        const code = codeOf(error)
        if (attempt >= MAX_ATTEMPTS || (code !== 'ENOENT' && code !== 'EEXIST')) throw error
        if (code === 'ENOENT') await makeLocation(this.location)
        else if (await isFolderOf(folder)) return
      }
    }
  }
}

/** Whether a folder of ours is there. A link in its place goes: it is never followed. */
async function isFolderOf(folder: string): Promise<boolean> {
  const kind = await kindAt(folder)
  if (kind === 'folder') return true
  if (kind === 'file' || kind === 'other') {
    throw new UnusableFolderError(`${folder} is in the way: it is not a folder; remove it`)
  }
  if (kind === 'link') await removeFile(folder)
  return false
}

/** Makes a folder and those above it, all for their owner alone. What is there stays as it is. */
async function makeLocation(location: string): Promise<void> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    try {
      await makeFolder(location)
      return
    } catch (error) {
      const code = codeOf(error)
      if (code === 'EEXIST') {
        // The location itself may be a link: where the entries go is its owner's choice.
        const stats = await unless(['ENOENT'], stat(location))
        if (stats?.isDirectory() === true) return
        if (stats === undefined) continue
        throw new UnusableFolderError('it is a file, not a directory; name a directory')
      }
      if (code !== 'ENOENT' || dirname(location) === location) throw error
      await makeLocation(dirname(location))
    }
  }
  throw new UnusableFolderError('it cannot be made; is it a link to nowhere?')
}

/** The umask takes from the mode given to `mkdir`, so it is set afterwards. */
async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { mode: FOLDER_MODE })
  await chmod(folder, FOLDER_MODE)
}

/** Whether others than this process's user may put files there. */
export async function isOpenToOthers(location: string): Promise<boolean> {
  const user = process.geteuid?.()
  if (user === undefined) return false
  const { mode, uid } = await stat(location)
  return (mode & 0o022) !== 0 || (uid !== user && uid !== 0)
}

/** When something was last changed, by the file system's clock. */
export async function modifiedAtMs(path: string): Promise<number | undefined> {
  return (await unless(['ENOENT', 'ENOTDIR'], lstat(path)))?.mtimeMs
}
