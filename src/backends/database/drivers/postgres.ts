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
import { failureOf } from './failure.js'
import { HangingConnections } from './hanging.js'
import { Lender } from './lease.js'
import { quietly, type Listening } from './listening.js'

type Callback<T> = (error: unknown, result: T) => void

interface Query {
  readonly name?: string
  readonly text: string
  readonly values: readonly Parameter[]
  readonly query_timeout?: number
}

/** What is used of a client of `pg`. */
export interface PgClient extends Listening {
  query(query: Query, done: Callback<unknown>): unknown
}

/** What is used of a pool of `pg`. */
export interface PgPool extends Listening {
  connect(
    done: (error: unknown, client: PgClient | undefined, release: (error?: Error) => void) => void,
  ): unknown
  readonly idleCount: number
}

/** A client as the pool keeps it while it is being opened. */
interface OpeningClient {
  readonly _connecting?: boolean
  readonly _connected?: boolean
  readonly connection?: { readonly stream?: { destroy(): void } }
}

/** A pool of `pg`. */
export class PgPoolDriver implements Driver {
  readonly dialect = 'postgresql'
  readonly answersAtOnce = false
  readonly #lender: Lender
  readonly #hanging: HangingConnections
  #unlisten: (() => void) | undefined

  constructor(
    readonly database: PgPool,
    private readonly context: DriverContext,
  ) {
    const { limitMs } = context
    this.#hanging = new HangingConnections(
      limitMs,
      () => openingClients(database),
      (client) => (client as OpeningClient).connection?.stream?.destroy(),
    )
    this.#lender = new Lender(limitMs, () => this.#hanging.end())
  }

  open(): void {
    this.#unlisten ??= quietly(this.database)
  }

  close(): void {
    this.#unlisten?.()
    this.#unlisten = undefined
  }

  run(statement: Statement, parameters: readonly Parameter[], dueMs?: number): Promise<Answer> {
    return this.#lender.lend(statement.isUnlimited ? Infinity : dueMs, (lease, resolve, reject) => {
      const mayOpen = this.database.idleCount === 0
      this.database.connect((error, client, release) => {
        if (client === undefined) {
          lease.end(true)
          reject(asError(error))
          return
        }
        const isTaken = lease.take((isBroken) => {
          client.removeListener('error', ignore)
          release(isBroken ? new Error('fragcache: the connection is of no more use') : undefined)
        })
        if (!isTaken) return
        // A connection that is lost while it is out tells so besides failing the query.
        client.on('error', ignore)
        ask(client, toQuery(statement, parameters), MOST_CONFLICTS, (failure, result) => {
          lease.end(Boolean(failure) && !isAnswer(failure))
          if (failure) reject(failureOf(failure, statement, this.context))
          else resolve(toAnswer(result))
        })
      })
      if (mayOpen) this.#hanging.note()
    })
  }
}

/**
 * One client of `pg`. Nothing is repeated: a conflict ends the whole transaction, and that may be the
 * application's.
 */
export class PgClientDriver implements Driver {
  readonly dialect = 'postgresql'
  readonly answersAtOnce = false
  #unlisten: (() => void) | undefined

  constructor(
    readonly database: PgClient,
    private readonly context: DriverContext,
  ) {}

  open(): void {
    this.#unlisten ??= quietly(this.database)
  }

  close(): void {
    this.#unlisten?.()
    this.#unlisten = undefined
  }

  run(statement: Statement, parameters: readonly Parameter[]): Promise<Answer> {
    const query = toQuery(statement, parameters)
    const limited = statement.isUnlimited
      ? query
      : { ...query, query_timeout: this.context.limitMs }
    return new Promise((resolve, reject) => {
      ask(this.database, limited, 1, (failure, result) => {
        if (failure) reject(failureOf(failure, statement, this.context))
        else resolve(toAnswer(result))
      })
    })
  }
}

function toQuery(statement: Statement, values: readonly Parameter[]): Query {
  return statement.isFixed
    ? { name: statement.name, text: statement.sql, values }
    : { text: statement.sql, values }
}

function* openingClients(pool: PgPool): Generator<object> {
  const { _clients: clients } = pool as { readonly _clients?: unknown }
  if (!Array.isArray(clients)) return
  for (const client of clients as (object & OpeningClient)[]) {
    if (client._connecting === true && client._connected !== true) yield client
  }
}

function ignore(): void {
  return undefined
}

/** @param attempts - How often it is asked where the server gives it up in favour of another. */
function ask(client: PgClient, query: Query, attempts: number, done: Callback<unknown>): void {
  client.query(query, (failure, result) => {
    if (failure && attempts > 1 && isConflict(failure)) ask(client, query, attempts - 1, done)
    else done(failure, result)
  })
}
