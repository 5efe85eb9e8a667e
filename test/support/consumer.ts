import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { projectRoot, run, type Outcome } from './project.js'
import { installedPackage } from './servers.js'

/** An empty project in which the packed tarball has been installed, and nothing else. */
export class Consumer {
  readonly folder: string

  private constructor(folder: string) {
    this.folder = folder
  }

  /** A copy of what npm installs from the tarball, which is packed once in a run. */
  static async install(): Promise<Consumer> {
    const folder = await mkdtemp(join(tmpdir(), 'fragcache-consumer-'))
    await cp(await installedPackage(), folder, { recursive: true, verbatimSymlinks: true })
    return new Consumer(folder)
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
