import { InvalidCacheBackendError, showAddress } from '../../errors.js'
import type { Dialect } from './driver.js'

/** A table's name in its parts, checked. */
export interface TableName {
  readonly schema: string | undefined
  readonly table: string
}

/** The longest name that PostgreSQL does not cut, less what the name of the index adds. */
const MAX_LENGTH = 63 - '_expires'.length

/**
 * Checks a location.
 *
 * @throws InvalidCacheBackendError: it is not `table` or `schema.table`.
 */
export function parseTableName(location: unknown): TableName {
  const parts = typeof location === 'string' ? location.split('.') : []
  if (parts.length < 1 || parts.length > 2 || !parts.every(isIdentifier)) {
    throw new InvalidCacheBackendError(
      `DatabaseCache: location: ${location === undefined ? 'it is missing' : `${showAddress(location)} is not a table name`}; give the name of a table, such as "cache_entries" or "schema.cache_entries", of at most ${MAX_LENGTH} ASCII letters, digits and underscores, not beginning with a digit`,
    )
  }
  const [first = '', second] = parts
  return second === undefined
    ? { schema: undefined, table: first }
    : { schema: first, table: second }
}

function isIdentifier(part: string): boolean {
  return part.length <= MAX_LENGTH && /^[A-Za-z_][A-Za-z0-9_]*$/.test(part)
}

/** A name between the quotes of the dialect. */
export function quote(dialect: Dialect, name: string): string {
  return dialect === 'mysql' ? `\`${name}\`` : `"${name}"`
}

/** The table as statements name it. */
export function quoteTable(dialect: Dialect, { schema, table }: TableName): string {
  const name = quote(dialect, table)
  return schema === undefined ? name : `${quote(dialect, schema)}.${name}`
}

/** The table as people write it. */
export function showTable({ schema, table }: TableName): string {
  return schema === undefined ? table : `${schema}.${table}`
}
