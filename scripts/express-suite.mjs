/**
 * Runs Express' own tests with the cache in front of every application, and says where that makes a
 * difference.
 *
 *   node scripts/express-suite.mjs CHECKOUT [--cache site|page] [--times once|twice]
 *
 * CHECKOUT is a work tree of expressjs/express with its dependencies installed. Each test runs as it is
 * (`once`), and with each GET and HEAD sent once before (`twice`), so that the test sees what comes out of
 * the cache; each with `cacheSite()` and with `cachePage(600)`. What fails with the cache and not without
 * is a difference; it is listed in express-suite/differences.mjs with a reason, or it is a fault and the
 * exit code is 1.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { reasonOf } from './express-suite/differences.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const preload = join(root, 'scripts', 'express-suite', 'preload.cjs')

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    cache: { type: 'string', multiple: true, default: ['site', 'page'] },
    times: { type: 'string', multiple: true, default: ['once', 'twice'] },
  },
})

const [given] = positionals
if (given === undefined) {
  throw new Error('name the checkout: node scripts/express-suite.mjs ../express')
}
const checkout = resolve(given)
const mocha = join(checkout, 'node_modules', '.bin', 'mocha')
if (!existsSync(mocha)) throw new Error(`${mocha} is missing: run npm install in ${checkout}`)
const { version } = JSON.parse(await readFile(join(checkout, 'package.json'), 'utf8'))

process.exitCode = (await main()) ? 0 : 1

async function main() {
  await promisify(execFile)(process.execPath, [join(root, 'scripts', 'build.mjs'), '--if-stale'])
  const found = []
  for (const times of values.times) {
    const plain = await run({ times })
    for (const cache of values.cache) {
      const cached = await run({ times, cache })
      const passing = [...plain].filter(([id, { passes }]) => {
        // They abort their own request, which is not there yet when the one before it comes.
        return passes && !(times === 'twice' && /\babort/.test(id))
      })
      const differing = passing.filter(([id]) => cached.get(id)?.passes !== true)
      for (const [id] of differing) {
        const message = cached.get(id)?.message ?? 'it did not run'
        found.push({ id, cache, times, message, reason: reasonOf(id, cache) })
      }
      console.log(
        `Express ${version}, ${cache}, ${times}: of ${passing.length} that pass without the cache ${differing.length} differ with it`,
      )
    }
  }
  for (const { id, cache, times, message, reason } of found) {
    console.log(`${reason === undefined ? 'NOT LISTED' : 'listed'} (${cache}, ${times}): ${id}`)
    console.log(`    ${reason ?? message}`)
  }
  return found.every(({ reason }) => reason !== undefined)
}

/** @returns Each test by its file and title, with a number where several have the same one. */
async function run({ times, cache = '' }) {
  const folder = await mkdtemp(join(tmpdir(), 'express-suite-'))
  const output = join(folder, 'results.json')
  const args = [
    mocha,
    ...['--require', 'test/support/env', '--require', preload],
    ...['--reporter', join(root, 'scripts', 'express-suite', 'reporter.cjs')],
    ...['--exit', 'test/', 'test/acceptance/'],
  ]
  const env = {
    ...process.env,
    EXPRESS_SUITE_CACHE: cache,
    EXPRESS_SUITE_TWICE: times === 'twice' ? '1' : '',
    EXPRESS_SUITE_FRAGCACHE: join(root, 'dist'),
    EXPRESS_SUITE_RESULTS: output,
  }
  const errors = await new Promise((done) => {
    // Its exit code is the number of tests that failed.
    execFile(process.execPath, args, { cwd: checkout, env, maxBuffer: 1e9 }, (_error, _out, text) =>
      done(text),
    )
  })
  try {
    const tests = JSON.parse(await readFile(output, 'utf8'))
    const results = new Map()
    for (const { file, title, message } of tests) {
      const name = `${file.slice(join(checkout, 'test').length + 1)}: ${title}`
      let id = name
      for (let i = 2; results.has(id); i++) id = `${name} (${i})`
      results.set(id, { passes: message === undefined, message })
    }
    return results
  } catch (error) {
    throw new Error(`mocha gave no results: ${errors}`, { cause: error })
  } finally {
    await rm(folder, { recursive: true })
  }
}
