import { composed, type CacheCore } from '../backend/core.js'
import { Cache } from '../cache.js'
import { FORMAT_SETTINGS, PayloadFormat, type FormatSettings } from '../payload-format.js'
import type { CacheSettings, ServerOptions } from '../settings.js'
import type { ValueOptions } from '../value-types.js'
import { connect } from './database/connect.js'
import { declareTable } from './database/create-table.js'
import type { QueryDatabase } from './database/drivers/query.js'
import { explain } from './database/failures.js'
import { DatabasePrimitives } from './database/primitives.js'
import { parseTableName } from './database/table-name.js'
import { LIMIT_OPTIONS, resolveLimits } from './limits.js'

export {
  createCacheTable,
  type CreateCacheTableOptions,
  type CreatedTable,
} from './database/create-table.js'
export type { QueryDatabase } from './database/drivers/query.js'
export type { Dialect, Parameter } from './database/driver.js'

/** Options of {@link DatabaseCache}. */
export interface DatabaseOptions extends ServerOptions, ValueOptions {
  /**
   * Maximum number of entries in the table, of all caches and processes together. It may be exceeded by a
   * tenth, at least 32. Default 300.
   */
  readonly maxEntries?: number | undefined
  /**
   * When the table is full, one in this many entries is removed: expired ones first, then those that would
   * expire next. 0: all of them. Default 3.
   */
  readonly cullFrequency?: number | undefined
  /**
   * Milliseconds a call may take. It has no effect on SQLite, which answers at once or blocks the process.
   */
  readonly timeLimitMs?: number | undefined
}

/**
 * Your own connection: a pool or client of `pg`, a pool or connection of `mysql2`, a database of
 * `better-sqlite3`, `libsql` or `node:sqlite`, a knex instance, or a function that runs SQL.
 */
export type DatabaseConnection = object | QueryDatabase

/** A primary database, and a replica to read entries from. */
export interface DatabaseRoute {
  readonly write: DatabaseConnection
  /** The replica. Default: `write`. */
  readonly read?: DatabaseConnection | undefined
}

/** Settings of {@link DatabaseCache}. */
export interface DatabaseSettings extends CacheSettings, FormatSettings {
  /** The name of the table: `table` or `schema.table`, of ASCII letters, digits and underscores. */
  readonly location: string
  /** The connection to the database that has the table. */
  readonly database: DatabaseConnection | DatabaseRoute
  readonly options?: DatabaseOptions | undefined
}

/**
 * A cache in a table of PostgreSQL, MySQL, MariaDB or SQLite, over your own connection. The cache neither
 * opens nor closes the connection.
 *
 * Create the table with `fragcache createcachetable` or {@link createCacheTable}.
 *
 * @remarks Every call is one statement, exact among any number of processes. Over `better-sqlite3`, `libsql`
 *   and `node:sqlite` the cache answers at once, so that templates can be rendered synchronously.
 * @see Django, "Database caching"
 */
export class DatabaseCache extends Cache {
  /** Written out, because minifiers shorten the names of classes. */
  static override readonly name: string = 'DatabaseCache'
  override readonly answersAtOnce: boolean

  /** @throws InvalidCacheBackendError: a setting is missing, unknown or of the wrong kind. */
  constructor(settings: DatabaseSettings) {
    const known = {
      settings: ['database', ...FORMAT_SETTINGS],
      options: LIMIT_OPTIONS,
      server: true,
    }
    let store!: DatabasePrimitives
    super(
      settings,
      known,
      composed((core) => ({ store: (store = storeFor(settings, core)) })),
    )
    this.answersAtOnce = store.answersAtOnce
    declareTable(this, store.needed)
  }
}

function storeFor(settings: DatabaseSettings, core: CacheCore): DatabasePrimitives {
  // Nothing at all has no location either.
  const { location, database, options = {}, ...others }: Partial<DatabaseSettings> = { ...settings }
  const name = parseTableName(location)
  const limits = resolveLimits('DatabaseCache', options)
  const { keyPrefix, timeLimitMs } = core.settings
  const route = connect(database, {
    limitMs: timeLimitMs,
    explain: (error) => explain(error, location),
  })
  const isAtOnce = route.read.answersAtOnce && route.write.answersAtOnce
  const format = new PayloadFormat('DatabaseCache', others, core.types, isAtOnce)
  const closing = () => core.guard.forgetOutage()
  return new DatabasePrimitives({ name, route, keyPrefix, limits, timeLimitMs, format, closing })
}
