/** Runs the suite against one mode, in a process of its own: its client keeps its state per process. */
import { pathToFileURL } from 'node:url'
import path from 'node:path'
import { startApp } from './app.mjs'
import { send } from './client.mjs'
import { startOrigin } from './origin.mjs'

/** @typedef {{ id: string, kind: 'required' | 'optimal' | 'check', passed: boolean, message: string }} Result */

/**
 * @param {{ suite: string, mode: string, ids?: string[], dump?: boolean }} options - `suite` is the
 *   folder of the suite; `ids` the tests to run, all if left out; `dump` shows every message.
 * @returns {Promise<Result[]>} One per test that concerns a shared cache in front of an origin.
 */
export async function runSuite({ suite, mode, ids, dump = false }) {
  const load = (file) => import(pathToFileURL(path.join(suite, file)).href)
  const tests = testsOf((await load('tests/index.mjs')).default)
  const chosen = ids === undefined ? tests : tests.filter(({ id }) => ids.includes(id))
  for (const id of ids ?? []) {
    if (!chosen.some((test) => test.id === id)) throw new Error(`the suite has no test ${id}`)
  }
  if (dump) for (const test of chosen) test.dump = true
  const { runTests, getResults } = await load('client/runner.mjs')

  const origin = await startOrigin(load)
  const app = await startApp(mode, origin)
  await runTests([{ tests: chosen }], send, false, `http://127.0.0.1:${app.address().port}`)
  app.close()
  origin.close()

  const results = getResults()
  return chosen.map(({ id, kind = 'required' }) => {
    const result = results[id]
    return { id, kind, passed: result === true, message: result === true ? '' : result.join(': ') }
  })
}

/** All that are neither for browsers nor for CDNs alone. */
function testsOf(groups) {
  return groups
    .flatMap(({ tests }) => tests)
    .filter((test) => test.browser_only !== true && test.cdn_only !== true)
}
