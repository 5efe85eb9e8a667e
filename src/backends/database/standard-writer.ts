import type { WriteOutcome } from '../../backend/store.js'
import { chain, type MaybePromise } from '../../maybe-promise.js'
import { keyOf, type Run } from './removal.js'
import type { Answer, Parameter } from './driver.js'
import { isTooLarge } from './failures.js'
import { inTurn, rescue, split } from './in-turn.js'
import { toParameters, type WriteRow } from './row.js'
import type { StandardStatements } from './standard-statements.js'
import { COLUMN_COUNT } from './statements.js'
import type { Writer, Written } from './writer.js'

/** Parameters that a statement may have, less some for conditions. */
const MOST_PARAMETERS = { sqlite: 32_000, postgresql: 65_000 }

/** Writes to PostgreSQL and SQLite. */
export class StandardWriter implements Writer {
  readonly #most: number

  constructor(
    readonly statements: StandardStatements,
    private readonly run: Run,
    private readonly owner: string,
  ) {
    this.#most = MOST_PARAMETERS[statements.dialect]
  }

  write(rows: readonly WriteRow[], dueMs: number): MaybePromise<Written> {
    if (rows.length === 1 && !isConditional(rows[0])) return this.#insert(rows, dueMs)
    const updates = rows.filter(isUpdate)
    const inserts = rows.filter((row) => !isUpdate(row)).sort(byKey)
    // A row with conditions has up to four parameters more.
    const chunks = split(inserts, Math.floor(this.#most / (COLUMN_COUNT + 4)))
    const outcomes = new Map<WriteRow, WriteOutcome>()
    let inserted = 0
    const note = (some: readonly WriteRow[]) => (written: Written) => {
      some.forEach((row, i) => outcomes.set(row, written.outcomes[i] ?? 'failed'))
      inserted += written.inserted
    }
    return chain(
      inTurn(chunks, (chunk) => chain(this.#insert(chunk, dueMs), note(chunk))),
      () =>
        chain(
          inTurn(updates.sort(byKey), (row) => chain(this.#replace(row, dueMs), note([row]))),
          () => ({ outcomes: rows.map((row) => outcomes.get(row) ?? 'failed'), inserted }),
        ),
    )
  }

  #insert(rows: readonly WriteRow[], dueMs: number): MaybePromise<Written> {
    return rescue(
      () => (rows.some(isConditional) ? this.#insertIf(rows, dueMs) : this.#insertAll(rows, dueMs)),
      (error) => this.#insertLess(rows, error, dueMs),
    )
  }

  /** What is too large is told of the row that it is. */
  #insertLess(rows: readonly WriteRow[], error: unknown, dueMs: number): MaybePromise<Written> {
    if (!isTooLarge(error)) throw error
    if (rows.length === 1) return { outcomes: ['too_large'], inserted: 0 }
    return chain(
      inTurn(split(rows, Math.ceil(rows.length / 2)), (half) => this.#insert(half, dueMs)),
      (halves) => ({
        outcomes: halves.flatMap(({ outcomes }) => outcomes),
        inserted: halves.reduce((sum, { inserted }) => sum + inserted, 0),
      }),
    )
  }

  #insertAll(rows: readonly WriteRow[], dueMs: number): MaybePromise<Written> {
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

  #insertIf(rows: readonly WriteRow[], dueMs: number): MaybePromise<Written> {
    const conditional = rows.filter(isConditional)
    const bytes: Parameter[] = []
    const numbers: Parameter[] = []
    for (const { key, replacing } of conditional) {
      if (replacing === undefined) continue
      if (replacing.number === null) bytes.push(key, replacing.value)
      else numbers.push(key, replacing.number)
    }
    const statement = this.statements.writeIf(
      rows.length,
      conditional.length,
      bytes.length / 2,
      numbers.length / 2,
    )
    const parameters = [
      ...rows.flatMap((row) => toParameters(row, this.owner)),
      Date.now(),
      ...(conditional.length === rows.length ? [] : conditional.map(({ key }) => key)),
      ...bytes,
      ...numbers,
    ]
    return chain(this.run(statement, parameters, dueMs), ({ rows: stored }) => {
      const keys = new Set(stored.map((row) => keyOf(row['cache_key'])))
      return {
        outcomes: rows.map(({ key }) => (keys.has(key) ? 'stored' : 'refused')),
        inserted: stored.length,
      }
    })
  }

  #replace(
    { key, value, number, expires, replacing }: WriteRow,
    dueMs: number,
  ): MaybePromise<Written> {
    const column = replacing?.number === null ? 'value' : 'number'
    const old = replacing?.[column] ?? null
    const parameters = [value, number, expires, this.owner, key, Date.now(), old]
    return chain(this.run(this.statements.replace(column), parameters, dueMs), (answer) => ({
      outcomes: [this.found(answer) ? 'stored' : 'refused'],
      inserted: 0,
    }))
  }

  insertedOf({ rows }: Answer, count: number, told: boolean): number {
    const isTold = told && this.statements.dialect === 'postgresql'
    return isTold ? rows.filter(isInserted).length : count
  }

  increment(
    key: string,
    delta: number,
    least: number,
    most: number,
    dueMs: number,
  ): MaybePromise<number | undefined> {
    const parameters = [delta, key, Date.now(), least, most]
    return chain(this.run(this.statements.increment, parameters, dueMs), ({ rows, count }) => {
      const number = rows[0]?.['number']
      if (number === undefined && count > 0) {
        throw new Error(
          'the query function gave a count for a statement with RETURNING; give its rows',
        )
      }
      return number === undefined ? undefined : Number(number)
    })
  }

  removeMany(keys: readonly string[], dueMs: number): MaybePromise<ReadonlySet<string>> {
    const removed = inTurn(split([...keys].sort(), this.#most), (some) =>
      this.run(this.statements.removeMany(some.length), [...some, Date.now()], dueMs),
    )
    return chain(
      removed,
      (answers) =>
        new Set(answers.flatMap(({ rows }) => rows.map((row) => keyOf(row['cache_key'])))),
    )
  }

  found({ count }: Answer): boolean {
    return count > 0
  }
}

function isConditional(row: WriteRow | undefined): boolean {
  return row !== undefined && (row.ifAbsent || row.replacing !== undefined)
}

/** Such a row must not be inserted where there is none. */
function isUpdate({ ifAbsent, replacing }: WriteRow): boolean {
  return replacing !== undefined && !ifAbsent
}

function isInserted({ inserted }: Readonly<Record<string, unknown>>): boolean {
  return inserted === true || inserted === 't' || inserted === 1
}

/** All batches lock in this order, so that none waits for another in a circle. */
export function byKey(a: WriteRow, b: WriteRow): number {
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0
}
