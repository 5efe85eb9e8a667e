import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildPackage } from './servers.js'

export const projectRoot = fileURLToPath(new URL('../..', import.meta.url))

/** The parts of a package.json that are looked at here. */
export interface Manifest {
  readonly name: string
  readonly version: string
  readonly exports: Readonly<Record<string, string | { types: string; default: string }>>
  readonly bin: Readonly<Record<string, string>>
  readonly scripts: Readonly<Record<string, string>>
  readonly dependencies?: Readonly<Record<string, string>>
  readonly peerDependencies: Readonly<Record<string, string>>
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional?: boolean }>>
}

export function readManifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest
}

export interface Outcome {
  readonly code: number
  readonly out: string
  readonly error: string
}

/** Runs a program to its end; a failure is an outcome, not an exception. */
export function run(program: string, args: readonly string[], cwd: string): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(
      program,
      args,
      { cwd, maxBuffer: 64 * 1024 * 1024, shell: process.platform === 'win32' },
      (error, out, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1
        resolve({ code, out: out.trim(), error: stderr.trim() })
      },
    )
  })
}

async function succeed(program: string, args: readonly string[], cwd: string): Promise<string> {
  const { code, out, error } = await run(program, args, cwd)
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} failed:\n${out}\n${error}`)
  return out
}

/** The folders of the packages that installing `manifest` brings along, from this checkout's own. */
function installedDependencies(manifest: Manifest, found = new Set<string>()): Set<string> {
  for (const name of Object.keys(manifest.dependencies ?? {})) {
    const folder = join(projectRoot, 'node_modules', name)
    if (found.has(folder)) continue
    found.add(folder)
    installedDependencies(readManifest(folder), found)
  }
  return found
}

/** An empty project in which the packed tarball has been installed, and nothing else. */
export class Consumer {
  readonly folder: string

  private constructor(folder: string) {
    this.folder = folder
  }

  /**
   * Packs this project and lets npm install the tarball. The dependencies come from this checkout's
   * `node_modules` and npm works offline: a range that they do not satisfy, or a dependency that is
   * not declared, fails here as it would for a user.
   */
  static async install(): Promise<Consumer> {
    const folder = await mkdtemp(join(tmpdir(), 'fragcache-consumer-'))
    const consumer = new Consumer(folder)
    try {
      await writeFile(join(folder, 'package.json'), '{ "private": true, "type": "module" }\n')
      await buildPackage()
      const script = join(projectRoot, 'scripts', 'pack.mjs')
      const tarball = await succeed(process.execPath, [script, folder], projectRoot)
      const offline = [
        '--offline',
        '--install-links',
        '--ignore-scripts',
        '--no-audit',
        '--no-fund',
      ]
      const dependencies = installedDependencies(readManifest(projectRoot))
      await succeed('npm', ['install', ...offline, tarball, ...dependencies], folder)
      return consumer
    } catch (error) {
      await consumer.remove()
      throw error
    }
  }

  /** Where the installed package lies. */
  get installed(): string {
    return join(this.folder, 'node_modules', 'fragcache')
  }

  /** Makes a package of this checkout importable by the consumer too. */
  async link(name: string): Promise<void> {
    const target = join(this.folder, 'node_modules', name)
    await mkdir(dirname(target), { recursive: true })
    await symlink(join(projectRoot, 'node_modules', name), target, 'junction')
  }

  /** Runs a program that prints; `kind` decides whether it may `import` or `require`. */
  node(kind: 'module' | 'commonjs', code: string): Promise<Outcome> {
    return run(process.execPath, [`--input-type=${kind}`, '--eval', code], this.folder)
  }

  write(path: string, text: string): Promise<void> {
    return writeFile(join(this.folder, path), text)
  }

  remove(): Promise<void> {
    return rm(this.folder, { recursive: true, force: true })
  }
}
