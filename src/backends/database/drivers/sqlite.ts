import { InvalidCacheBackendError } from '../../../errors.js'
import { isPromise } from '../../../maybe-promise.js'
import type { Answer, Driver, DriverContext, Parameter, Row, Statement } from '../driver.js'
import { failureOf } from './failure.js'

interface Prepared {
  all(...parameters: Parameter[]): Row[]
  get(...parameters: Parameter[]): unknown
  run(...parameters: Parameter[]): { readonly changes: number | bigint }
  /** Only `better-sqlite3` gives the bare value then. */
  pluck?(): unknown
}

/** What is used of `better-sqlite3`, `libsql` and `node:sqlite`. */
export interface SqliteDatabase {
  prepare(sql: string): Prepared
}

const EMPTY = Buffer.alloc(0)

/** A database of `better-sqlite3`, `libsql` or `node:sqlite`. It answers at once. */
export class SqliteDriver implements Driver {
  readonly dialect = 'sqlite'
  readonly answersAtOnce = true
  readonly isPool = false
  readonly #prepared = new Map<string, Prepared>()
  #reader: { readonly statement: Statement; readonly prepared: Prepared } | undefined

  constructor(
    readonly database: SqliteDatabase,
    private readonly context: DriverContext,
  ) {}

  close(): void {
    this.#prepared.clear()
    this.#reader = undefined
  }

  run(statement: Statement, parameters: readonly Parameter[]): Answer {
    try {
      const prepared = this.#prepare(statement)
      const bound = parameters.map(bindable)
      if (statement.givesRows) {
        const rows = prepared.all(...bound)
        return { rows, count: rows.length }
      }
      return { rows: [], count: Number(prepared.run(...bound).changes) }
    } catch (error) {
      throw failureOf(error, statement, this.context)
    }
  }

  readValue(statement: Statement, key: string, nowMs: number): unknown {
    try {
      if (this.#reader?.statement !== statement) {
        const prepared = this.#compile(statement.sql)
        prepared.pluck?.()
        this.#reader = { statement, prepared }
      }
      const row = this.#reader.prepared.get(key, nowMs)
      if (row === undefined || row === null || row instanceof Uint8Array) return row
      return (row as Row)['value']
    } catch (error) {
      throw failureOf(error, statement, this.context)
    }
  }

  #prepare({ sql, isFixed }: Statement): Prepared {
    const known = this.#prepared.get(sql)
    if (known !== undefined) return known
    const prepared = this.#compile(sql)
    if (isFixed) this.#prepared.set(sql, prepared)
    return prepared
  }

  #compile(sql: string): Prepared {
    const prepared = this.database.prepare(sql)
    if (!isPromise<unknown>(prepared)) return prepared
    prepared.catch(() => undefined)
    throw new InvalidCacheBackendError(
      'DatabaseCache: database: its statements are promises; give a database of "libsql" in place of libsql/promise',
    )
  }
}

/** An empty array that `node:sqlite` read has no memory, and would be bound as NULL. */
function bindable(parameter: Parameter): Parameter {
  return parameter instanceof Uint8Array && parameter.length === 0 ? EMPTY : parameter
}
