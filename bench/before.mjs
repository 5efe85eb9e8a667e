/**
 * Hits in local memory against those of another build, in one run:
 *
 *     BENCH_BEFORE=../fragcache-before npm run bench -- before
 *
 * `BENCH_BEFORE` is the folder of a checkout that is built. Left out, nothing is measured.
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { median, row } from './measure.mjs'

const TARGET = 1.02
/** How many processes of each build are started, in turns. */
const PAIRS = 15
const HITS = [
  'get',
  'getOrSet',
  'renderSync',
  '20 tags of Nunjucks',
  '20 tags of Handlebars',
  '20 tags of Eta',
  'page of Express',
]

export function run() {
  const folder = process.env.BENCH_BEFORE
  if (folder === undefined) return []
  return HITS.map((name) => {
    const pairs = Array.from({ length: PAIRS }, () => [measure(name, folder), measure(name)])
    // What slows the machine down for a while slows both of a pair.
    const ratio = median(pairs.map(([before, now]) => now / before))
    const [before, now] = [0, 1].map((which) => Math.min(...pairs.map((pair) => pair[which])))
    const detail = `quickest ${now.toFixed(0)} ns, before ${before.toFixed(0)} ns`
    return row(`hit in local memory, now / before: ${name}`, ratio, TARGET, detail)
  })
}

/** Nanoseconds of one hit, in a new process. */
function measure(name, ...folder) {
  const program = fileURLToPath(new URL('./before-process.mjs', import.meta.url))
  const { status, stdout } = spawnSync(
    process.execPath,
    ['--no-warnings', program, name, ...folder],
    { stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' },
  )
  if (status !== 0) throw new Error(`before: ${name} ended with ${status}`)
  return Number(stdout)
}
