import { createHash } from 'node:crypto'
import {
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** What was transpiled before, by any process of this checkout, named for what it was made of. */
const known = join(root, 'node_modules', '.cache', 'fragcache-bundle')

/** The sources as JavaScript, for processes of their own. */
export interface Bundle {
  /** Holds `src` and what it imports. */
  readonly folder: string
  remove(): Promise<void>
}

/**
 * Turns `src`, or more, into JavaScript in a temporary folder, file by file and without checking types, so
 * that a child process can import it without a build. Scripts and style sheets of pages are copied.
 */
export async function bundleSources(folders: readonly string[] = ['src']): Promise<Bundle> {
  const folder = await mkdtemp(join(tmpdir(), 'fragcache-bundle-'))
  const itself = { './package.json': './package.json' }
  const manifest = { name: 'fragcache', version: '0.0.0', type: 'module', exports: itself }
  await writeFile(join(folder, 'package.json'), JSON.stringify(manifest))
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'), 'dir')
  await mkdir(known, { recursive: true })
  const compiler = await readFile(join(root, 'node_modules/typescript/package.json'), 'utf8')
  for (const source of folders) {
    for (const path of await readdir(join(root, source), { recursive: true })) {
      if (!/\.(ts|js|css)$/.test(path)) continue
      const target = join(folder, source, path.replace(/\.ts$/, '.js'))
      await mkdir(dirname(target), { recursive: true })
      if (path.endsWith('.ts')) {
        const text = await readFile(join(root, source, path), 'utf8')
        await writeFile(target, await transpile(text, compiler))
      } else await copyFile(join(root, source, path), target)
    }
  }
  return { folder, remove: () => rm(folder, { recursive: true, force: true }) }
}

/** To load the compiler, and to run it cold, costs seconds in each process that does. */
async function transpile(text: string, compiler: string): Promise<string> {
  const hash = createHash('sha256').update(`${compiler}\0${text}`).digest('hex')
  const path = join(known, `${hash}.js`)
  const found = await readFile(path, 'utf8').catch(() => undefined)
  if (found !== undefined) return found
  const { default: ts } = await import('typescript')
  const { outputText } = ts.transpileModule(text, {
    compilerOptions: {
      target: ts.ScriptTarget.ES2023,
      module: ts.ModuleKind.ESNext,
      verbatimModuleSyntax: true,
    },
  })
  // Whole or not at all, for others that ask at the same time.
  const own = `${path}.${process.pid}`
  await writeFile(own, outputText)
  await rename(own, path)
  return outputText
}
