import type { Driver, DriverContext, Parameter, Statement } from '../driver.js'
import { ConnectionDriver, PoolDriver, type Done, type Lending } from './client.js'
import { withoutText } from './failure.js'

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
export function mysqlPoolDriver(database: MysqlPool, context: DriverContext): Driver {
  const lending: Lending<PooledConnection> = {
    borrow(lent) {
      database.getConnection((error, connection) => {
        lent(error, connection, (fate) => {
          if (fate === 'kept') connection?.release()
          else connection?.destroy()
        })
      })
      return true
    },
    openings: () => openingConnections(database),
    destroy: (opening) => (opening as OpeningConnection).stream?.destroy(),
  }
  return new PoolDriver('mysql', database, lending, send, context)
}

/** One connection of `mysql2`. */
export function mysqlConnectionDriver(database: MysqlConnection, context: DriverContext): Driver {
  return new ConnectionDriver('mysql', database, send, context)
}

function send(
  connection: MysqlConnection,
  { sql, isFixed }: Statement,
  parameters: readonly Parameter[],
  limitMs: number | undefined,
  done: Done,
): void {
  const values = isFixed ? parameters : withoutText(parameters)
  const way = isFixed ? 'execute' : 'query'
  if (limitMs === undefined && givesPlainRows(connection)) {
    connection[way](sql, values, done)
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
  connection[way](query, done)
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
