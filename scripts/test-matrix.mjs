// Installs the packed tarball with its peers into an empty folder and runs scripts/smoke.mjs there on
// every supported line of Node, in Deno and in Bun. The binaries are the packages of the npm registry that
// `node`, `deno` and `bun` install too; taken by name they need no install script.
//
//   node scripts/test-matrix.mjs [22 24 deno ...]     default: all
import { execFile } from 'node:child_process'
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { root } from './build.mjs'
import { npm, pack } from './pack.mjs'

const run = promisify(execFile)
const { arch, platform } = process
const all = ['20', '22', '24', '26', 'deno', 'bun']

/** The package of a program for this machine, where its binary lies in there, and what it is told to run a file. */
function programOf(name) {
  const ending = platform === 'win32' ? '.exe' : ''
  if (name === 'bun') {
    const system = platform === 'win32' ? 'windows' : platform
    const cpu = arch === 'arm64' ? 'aarch64' : arch
    return { of: `@oven/bun-${system}-${cpu}@1`, binary: `bin/bun${ending}`, args: [] }
  }
  if (name === 'deno') {
    const abi = { linux: '-glibc', win32: '-msvc' }[platform] ?? ''
    return { of: `@deno/${platform}-${arch}${abi}@2`, binary: `deno${ending}`, args: ['run', '-A'] }
  }
  const prefix = platform === 'darwin' && arch === 'arm64' ? 'node-bin' : 'node'
  const of = `${prefix}-${platform === 'win32' ? 'win' : platform}-${arch}@${name}`
  return { of, binary: `bin/node${ending}`, args: [] }
}

const asked = process.argv.slice(2)
const wanted = asked.length > 0 ? asked : all
const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
const folder = await mkdtemp(join(tmpdir(), 'fragcache-matrix-'))
let passed = 0
try {
  const tarball = await pack(folder)
  await writeFile(join(folder, 'package.json'), '{ "private": true }\n')
  await copyFile(join(root, 'scripts', 'smoke.mjs'), join(folder, 'smoke.mjs'))
  const peers = Object.keys(manifest.peerDependencies)
    .filter((name) => name in manifest.devDependencies)
    .map((name) => `${name}@${manifest.devDependencies[name]}`)
  const programs = wanted.map((name) => `on-${name}@npm:${programOf(name).of}`)
  await npm(
    ['install', '--prefer-offline', '--ignore-scripts', tarball, ...peers, ...programs],
    folder,
  )
  for (const name of wanted) {
    const { binary, args } = programOf(name)
    const program = join(folder, 'node_modules', `on-${name}`, binary)
    try {
      const { stdout } = await run(program, [...args, 'smoke.mjs'], { cwd: folder })
      process.stdout.write(stdout)
      passed += 1
    } catch (error) {
      console.error(`${name}: ${error.stderr || error.message}`)
    }
  }
} catch (error) {
  console.error(error.message)
} finally {
  await rm(folder, { recursive: true, force: true })
}
console.log(`Runtimes: ${passed} passed, ${wanted.length - passed} failed`)
if (passed !== wanted.length) process.exitCode = 1
