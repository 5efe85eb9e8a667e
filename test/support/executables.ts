import { execFile } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Whether there is a file that this process may run. */
export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** The path of a name in `PATH`, or below one of the folders. */
export function inPath(name: string, folders: readonly string[] = []): string | undefined {
  return [...(process.env['PATH'] ?? '').split(delimiter), ...folders]
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name))
    .find(isExecutable)
}

/**
 * Installs packages with apt-get, where this process is root on Debian or Ubuntu.
 *
 * @returns Whether it was this process' to do.
 * @throws Error: apt-get failed.
 */
export async function installWithApt(what: string, packages: readonly string[]): Promise<boolean> {
  if (process.getuid?.() !== 0 || inPath('apt-get') === undefined) return false
  console.log(`installing ${what} with apt-get, once for this machine`)
  const options = {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    maxBuffer: 64 * 1024 * 1024,
    timeout: 8 * 60_000,
  }
  // One process of a test run at a time, and apt's own lock for those of others.
  const locked = [join(tmpdir(), 'fragcache-apt.lock'), 'apt-get', '-o', 'DPkg::Lock::Timeout=300']
  await run('flock', [...locked, 'update', '-q'], options)
  const install = ['install', '-q', '-y', '--no-install-recommends', ...packages]
  await run('flock', [...locked, ...install], options)
  return true
}

/** Where Debian puts the programs of servers. */
const OF_SERVERS = ['/usr/sbin']

/**
 * The path of a program that tests need, which is installed where that can be done.
 *
 * @param packages - Those of Debian that have it.
 * @returns `undefined`: it is missing, and its tests are to be skipped.
 * @throws Error: it is missing, and the environment variable `CI` is `true`.
 */
export async function neededProgram(
  name: string,
  packages: readonly string[],
): Promise<string | undefined> {
  const find = () => inPath(name, OF_SERVERS)
  const known = find()
  if (known !== undefined) return known
  await installWithApt(name, packages).catch((error: unknown) => {
    console.warn(`${name} could not be installed: ${String(error)}`)
  })
  const found = find()
  if (found !== undefined) return found
  const missing = `these tests need ${name}: install it (Debian: apt-get install ${packages.join(' ')})`
  if (process.env['CI'] === 'true') throw new Error(missing)
  console.warn(`skipped: ${missing}`)
  return undefined
}
