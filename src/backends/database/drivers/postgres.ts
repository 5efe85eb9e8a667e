import type { Driver, DriverContext, Parameter, Statement } from '../driver.js'
import { isUnprepared } from '../failures.js'
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
          const end = () => {
            client?.removeListener('error', ignore)
            release(
              fate === 'kept'
                ? undefined
                : new Error('fragcache: the connection is of no more use'),
            )
          }
          if (fate === 'unanswered' && client !== undefined)
            void cancellations.add(client).then(end)
          else end()
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

/** Clients whose prepared statements the server does not have, or has from others. Theirs are sent as text. */
const unprepared = new WeakSet<PgClient>()

function ask(
  client: PgClient,
  statement: Statement,
  values: readonly Parameter[],
  limitMs: number | undefined,
  done: Done,
): void {
  const query: Query = {
    text: statement.sql,
    values,
    ...(statement.isFixed && !unprepared.has(client) && { name: statement.name }),
    ...(limitMs !== undefined && { query_timeout: limitMs }),
  }
  client.query(query, (failure, result) => {
    if (failure && isUnprepared(failure)) unprepared.add(client)
    done(failure, result)
  })
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
