// Installs the packed tarball with its peers into an empty folder and runs scripts/smoke.mjs there on
// every supported line of Node. The binaries are the `node-*` packages of the npm registry, which the
// package `node` installs too; taken by name they need no install script.
//
//   node scripts/test-matrix.mjs [22 24 ...]     default: every line
import { execFile } from 'node:child_process'
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { root } from './build.mjs'
import { npm, pack } from './pack.mjs'

const run = promisify(execFile)
const lines = ['20', '22', '24', '26']

function binaryPackage() {
  const { arch, platform } = process
  const prefix = platform === 'darwin' && arch === 'arm64' ? 'node-bin' : 'node'
  return `${prefix}-${platform === 'win32' ? 'win' : platform}-${arch}`
}

const asked = process.argv.slice(2)
const wanted = asked.length > 0 ? asked : lines
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
  const nodes = wanted.map((line) => `node-${line}@npm:${binaryPackage()}@${line}`)
  await npm(
    ['install', '--prefer-offline', '--ignore-scripts', tarball, ...peers, ...nodes],
    folder,
  )
  for (const line of wanted) {
    const home = join(folder, 'node_modules', `node-${line}`)
    const { bin } = JSON.parse(await readFile(join(home, 'package.json'), 'utf8'))
    try {
      const { stdout } = await run(join(home, bin.node), ['smoke.mjs'], { cwd: folder })
      process.stdout.write(stdout)
      passed += 1
    } catch (error) {
      console.error(`Node ${line}: ${error.stderr || error.message}`)
    }
  }
} catch (error) {
  console.error(error.message)
} finally {
  await rm(folder, { recursive: true, force: true })
}
console.log(`Node versions: ${passed} passed, ${wanted.length - passed} failed`)
if (passed !== wanted.length) process.exitCode = 1
