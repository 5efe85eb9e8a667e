import {
  asError,
  MOST_CONFLICTS,
  toAnswer,
  type Answer,
  type Dialect,
  type Driver,
  type DriverContext,
  type Parameter,
  type Statement,
} from '../driver.js'
import { isConflict } from '../failures.js'
import { failureOf, withoutText } from './failure.js'

/** What is used of a knex instance. */
export interface Knex {
  /** Whether it is a transaction, of which a conflict ends more than our statement. */
  readonly isTransaction?: unknown
  raw(sql: string, bindings: readonly Parameter[]): PromiseLike<unknown>
  readonly client: { readonly dialect?: unknown; readonly driverName?: unknown }
}

const DIALECTS: Readonly<Record<string, Dialect>> = {
  postgresql: 'postgresql',
  postgres: 'postgresql',
  pg: 'postgresql',
  mysql: 'mysql',
  mysql2: 'mysql',
  sqlite3: 'sqlite',
  sqlite: 'sqlite',
}

/** The dialect of a knex instance, if it is one of ours. */
export function dialectOfKnex({ client: { dialect } }: Knex): Dialect | undefined {
  return typeof dialect === 'string' ? DIALECTS[dialect] : undefined
}

/** A knex instance. */
export class KnexDriver implements Driver {
  readonly answersAtOnce = false
  /** It has a pool, but what is given up keeps its connection of that, and soon all of them. */
  readonly isPool = false

  constructor(
    readonly database: Knex,
    readonly dialect: Dialect,
    private readonly context: DriverContext,
  ) {}

  run(statement: Statement, parameters: readonly Parameter[], dueMs = Infinity): Promise<Answer> {
    return this.#try(statement, parameters, dueMs, 1)
  }

  async #try(
    statement: Statement,
    parameters: readonly Parameter[],
    dueMs: number,
    attempt: number,
  ): Promise<Answer> {
    const bindings = this.dialect === 'mysql' ? withoutText(parameters) : parameters
    try {
      return toAnswer(await this.database.raw(statement.marked, bindings))
    } catch (error) {
      const { isTransaction } = this.database
      const mayTryAgain = isTransaction !== true && attempt < MOST_CONFLICTS && isConflict(error)
      if (mayTryAgain && performance.now() < dueMs) {
        return this.#try(statement, parameters, dueMs, attempt + 1)
      }
      throw failureOf(withoutValues(error), statement, this.context)
    }
  }
}

/** knex puts the statement with all its values in front of what the database said. */
function withoutValues(failure: unknown): Error {
  const error = asError(failure)
  const end = error.message.lastIndexOf(' - ')
  if (end !== -1) error.message = error.message.slice(end + 3)
  return error
}
