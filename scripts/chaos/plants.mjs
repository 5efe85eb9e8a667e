/**
 * Faults that were mended, put back into a copy of the built package, so that it can be shown that the
 * checker finds them. One more is an entry of `PLANTS`.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

/**
 * By point. `find` stands exactly once in the file, which is named from `dist`.
 *
 * @type {Readonly<Record<number, readonly { file: string, find: string, replace: string }[]>>}
 */
export const PLANTS = {}

/**
 * Makes a copy of the built package with a fault in it.
 *
 * @param {number} point
 * @returns {{ dist: string, remove(): void }} The URL of the copy.
 * @throws {Error} Nobody wrote down how, or the package is no longer as the patches expect.
 */
export function plant(point) {
  const patches = PLANTS[point]
  if (patches === undefined) throw new Error(`plants.mjs does not say how to plant ${point}`)
  const folder = mkdtempSync(join(tmpdir(), 'fragcache-chaos-plant-'))
  const remove = () => rmSync(folder, { recursive: true, force: true })
  try {
    const dist = join(folder, 'dist')
    cpSync(join(root, 'dist'), dist, { recursive: true })
    cpSync(join(root, 'package.json'), join(folder, 'package.json'))
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
    for (const { file, ...patch } of patches) {
      const path = join(dist, file)
      writeFileSync(path, patched(readFileSync(path, 'utf8'), patch))
    }
    return { dist: pathToFileURL(`${dist}/`).href, remove }
  } catch (error) {
    remove()
    throw error
  }
}

/**
 * @param {string} code
 * @param {{ find: string, replace: string }} patch
 * @throws {Error} It is not there exactly once.
 */
export function patched(code, { find, replace }) {
  const parts = code.split(find)
  if (parts.length === 2) return parts.join(replace)
  throw new Error(`a patch wants one of these, and there are ${parts.length - 1}: ${find}`)
}
