import { constants } from 'node:buffer'
import { currentMs } from '../../current-time.js'
import { chain, type MaybePromise } from '../../maybe-promise.js'
import { keyOf, type Run } from './removal.js'
import type { Answer, Parameter } from './driver.js'
import { inTurn, split } from './in-turn.js'
import { isExpired } from '../../timeout.js'
import { byKey, fromExpires, hasCondition, toParameters, type WriteRow } from './row.js'
import type { StandardStatements } from './standard-statements.js'
import { COLUMN_COUNT } from './statements.js'
import { Writer, type Written } from './writer.js'

/** Parameters that a statement may have, less some for conditions. */
const MOST_PARAMETERS = { sqlite: 32_000, postgresql: 65_000 }

/**
 * Bytes of a value. PostgreSQL gives them as text, two digits a byte behind `\x`, and `pg` ends the process over one that
 * no string of JavaScript holds.
 */
const MOST_BYTES = { sqlite: Infinity, postgresql: (constants.MAX_STRING_LENGTH - 2) / 2 }

/** Writes to PostgreSQL and SQLite. */
export class StandardWriter extends Writer<StandardStatements> {
  readonly #most: number
  readonly #mostBytes: number

  constructor(statements: StandardStatements, run: Run, owner: string) {
    super(statements, run, owner)
    this.#most = MOST_PARAMETERS[statements.dialect]
    this.#mostBytes = MOST_BYTES[statements.dialect]
  }

  write(rows: readonly WriteRow[], dueMs: number): MaybePromise<Written> {
    const fitting = rows.filter(({ value }) => (value?.length ?? 0) <= this.#mostBytes)
    const [only] = fitting
    if (rows.length === 1 && only !== undefined && !hasCondition(only)) {
      return this.#insert(fitting, dueMs)
    }
    const inserts = fitting.filter((row) => !isUpdate(row)).sort(byKey)
    // A row with conditions has up to four parameters more.
    const batches = split(inserts, Math.floor(this.#most / (COLUMN_COUNT + 4)))
    return this.writeParts(
      rows,
      { batches, singles: fitting.filter(isUpdate) },
      (batch) => this.#insert(batch, dueMs),
      (row) => this.replace(row, dueMs),
    )
  }

  #insert(rows: readonly WriteRow[], dueMs: number): MaybePromise<Written> {
    return this.writeFitting(rows, (some) =>
      some.some(hasCondition) ? this.#insertIf(some, dueMs) : this.insertAll(some, dueMs),
    )
  }

  #insertIf(rows: readonly WriteRow[], dueMs: number): MaybePromise<Written> {
    const conditional = rows.filter(hasCondition)
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
      currentMs(),
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

  insertedOf({ rows }: Answer, count: number, told: boolean): number {
    const isTold = told && this.statements.dialect === 'postgresql'
    return isTold ? rows.filter(isInserted).length : count
  }

  numberOf(answer: Answer): number | undefined {
    const number = rowsOf(answer)[0]?.['number']
    return number === undefined ? undefined : Number(number)
  }

  remove(keys: readonly string[], dueMs: number): MaybePromise<ReadonlySet<string>> {
    const removed = inTurn(split([...keys].sort(), this.#most), (some) => {
      const nowMs = currentMs()
      return chain(this.run(this.statements.removeMany(some.length), some, dueMs), (answer) =>
        rowsOf(answer)
          .filter((row) => !isExpired(fromExpires(row['expires']), nowMs))
          .map((row) => keyOf(row['cache_key'])),
      )
    })
    return chain(removed, (all) => new Set(all.flat()))
  }

  found({ count }: Answer): boolean {
    return count > 0
  }
}

function rowsOf({ rows, count }: Answer): Answer['rows'] {
  if (rows.length > 0 || count === 0) return rows
  throw new Error('the query function gave a count for a statement with RETURNING; give its rows')
}

/** Such a row must not be inserted where there is none. */
function isUpdate({ ifAbsent, replacing }: WriteRow): boolean {
  return replacing !== undefined && !ifAbsent
}

function isInserted({ inserted }: Readonly<Record<string, unknown>>): boolean {
  return inserted === true || inserted === 't' || inserted === 1
}
