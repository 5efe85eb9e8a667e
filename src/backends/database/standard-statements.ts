import type { Statement } from './driver.js'
import {
  COLUMN_COUNT,
  COLUMNS,
  list,
  places,
  ROWS,
  Statements,
  type StatementParts,
} from './statements.js'
import type { TableName } from './table-name.js'

const OVERWRITE =
  'ON CONFLICT (cache_key) DO UPDATE SET value = excluded.value, number = excluded.number, expires = excluded.expires, key_prefix = excluded.key_prefix'

const PARTS = {
  touched: '?',
  overwrite: OVERWRITE,
  returning: 'RETURNING cache_key',
  givesChanges: true,
}

const OWN_PARTS: Readonly<
  Record<'postgresql' | 'sqlite', Pick<StatementParts, 'value'> & Partial<StatementParts>>
> = {
  sqlite: { value: 'coalesce(value, CAST(number AS BLOB))' },
  postgresql: {
    value: 'coalesce(value, number::text::bytea)',
    // A row that was there before has been locked by the transaction that updates it.
    tellsInserted: 'RETURNING (xmax = 0) AS inserted',
  },
}

/** PostgreSQL and SQLite: `ON CONFLICT … WHERE` and `RETURNING` make every answer exact. */
export class StandardStatements extends Statements {
  /** Gives `number`. */
  readonly increment: Statement
  /** The key. Gives `cache_key` and `expires`. */
  readonly remove: Statement

  constructor(
    override readonly dialect: 'postgresql' | 'sqlite',
    name: TableName,
  ) {
    super(dialect, name, { ...PARTS, ...OWN_PARTS[dialect] })
    this.increment = this.statement(
      `UPDATE ${this.table} SET number = number + ? WHERE cache_key = ? AND expires > ? AND number BETWEEN ? AND ? RETURNING number`,
      ROWS,
    )
    this.remove = this.statement(
      `DELETE FROM ${this.table} WHERE cache_key = ? RETURNING cache_key, expires`,
      ROWS,
    )
  }

  /**
   * Rows; now; the keys of those rows that have a condition; for each of `bytes` and `numbers` a key
   * and what may be replaced under it. Gives `cache_key` of what was written.
   */
  writeIf(rows: number, conditional: number, bytes: number, numbers: number): Statement {
    const or = [
      'entry.expires <= ?',
      conditional === rows ? undefined : `entry.cache_key NOT IN (${list(conditional)})`,
      ...new Array<string>(bytes).fill('(entry.cache_key = ? AND entry.value = ?)'),
      ...new Array<string>(numbers).fill('(entry.cache_key = ? AND entry.number = ?)'),
    ].filter((one) => one !== undefined)
    return this.statement(
      `INSERT INTO ${this.table} AS entry (${COLUMNS}) VALUES ${places(rows, COLUMN_COUNT)} ${OVERWRITE} WHERE ${or.join(' OR ')} RETURNING cache_key`,
      { givesRows: true, isFixed: rows === 1 },
    )
  }

  override replace(column: 'value' | 'number'): Statement {
    return this.statement(
      `UPDATE ${this.table} SET value = ?, number = ?, expires = ?, key_prefix = ? WHERE cache_key = ? AND expires > ? AND ${column} = ? RETURNING cache_key`,
      ROWS,
    )
  }

  /** Keys. Gives `cache_key` and `expires`. */
  removeMany(keys: number): Statement {
    if (keys === 1) return this.remove
    return this.statement(
      `DELETE FROM ${this.table} WHERE ${this.#inOrder(`cache_key IN (${list(keys)})`)} RETURNING cache_key, expires`,
      { givesRows: true },
    )
  }

  override removeExpiring(keys: number): Statement {
    return this.statement(
      `DELETE FROM ${this.table} WHERE ${this.#inOrder(`cache_key IN (${list(keys)})`)} AND expires <= ? RETURNING cache_key`,
      { givesRows: true },
    )
  }

  /**
   * PostgreSQL locks rows in the order its plan meets them. Where batches lock in another order than
   * each other, they deadlock.
   */
  #inOrder(condition: string): string {
    if (this.dialect === 'sqlite') return condition
    return `cache_key IN (SELECT cache_key FROM ${this.table} WHERE ${condition} ORDER BY cache_key FOR UPDATE)`
  }
}
