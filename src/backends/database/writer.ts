import type { WriteOutcome } from '../../backend/store.js'
import type { MaybePromise } from '../../maybe-promise.js'
import type { Answer } from './driver.js'
import type { WriteRow } from './row.js'
import type { Statements } from './statements.js'

/** What became of written rows. */
export interface Written {
  readonly outcomes: readonly WriteOutcome[]
  /** How many were not there before, or all where the dialect does not tell. */
  readonly inserted: number
}

/** What the dialects do in different ways. */
export interface Writer {
  readonly statements: Statements
  /**
   * Writes rows of different keys.
   *
   * @param dueMs - As a driver's, here and below.
   */
  write(rows: readonly WriteRow[], dueMs: number): MaybePromise<Written>
  /**
   * How many of some plainly written rows were not there before, at most.
   *
   * @param told - Whether the statement was to tell.
   */
  insertedOf(answer: Answer, rows: number, told: boolean): number
  /** @returns The new number; `undefined` if no entry could be counted on. */
  increment(
    key: string,
    delta: number,
    least: number,
    most: number,
    dueMs: number,
  ): MaybePromise<number | undefined>
  /** @returns Which keys were live. */
  removeMany(keys: readonly string[], dueMs: number): MaybePromise<ReadonlySet<string>>
  /** Whether a statement about one row found it. */
  found(answer: Answer): boolean
}
