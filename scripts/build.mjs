// Compiles src, adapters and the published conformance suite into dist/, and copies what adapters hand to
// browsers as it is.
//
//   node scripts/build.mjs              compile
//   node scripts/build.mjs --if-stale   compile unless dist/ was made from exactly these sources
//
// dist/ is replaced whole by a rename, so that a process reading it never finds half of it, and a file
// whose source is gone goes too.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

/** The project's folder. */
export const root = fileURLToPath(new URL('..', import.meta.url))

const dist = join(root, 'dist')
const state = join(root, 'node_modules', '.cache', 'fragcache-build')
const stamp = join(state, 'sources.sha256')
const lock = join(state, 'lock')

/** What is for browsers: scripts and style sheets beside the sources, not compiled. */
async function assetFiles() {
  const entries = await readdir(join(root, 'adapters'), { recursive: true })
  return entries
    .filter((entry) => /\.(js|css)$/.test(entry))
    .map((entry) => join('adapters', entry))
    .sort()
}

async function sourceFiles() {
  const files = [
    'tsconfig.json',
    'tsconfig.build.json',
    'package-lock.json',
    ...(await assetFiles()),
  ]
  for (const folder of ['src', 'adapters', 'test/conformance']) {
    if (!existsSync(join(root, folder))) continue
    for (const entry of await readdir(join(root, folder), { recursive: true })) {
      if (entry.endsWith('.ts')) files.push(join(folder, entry))
    }
  }
  return files.sort()
}

async function hashOfSources() {
  const hash = createHash('sha256')
  for (const file of await sourceFiles()) {
    hash.update(`${file}\0`).update(await readFile(join(root, file)))
  }
  return hash.digest('hex')
}

async function isFresh(hash) {
  if (!existsSync(join(dist, 'src', 'index.js'))) return false
  return (await readFile(stamp, 'utf8').catch(() => '')) === hash
}

/** Runs `work` while no other process of this checkout builds. */
async function alone(work) {
  await mkdir(state, { recursive: true })
  for (;;) {
    try {
      await mkdir(lock)
      break
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    }
    const held = await stat(lock).catch(() => undefined)
    // A build takes seconds: a lock of minutes ago was left by one that was killed.
    if (held !== undefined && Date.now() - held.mtimeMs > 180_000)
      await rm(lock, { recursive: true })
    else await sleep(200)
  }
  try {
    return await work()
  } finally {
    await rm(lock, { recursive: true, force: true })
  }
}

function compile(outDir) {
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const args = [tsc, '-p', 'tsconfig.build.json', '--outDir', outDir, '--pretty', 'false']
  return new Promise((resolve, reject) => {
    execFile(process.execPath, args, { cwd: root }, (error, stdout) => {
      if (error === null) resolve()
      else reject(new Error(`the build failed:\n${stdout || error.message}`))
    })
  })
}

async function copyAssets(outDir) {
  for (const file of await assetFiles()) {
    await mkdir(join(outDir, dirname(file)), { recursive: true })
    await copyFile(join(root, file), join(outDir, file))
  }
}

/**
 * Makes dist/ unless it is there and made from exactly these sources.
 *
 * @param {{ force?: boolean }} [options]
 */
export async function build({ force = false } = {}) {
  if (!force && (await isFresh(await hashOfSources()))) return
  await alone(async () => {
    const hash = await hashOfSources()
    if (!force && (await isFresh(hash))) return
    const fresh = join(root, `dist.${process.pid}.new`)
    const old = join(root, `dist.${process.pid}.old`)
    try {
      await compile(fresh)
      await copyAssets(fresh)
      if (existsSync(dist)) await rename(dist, old)
      await rename(fresh, dist)
      await writeFile(stamp, hash)
    } finally {
      await rm(fresh, { recursive: true, force: true })
      await rm(old, { recursive: true, force: true })
    }
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    await build({ force: !process.argv.includes('--if-stale') })
  } catch (error) {
    console.error(error.message)
    process.exitCode = 1
  }
}
