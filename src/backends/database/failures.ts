import { CacheBackendError } from '../../errors.js'
import { asError } from './driver.js'

/** What drivers tell with an error, each in its way. */
interface DriverError {
  readonly code?: unknown
  readonly errno?: unknown
  readonly sqlState?: unknown
  readonly severity?: unknown
  /** Where in PostgreSQL's source it was raised. */
  readonly routine?: unknown
  readonly message?: unknown
}

const MISSING_TABLE = new Set<unknown>(['42P01', '3F000', 'ER_NO_SUCH_TABLE'])
const CONFLICT = new Set<unknown>(['40P01', '40001', 'ER_LOCK_DEADLOCK'])
/** Invalid and duplicate statement names. */
const UNPREPARED = new Set<unknown>(['26000', '42P05'])
const TOO_LARGE = new Set<unknown>(['SQLITE_TOOBIG', 'ER_NET_PACKET_TOO_LARGE', '54000'])

/** By code, or by the number of MySQL and MariaDB. */
const OUT_OF_TIME = new Set<unknown>([
  '55P03', // lock_not_available
  '57014', // query_canceled
  1205, // ER_LOCK_WAIT_TIMEOUT
  1969, // ER_STATEMENT_TIMEOUT
  3024, // ER_QUERY_TIMEOUT
])

/**
 * Of a MySQL or MariaDB server that is alive, but is going down, not ready, ends a connection, takes no more, or does
 * not have the database. By number: `mysql2` knows no names for the errors of MariaDB alone.
 */
const NOT_SERVING = new Set<unknown>([
  1040, // ER_CON_COUNT_ERROR
  1049, // ER_BAD_DB_ERROR
  1053, // ER_SERVER_SHUTDOWN
  1077, // ER_NORMAL_SHUTDOWN
  1184, // ER_NEW_ABORTING_CONNECTION
  1203, // ER_TOO_MANY_USER_CONNECTIONS
  1226, // ER_USER_LIMIT_REACHED
  1927, // ER_CONNECTION_KILLED
])

/** By code, or by the number of MySQL and MariaDB. */
const READ_ONLY = new Set<unknown>([
  '25006', // read_only_sql_transaction
  1142, // ER_TABLEACCESS_DENIED_ERROR: a session keeps the rights that its user had when it began
  1290, // ER_OPTION_PREVENTS_STATEMENT
  1792, // ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION
  1836, // ER_READ_ONLY_MODE
])

function errorsOf(error: unknown): DriverError[] {
  const errors: DriverError[] = []
  for (let one = error; typeof one === 'object' && one !== null && errors.length < 5;) {
    errors.push(one)
    one = (one as { readonly cause?: unknown }).cause
  }
  return errors
}

/** Whether the table is not there. */
export function isMissingTable(error: unknown): boolean {
  return errorsOf(error).some(
    ({ code, message }) =>
      MISSING_TABLE.has(code) ||
      (/^SQLITE_ERROR$|^ERR_SQLITE_ERROR$/.test(String(code)) &&
        /no such table|unknown database/.test(String(message))),
  )
}

/** Whether the database gave up this statement in favour of another: it can be tried again. */
export function isConflict(error: unknown): boolean {
  return errorsOf(error).some(({ code }) => CONFLICT.has(code))
}

/**
 * Whether the database ended a statement because it took too long. For who waits that is no answer: each call would
 * wait for as long again.
 */
export function isOutOfTime(error: unknown): boolean {
  return errorsOf(error).some(({ code, errno }) => OUT_OF_TIME.has(code) || OUT_OF_TIME.has(errno))
}

/**
 * Whether a connection does not have a statement as it was prepared on it, so that it was not run: all are forgotten
 * (`DISCARD ALL`), the table was altered since, or PgBouncer has changed the server behind the connection.
 */
export function isUnprepared(error: unknown): boolean {
  return errorsOf(error).some(
    ({ code, routine }) =>
      UNPREPARED.has(code) || (code === '0A000' && routine === 'RevalidateCachedQuery'),
  )
}

/** Whether this connection does not lead to where may be written: after a failover another one may. */
export function isReadOnly(error: unknown): boolean {
  return errorsOf(error).some(({ code, errno }) => READ_ONLY.has(code) || READ_ONLY.has(errno))
}

/** Whether what was to be written is larger than the database takes. */
export function isTooLarge(error: unknown): boolean {
  return errorsOf(error).some(
    ({ code, message }) =>
      TOO_LARGE.has(code) ||
      /string or blob too big|Data too long|invalid memory alloc request size/.test(
        String(message),
      ),
  )
}

/**
 * Whether an error is the answer of a database that works: a statement it refused, as opposed to one
 * it could not be asked.
 */
export function isAnswer(error: unknown): boolean {
  return errorsOf(error).some(
    (one) => isPostgresAnswer(one) || isMysqlAnswer(one) || isSqliteAnswer(one),
  )
}

function isPostgresAnswer({ code, severity }: DriverError): boolean {
  if (typeof code !== 'string' || typeof severity !== 'string' || code.length !== 5) return false
  // Connection failures; a login that is refused, or a database that is not there; no connection left; shutting down or
  // starting; files that are damaged or gone. A server whose disk is full goes on answering reads.
  return !/^(?:08|28|3D|533|57P|58|F0|XX)/.test(code)
}

function isMysqlAnswer({ errno, sqlState }: DriverError): boolean {
  if (typeof errno !== 'number' || typeof sqlState !== 'string') return false
  // Connection failures, and a login that is refused.
  return !/^(?:08|28)/.test(sqlState) && !NOT_SERVING.has(errno)
}

function isSqliteAnswer({ code, message }: DriverError): boolean {
  if (typeof code !== 'string') return false
  if (/^SQLITE_(?:ERROR|CONSTRAINT|MISMATCH|RANGE|TOOBIG|SCHEMA|FULL|READONLY)/.test(code))
    return true
  return (
    code === 'ERR_SQLITE_ERROR' &&
    !/locked|busy|disk|malformed|not a database/.test(String(message))
  )
}

/** The failure of a call, with what to do about it. */
export function explain(error: unknown, table: string): Error {
  if (!isMissingTable(error)) return asError(error)
  return new CacheBackendError(
    `DatabaseCache: the table ${table} is not there; make it with "npx fragcache createcachetable --config FILE", or with createCacheTable of "fragcache/database"`,
    { cause: error, backend: 'DatabaseCache' },
  )
}
