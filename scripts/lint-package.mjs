// Looks at the tarball as npm and TypeScript would: publint for the manifest and the files it names,
// attw for the types of every subpath.
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { root } from './build.mjs'
import { pack } from './pack.mjs'

const run = promisify(execFile)
const tools = [
  ['publint', 'src/cli.js', (tarball) => ['run', tarball, '--strict']],
  [
    '@arethetypeswrong/cli',
    'dist/index.js',
    (tarball) => [tarball, '--profile', 'esm-only', '--no-definitely-typed'],
  ],
]

const folder = await mkdtemp(join(tmpdir(), 'fragcache-lint-'))
try {
  const tarball = await pack(folder)
  for (const [name, entry, args] of tools) {
    const script = join(root, 'node_modules', name, entry)
    try {
      await run(process.execPath, [script, ...args(tarball)], { cwd: root })
      console.log(`${name}: nothing to complain about`)
    } catch (error) {
      console.error(`${error.stdout ?? ''}${error.stderr ?? ''}` || error.message)
      process.exitCode = 1
    }
  }
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
} finally {
  await rm(folder, { recursive: true, force: true })
}
