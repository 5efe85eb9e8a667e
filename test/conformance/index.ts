export { testBackend } from './backend-suite.js'
export type {
  BackendDifferences,
  BackendOutage,
  BackendUnderTest,
  SuiteSettings,
  VariantName,
} from './backend-suite.js'
export { testEngine } from './engine-suite.js'
export type {
  EngineDifferences,
  EngineInstance,
  EngineSetup,
  EngineSyntax,
  EngineUnderTest,
} from './engine-suite.js'
export type { TestRunner } from './runner.js'
export * from '../../adapters/testing/index.js'
