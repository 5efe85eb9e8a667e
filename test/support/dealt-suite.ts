import { describe, it } from 'vitest'
import { testBackend, type BackendUnderTest } from '../conformance/backend-suite.js'

type Test = () => Promise<void>

/**
 * Defines those conformance tests that let time pass, for a backend whose store has a real clock: they
 * are dealt out to several stores that nobody else uses, and run at the same time, since all they do
 * is wait. All others depend on no clock and are for a suite with `advance`.
 *
 * @param backends - One for each store.
 */
export function testInRealTime(name: string, backends: readonly BackendUnderTest[]): void {
  describe(name, () => {
    for (const [own, backend] of backends.entries()) {
      describe.concurrent(`store ${own + 1} of ${backends.length}`, () => {
        for (const [i, [title, body]] of waitingTests(backend).entries()) {
          if (i % backends.length === own) it(title, { concurrent: false }, body)
        }
      })
    }
  })
}

/** With a real clock, tests that wait are defined for the first variant only. */
function waitingTests(backend: BackendUnderTest): readonly (readonly [string, Test])[] {
  const defined: [string, Test][] = []
  const path: string[] = []
  testBackend('', Object.assign({}, backend, { variants: ['plain', 'prefix'] }), {
    describe: (title, body) => {
      path.push(title)
      body()
      path.pop()
    },
    it: (title, body) => defined.push([[...path, title].join(' > '), body]),
  })
  const names = new Set(defined.map(([title]) => title))
  return defined.filter(
    ([title]) => title.startsWith(' > plain') && !names.has(title.replace(' > plain', ' > prefix')),
  )
}
