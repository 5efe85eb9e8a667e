import { checkKnown } from '../../src/check-known.js'
import { batches } from './backend/batches.js'
import { counters } from './backend/counters.js'
import { describing } from './backend/describing.js'
import { entries } from './backend/entries.js'
import { Fixture, type Define, type Section } from './backend/fixture.js'
import { keepsNothing } from './backend/keeps-nothing.js'
import { keys, portableKeysOnly } from './backend/keys.js'
import { lifecycle } from './backend/lifecycle.js'
import { leases } from './backend/leases.js'
import { misuse } from './backend/misuse.js'
import { producers } from './backend/producers.js'
import { separation } from './backend/separation.js'
import { staleness } from './backend/staleness.js'
import { tags } from './backend/tags.js'
import { timeouts } from './backend/timeouts.js'
import type { BackendDifferences, BackendUnderTest, VariantName } from './backend/types.js'
import { sizes, values } from './backend/values.js'
import { checkDifferences, findRunner, type TestRunner } from './runner.js'

export type {
  BackendDifferences,
  BackendOutage,
  BackendUnderTest,
  SuiteSettings,
  VariantName,
} from './backend/types.js'
export type { TestRunner } from './runner.js'

/** How the same promises are tested under other settings. */
const VARIANTS: Readonly<Record<VariantName, Fixture['variant']>> = {
  plain: {},
  prefix: { keyPrefix: 'suite' },
  version: { version: 2 },
  keyFunction: {
    keyPrefix: 'suite',
    keyFunction: (key, keyPrefix, version) => `CUSTOM-${keyPrefix}-${version}-${key}`,
  },
}

const DIFFERENCES: readonly (keyof BackendDifferences)[] = [
  'keepsNothing',
  'wholeSecondClock',
  'portableKeysOnly',
  'refusesLargeValues',
]

const ALL_VARIANTS = Object.keys(VARIANTS) as VariantName[]

/**
 * Defines the tests that every backend has to pass: the whole low-level API as documented, once for each way
 * of making keys.
 *
 * @param name - The title of the tests, usually the name of the class.
 * @param backend - How to create caches over one empty store, and where the backend differs.
 * @param runner - `describe` and `it` of the test runner. Default: the global ones, as jest has them, else
 *   those of `node:test`.
 * @throws TypeError: a declared difference has no reason, or it or a variant is unknown.
 * @example
 * import { describe, it } from 'vitest'
 * import { testBackend } from 'fragcache/testing'
 *
 * let store = new Map()
 * testBackend(
 *   'MapCache',
 *   {
 *     reset: () => {
 *       store = new Map()
 *     },
 *     create: (settings) => new MapCache({ ...settings, options: { store } }),
 *   },
 *   { describe, it },
 * )
 */
export function testBackend(
  name: string,
  backend: BackendUnderTest,
  runner: TestRunner = findRunner(),
): void {
  const { differences = {}, variants = [] } = backend
  checkDifferences('testBackend', differences, DIFFERENCES)
  for (const variant of variants)
    checkKnown('testBackend: variants', { [variant]: true }, ALL_VARIANTS)
  runner.describe(name, () => {
    for (const variant of variantsOf(backend)) {
      runner.describe(variant, () => {
        for (const [title, section] of sectionsFor(backend)) {
          runner.describe(title, () => section(definerFor(backend, variant, runner)))
        }
      })
    }
  })
}

function sectionsFor({ differences = {}, outage, damage }: BackendUnderTest): [string, Section][] {
  const { keepsNothing: kept, portableKeysOnly: portable } = differences
  if (kept !== undefined) {
    return [
      ['misuse', misuse],
      [`keeps nothing: ${kept}`, keepsNothing],
    ]
  }
  return [
    ['entries', entries],
    ['values', values],
    ['sizes', sizes(differences)],
    ['timeouts', timeouts],
    ['counters', counters],
    ['batches', batches],
    ['getOrSet', producers],
    ['separation', separation],
    portable === undefined
      ? ['keys', keys]
      : [`takes portable keys only: ${portable}`, portableKeysOnly],
    ['tags', tags],
    ['staleness', staleness],
    ['describe', describing],
    ['leases', leases],
    ['misuse', misuse],
    ['lifecycle', lifecycle(outage, damage)],
  ]
}

function definerFor(backend: BackendUnderTest, variant: VariantName, runner: TestRunner): Define {
  const define: Define['waiting'] = (name, body) => {
    runner.it(name, async () => {
      await backend.reset()
      const fixture = new Fixture(backend, VARIANTS[variant])
      try {
        await body(fixture)
      } finally {
        await fixture.close()
        await backend.release?.()
      }
    })
  }
  // What the keys look like makes no difference to the time, and waiting really is slow.
  const waits = backend.advance !== undefined || variant === variantsOf(backend)[0]
  return Object.assign(define.bind(undefined), { waiting: waits ? define : () => undefined })
}

function variantsOf({ variants = ALL_VARIANTS }: BackendUnderTest): readonly VariantName[] {
  return variants
}
