import { describe } from 'vitest'
import { readCases, testFragmentCases } from '../conformance/fragment-suite.js'
import { etaDriver } from './eta-driver.js'

describe('the cases of every engine, in Eta', () => {
  testFragmentCases(etaDriver, readCases('eta'))
})
