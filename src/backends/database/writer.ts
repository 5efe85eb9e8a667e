import type { WriteOutcome } from '../../backend/store.js'
import { currentMs } from '../../current-time.js'
import { chain, type MaybePromise } from '../../maybe-promise.js'
import type { Answer } from './driver.js'
import { isTooLarge } from './failures.js'
import { inFitting } from './fitting.js'
import { inTurn, rescue } from './in-turn.js'
import type { Run } from './removal.js'
import { byKey, toParameters, type WriteRow } from './row.js'
import type { Statements } from './statements.js'

/** What became of written rows. */
export interface Written {
  readonly outcomes: readonly WriteOutcome[]
  /** How many were not there before, or all where the dialect does not tell. */
  readonly inserted: number
}

const TOO_LARGE: Written = { outcomes: ['too_large'], inserted: 0 }

/** Rows that go in batches, and rows that go one by one. */
export interface RowParts {
  readonly batches: readonly (readonly WriteRow[])[]
  readonly singles: readonly WriteRow[]
}

/** Writes to a table: what the dialects have in common, and what each does in a way of its own. */
export abstract class Writer<Own extends Statements = Statements> {
  constructor(
    readonly statements: Own,
    protected readonly run: Run,
    protected readonly owner: string,
  ) {}

  /**
   * Writes rows of different keys.
   *
   * @param dueMs - As a driver's, here and below.
   */
  abstract write(rows: readonly WriteRow[], dueMs: number): MaybePromise<Written>

  /**
   * How many of some plainly written rows were not there before, at most.
   *
   * @param told - Whether the statement was to tell.
   */
  abstract insertedOf(answer: Answer, rows: number, told: boolean): number

  /** The number that an entry was counted to; `undefined` if none could be counted on. */
  abstract numberOf(answer: Answer): number | undefined

  /**
   * Removes what is live, and what has expired: by the clock of another process, or by this one's when it is set back,
   * it may be live.
   *
   * @param keys - Of which none comes twice.
   * @returns Which keys were live.
   */
  abstract remove(keys: readonly string[], dueMs: number): MaybePromise<ReadonlySet<string>>

  /** Whether a statement about one row found it. */
  abstract found(answer: Answer): boolean

  /** @returns The new number; `undefined` if no entry could be counted on. */
  increment(
    key: string,
    delta: number,
    least: number,
    most: number,
    dueMs: number,
  ): MaybePromise<number | undefined> {
    const parameters = [delta, key, currentMs(), least, most]
    return chain(this.run(this.statements.increment, parameters, dueMs), (answer) =>
      this.numberOf(answer),
    )
  }

  /** Writes batches and then single rows; what is in neither of them is too large. */
  protected writeParts(
    rows: readonly WriteRow[],
    { batches, singles }: RowParts,
    writeBatch: (batch: readonly WriteRow[]) => MaybePromise<Written>,
    writeSingle: (row: WriteRow) => MaybePromise<Written>,
  ): MaybePromise<Written> {
    const outcomes = new Map<WriteRow, WriteOutcome>()
    let inserted = 0
    const note = (some: readonly WriteRow[]) => (written: Written) => {
      some.forEach((row, i) => outcomes.set(row, written.outcomes[i] ?? 'failed'))
      inserted += written.inserted
    }
    return chain(
      inTurn(batches, (batch) => chain(writeBatch(batch), note(batch))),
      () =>
        chain(
          inTurn([...singles].sort(byKey), (row) => chain(writeSingle(row), note([row]))),
          () => ({ outcomes: rows.map((row) => outcomes.get(row) ?? 'too_large'), inserted }),
        ),
    )
  }

  /** Writes rows. A row that is too large is reported as that row. */
  protected writeFitting(
    rows: readonly WriteRow[],
    write: (some: readonly WriteRow[]) => MaybePromise<Written>,
  ): MaybePromise<Written> {
    const orTooLarge = (some: readonly WriteRow[]) =>
      rescue<Written>(
        () => write(some),
        (error) => {
          if (some.length === 1 && isTooLarge(error)) return TOO_LARGE
          throw error
        },
      )
    return chain(inFitting(rows, orTooLarge), (written) => ({
      outcomes: written.flatMap(({ outcomes }) => outcomes),
      inserted: written.reduce((sum, { inserted }) => sum + inserted, 0),
    }))
  }

  protected insertAll(rows: readonly WriteRow[], dueMs: number): MaybePromise<Written> {
    const [only] = rows
    const parameters =
      rows.length === 1 && only !== undefined
        ? toParameters(only, this.owner)
        : rows.flatMap((row) => toParameters(row, this.owner))
    const statement = this.statements.write(rows.length, true)
    return chain(this.run(statement, parameters, dueMs), (answer) => ({
      outcomes: rows.map(() => 'stored' as const),
      inserted: this.insertedOf(answer, rows.length, true),
    }))
  }

  protected replace(
    { key, value, number, expires, replacing }: WriteRow,
    dueMs: number,
  ): MaybePromise<Written> {
    const column = replacing?.number === null ? 'value' : 'number'
    const old = replacing?.[column] ?? null
    const parameters = [value, number, expires, this.owner, key, currentMs(), old]
    return chain(this.run(this.statements.replace(column), parameters, dueMs), (answer) => ({
      outcomes: [this.found(answer) ? 'stored' : 'refused'],
      inserted: 0,
    }))
  }
}
