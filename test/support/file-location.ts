import { createHash } from 'node:crypto'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach } from 'vitest'
import { FileBasedCache, type FileBasedSettings } from '../../src/backends/file.js'

const folders: string[] = []
const caches: FileBasedCache[] = []

afterEach(async () => {
  for (const cache of caches.splice(0)) await cache.close()
  for (const folder of folders.splice(0))
    await rm(folder, { recursive: true, force: true, maxRetries: 10 })
})

/** An empty folder that goes after the test. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fragcache-file-'))
  folders.push(folder)
  return folder
}

/** A cache that is closed after the test. */
export function openFileCache(settings: FileBasedSettings): FileBasedCache {
  const cache = new FileBasedCache(settings)
  caches.push(cache)
  return cache
}

/** Where the file of a stored key lies, as docs/backends/file.md says. */
export function entryPath(location: string, storedKey: string): string {
  const name = createHash('sha256').update(storedKey).digest('hex')
  return join(location, name.slice(0, 2), `${name}.entry`)
}

/** The files of the entries of a location. */
export async function entryFiles(location: string): Promise<string[]> {
  const shards = (await readdir(location)).filter((name) => /^[0-9a-f]{2}$/.test(name))
  const found = await Promise.all(shards.map((shard) => readdir(join(location, shard))))
  return found.flatMap((names, i) =>
    names
      .filter((name) => name.endsWith('.entry'))
      .map((name) => join(location, shards[i] as string, name)),
  )
}
