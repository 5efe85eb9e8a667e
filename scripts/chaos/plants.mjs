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
 * By point. `find` stands exactly once in the file, which is named from `dist/modules`. All of them show over
 * Redis, but for 1 (`--store sqlite`) and 10 (`--store memcached`).
 *
 * @type {Readonly<Record<number, readonly { file: string, find: string, replace: string }[]>>}
 */
export const PLANTS = {
  // Whoever answers at once is taken for the only process.
  1: [
    {
      file: 'src/backends/database.js',
      find: 'this.answersAtOnce = store.answersAtOnce;',
      replace: `
        this.answersAtOnce = store.answersAtOnce;
        this.isShared = !this.answersAtOnce;`,
    },
    {
      file: 'src/making/dependencies.js',
      find: 'cache.entries.versionsSince(unread, begunTime)',
      replace:
        'cache.answersAtOnce ? cache.entries.currentVersions(unread) : cache.entries.versionsSince(unread, begunTime)',
    },
  ],

  // A counter that is not there counts as one that was never invalidated.
  2: [
    {
      file: 'src/tags.js',
      find: 'if (now === version)',
      replace: 'if (now === version || now === undefined)',
    },
  ],

  // What is declared without waiting gets the versions that are there in the end.
  3: [
    {
      file: 'src/making/dependencies.js',
      find: 'cache.entries.versionsSince(unread, begunTime)',
      replace: 'cache.entries.currentVersions(unread)',
    },
  ],

  // The versions of the tags that a page's function gives are read after the handler.
  4: [
    {
      file: 'src/pages/page-store.js',
      find: 'versions: NO_VERSIONS,',
      replace: `versions: await cache.entries.currentVersions(
        [...(page.frame.tags ?? [])].flatMap(([tag, version]) => version === undefined ? [tag] : []),
    ),`,
    },
  ],

  // Who waited for another is given what that one made, whatever was invalidated before.
  5: [
    {
      file: 'src/backend/core.js',
      find: 'if (found === undefined)\n                return true;',
      replace: 'return true;',
    },
    {
      file: 'adapters/node/carry-out.js',
      find: 'return now.page !== undefined && isSame(now.page, page) ? made : undefined;',
      replace: 'return made;',
    },
  ],

  // What was removed while it was made is stored all the same.
  6: [
    {
      file: 'src/backend/write-requests.js',
      find: '{ key, payload, expiresAtMs, ifAbsent, replacing }',
      replace: '{ key, payload, expiresAtMs, ifAbsent: true, replacing }',
    },
    {
      file: 'src/pages/page-writes.js',
      find: 'return current !== undefined && current.generation === seen.generation;',
      replace: 'return true;',
    },
  ],

  // Who ends last overwrites what lies there.
  7: [
    {
      file: 'src/backend/write-requests.js',
      find: '{ key, payload, expiresAtMs, ifAbsent, replacing }',
      replace: '{ key, payload, expiresAtMs, ifAbsent }',
    },
    {
      file: 'src/pages/page-writes.js',
      find: 'return payload === undefined ? { ifAbsent: true } : { replacing: payload };',
      replace: 'return {};',
    },
  ],

  // Each server is taken for the one that the entries were stored on.
  8: [
    {
      file: 'src/backends/redis/same-server.js',
      find: 'const areOthers = ',
      replace: 'const areOthers = false && ',
    },
  ],

  // Another one's producer is waited for without end.
  9: [
    {
      file: 'src/time-limit.js',
      find: 'if (limitMs === Infinity)',
      replace: 'if (limitMs > 0)',
    },
  ],

  // Answers are given to whoever is next, whatever they are to.
  10: [
    {
      file: 'src/backends/memcached/text.js',
      find: 'if (!dialect.isAnswerTo(this.#answered, frame))',
      replace: 'if (false)',
    },
  ],
}

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
    cpSync(join(root, 'dist', 'modules'), dist, { recursive: true })
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
