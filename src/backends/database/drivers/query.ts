import {
  toAnswer,
  type Answer,
  type Dialect,
  type Driver,
  type DriverContext,
  type Parameter,
  type Statement,
} from '../driver.js'
import { failureOf, withoutText } from './failure.js'

/** Anything that runs SQL. */
export interface QueryDatabase {
  readonly dialect: Dialect
  /**
   * Runs a statement.
   *
   * @param sql - SQL with the placeholders `$1`, `$2`, … for PostgreSQL, else `?`.
   * @param parameters - Text, whole numbers, `Buffer`s and `null`.
   * @returns For a statement that returns rows (`SELECT`, `RETURNING`): its rows, by column, with binary
   *   columns as bytes. Otherwise the number of changed rows; with MySQL the client's own result, which has
   *   `affectedRows` and `insertId`. `{ rows }` and `{ changes }` also work.
   */
  readonly query: (sql: string, parameters: readonly Parameter[]) => unknown
}

/**
 * A function of the user's. Nothing is repeated: a conflict ends the whole transaction, and that may
 * be the application's.
 */
export class QueryDriver implements Driver {
  readonly answersAtOnce = false
  /** It may be anything. */
  readonly isPool = false
  readonly dialect: Dialect

  constructor(
    readonly database: QueryDatabase,
    private readonly context: DriverContext,
  ) {
    this.dialect = database.dialect
  }

  async run(statement: Statement, parameters: readonly Parameter[]): Promise<Answer> {
    const bindings = this.dialect === 'mysql' ? withoutText(parameters) : parameters
    try {
      return toAnswer(await this.database.query(statement.sql, bindings))
    } catch (error) {
      throw failureOf(error, statement, this.context)
    }
  }
}
