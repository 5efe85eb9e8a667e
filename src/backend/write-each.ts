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
export async function writeEach<Payload>(
  entries: readonly WriteEntry<Payload>[],
  write: Write<Payload>,
  isAnswer: (failure: unknown) => boolean,
): Promise<WriteOutcome[]> {
  const failures: unknown[] = []
  const outcomes = await new Promise<WriteOutcome[]>((resolve) => {
    const all: WriteOutcome[] = []
    let left = entries.length
    if (left === 0) resolve(all)
    entries.forEach((entry, i) => {
      const done = (outcome: WriteOutcome) => {
        all[i] = outcome
        if (--left === 0) resolve(all)
      }
      write(entry, done, (error) => {
        failures.push(error)
        done(isAnswer(error) ? 'not_taken' : 'failed')
      })
    })
  })
  if (failures.length > 0 && failures.length === entries.length) throw failures[0]
  return outcomes
}
