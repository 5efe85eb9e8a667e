import { BaseSequencer, type TestSpecification } from 'vitest/node'

/**
 * Takes the files of the projects in turns, the slowest of each first: what mostly waits runs beside what
 * computes.
 */
export default class InTurns extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const turns = new Map<TestSpecification, number>()
    const counts = new Map<string, number>()
    for (const file of await super.sort(files)) {
      const turn = counts.get(file.project.name) ?? 0
      counts.set(file.project.name, turn + 1)
      turns.set(file, turn)
    }
    return Array.from(turns)
      .sort(([, a], [, b]) => a - b)
      .map(([file]) => file)
  }
}
