import { randomBytes } from 'node:crypto'
import BetterSqlite3 from 'better-sqlite3'
import Libsql from 'libsql'
import createKnex from 'knex'
import mysql, { type Pool as MysqlPool } from 'mysql2'
import pg from 'pg'
import type { DatabaseConnection, Parameter } from '../../src/backends/database.js'

/** A table's name that no other test uses. */
export function newTable(): string {
  return `cache_${randomBytes(6).toString('hex')}`
}

/** A connection of one kind, and how to look past the cache. */
export interface OpenDatabase {
  readonly database: DatabaseConnection
  /** Runs SQL with `?` for parameters and gives the rows. */
  readonly ask: (sql: string, parameters?: readonly unknown[]) => Promise<unknown[]>
  /** Runs a statement in the dialect's own form and gives what the client answers. */
  readonly native?: (sql: string, parameters: readonly Parameter[]) => unknown
  readonly end: () => Promise<void>
}

export function openBetterSqlite3(file = ':memory:'): OpenDatabase {
  const database = new BetterSqlite3(file)
  return {
    database,
    ask: async (sql, parameters = []) => {
      const statement = database.prepare(sql)
      if (statement.reader) return statement.all(...parameters)
      statement.run(...parameters)
      return []
    },
    native: (sql, parameters) => {
      const statement = database.prepare(sql)
      return statement.reader ? statement.all(...parameters) : statement.run(...parameters).changes
    },
    end: async () => void database.close(),
  }
}

export function openLibsql(file = ':memory:'): OpenDatabase {
  const database = new Libsql(file)
  return {
    database,
    ask: async (sql, parameters = []) => {
      const statement = database.prepare(sql)
      if (statement.reader) return statement.all(...parameters)
      statement.run(...parameters)
      return []
    },
    end: async () => void database.close(),
  }
}

interface NodeSqlite {
  readonly DatabaseSync: new (file: string) => {
    exec(sql: string): void
    prepare(sql: string): {
      all(...parameters: unknown[]): unknown[]
    }
    close(): void
  }
}

/** Since Node 22.5. */
export function hasNodeSqlite(): boolean {
  return process.getBuiltinModule('node:module').isBuiltin('node:sqlite')
}

export function openNodeSqlite(file = ':memory:'): OpenDatabase {
  // The types of the oldest Node that is supported do not know it.
  const getModule: (name: string) => unknown = process.getBuiltinModule
  const { DatabaseSync } = getModule('node:sqlite') as NodeSqlite
  const database = new DatabaseSync(file)
  return {
    database,
    ask: async (sql, parameters = []) => database.prepare(sql).all(...parameters),
    end: async () => void database.close(),
  }
}

export function openPostgres(url: string, settings: pg.PoolConfig = {}): OpenDatabase {
  const pool = new pg.Pool({ connectionString: url, ...settings })
  return {
    database: pool,
    ask: async (sql, parameters = []) => {
      let count = 0
      const numbered = sql.replace(/\?/g, () => `$${++count}`)
      return (await pool.query(numbered, [...parameters])).rows as unknown[]
    },
    native: async (sql, parameters) => (await pool.query(sql, [...parameters])).rows as unknown[],
    end: () => pool.end(),
  }
}

export function openMysql(url: string): OpenDatabase & { readonly database: MysqlPool } {
  const pool = mysql.createPool(url)
  return {
    database: pool,
    ask: async (sql, parameters = []) => {
      const [rows] = await pool.promise().query(sql, [...parameters])
      return Array.isArray(rows) ? rows : []
    },
    native: async (sql, parameters) => (await pool.promise().query(sql, [...parameters]))[0],
    end: () => pool.promise().end(),
  }
}

export function openKnex(client: 'pg' | 'mysql2' | 'better-sqlite3', url: string): OpenDatabase {
  const knex =
    client === 'better-sqlite3'
      ? createKnex({ client, connection: { filename: url }, useNullAsDefault: true })
      : createKnex({ client, connection: url })
  return {
    database: knex,
    ask: async (sql, parameters = []) => {
      const given: unknown = await knex.raw(sql, [...parameters] as never)
      const rows = client === 'pg' ? (given as { rows: unknown[] }).rows : given
      return (client === 'mysql2' ? (rows as unknown[][])[0] : rows) as unknown[]
    },
    end: () => knex.destroy(),
  }
}
