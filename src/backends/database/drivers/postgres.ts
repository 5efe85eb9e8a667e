import type { Driver, DriverContext, Parameter, Statement } from '../driver.js'
import { ConnectionDriver, PoolDriver, type Done, type Lending } from './client.js'
import type { Listening } from './listening.js'

interface Query {
  readonly name?: string
  readonly text: string
  readonly values: readonly Parameter[]
  readonly query_timeout?: number
}

/** What is used of a client of `pg`. */
export interface PgClient extends Listening {
  query(query: Query, done: Done): unknown
  /** By which its server knows it. */
  readonly processID?: unknown
  readonly secretKey?: unknown
}

/** A client that only says which statement of another one the server is to end. */
interface Messenger {
  readonly connection?: {
    readonly stream: { destroy(): void }
    on(event: 'error' | 'end', listener: () => void): unknown
  }
  readonly cancel?: (client: object, query: undefined) => void
}

/** What is used of a pool of `pg`. */
export interface PgPool extends Listening {
  connect(
    done: (error: unknown, client: PgClient | undefined, release: (error?: Error) => void) => void,
  ): unknown
  readonly idleCount: number
  /** How it makes its clients. */
  readonly Client?: new (options: unknown) => Messenger
  readonly options?: unknown
}

/** A client as the pool keeps it while it is being opened. */
interface OpeningClient {
  readonly _connecting?: boolean
  readonly _connected?: boolean
  readonly connection?: { readonly stream?: { destroy(): void } }
}

/** A pool of `pg`. */
export function pgPoolDriver(database: PgPool, context: DriverContext): Driver {
  const { limitMs } = context
  const lending: Lending<PgClient> = {
    borrow(lent) {
      const mayOpen = database.idleCount === 0
      database.connect((error, client, release) => {
        // A connection that is lost while it is out tells so besides failing the query.
        client?.on('error', ignore)
        lent(error, client, (fate) => {
          client?.removeListener('error', ignore)
          if (fate === 'unanswered' && client !== undefined) cancel(database, client, limitMs)
          release(
            fate === 'kept' ? undefined : new Error('fragcache: the connection is of no more use'),
          )
        })
      })
      return mayOpen
    },
    openings: () => openingClients(database),
    destroy: (opening) => (opening as OpeningClient).connection?.stream?.destroy(),
  }
  return new PoolDriver('postgresql', database, lending, ask, context, database)
}

/**
 * Ends what the server does for a client that is given up. While it waits for a lock it does not notice that its client
 * has gone: with the call after call that waits for a table which is locked, all its connections would be taken.
 *
 * @param limitMs - For how long that is tried.
 */
function cancel(database: PgPool, client: PgClient, limitMs: number): void {
  askToCancel(database, client, limitMs)
  // What comes before the server has begun with the statement goes unheard.
  setTimeout(() => askToCancel(database, client, limitMs), limitMs).unref()
}

function askToCancel({ Client, options }: PgPool, client: PgClient, limitMs: number): void {
  const { processID, secretKey } = client
  if (Client === undefined || typeof processID !== 'number') return
  const messenger = new Client(options)
  const { connection } = messenger
  if (connection === undefined || messenger.cancel === undefined) return
  connection.on('error', ignore)
  // It has no statement under way, as far as `pg` is to know: then it asks the server to end the one that has.
  messenger.cancel({ processID, secretKey, activeQuery: undefined }, undefined)
  const timer = setTimeout(() => connection.stream.destroy(), limitMs).unref()
  connection.on('end', () => clearTimeout(timer))
}

/** One client of `pg`. */
export function pgClientDriver(database: PgClient, context: DriverContext): Driver {
  return new ConnectionDriver('postgresql', database, ask, context, database)
}

function ask(
  client: PgClient,
  statement: Statement,
  values: readonly Parameter[],
  limitMs: number | undefined,
  done: Done,
): void {
  const { sql: text } = statement
  const query: Query = statement.isFixed ? { name: statement.name, text, values } : { text, values }
  client.query(limitMs === undefined ? query : { ...query, query_timeout: limitMs }, done)
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
