/**
 * Runs the benchmarks: `npm run bench [-- PART…]`. Every figure is a ratio of two things measured
 * in the same run; `--check` exits with 1 if one is above its target. `--goals` runs the parts that
 * have goals, shows these alone, and exits with 1 if one is missed.
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const PARTS = [
  'startup',
  'growth',
  'local-memory',
  'hit-ratio',
  'before',
  'invalidation',
  'watching',
  'inspector',
  'fragments',
  'includes',
  'parsers',
  'memory',
  'stalls',
  'express',
  'fields',
  'file-set',
  'redis',
  'memcached',
  'database',
  'tiered',
  'compression',
]

/** The parts whose rows have goals. */
const WITH_GOALS = [
  'startup',
  'growth',
  'local-memory',
  'hit-ratio',
  'fragments',
  'redis',
  'memcached',
  'database',
  'tiered',
  'file-set',
  'express',
  'compression',
  'inspector',
]

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    check: { type: 'boolean', default: false },
    goals: { type: 'boolean', default: false },
    part: { type: 'string' },
    case: { type: 'string' },
  },
})

if (values.part !== undefined) {
  const { run } = await import(`./${values.part}.mjs`)
  process.stdout.write(JSON.stringify(await run(values.case)))
} else {
  const all = values.goals ? WITH_GOALS : PARTS
  await report(positionals.length === 0 ? all : positionals)
}

/**
 * Each part, and each case of one that has several, in a process of its own, so that none is measured with
 * another's heap and code.
 */
async function report(parts) {
  const rows = []
  for (const part of parts) {
    const { cases = [undefined] } = await import(`./${part}.mjs`)
    for (const one of cases) rows.push(...measured(part, one))
  }
  print(values.goals ? rows.filter(({ goal }) => goal !== undefined).sort(byGoal) : rows)
}

function measured(part, one) {
  const chosen = one === undefined ? [] : ['--case', one]
  const child = spawnSync(
    process.execPath,
    ['--expose-gc', fileURLToPath(import.meta.url), '--part', part, ...chosen],
    { stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' },
  )
  if (child.status !== 0) throw new Error(`bench: ${part} ended with ${child.status}`)
  return JSON.parse(child.stdout)
}

/** Rows of one goal stay together, in the order of the goals' numbers. */
function byGoal(a, b) {
  return a.goal.localeCompare(b.goal, 'en', { numeric: true })
}

function print(rows) {
  const width = Math.max(...rows.map((one) => titleOf(one).length))
  console.log(`${'benchmark'.padEnd(width)}  ratio  target`)
  let missed = 0
  for (const one of rows) {
    const { ratio, target, spread, detail } = one
    const verdict = target === undefined ? '' : ratio <= target ? 'ok' : 'MISSED'
    if (verdict === 'MISSED') missed++
    const most = target === undefined ? '     -' : target.toFixed(2).padStart(6)
    const quartiles = spread === undefined ? '' : `${spread.map((x) => x.toFixed(2)).join('–')}; `
    console.log(
      `${titleOf(one).padEnd(width)}  ${ratio.toFixed(2).padStart(5)}  ${most}  ${verdict} ${quartiles}${detail}`,
    )
  }
  console.log(`Node ${process.version}, ${rows.length} benchmarks, ${missed} above target`)
  if ((values.check || values.goals) && missed > 0) process.exitCode = 1
}

function titleOf({ goal, name }) {
  return goal === undefined ? name : `${goal}: ${name}`
}
