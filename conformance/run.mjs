/**
 * Runs the public HTTP cache conformance suite against our middleware:
 * `npm run conformance [-- --mode MODE] [--id ID] [--listener] [--json] [--check] [--published]
 * [--suite DIR]`.
 *
 * `--listener` puts `pages.listener(app)` in the place of `cacheSite`.
 * `--published` runs the tests as they are on npm, without what has changed since; `--suite` those of
 * another copy, as they are.
 * `--check` compares with expected.json and exits with 1 at any difference.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { MODES } from './app.mjs'
import { runSuite } from './suite.mjs'

const SUITE = fileURLToPath(new URL('./node_modules/http-cache-tests', import.meta.url))

const { values } = parseArgs({
  options: {
    mode: { type: 'string' },
    id: { type: 'string', multiple: true },
    listener: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    check: { type: 'boolean', default: false },
    published: { type: 'boolean', default: false },
    suite: { type: 'string' },
    child: { type: 'boolean', default: false },
  },
})

if (values.mode !== undefined && !(values.mode in MODES)) {
  throw new Error(`--mode is one of ${Object.keys(MODES).join(', ')}, not ${values.mode}`)
}
if (values.child) await answerParent()
else process.exitCode = await main()

async function answerParent() {
  // The suite reports faults of its own on the standard output.
  if (values.id === undefined || values.check) console.log = () => undefined
  const { mode, listener, published, suite = SUITE, id: ids, check } = values
  const results = await runSuite({
    suite,
    amended: suite === SUITE && !published,
    mode,
    listener,
    ids,
    dump: ids !== undefined && !check,
  })
  process.send(results, () => process.exit())
}

async function main() {
  const modes = values.mode === undefined ? Object.keys(MODES) : [values.mode]
  const runs = await Promise.all(modes.map((mode) => inChild(mode, values.id)))
  const byMode = Object.fromEntries(modes.map((mode, i) => [mode, runs[i]]))
  if (values.json) {
    console.log(JSON.stringify(byMode, null, 2))
    return 0
  }
  if (values.check) return (await differences(byMode)) === 0 ? 0 : 1
  for (const mode of modes) show(mode, byMode[mode])
  return 0
}

async function inChild(mode, ids = []) {
  const args = ['--child', '--mode', mode]
  if (values.suite !== undefined) args.push('--suite', values.suite)
  for (const flag of ['check', 'listener', 'published']) if (values[flag]) args.push(`--${flag}`)
  const child = fork(fileURLToPath(import.meta.url), [
    ...args,
    ...ids.flatMap((id) => ['--id', id]),
  ])
  let results
  child.on('message', (message) => (results = message))
  const [code] = await once(child, 'exit')
  if (results === undefined) throw new Error(`conformance, ${mode}: ended with ${code}`)
  return results
}

function countsOf(results) {
  const counts = { required: { passed: 0, total: 0 }, optimal: { passed: 0, total: 0 } }
  for (const { kind, passed } of results) {
    if (kind === 'check') continue
    counts[kind].total++
    if (passed) counts[kind].passed++
  }
  return counts
}

function show(mode, results) {
  const counts = countsOf(results)
  console.log(`\n${mode}`)
  for (const kind of ['required', 'optimal']) {
    console.log(`  ${kind.padEnd(8)}  ${counts[kind].passed} of ${counts[kind].total}`)
  }
  for (const kind of ['required', 'optimal']) {
    const missed = results.filter((result) => result.kind === kind && !result.passed)
    if (missed.length === 0) continue
    console.log(`  ${kind}, not passed:`)
    for (const { id, message } of missed) console.log(`    ${id.padEnd(52)} ${message}`)
  }
}

/**
 * What is not as expected.json says, told on the standard output. What should pass and did not is run
 * once more, by itself: many tests have to be done within two seconds, and a busy machine is late.
 *
 * @returns {Promise<number>} How many.
 */
async function differences(byMode) {
  const expected = JSON.parse(readFileSync(new URL('./expected.json', import.meta.url), 'utf8'))
  let count = 0
  const tell = (text) => {
    count++
    console.log(`  ${text}`)
  }
  for (const [mode, results] of Object.entries(byMode)) {
    const { notPassed, least } = expected[mode]
    const late = results.filter(({ id, kind, passed }) => {
      return kind !== 'check' && !passed && !(id in notPassed)
    })
    if (late.length > 0) {
      const again = await inChild(
        mode,
        late.map(({ id }) => id),
      )
      for (const result of again) results[results.findIndex(({ id }) => id === result.id)] = result
    }
    const counts = countsOf(results)
    console.log(
      `${mode}: ${counts.required.passed} of ${counts.required.total} required, ` +
        `${counts.optimal.passed} of ${counts.optimal.total} optimal`,
    )
    for (const { id, kind, passed, message } of results) {
      if (kind === 'check') continue
      if (!passed && !(id in notPassed)) tell(`${id} (${kind}) does not pass: ${message}`)
      if (passed && id in notPassed) tell(`${id} passes: take it out of expected.json`)
    }
    for (const id of Object.keys(notPassed)) {
      if (!results.some((result) => result.id === id))
        tell(`expected.json names ${id}: no such test`)
    }
    for (const [kind, number] of Object.entries(least)) {
      if (counts[kind].passed < number) {
        tell(`${kind}: ${counts[kind].passed} passed, fewer than the ${number} of expected.json`)
      }
    }
  }
  return count
}
