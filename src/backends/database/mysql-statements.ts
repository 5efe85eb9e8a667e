import type { Statement } from './driver.js'
import {
  COLUMN_COUNT,
  COLUMNS,
  list,
  places,
  Statements,
  type StatementParts,
} from './statements.js'
import type { TableName } from './table-name.js'

/** What is added to a number on its way through `LAST_INSERT_ID`, which takes none below zero. */
export const INSERT_ID_OFFSET = 2n ** 53n

const FIXED = { isFixed: true }

const OVERWRITTEN = ['value', 'number', 'expires', 'key_prefix']

const PARTS: StatementParts = {
  value: 'IFNULL(value, CAST(number AS BINARY))',
  touched: 'LAST_INSERT_ID(?)',
  overwrite: `ON DUPLICATE KEY UPDATE ${OVERWRITTEN.map((column) => `${column} = VALUES(${column})`).join(', ')}`,
}

/** What `LAST_INSERT_ID` says of an `addIfAbsent`: it replaced an expired row, or found a live one. */
export const REPLACED = 1
export const REFUSED = 2

/**
 * MySQL and MariaDB. `RETURNING` is missing, and the count of changed rows depends on how the
 * connection was opened, so that answers come by way of `LAST_INSERT_ID`.
 */
export class MysqlStatements extends Statements {
  /** A row; now four times. The insert id is {@link REFUSED} if there was a live one. */
  readonly addIfAbsent: Statement
  readonly increment: Statement
  /** The key; now. */
  readonly remove: Statement
  /** Gives `bytes`: the most that a statement may have. */
  readonly maxPacket: Statement

  constructor(name: TableName) {
    super('mysql', name, PARTS)
    this.maxPacket = this.statement('SELECT @@max_allowed_packet AS bytes', { givesRows: true })
    const columns = ['value', 'number', 'key_prefix'].map(
      (column) => `${column} = IF(expires <= ?, VALUES(${column}), ${column})`,
    )
    // From left to right: what decides is changed last.
    const expires = `expires = IF(LAST_INSERT_ID(IF(expires <= ?, ${REPLACED}, ${REFUSED})) = ${REPLACED}, VALUES(expires), expires)`
    this.addIfAbsent = this.statement(
      `INSERT INTO ${this.table} (${COLUMNS}) VALUES ${places(1, COLUMN_COUNT)} ON DUPLICATE KEY UPDATE ${columns.join(', ')}, ${expires}`,
      FIXED,
    )
    this.remove = this.statement(
      `DELETE FROM ${this.table} WHERE cache_key = ? AND expires > ?`,
      FIXED,
    )
    this.increment = this.statement(
      `UPDATE ${this.table} SET number = CAST(LAST_INSERT_ID(number + CAST(? AS SIGNED) + ${INSERT_ID_OFFSET}) AS SIGNED) - ${INSERT_ID_OFFSET} WHERE cache_key = ? AND expires > ? AND number BETWEEN ? AND ?`,
      FIXED,
    )
  }

  /** The columns but the key, the deadline last; the key; now; the value (or number) replaced. */
  override replace(column: 'value' | 'number'): Statement {
    return this.statement(
      `UPDATE ${this.table} SET value = ?, number = ?, expires = LAST_INSERT_ID(?), key_prefix = ? WHERE cache_key = ? AND expires > ? AND ${column} = ?`,
      FIXED,
    )
  }

  /** Keys. */
  removeMany(keys: number): Statement {
    return this.#removeMany(keys, '')
  }

  override removeExpiring(keys: number): Statement {
    return this.#removeMany(keys, ' AND expires <= ?')
  }

  /**
   * By the primary key: a statement that uses the index on the deadline locks rows in another order.
   */
  #removeMany(keys: number, condition: string): Statement {
    return this.statement(
      `DELETE entry FROM ${this.table} AS entry FORCE INDEX (PRIMARY) WHERE cache_key IN (${list(keys)})${condition}`,
    )
  }
}
