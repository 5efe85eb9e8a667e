import type { WriteEntry, WriteOutcome } from './store.js'

type Write<Payload> = (
  entry: WriteEntry<Payload>,
  done: (outcome: WriteOutcome) => void,
  failed: (error: unknown) => void,
) => void

/**
 * Writes entries each by itself.
 *
 * @param write - Writes one, and tells what became of it or what it failed with.
 * @param isAnswer - Whether the store answers by this failure.
 * @throws The first failure, if none was written: then it is the store's and not the entry's.
 */
export function writeEach<Payload>(
  entries: readonly WriteEntry<Payload>[],
  write: Write<Payload>,
  isAnswer: (failure: unknown) => boolean,
): Promise<WriteOutcome[]> {
  const [only] = entries
  if (only !== undefined && entries.length === 1) {
    return new Promise((resolve, reject) => {
      write(only, (outcome) => resolve([outcome]), reject)
    })
  }
  return writeAll(entries, write, isAnswer)
}

async function writeAll<Payload>(
  entries: readonly WriteEntry<Payload>[],
  write: Write<Payload>,
  isAnswer: (failure: unknown) => boolean,
): Promise<WriteOutcome[]> {
  const failures: unknown[] = []
  const outcomes = await Promise.all(
    entries.map(
      (entry) =>
        new Promise<WriteOutcome>((resolve) => {
          write(entry, resolve, (error) => {
            failures.push(error)
            resolve(isAnswer(error) ? 'not_taken' : 'failed')
          })
        }),
    ),
  )
  if (failures.length > 0 && failures.length === entries.length) throw failures[0]
  return outcomes
}
