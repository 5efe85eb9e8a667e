// Draws which layer imports which into docs/architecture.md, from the imports that there are.
//
//   node scripts/layers.mjs             write the drawing
//   node scripts/layers.mjs --check     fail where it is not current
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { layers } from '../.dependency-cruiser.mjs'
import { root } from './build.mjs'

const page = join(root, 'docs', 'architecture.md')
const drawing = /(?<=^```mermaid\n)flowchart TD\n.*?(?=^```$)/ms

/** The layer a file belongs to; of the adapters, each folder is one. */
function layerOf(file) {
  const [top, name] = file.split('/')
  if (top === 'adapters') return `adapters/${name}`
  return layers.find(({ files }) => new RegExp(files).test(file)).name
}

/** Every import between two layers, of types too, as a pair of their names. */
async function importsBetweenLayers() {
  const tool = fileURLToPath(import.meta.resolve('dependency-cruiser'))
  const program = join(dirname(tool), '..', '..', 'bin', 'dependency-cruise.mjs')
  const args = [program, 'src', 'adapters', '--output-type', 'json']
  const options = { cwd: root, maxBuffer: 256 * 1024 * 1024 }
  const { stdout } = await promisify(execFile)(process.execPath, args, options)
  const { modules } = JSON.parse(stdout)
  const isOurs = (file) => /^(src|adapters)\//.test(file)
  return modules
    .filter(({ source }) => isOurs(source))
    .flatMap(({ source, dependencies }) =>
      dependencies
        .filter(({ resolved }) => isOurs(resolved))
        .map(({ resolved }) => [layerOf(source), layerOf(resolved)])
        .filter(([from, to]) => from !== to),
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

async function draw() {
  const imports = (await importsBetweenLayers()).map(String)
  const arrows = [...new Set(imports)].sort().map((arrow) => arrow.split(','))
  const drawn = [...new Set(arrows.flat())].sort()
  const id = (layer) => layer.replace('/', '_')
  return [
    'flowchart TD',
    ...drawn.map((layer) => `  ${id(layer)}["${layer}"]`),
    ...fewest(arrows).map(([from, to]) => `  ${id(from)} --> ${id(to)}`),
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
