import { mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, onTestFinished } from 'vitest'

/**
 * Removes a folder to which caches may still write in the background: tries again until nothing more
 * comes. Not synchronously, since the writer shares the thread.
 */
export function removeFolder(path: string): Promise<void> {
  return rm(path, { recursive: true, force: true, maxRetries: 10 })
}

const make = () => mkdtempSync(join(tmpdir(), 'fragcache-test-'))

/** An empty folder that goes after the test. */
export function folderOfTest(): string {
  const path = make()
  onTestFinished(() => removeFolder(path))
  return path
}

/** An empty folder that goes after the tests of the file, or of the `describe` that asks for it. */
export function folderOfFile(): string {
  const path = make()
  afterAll(() => removeFolder(path))
  return path
}
