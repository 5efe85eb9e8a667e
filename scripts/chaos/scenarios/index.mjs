import * as declared from './declared-while-made.mjs'
import * as duplicated from './duplicated-answers.mjs'
import * as hanging from './hanging-producers.mjs'
import * as counters from './lost-counters.mjs'
import * as joiners from './joiners.mjs'
import * as nested from './nested.mjs'
import * as oneMaker from './one-maker.mjs'
import * as removals from './removals.mjs'
import * as lateWriters from './late-writers.mjs'
import * as time from './back-in-time.mjs'

/** @type {Readonly<Record<string, import('../stage.mjs').Scenario>>} */
export const SCENARIOS = Object.fromEntries(
  [
    declared,
    oneMaker,
    nested,
    counters,
    joiners,
    removals,
    lateWriters,
    time,
    hanging,
    duplicated,
  ].flatMap(({ scenarios }) => Object.entries(scenarios)),
)
