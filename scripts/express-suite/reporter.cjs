/** A reporter of mocha, of any version: writes each test's result into the file EXPRESS_SUITE_RESULTS. */
'use strict'

const { writeFileSync } = require('node:fs')

module.exports = function reporter(runner) {
  const results = []
  const keep = (test, error) => {
    results.push({ file: test.file, title: test.fullTitle(), message: error?.message })
  }
  runner.on('pass', (test) => keep(test))
  runner.on('fail', (test, error) => keep(test, error))
  runner.on('end', () => writeFileSync(process.env.EXPRESS_SUITE_RESULTS, JSON.stringify(results)))
}
