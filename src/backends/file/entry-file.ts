import { constants } from 'node:fs'
import { lstat, open, unlink, type FileHandle } from 'node:fs/promises'
import {
  DamagedEntryError,
  decodeEntry,
  declaredSize,
  peekEntry,
  type EntryPeek,
  type Entry,
} from './format.js'
import { Limiter } from './limit.js'

export const FILE_MODE = 0o600
export const FOLDER_MODE = 0o700

/** Files of this process's file caches that are open at a time. */
const openFiles = new Limiter(64)

/** Most entries fit into the first read, which then is the only one. */
const FIRST_READ_BYTES = 16_384
const PEEK_BYTES = 512

/** Windows has neither flag. */
const flags = constants as { readonly O_NOFOLLOW?: number; readonly O_NONBLOCK?: number }
/** A link is not followed, and opening a pipe does not wait for its other end. */
const READ_FLAGS = constants.O_RDONLY | (flags.O_NOFOLLOW ?? 0) | (flags.O_NONBLOCK ?? 0)

/** The operating system's name for what went wrong. */
export function codeOf(error: unknown): string | undefined {
  const code: unknown = (error as { code?: unknown } | undefined)?.code
  return typeof code === 'string' ? code : undefined
}

/** Gives what an action gives, or `undefined` if it fails in one of these ways. */
export async function unless<T>(
  codes: readonly string[],
  action: Promise<T>,
): Promise<T | undefined> {
  try {
    return await action
  } catch (error) {
    if (codes.includes(codeOf(error) ?? '')) return undefined
    throw error
  }
}

/** What lies at a path, without following a link; `undefined` for nothing. */
export async function kindAt(
  path: string,
): Promise<'folder' | 'file' | 'link' | 'other' | undefined> {
  const stats = await unless(['ENOENT'], lstat(path))
  if (stats === undefined) return undefined
  if (stats.isDirectory()) return 'folder'
  if (stats.isSymbolicLink()) return 'link'
  return stats.isFile() ? 'file' : 'other'
}

/**
 * Reads an entry's file whole.
 *
 * @returns `undefined` if there is none.
 * @throws DamagedEntryError: what is there is no whole entry.
 */
export async function readEntryFile(path: string): Promise<Entry | undefined> {
  return withFile(path, async (handle) => {
    const head = await readUpTo(handle, FIRST_READ_BYTES)
    if (head.length < FIRST_READ_BYTES) return decodeEntry(head)
    const stats = await handle.stat()
    // Before so much is read: a foreign file may be of any size.
    if (!stats.isFile() || stats.size !== declaredSize(head)) {
      throw new DamagedEntryError('its size is wrong')
    }
    const bytes = Buffer.allocUnsafe(stats.size)
    head.copy(bytes)
    let filled = head.length
    while (filled < bytes.length) {
      const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, filled)
      if (bytesRead === 0) throw new DamagedEntryError('it is truncated')
      filled += bytesRead
    }
    return decodeEntry(bytes)
  })
}

/** Reads the beginning of an entry's file; otherwise as {@link readEntryFile}. */
export async function peekEntryFile(path: string): Promise<EntryPeek> {
  const peeked = await withFile(path, async (handle) => {
    const head = peekEntry(await readUpTo(handle, PEEK_BYTES))
    return head.owner === undefined ? undefined : head
  })
  return peeked ?? (await readEntryFile(path)) ?? VANISHED
}

const VANISHED: EntryPeek = { owner: undefined, key: '', expiresAtMs: 0 }

async function withFile<T>(
  path: string,
  action: (handle: FileHandle) => Promise<T>,
): Promise<T | undefined> {
  return openFiles.run(async () => {
    let handle: FileHandle
    try {
      handle = await open(path, READ_FLAGS)
    } catch (error) {
      const code = codeOf(error)
      if (code === 'ENOENT') return undefined
      if (code === 'ELOOP' || code === 'EMLINK') throw new DamagedEntryError('it is a link')
      if (code === 'ENXIO') throw new DamagedEntryError('it is not a regular file')
      // Another user's, such as root's. Where the way to it is forbidden too, the location is what fails.
      if (code === 'EACCES' && (await isInReach(path))) {
        throw new DamagedEntryError('it is not readable for this process')
      }
      throw error
    }
    try {
      return await action(handle)
    } catch (error) {
      const code = codeOf(error)
      if (code === 'EISDIR') throw new DamagedEntryError('it is a folder')
      if (code === 'EAGAIN') throw new DamagedEntryError('it is not a regular file')
      throw error
    } finally {
      await handle.close()
    }
  })
}

async function isInReach(path: string): Promise<boolean> {
  return (await unless(['EACCES'], kindAt(path))) !== undefined
}

async function readUpTo(handle: FileHandle, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length)
  const { bytesRead } = await handle.read(bytes, 0, length, null)
  return bytes.subarray(0, bytesRead)
}

/** Makes a file that must not be there yet, readable for its owner alone whatever the umask is. */
export async function writeNewFile(path: string, bytes: Uint8Array): Promise<void> {
  await openFiles.run(async () => {
    const handle = await open(path, 'wx', FILE_MODE)
    try {
      await handle.chmod(FILE_MODE)
      await handle.writeFile(bytes)
    } finally {
      await handle.close()
    }
  })
}

/** Removes a file or a link; nothing there is as good. */
export async function removeFile(path: string): Promise<void> {
  await unless(['ENOENT'], unlink(path))
}
