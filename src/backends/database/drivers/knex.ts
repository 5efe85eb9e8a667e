import {
  toAnswer,
  type Answer,
  type Dialect,
  type Driver,
  type Parameter,
  type Statement,
} from '../driver.js'
import { failureOf, withoutText } from './mysql.js'

/** What is used of a knex instance. */
export interface Knex {
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

  constructor(
    readonly database: Knex,
    readonly dialect: Dialect,
  ) {}

  open(): void {
    return undefined
  }

  close(): void {
    return undefined
  }

  async run(statement: Statement, parameters: readonly Parameter[]): Promise<Answer> {
    const bindings = this.dialect === 'mysql' ? withoutText(parameters) : parameters
    try {
      return toAnswer(await this.database.raw(statement.marked, bindings))
    } catch (error) {
      throw withoutValues(failureOf(error, statement))
    }
  }

  async readValue(statement: Statement, parameters: readonly Parameter[]): Promise<unknown> {
    return (await this.run(statement, parameters)).rows[0]?.['value']
  }
}

/** knex puts the statement with all its values in front of what the database said. */
function withoutValues(error: Error): Error {
  const end = error.message.lastIndexOf(' - ')
  if (end !== -1) error.message = error.message.slice(end + 3)
  return error
}
