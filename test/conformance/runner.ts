/** `describe` and `it` as vitest, jest, mocha and `node:test` have them. */
export interface TestRunner {
  /** Like `describe` of `node:test`. */
  readonly describe: (name: string, body: () => void) => void
  /** Like `it` of `node:test`. */
  readonly it: (name: string, body: () => Promise<void>) => void
}

/** The global ones, as jest has them, else those of `node:test`. */
export function findRunner(): TestRunner {
  const { describe, it } = globalThis as Partial<TestRunner>
  if (typeof describe === 'function' && typeof it === 'function') return { describe, it }
  const runner = process.getBuiltinModule('node:test')
  return {
    describe: (name, body) => void runner.describe(name, body),
    it: (name, body) => void runner.it(name, body),
  }
}
