import { DummyCache, LocMemCache } from '../../src/index.js'
import { cases } from './engine/cases.js'
import { FarCache } from './engine/far-cache.js'
import { check, withEngine, type Kind, type OpenStore } from './engine/run.js'
import { digests, together } from './engine/together.js'
import type { EngineCase, EngineDifferences, EngineUnderTest } from './engine/types.js'
import { checkDifferences, findRunner } from './runner.js'
import type { TestRunner } from './runner.js'

export type {
  EngineDifferences,
  EngineInstance,
  EngineSetup,
  EngineSyntax,
  EngineUnderTest,
} from './engine/types.js'

const DIFFERENCES: readonly (keyof EngineDifferences)[] = [
  'noSync',
  'noAsync',
  'oneByOne',
  'noCommas',
  'quotedNames',
  'ownSyntaxErrors',
  'noDigest',
  'noHoles',
]

/** A store, and a call by which templates are rendered over it. */
interface Way {
  readonly kind: Kind
  readonly name: string
  readonly store: OpenStore
}

/**
 * Defines the tests that the cache tag of every template engine has to pass, once for each way to render and
 * each store.
 *
 * @param name - The title of the tests, usually the name of the engine.
 * @param engine - How to set it up, how it writes things, and where it differs.
 * @param runner - `describe` and `it` of the test runner. Default: the global ones, as jest has them, else
 *   those of `node:test`.
 * @throws TypeError: a declared difference has no reason, or is unknown.
 */
export function testEngine(
  name: string,
  engine: EngineUnderTest,
  runner: TestRunner = findRunner(),
): void {
  const { differences = {} } = engine
  checkDifferences('testEngine', differences, DIFFERENCES)
  const ways = waysOf(engine)
  const { describe, it } = runner
  describe(name, () => {
    for (const [title, section] of Object.entries(cases)) {
      const able = section.filter(({ needs = [] }) =>
        needs.every((need) => differences[need] === undefined),
      )
      if (able.length === 0) continue
      describe(title, () => {
        for (const one of able) defineCase(engine, one, ways, runner)
      })
    }
    describe('renders at the same time', () => together(engine, it))
    if (differences.noDigest === undefined) describe('digests', () => digests(engine, ways, it))
  })
}

function waysOf({ differences = {}, stores = {} }: EngineUnderTest): Way[] {
  const kinds: Kind[] = []
  if (differences.noSync === undefined) kinds.push('sync')
  if (differences.noAsync === undefined) kinds.push('async')
  const near = kinds.map((kind): Way => {
    return { kind, name: `${kind}hronous over local memory`, store: () => new LocMemCache() }
  })
  if (differences.noAsync !== undefined) return near
  const far: Readonly<Record<string, OpenStore>> = {
    'an asynchronous store': () => new FarCache(),
    ...stores,
  }
  return [
    ...near,
    ...Object.entries(far).map(([name, store]): Way => ({
      kind: 'async',
      name: `asynchronous over ${name}`,
      store,
    })),
  ]
}

function defineCase(
  engine: EngineUnderTest,
  one: EngineCase,
  ways: readonly Way[],
  { it }: TestRunner,
): void {
  const { options = {}, renders } = one
  const setup = { templates: one.templates(engine.syntax), options }
  const define = ({ kind, name, store }: Way, isKept: boolean) => {
    it(`${one.name}, ${name}`, () =>
      withEngine(engine, store, setup, async (instance, caches) => {
        for (const render of renders) {
          if (isKept) await render.before?.(caches)
          const context = (render.context ?? one.context ?? (() => ({})))()
          await check(instance, kind, context, render, isKept)
        }
      }))
  }
  for (const way of ways) define(way, true)
  if (one.keptOnly === true || renders.some(({ error }) => error !== undefined)) return
  for (const kind of new Set(ways.map((way) => way.kind))) {
    const name = `the same where nothing is kept, ${kind}hronously`
    define({ kind, name, store: () => new DummyCache() }, false)
  }
  if (!ways.some(({ kind }) => kind === 'async')) return
  const down = () => Object.assign(new FarCache(), { isDown: true })
  define({ kind: 'async', name: 'the same over a store that is down', store: down }, false)
}
