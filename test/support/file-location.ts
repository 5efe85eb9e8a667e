import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { FileBasedCache, type FileBasedSettings } from '../../src/backends/file.js'

/** A cache that is closed after the test. */
export function openFileCache(settings: FileBasedSettings): FileBasedCache {
  const cache = new FileBasedCache(settings)
  onTestFinished(() => cache.close())
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
