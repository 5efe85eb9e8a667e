import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** The sources as JavaScript, for processes of their own. */
export interface Bundle {
  /** Holds `src` and what it imports. */
  readonly folder: string
  remove(): Promise<void>
}

/**
 * Turns `src`, or more, into JavaScript in a temporary folder, file by file and without checking types, so
 * that a child process can import it without a build.
 */
export async function bundleSources(folders: readonly string[] = ['src']): Promise<Bundle> {
  const folder = await mkdtemp(join(tmpdir(), 'fragcache-bundle-'))
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'), 'dir')
  for (const source of folders) {
    for (const path of await readdir(join(root, source), { recursive: true })) {
      if (!path.endsWith('.ts')) continue
      const { outputText } = ts.transpileModule(await readFile(join(root, source, path), 'utf8'), {
        compilerOptions: {
          target: ts.ScriptTarget.ES2023,
          module: ts.ModuleKind.ESNext,
          verbatimModuleSyntax: true,
        },
      })
      const target = join(folder, source, path.replace(/\.ts$/, '.js'))
      await mkdir(dirname(target), { recursive: true })
      await writeFile(target, outputText)
    }
  }
  return { folder, remove: () => rm(folder, { recursive: true, force: true }) }
}
