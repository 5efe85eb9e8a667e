import {
  asError,
  MOST_CONFLICTS,
  toAnswer,
  type Answer,
  type Driver,
  type DriverContext,
  type Parameter,
  type Statement,
} from '../driver.js'
import { isAnswer, isConflict } from '../failures.js'
import { failureOf, withoutText } from './failure.js'
import { HangingConnections } from './hanging.js'
import { Lender } from './lease.js'

type Done = (error: unknown, result: unknown) => void

interface Query {
  readonly sql: string
  readonly values: readonly Parameter[]
  readonly timeout?: number
  readonly rowsAsArray: false
  readonly typeCast: true
  readonly namedPlaceholders: false
}

interface Send {
  (query: Query, done: Done): unknown
  (sql: string, values: readonly Parameter[], done: Done): unknown
}

/** What is used of a connection of `mysql2`. */
export interface MysqlConnection {
  readonly config?: {
    readonly rowsAsArray?: unknown
    readonly typeCast?: unknown
    readonly namedPlaceholders?: unknown
  }
  execute: Send
  query: Send
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
    private readonly context: DriverContext,
  ) {
    const { limitMs } = context
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

  run(statement: Statement, parameters: readonly Parameter[], dueMs?: number): Promise<Answer> {
    return this.#lender.lend(statement.isUnlimited ? Infinity : dueMs, (lease, resolve, reject) => {
      this.database.getConnection((error, connection) => {
        if (connection === undefined) {
          lease.end(true)
          reject(asError(error))
          return
        }
        const isTaken = lease.take((isBroken) => {
          if (isBroken) connection.destroy()
          else connection.release()
        })
        if (!isTaken) return
        send(connection, statement, parameters, undefined, MOST_CONFLICTS, (failure, result) => {
          lease.end(Boolean(failure) && !isAnswer(failure))
          if (failure) reject(failureOf(failure, statement, this.context))
          else resolve(toAnswer(result))
        })
      })
      this.#hanging.note()
    })
  }
}

/**
 * One connection of `mysql2`. Nothing is repeated: a deadlock ends the whole transaction, and that
 * may be the application's.
 */
export class MysqlConnectionDriver implements Driver {
  readonly dialect = 'mysql'
  readonly answersAtOnce = false

  constructor(
    readonly database: MysqlConnection,
    private readonly context: DriverContext,
  ) {}

  open(): void {
    return undefined
  }

  close(): void {
    return undefined
  }

  run(statement: Statement, parameters: readonly Parameter[]): Promise<Answer> {
    const limitMs = statement.isUnlimited ? undefined : this.context.limitMs
    return new Promise((resolve, reject) => {
      send(this.database, statement, parameters, limitMs, 1, (failure, result) => {
        if (failure) reject(failureOf(failure, statement, this.context))
        else resolve(toAnswer(result))
      })
    })
  }
}

/** @param attempts - How often it is tried where the server gives it up in favour of another. */
function send(
  connection: MysqlConnection,
  statement: Statement,
  parameters: readonly Parameter[],
  limitMs: number | undefined,
  attempts: number,
  done: Done,
): void {
  const { sql, isFixed } = statement
  const values = isFixed ? parameters : withoutText(parameters)
  const way = isFixed ? 'execute' : 'query'
  if (limitMs === undefined && givesPlainRows(connection)) {
    const attempt = (count: number) => {
      connection[way](sql, values, (failure, result) => {
        if (count < attempts && isGivenUp(failure)) attempt(count + 1)
        else done(failure, result)
      })
    }
    attempt(1)
    return
  }
  const query: Query = {
    sql,
    values,
    rowsAsArray: false,
    typeCast: true,
    namedPlaceholders: false,
    ...(limitMs !== undefined && { timeout: limitMs }),
  }
  const attempt = (count: number) => {
    connection[way](query, (failure, result) => {
      if (count < attempts && isGivenUp(failure)) attempt(count + 1)
      else done(failure, result)
    })
  }
  attempt(1)
}

/** Whether the server gave this statement up in favour of another. */
function isGivenUp(failure: unknown): boolean {
  return Boolean(failure) && isConflict(failure)
}

/** Whether rows come as they are expected without saying so each time, which takes longer. */
function givesPlainRows({ config }: MysqlConnection): boolean {
  return (
    config !== undefined &&
    config.rowsAsArray !== true &&
    config.namedPlaceholders !== true &&
    (config.typeCast === true || config.typeCast === undefined)
  )
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
