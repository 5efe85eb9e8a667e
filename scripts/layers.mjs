// Draws which layer imports which into docs/architecture.md, from the imports that there are.
//
//   node scripts/layers.mjs             write the drawing
//   node scripts/layers.mjs --check     fail where it is not current
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { leaves } from '../.dependency-cruiser.mjs'
import { root } from './build.mjs'

const page = join(root, 'docs', 'architecture.md')
const drawing = /(?<=^```mermaid\n)flowchart TD\n.*?(?=^```$)/ms

const leaf = new RegExp(`^src/(${leaves})[.]ts$`)

/** The layer a file belongs to: its folder, or for files of src itself the core or the leaves. */
function layerOf(file, folders) {
  const [top, name] = file.split('/')
  if (top === 'adapters') return `adapters/${name}`
  if (leaf.test(file)) return 'leaves'
  const folder = name.replace(/\.ts$/, '')
  return folders.has(folder) || folder === 'index' ? `src/${folder}` : 'core'
}

/** Every import between two layers, and whether it is of types alone. */
async function importsBetweenLayers() {
  const tool = fileURLToPath(import.meta.resolve('dependency-cruiser'))
  const program = join(dirname(tool), '..', '..', 'bin', 'dependency-cruise.mjs')
  const args = [program, 'src', 'adapters', '--output-type', 'json']
  const options = { cwd: root, maxBuffer: 256 * 1024 * 1024 }
  const { stdout } = await promisify(execFile)(process.execPath, args, options)
  const { modules } = JSON.parse(stdout)
  const ours = modules.filter(({ source }) => /^(src|adapters)\//.test(source))
  const folders = new Set(ours.flatMap(({ source }) => /^src\/([^/]+)\//.exec(source)?.[1] ?? []))
  return ours.flatMap(({ source, dependencies }) =>
    dependencies
      .filter(({ resolved }) => /^(src|adapters)\//.test(resolved))
      .map(({ resolved, dependencyTypes }) => ({
        from: layerOf(source, folders),
        to: layerOf(resolved, folders),
        isOfTypes: dependencyTypes.includes('type-only'),
      }))
      .filter(({ from, to }) => from !== to),
  )
}

/** Whether `to` can be reached from `from` by `arrows`, other than by the one from `from` to `to`. */
function isReachable(from, to, arrows) {
  const seen = new Set([from])
  for (const at of seen) {
    for (const [start, end] of arrows) {
      if (start !== at || (at === from && end === to)) continue
      if (end === to) return true
      seen.add(end)
    }
  }
  return false
}

/** Arrows without those that others imply. */
function fewest(arrows) {
  let kept = arrows
  for (const arrow of arrows) {
    if (isReachable(...arrow, kept)) kept = kept.filter((one) => one !== arrow)
  }
  return kept
}

const unique = (pairs) => [...new Set(pairs.map(String))].sort().map((pair) => pair.split(','))

async function draw() {
  const imports = await importsBetweenLayers()
  const pairs = (some) => unique(some.map(({ from, to }) => [from, to]))
  const code = pairs(imports.filter(({ isOfTypes }) => !isOfTypes))
  const types = pairs(imports.filter(({ isOfTypes }) => isOfTypes)).filter(
    ([from, to]) => !code.some((one) => String(one) === String([from, to])),
  )
  const layers = [...new Set(imports.flatMap(({ from, to }) => [from, to]))].sort()
  const id = (layer) => layer.replace('/', '_')
  return [
    'flowchart TD',
    ...layers.map((layer) => `  ${id(layer)}["${layer}"]`),
    ...fewest(code).map(([from, to]) => `  ${id(from)} --> ${id(to)}`),
    ...types
      .filter(([from, to]) => !isReachable(from, to, code))
      .map(([from, to]) => `  ${id(from)} -.-> ${id(to)}`),
    '',
  ].join('\n')
}

const text = await readFile(page, 'utf8')
if (!drawing.test(text)) throw new Error(`${page} has no drawing to replace`)
const current = text.replace(drawing, await draw())
if (!process.argv.includes('--check')) await writeFile(page, current)
else if (current !== text) {
  console.error('the drawing in docs/architecture.md is not current: npm run docs:layers')
  process.exitCode = 1
}
