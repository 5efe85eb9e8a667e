import { didYouMean } from '../../did-you-mean.js'
import { InvalidCacheBackendError, show, showAddress } from '../../errors.js'
import type { Driver, DriverContext } from './driver.js'
import { dialectOfKnex, KnexDriver, type Knex } from './drivers/knex.js'
import {
  mysqlConnectionDriver,
  mysqlPoolDriver,
  type MysqlConnection,
  type MysqlPool,
} from './drivers/mysql.js'
import { pgClientDriver, pgPoolDriver, type PgClient, type PgPool } from './drivers/postgres.js'
import { QueryDriver, type QueryDatabase } from './drivers/query.js'
import { SqliteDriver, type SqliteDatabase } from './drivers/sqlite.js'

const REMEDY =
  'give a pool of pg or mysql2, a database of better-sqlite3, libsql or node:sqlite, a knex instance, { write, read } of those, or { dialect, query }'

const DIALECTS: readonly unknown[] = ['postgresql', 'mysql', 'sqlite']

/** Where statements are sent. */
export interface Route {
  readonly write: Driver
  readonly read: Driver
}

/**
 * Finds out what the user's connection is, by what it can do.
 *
 * @throws InvalidCacheBackendError: it is nothing that is known.
 */
export function connect(database: unknown, context: DriverContext): Route {
  if (
    isObject(database) &&
    ('write' in database || 'read' in database) &&
    !has(database, 'query')
  ) {
    const unknown = Object.keys(database).find((name) => name !== 'write' && name !== 'read')
    if (unknown !== undefined) {
      const hint = didYouMean(unknown, ['write', 'read'])
      throw refusal(`unknown name ${JSON.stringify(unknown)} beside write and read`, hint)
    }
    const { write, read } = database
    const writer = toDriver(write, 'database.write', context)
    const reader =
      read === undefined || read === write ? writer : toDriver(read, 'database.read', context)
    if (writer.dialect !== reader.dialect) {
      throw refusal(`write speaks ${writer.dialect}, read speaks ${reader.dialect}`)
    }
    return { write: writer, read: reader }
  }
  const driver = toDriver(database, 'database', context)
  return { write: driver, read: driver }
}

function toDriver(database: unknown, name: string, context: DriverContext): Driver {
  if (!isObject(database)) throw unknownDatabase(database, name)
  if ('dialect' in database && has(database, 'query')) {
    const query = database as object as QueryDatabase
    if (DIALECTS.includes(query.dialect)) return new QueryDriver(query, context)
    throw new InvalidCacheBackendError(
      `DatabaseCache: ${name}.dialect: ${show(query.dialect)} is not supported; known are ${DIALECTS.join(', ')}${didYouMean(query.dialect, DIALECTS.map(String))}`,
    )
  }
  if (has(database, 'raw') && isObject(database['client'])) {
    const knex = database as object as Knex
    const dialect = dialectOfKnex(knex)
    if (dialect !== undefined) return new KnexDriver(knex, dialect, context)
    throw new InvalidCacheBackendError(
      `DatabaseCache: ${name}: knex's client ${show(knex.client.dialect)} is not supported; known are PostgreSQL, MySQL and SQLite`,
    )
  }
  if (has(database, 'prepare') && has(database, 'exec')) {
    return new SqliteDriver(database as object as SqliteDatabase, context)
  }
  if (has(database, 'execute') && has(database, 'query')) return mysqlDriver(database, context)
  if (has(database, 'query') && has(database, 'connect') && has(database, 'end')) {
    return 'totalCount' in database
      ? pgPoolDriver(database as object as PgPool, context)
      : pgClientDriver(database as object as PgClient, context)
  }
  throw unknownDatabase(database, name)
}

/** The forms with promises stand on those with callbacks, which are faster. */
function mysqlDriver(database: Record<string, unknown>, context: DriverContext): Driver {
  const { pool, connection } = database
  const base = has(database, 'promise') ? database : isObject(pool) ? pool : connection
  if (!isObject(base)) throw unknownDatabase(database, 'database')
  return has(base, 'getConnection')
    ? mysqlPoolDriver(base as object as MysqlPool, context)
    : mysqlConnectionDriver(base as object as MysqlConnection, context)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return (typeof value === 'object' && value !== null) || typeof value === 'function'
}

function has(value: Record<string, unknown>, method: string): boolean {
  return typeof value[method] === 'function'
}

function unknownDatabase(database: unknown, name: string): InvalidCacheBackendError {
  return new InvalidCacheBackendError(
    `DatabaseCache: ${name}: ${database === undefined ? 'it is missing' : `${showAddress(database)} is not a known database`}; ${REMEDY}`,
  )
}

/** @param hint - Advice that ends the message. */
function refusal(fault: string, hint = ''): InvalidCacheBackendError {
  return new InvalidCacheBackendError(`DatabaseCache: database: ${fault}; ${REMEDY}${hint}`)
}
