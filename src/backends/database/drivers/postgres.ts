import type { Driver, DriverContext, Parameter, Statement } from '../driver.js'
import { ConnectionDriver, PoolDriver, type Done, type Lending } from './client.js'
import type { Listening } from './listening.js'
import { PgCancellations, type KnownClient, type MakesMessengers } from './pg-cancellations.js'

interface Query {
  readonly name?: string
  readonly text: string
  readonly values: readonly Parameter[]
  readonly query_timeout?: number
}

/** What is used of a client of `pg`. */
export interface PgClient extends Listening, KnownClient {
  query(query: Query, done: Done): unknown
}

/** What is used of a pool of `pg`. */
export interface PgPool extends Listening, MakesMessengers {
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
export function pgPoolDriver(database: PgPool, context: DriverContext): Driver {
  const cancellations = new PgCancellations(database, context.limitMs)
  const lending: Lending<PgClient> = {
    borrow(lent) {
      const mayOpen = database.idleCount === 0
      database.connect((error, client, release) => {
        // A connection that is lost while it is out tells so besides failing the query.
        client?.on('error', ignore)
        lent(error, client, (fate) => {
          client?.removeListener('error', ignore)
          if (fate === 'unanswered' && client !== undefined) cancellations.add(client)
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
