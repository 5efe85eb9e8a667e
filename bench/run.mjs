/**
 * Runs the benchmarks: `npm run bench [-- PART…]`. Every figure is a ratio of two things measured
 * in the same run; `--check` exits with 1 if one is above its target.
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const PARTS = [
  'local-memory',
  'before',
  'invalidation',
  'watching',
  'pages',
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
]

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { check: { type: 'boolean', default: false }, part: { type: 'string' } },
})

if (values.part !== undefined) {
  const { run } = await import(`./${values.part}.mjs`)
  process.stdout.write(JSON.stringify(await run()))
} else {
  report(positionals.length === 0 ? PARTS : positionals)
}

/** Each part in a process of its own, so that none is measured with another's heap and code. */
function report(parts) {
  const rows = parts.flatMap((part) => {
    const child = spawnSync(
      process.execPath,
      ['--expose-gc', fileURLToPath(import.meta.url), '--part', part],
      { stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' },
    )
    if (child.status !== 0) throw new Error(`bench: ${part} ended with ${child.status}`)
    return JSON.parse(child.stdout)
  })
  const width = Math.max(...rows.map(({ name }) => name.length))
  console.log(`${'benchmark'.padEnd(width)}  ratio  target`)
  let missed = 0
  for (const { name, ratio, target, detail } of rows) {
    const verdict = target === undefined ? '' : ratio <= target ? 'ok' : 'MISSED'
    if (verdict === 'MISSED') missed++
    const goal = target === undefined ? '     -' : target.toFixed(2).padStart(6)
    console.log(
      `${name.padEnd(width)}  ${ratio.toFixed(2).padStart(5)}  ${goal}  ${verdict} ${detail}`,
    )
  }
  console.log(`Node ${process.version}, ${rows.length} benchmarks, ${missed} above target`)
  if (values.check && missed > 0) process.exitCode = 1
}
