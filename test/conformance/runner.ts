import { checkKnown } from '../../src/check-known.js'

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

/**
 * Checks what a suite is told to leave out.
 *
 * @param known - The names that a difference may have.
 * @throws TypeError: one has no reason, or another name.
 */
export function checkDifferences(
  caller: string,
  differences: object,
  known: readonly string[],
): void {
  checkKnown(`${caller}: differences`, differences, known)
  for (const [difference, reason] of Object.entries(differences)) {
    if (typeof reason === 'string' && reason.trim() !== '') continue
    throw new TypeError(`${caller}: differences.${difference}: give the reason as text`)
  }
}
