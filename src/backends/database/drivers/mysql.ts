import { toAnswer, type Answer, type Driver, type Parameter, type Statement } from '../driver.js'
import { isAnswer } from '../failures.js'
import { HangingConnections } from './hanging.js'
import { Lender, type Lease } from './lease.js'
import { asError } from './postgres.js'

type Done = (error: unknown, result: unknown) => void

interface Query {
  readonly sql: string
  readonly values: readonly Parameter[]
  readonly timeout?: number
  readonly rowsAsArray: false
  readonly typeCast: true
  readonly namedPlaceholders: false
}

/** What is used of a connection of `mysql2`. */
export interface MysqlConnection {
  execute(query: Query, done: Done): unknown
  query(query: Query, done: Done): unknown
}

/** One that belongs to a pool. */
interface PooledConnection extends MysqlConnection {
  release(): void
  destroy(): void
}

/** What is used of a pool of `mysql2`, in its form with callbacks. */
export interface MysqlPool {
  getConnection(done: (error: unknown, connection: PooledConnection | undefined) => void): unknown
}

/** A connection as the pool keeps it while it is being opened. */
interface OpeningConnection {
  readonly authorized?: boolean
  readonly stream?: { destroy(): void }
}

/** A pool of `mysql2`. */
export class MysqlPoolDriver implements Driver {
  readonly dialect = 'mysql'
  readonly answersAtOnce = false
  readonly #lender: Lender
  readonly #hanging: HangingConnections

  constructor(
    readonly database: MysqlPool,
    limitMs: number,
  ) {
    this.#hanging = new HangingConnections(
      limitMs,
      () => openingConnections(database),
      (connection) => (connection as OpeningConnection).stream?.destroy(),
    )
    this.#lender = new Lender(limitMs, () => this.#hanging.end())
  }

  open(): void {
    return undefined
  }

  close(): void {
    return undefined
  }

  run(statement: Statement, parameters: readonly Parameter[]): Promise<Answer> {
    return this.#lender.lend(statement.isUnlimited, (lease) =>
      this.#ask(lease, statement, parameters),
    )
  }

  async readValue(statement: Statement, parameters: readonly Parameter[]): Promise<unknown> {
    return (await this.run(statement, parameters)).rows[0]?.['value']
  }

  #ask(lease: Lease, statement: Statement, parameters: readonly Parameter[]): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.database.getConnection((error, connection) => {
        if (connection === undefined) {
          reject(asError(error))
          return
        }
        const isTaken = lease.take((isBroken) => {
          if (isBroken) connection.destroy()
          else connection.release()
        })
        if (!isTaken) return
        send(connection, statement, parameters, undefined, (failure, result) => {
          lease.end(Boolean(failure) && !isAnswer(failure))
          if (failure) reject(failureOf(failure, statement))
          else resolve(toAnswer(result))
        })
      })
      this.#hanging.note()
    })
  }
}

/** One connection of `mysql2`. */
export class MysqlConnectionDriver implements Driver {
  readonly dialect = 'mysql'
  readonly answersAtOnce = false

  constructor(
    readonly database: MysqlConnection,
    private readonly limitMs: number,
  ) {}

  open(): void {
    return undefined
  }

  close(): void {
    return undefined
  }

  run(statement: Statement, parameters: readonly Parameter[]): Promise<Answer> {
    const limitMs = statement.isUnlimited ? undefined : this.limitMs
    return new Promise((resolve, reject) => {
      send(this.database, statement, parameters, limitMs, (failure, result) => {
        if (failure) reject(failureOf(failure, statement))
        else resolve(toAnswer(result))
      })
    })
  }

  async readValue(statement: Statement, parameters: readonly Parameter[]): Promise<unknown> {
    return (await this.run(statement, parameters)).rows[0]?.['value']
  }
}

function send(
  connection: MysqlConnection,
  statement: Statement,
  parameters: readonly Parameter[],
  timeout: number | undefined,
  done: Done,
): void {
  const query: Query = {
    sql: statement.sql,
    values: statement.isFixed ? parameters : withoutText(parameters),
    rowsAsArray: false,
    typeCast: true,
    namedPlaceholders: false,
    ...(timeout !== undefined && { timeout }),
  }
  if (statement.isFixed) connection.execute(query, done)
  else connection.query(query, done)
}

/**
 * Where parameters are written into the text of the statement, text is escaped as the server may not
 * understand it (`NO_BACKSLASH_ESCAPES`); bytes are written in hexadecimal.
 */
export function withoutText(parameters: readonly Parameter[]): readonly Parameter[] {
  return parameters.map((one) => (typeof one === 'string' ? Buffer.from(one, 'latin1') : one))
}

/** What was written into the statement are values of the cache, which belong in no log. */
export function failureOf(failure: unknown, { sql }: Statement): Error {
  const error = asError(failure)
  if ('sql' in error) error.sql = sql
  return error
}

function* openingConnections(pool: MysqlPool): Generator<object> {
  const { _allConnections: all } = pool as {
    readonly _allConnections?: { readonly length: number; get(i: number): unknown }
  }
  if (typeof all?.get !== 'function') return
  for (let i = 0; i < all.length; i++) {
    const connection = all.get(i) as (object & OpeningConnection) | undefined
    if (connection !== undefined && connection.authorized === false) yield connection
  }
}
