import { createHash } from 'node:crypto'
import type { MaybePromise } from '../../maybe-promise.js'

/** The SQL dialects that this package supports. */
export type Dialect = 'postgresql' | 'mysql' | 'sqlite'

/** A parameter of a statement. */
export type Parameter = string | number | Buffer | null

/** One row of an answer, by column. */
export type Row = Readonly<Record<string, unknown>>

/** What a statement gave. */
export interface Answer {
  readonly rows: readonly Row[]
  /** Rows that were changed, or that came back. */
  readonly count: number
  /** MySQL's `LAST_INSERT_ID`. */
  readonly insertId?: unknown
}

/** Who runs the statements: the user's own connection. */
export interface Driver {
  readonly dialect: Dialect
  /** Whether it answers synchronously. */
  readonly answersAtOnce: boolean
  /** Whether a statement is answered while others wait. */
  readonly isPool: boolean
  /** What the user gave. */
  readonly database: object
  /**
   * @param dueMs - By `performance.now()`: when the call that this is a part of ends. Where a
   *   connection comes only then the statement is not run. Left out: it is a call of its own.
   */
  run(statement: Statement, parameters: readonly Parameter[], dueMs?: number): MaybePromise<Answer>
  /** Where answers come at once: the column `value` of the one row. `undefined`: no row. */
  readValue?(statement: Statement, key: string, nowMs: number): unknown
  /** Called when the cache is used for the first time (again). */
  open?(): void
  /** Lets go of what belongs to the cache. The connection is the user's and stays open. */
  close?(): void
}

/** What a driver knows about the cache it belongs to. */
export interface DriverContext {
  /** Milliseconds a call may take. */
  readonly limitMs: number
  /** Says what to do about a failure, where that is known. */
  readonly explain: (error: unknown) => Error
}

/** How often a statement is tried again that the database gave up in favour of another. */
export const MOST_CONFLICTS = 8

export function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error), { cause: error })
}

/** What distinguishes a statement besides its text. */
export interface StatementTraits {
  /** It gives rows, `RETURNING` included. Default `false`. */
  readonly givesRows?: boolean
  /** It comes again and again with the same text, so that preparing it pays. Default `false`. */
  readonly isFixed?: boolean
  /** It makes the table, and may take its time. Default `false`. */
  readonly isUnlimited?: boolean
}

/** A statement of ours. */
export class Statement implements StatementTraits {
  /** With the placeholders of the dialect. */
  readonly sql: string
  readonly givesRows: boolean
  readonly isFixed: boolean
  readonly isUnlimited: boolean
  #name: string | undefined

  /** @param marked - The text, with `?` for each parameter in their order and nowhere else. */
  constructor(
    dialect: Dialect,
    readonly marked: string,
    { givesRows = false, isFixed = false, isUnlimited = false }: StatementTraits = {},
  ) {
    this.givesRows = givesRows
    this.isFixed = isFixed
    this.isUnlimited = isUnlimited
    let count = 0
    this.sql = dialect === 'postgresql' ? marked.replace(/\?/g, () => `$${++count}`) : marked
  }

  /** The same for the same text, and for no other. */
  get name(): string {
    this.#name ??= `fragcache_${createHash('sha256').update(this.sql).digest('hex').slice(0, 24)}`
    return this.#name
  }
}

const NOTHING: Answer = { rows: [], count: 0 }

/**
 * Reads what drivers answer: rows, a count, or an object with one of them under the names that
 * `pg`, `mysql2` and `better-sqlite3` use.
 */
export function toAnswer(given: unknown): Answer {
  if (given === undefined || given === null) return NOTHING
  if (typeof given === 'number' || typeof given === 'bigint') {
    return { rows: [], count: Number(given) }
  }
  if (Array.isArray(given)) {
    // mysql2's promises, and knex over it, give what came and the fields.
    if (given.length === 2 && isResult(given[0]) && !isRow(given[1])) return toAnswer(given[0])
    return { rows: given as Row[], count: given.length }
  }
  const { rows, rowCount, affectedRows, insertId, changes } = given as Readonly<
    Record<string, unknown>
  >
  const found = Array.isArray(rows) ? (rows as Row[]) : []
  const count = rowCount ?? affectedRows ?? changes ?? found.length
  return { rows: found, count: Number(count), ...(insertId !== undefined && { insertId }) }
}

function isResult(value: unknown): boolean {
  if (Array.isArray(value)) return true
  return typeof value === 'object' && value !== null && 'affectedRows' in value
}

function isRow(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
