/** Runs the suite against one mode, in a process of its own: its client keeps its state per process. */
import { pathToFileURL } from 'node:url'
import path from 'node:path'
import { amend, interimFault } from './amendments.mjs'
import { startApp } from './app.mjs'
import { send } from './client.mjs'
import { startOrigin } from './origin.mjs'

/** @typedef {{ id: string, kind: 'required' | 'optimal' | 'check', passed: boolean, message: string }} Result */

/**
 * @param {{ suite: string, amended: boolean, mode: string, listener: boolean, ids?: string[], dump?: boolean }} options -
 *   `suite` is the folder of the suite; `amended` whether what has changed since 0.4.5 is applied;
 *   `listener` whether `listener` stands in for `cacheSite`; `ids` the tests to run, all if left out; `dump` shows every message.
 * @returns {Promise<Result[]>} One per test that concerns a shared cache in front of an origin.
 */
export async function runSuite({ suite, amended, mode, listener, ids, dump = false }) {
  const load = (file) => import(pathToFileURL(path.join(suite, file)).href)
  const published = testsOf((await load('tests/index.mjs')).default)
  const tests = amended ? amend(published) : published
  const chosen = ids === undefined ? tests : tests.filter(({ id }) => ids.includes(id))
  for (const id of ids ?? []) {
    if (!chosen.some((test) => test.id === id)) throw new Error(`the suite has no test ${id}`)
  }
  if (dump) for (const test of chosen) test.dump = true
  const { runTests, getResults } = await load('client/runner.mjs')

  const origin = await startOrigin(load, amended)
  const app = await startApp(mode, origin, listener)
  /** Test → request → its interim responses. */
  const interim = new Map(chosen.map(({ id }) => [id, []]))
  const fetch = async (url, init) => {
    const response = await send(url, init)
    const sent = new Map(init?.headers)
    if (sent.has('Test-ID')) {
      interim.get(sent.get('Test-ID'))[sent.get('Req-Num') - 1] = response.interimResponses
    }
    return response
  }
  await runTests([{ tests: chosen }], fetch, false, `http://127.0.0.1:${app.address().port}`)
  app.close()
  origin.close()

  const results = getResults()
  return chosen.map((test) => {
    const { id, kind = 'required' } = test
    const result = results[id]
    const message =
      result === true ? (interimFault(test, interim.get(id)) ?? '') : result.join(': ')
    return { id, kind, passed: message === '', message }
  })
}

/** All that are neither for browsers nor for CDNs alone. */
function testsOf(groups) {
  return groups
    .flatMap(({ tests }) => tests)
    .filter((test) => test.browser_only !== true && test.cdn_only !== true)
}
