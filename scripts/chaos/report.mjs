/** What is printed of a run. */
import { historyAround } from './checker.mjs'
import { SCENARIOS } from './scenarios/index.mjs'

const COLUMNS = [
  ['store', 22],
  ['part', 9],
  ['reads', -8],
  ['invalidations', -13],
  ['failed', -6],
  ['faults', -6],
  ['violations', -10],
  ['worst staleness', -15],
]

/** How many violations of a row are shown with the history around them. */
const SHOWN = 2

export class Table {
  #hasHead = false
  #violations = 0
  #points = new Set()

  print({ store, part, verdict }) {
    if (!this.#hasHead) console.log(toLine(COLUMNS.map(([name]) => name)))
    this.#hasHead = true
    const { reads, promises, failures, faults, violations, worstMs } = verdict
    const worst = violations.length === 0 ? '-' : `${worstMs.toFixed(1)} ms`
    const counts = [reads, promises, failures, faults, violations.length]
    console.log(toLine([store, part, ...counts.map(String), worst]))
    this.#violations += violations.length
    for (const { event } of violations) this.#points.add(scenarioOf(event)?.point)
  }

  get violations() {
    return this.#violations
  }

  /** Which points of `plants.mjs` the scenarios found that failed. */
  get points() {
    return [...this.#points].filter(Boolean).sort((a, b) => a - b)
  }
}

function toLine(cells) {
  return cells
    .map((cell, i) => {
      const [, width] = COLUMNS[i]
      return width < 0 ? cell.padStart(-width) : cell.padEnd(width)
    })
    .join('  ')
}

/** How many violations there are of each kind, and the worst ones with the histories around them. */
export function* describeViolations({ verdict, events }) {
  const { violations } = verdict
  const counts = new Map()
  for (const { kind, event } of violations) {
    // Of an error, without where it came from.
    const [name] = `${kind}: ${titleOf(event)}`.split('\n', 1)
    counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  for (const [name, count] of [...counts].sort()) yield `  ${count} × ${name}`
  const [error] = violations.filter(({ text }) => text.includes('\n'))
  if (error !== undefined) yield `  ${error.text}`
  const worst = violations.toSorted((a, b) => b.staleMs - a.staleMs).slice(0, SHOWN)
  for (const violation of worst) {
    yield `  ${violation.text}`
    const originMs = (violation.promise ?? violation.event).begin
    for (const event of historyAround(violation, events)) {
      yield `    ${describeEvent(event, originMs)}`
    }
  }
}

function titleOf(event) {
  const { entry, text } = event
  if (entry === undefined) return text
  const scenario = scenarioOf(event)
  if (scenario === undefined) return entry.replace(/-[a-z]$/, '')
  return `(point ${scenario.point}) ${scenario.name}`
}

function scenarioOf({ entry = '' }) {
  const [, name] = /-of-(?:tiered-)?scenario-(.*)$/.exec(entry) ?? []
  return SCENARIOS[name]
}

function describeEvent({ kind, worker, begin, end, ...rest }, originMs) {
  const at = (ms) => `${ms < originMs ? '' : '+'}${(ms - originMs).toFixed(1)}`
  const span = `${at(begin)} to ${at(end)} ms, process ${worker}`
  switch (kind) {
    case 'read': {
      const parts = rest.parts.map(({ thing, number }) => `${thing} = ${number}`)
      return `${span}: ${rest.entry} gave ${parts.join(', ')}`
    }
    case 'promise': {
      const soft = rest.soft ? ' softly' : ''
      return `${span}: ${rest.handle} promised${soft} ${rest.thing} = ${rest.number}`
    }
    case 'failed':
      return `${span}: ${rest.handle ?? rest.entry} failed: ${rest.text}`
    default:
      return `${span}: ${[rest.name, rest.text].filter(Boolean).join(', ')}`
  }
}
