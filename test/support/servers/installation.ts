import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pack } from '../../../scripts/pack.mjs'
import { projectRoot, readManifest, succeed, type Manifest } from '../project.js'

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

/**
 * Packs this project and lets npm install the tarball in an empty one. The dependencies come from
 * this checkout's `node_modules` and npm works offline: a range that they do not satisfy, or a
 * dependency that is not declared, fails here as it would for a user.
 *
 * @returns The folder of that project.
 */
export async function installPackage(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fragcache-installed-'))
  try {
    await writeFile(join(folder, 'package.json'), '{ "private": true, "type": "module" }\n')
    const tarball = await pack(folder)
    const offline = ['--offline', '--install-links', '--ignore-scripts', '--no-audit', '--no-fund']
    const dependencies = installedDependencies(readManifest(projectRoot))
    await succeed('npm', ['install', ...offline, tarball, ...dependencies], folder)
    return folder
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    throw error
  }
}
