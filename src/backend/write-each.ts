import type { WriteEntry, WriteOutcome } from './store.js'

type Write<Payload> = (
  entry: WriteEntry<Payload>,
  done: (outcome: WriteOutcome) => void,
  failed: (error: unknown) => void,
) => void

/**
 * Writes entries each by itself.
 *
 * @param write - Writes one, and tells what became of it or what it failed with. Called for all before this returns.
 * @param isAnswer - Whether the store answers by this failure.
 * @throws The first failure, if none was written: then it is the store's and not the entry's.
 */
export function writeEach<Payload>(
  entries: readonly WriteEntry<Payload>[],
  write: Write<Payload>,
  isAnswer: (failure: unknown) => boolean,
): Promise<WriteOutcome[]> {
  return new Promise((resolve, reject) => {
    const failures: Error[] = []
    const outcomes: WriteOutcome[] = []
    let left = entries.length
    if (left === 0) resolve(outcomes)
    entries.forEach((entry, i) => {
      const done = (outcome: WriteOutcome) => {
        outcomes[i] = outcome
        if (--left > 0) return
        const [first] = failures
        if (first !== undefined && failures.length === entries.length) reject(first)
        else resolve(outcomes)
      }
      write(entry, done, (error) => {
        failures.push(error as Error)
        done(isAnswer(error) ? 'not_taken' : 'failed')
      })
    })
  })
}
