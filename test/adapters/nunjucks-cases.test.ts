import { readCases, testFragmentCases } from '../conformance/fragment-suite.js'
import { nunjucksDriver } from './nunjucks-driver.js'

testFragmentCases(nunjucksDriver, readCases('nunjucks'), {
  stale: ['vary-filter-same-key', 'stale-hit', 'nested-inner-stale'],
  isolated: ['set-isolated'],
})
