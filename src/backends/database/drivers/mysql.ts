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
import { Lender, type Lease } from './lease.js'

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

  run(statement: Statement, parameters: readonly Parameter[]): Promise<Answer> {
    return this.#lender.lend(statement.isUnlimited, (lease) =>
      this.#ask(lease, statement, parameters),
    )
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
          if (failure) reject(failureOf(failure, statement, this.context))
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
      send(this.database, statement, parameters, limitMs, (failure, result) => {
        if (failure) reject(failureOf(failure, statement, this.context))
        else resolve(toAnswer(result))
      })
    })
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
  ask(connection, statement.isFixed ? 'execute' : 'query', query, done)
}

/** Asks again where the server gave this statement up in favour of another. */
function ask(
  connection: MysqlConnection,
  way: 'execute' | 'query',
  query: Query,
  done: Done,
  attempt = 1,
): void {
  connection[way](query, (failure, result) => {
    if (failure && attempt < MOST_CONFLICTS && isConflict(failure)) {
      ask(connection, way, query, done, attempt + 1)
    } else {
      done(failure, result)
    }
  })
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
