// Packs the built project as it would be published.
//
//   node scripts/pack.mjs FOLDER     prints the path of the tarball
import { execFile } from 'node:child_process'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { fileURLToPath } from 'node:url'
import { build, root } from './build.mjs'

const run = promisify(execFile)

/** Runs npm in `cwd`, quietly; a failure carries what npm printed. */
export async function npm(args, cwd) {
  const quiet = ['--loglevel=error', '--no-audit', '--no-fund', '--no-update-notifier']
  const options = { cwd, maxBuffer: 64 * 1024 * 1024, shell: process.platform === 'win32' }
  const { stdout } = await run('npm', [...args, ...quiet], options)
  return stdout
}

/**
 * @param {string} folder - Where the tarball goes.
 * @returns {Promise<string>} its path
 */
export async function pack(folder) {
  await build()
  // The build has just been made: `prepack` would make it again.
  const args = ['pack', '--ignore-scripts', '--json', '--pack-destination', resolve(folder)]
  const [{ filename }] = JSON.parse(await npm(args, root))
  return join(resolve(folder), filename)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const folder = process.argv[2]
  try {
    if (folder === undefined) throw new Error('usage: node scripts/pack.mjs FOLDER')
    console.log(await pack(folder))
  } catch (error) {
    console.error(error.message)
    process.exitCode = 1
  }
}
