/**
 * Many processes read and invalidate the same entries while their stores and they themselves are done
 * harm to; then a checker judges what they saw. See CONTRIBUTING.md, "Chaos".
 *
 *   npm run chaos -- [--short] [--store redis,files] [--seconds N] [--faults kill,flush] [--workers N]
 *     [--seed N] [--plant N]
 */
import { toPlan } from './chaos/arguments.mjs'
import { conduct } from './chaos/conductor.mjs'
import { startCrew } from './chaos/crew.mjs'
import { plant } from './chaos/plants.mjs'
import { describeViolations, Table } from './chaos/report.mjs'
import { startStore } from './chaos/stores.mjs'

let plan
let planted
try {
  plan = toPlan(process.argv.slice(2))
  planted = plan.plant === undefined ? undefined : plant(plan.plant)
} catch (error) {
  console.error(`chaos: ${error.message}`)
  process.exit(2)
}

const table = new Table()

function report(row) {
  table.print(row)
  for (const line of describeViolations(row)) console.log(line)
}

async function runAll(crew) {
  const { stores } = plan
  let next = startStore(stores[0])
  for (const [i, name] of stores.entries()) {
    const running = await next
    try {
      // The next servers start while the processes work.
      if (i + 1 < stores.length) next = startStore(stores[i + 1])
      next.catch(() => undefined)
      await conduct(name, plan, { crew, running, report })
    } finally {
      await running.stop()
    }
  }
}

let crew = []
try {
  crew = await startCrew(plan, planted === undefined ? {} : { CHAOS_DIST: planted.dist })
  await runAll(crew)
} finally {
  for (const worker of crew) await worker.end()
  planted?.remove()
}
const { violations, points } = table
const found = points.length === 0 ? '' : `, by scenarios of points ${points.join(', ')}`
console.log(`seed ${plan.seed}: ${violations} violations${found}`)
process.exitCode = violations === 0 ? 0 : 1
