import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** What servers begin with, made before by any process of this checkout. */
const known = fileURLToPath(
  new URL('../../../node_modules/.cache/fragcache-servers', import.meta.url),
)

/**
 * Puts the files that a server begins with into a folder. To make them costs the server seconds, so
 * that is done once, and copied from then on.
 *
 * @param server - The program, whose version the files belong to.
 * @param making - Says how they are made.
 * @param data - The folder, which is not there yet. Its owner and those of what is in it are kept.
 * @param make - Makes the files there.
 */
export async function putFreshData(
  server: string,
  making: readonly string[],
  data: string,
  make: () => Promise<unknown>,
): Promise<void> {
  const { stdout } = await run(server, ['--version'])
  const hash = createHash('sha256')
    .update([server, stdout, ...making].join('\0'))
    .digest('hex')
  const kept = join(known, hash)
  if (await isThere(kept)) return copy(kept, data)
  await make()
  await mkdir(known, { recursive: true })
  const own = await mkdtemp(`${kept}.`)
  await copy(data, join(own, 'data'))
  // Whole or not at all, for others that ask at the same time; the first one's are kept.
  await rename(join(own, 'data'), kept).catch((error: unknown) => {
    if (!['ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  })
  await rm(own, { recursive: true })
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined
}

async function copy(from: string, to: string): Promise<void> {
  // With its owners, which Node's own does not keep.
  await run('cp', ['-a', from, to])
}
