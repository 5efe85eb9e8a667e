import type { WriteEntry, WriteOutcome } from './store.js'

/**
 * Writes entries each by itself.
 *
 * @param write - Writes one, and tells what became of it or what it failed with.
 * @throws The first failure, if none was written: then it is the store's and not the entry's.
 */
export function writeEach<Payload>(
  entries: readonly WriteEntry<Payload>[],
  write: (
    entry: WriteEntry<Payload>,
    done: (outcome: WriteOutcome) => void,
    failed: (error: unknown) => void,
  ) => void,
): Promise<WriteOutcome[]> {
  return new Promise((resolve, reject) => {
    const outcomes = new Array<WriteOutcome>(entries.length)
    const failures: unknown[] = []
    let left = entries.length
    if (left === 0) resolve(outcomes)
    const settle = () => {
      if (--left > 0) return
      if (failures.length > 0 && failures.length === entries.length) reject(failures[0])
      else resolve(outcomes)
    }
    entries.forEach((entry, i) => {
      const done = (outcome: WriteOutcome) => {
        outcomes[i] = outcome
        settle()
      }
      const failed = (error: unknown) => {
        failures.push(error)
        done('failed')
      }
      write(entry, done, failed)
    })
  })
}
