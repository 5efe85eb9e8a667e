import { checkKnown } from '../../check-known.js'
import { InvalidCacheBackendError, show } from '../../errors.js'
import { COLUMN_LENGTH } from './column-key.js'
import { Statement, type Dialect, type Driver, type Parameter } from './driver.js'
import { COLUMNS } from './statements.js'
import { quote, quoteTable, showTable, type TableName } from './table-name.js'

/** A table that a cache needs. */
export interface NeededTable {
  readonly name: TableName
  readonly driver: Driver
}

/** How a cache says what table it needs; by name, since a process may load two copies. */
export const NEEDED_TABLE = Symbol.for('fragcache.database.table.1')

/** Says what table a cache needs. */
export function declareTable(cache: object, needed: NeededTable): void {
  Object.defineProperty(cache, NEEDED_TABLE, { value: needed })
}

/** Options of {@link createCacheTable}. */
export interface CreateCacheTableOptions {
  /** Reports what is missing, and creates nothing. Default `false`. */
  readonly dryRun?: boolean | undefined
}

/** What {@link createCacheTable} did, or would do, for one table. */
export interface CreatedTable {
  /** The table's name, as in the cache's location. */
  readonly table: string
  /** Whether the table existed before. If so, only a missing index is created. */
  readonly existed: boolean
  /** Whether this call created the table. */
  readonly created: boolean
  /** The statements that create what is missing. */
  readonly sql: readonly string[]
}

/**
 * Creates the missing tables of database caches.
 *
 * @param caches - A cache, several of them, or a `Caches`. Caches of other backends are ignored.
 * @returns What was done for each table or, with `dryRun`, what would be done.
 * @throws InvalidCacheBackendError: there is no database cache among them, or a table of that name belongs to
 *   another program.
 * @throws TypeError: an option is unknown.
 * @throws What the database reports.
 * @remarks Several caches over one table count once. The tables are created in the database that the caches
 *   write to. Existing tables keep their columns. Several processes may call this at the same time.
 * @see Django, `createcachetable`
 */
export async function createCacheTable(
  caches: unknown,
  options: CreateCacheTableOptions = {},
): Promise<CreatedTable[]> {
  checkKnown('createCacheTable', options, ['dryRun'])
  const { dryRun = false } = options
  const needed = neededTables(caches)
  if (needed.length === 0) {
    throw new InvalidCacheBackendError(
      `createCacheTable: there is no DatabaseCache in ${show(caches)}; give one, a list of them, or the result of createCaches`,
    )
  }
  const created: CreatedTable[] = []
  for (const { name, driver } of needed) {
    const table = showTable(name)
    const existed = await exists(driver, name)
    if (existed) await checkColumns(driver, name)
    const sql = existed ? await missingIndexSql(driver, name) : tableSql(driver.dialect, name)
    if (!dryRun) for (const one of sql) await make(driver, one)
    created.push({ table, existed, created: !existed && !dryRun, sql })
  }
  return created
}

function neededTables(caches: unknown): NeededTable[] {
  const found = new Map<string, NeededTable[]>()
  for (const cache of listOf(caches)) {
    const needed = (cache as { readonly [NEEDED_TABLE]?: NeededTable } | null)?.[NEEDED_TABLE]
    if (needed === undefined) continue
    const name = showTable(needed.name)
    const some = found.get(name) ?? []
    if (!some.some(({ driver }) => isSame(driver, needed.driver))) some.push(needed)
    found.set(name, some)
  }
  return [...found.values()].flat()
}

function listOf(caches: unknown): unknown[] {
  if (typeof caches !== 'object' || caches === null) return []
  if (NEEDED_TABLE in caches) return [caches]
  return Symbol.iterator in caches ? [...(caches as Iterable<unknown>)] : Object.values(caches)
}

function isSame(a: Driver, b: Driver): boolean {
  return a === b || a.database === b.database
}

/** What PostgreSQL says, in spite of `IF NOT EXISTS`, where another makes the same just now. */
const MADE_BY_ANOTHER: readonly unknown[] = ['23505', '42P07', '42710']

async function make(driver: Driver, sql: string, attempt = 1): Promise<void> {
  try {
    await ask(driver, sql, [], false)
  } catch (error) {
    const { code } = error as { readonly code?: unknown }
    if (attempt >= 5 || !MADE_BY_ANOTHER.includes(code)) throw error
    await make(driver, sql, attempt + 1)
  }
}

async function exists(driver: Driver, { schema, table }: TableName): Promise<boolean> {
  switch (driver.dialect) {
    case 'postgresql': {
      const [row] = await ask(driver, 'SELECT to_regclass(?)::text AS found', [
        quoteTable('postgresql', { schema, table }),
      ])
      return row?.['found'] !== null && row?.['found'] !== undefined
    }
    case 'mysql': {
      const inSchema = schema === undefined ? 'DATABASE()' : '?'
      const parameters = schema === undefined ? [table] : [table, schema]
      const sql = `SELECT 1 AS found FROM information_schema.tables WHERE table_name = CONVERT(? USING utf8) AND table_schema = ${inSchema === '?' ? 'CONVERT(? USING utf8)' : inSchema}`
      return (await ask(driver, sql, parameters)).length > 0
    }
    case 'sqlite': {
      const master = schema === undefined ? '' : `${quote('sqlite', schema)}.`
      const sql = `SELECT 1 AS found FROM ${master}sqlite_master WHERE type = 'table' AND name = ? COLLATE NOCASE`
      return (await ask(driver, sql, [table])).length > 0
    }
  }
}

/** What a database says where there is no such column. */
function isMissingColumn(error: unknown): boolean {
  const { code, message } = error as { readonly code?: unknown; readonly message?: unknown }
  return code === '42703' || code === 'ER_BAD_FIELD_ERROR' || /no such column/.test(String(message))
}

async function checkColumns(driver: Driver, name: TableName): Promise<void> {
  try {
    await ask(driver, `SELECT ${COLUMNS} FROM ${quoteTable(driver.dialect, name)} LIMIT 0`, [])
  } catch (error) {
    if (!isMissingColumn(error)) throw error
    throw new InvalidCacheBackendError(
      `createCacheTable: the table ${showTable(name)} belongs to another program: it lacks some of the columns ${COLUMNS}; give DatabaseCache another location`,
      { cause: error },
    )
  }
}

/** A run that ended between the table and its index left the table without. */
async function missingIndexSql(driver: Driver, name: TableName): Promise<string[]> {
  const { dialect } = driver
  if (dialect === 'mysql') return []
  const [, sql] = tableSql(dialect, name)
  if (sql === undefined) return []
  const { schema } = name
  const index = `${name.table}_expires`
  if (dialect === 'postgresql') {
    const sql = 'SELECT to_regclass(?)::text AS found'
    const [row] = await ask(driver, sql, [quoteTable(dialect, { schema, table: index })])
    if (typeof row?.['found'] === 'string') return []
  } else {
    const master = schema === undefined ? '' : `${quote(dialect, schema)}.`
    const sql = `SELECT 1 AS found FROM ${master}sqlite_master WHERE type = 'index' AND name = ? COLLATE NOCASE`
    if ((await ask(driver, sql, [index])).length > 0) return []
  }
  return [sql]
}

async function ask(
  driver: Driver,
  sql: string,
  parameters: readonly Parameter[],
  givesRows = true,
): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const statement = new Statement(driver.dialect, sql, { givesRows, isUnlimited: true })
  return (await driver.run(statement, parameters)).rows
}

interface Types {
  readonly text: string
  readonly bytes: string
}

const TYPES: Readonly<Record<Dialect, Types>> = {
  postgresql: { text: `varchar(${COLUMN_LENGTH}) COLLATE "C"`, bytes: 'bytea' },
  mysql: { text: `varbinary(${COLUMN_LENGTH})`, bytes: 'longblob' },
  sqlite: { text: 'text', bytes: 'blob' },
}

/** The statements that make a table. */
export function tableSql(dialect: Dialect, name: TableName): string[] {
  const { text, bytes } = TYPES[dialect]
  const number = dialect === 'sqlite' ? 'integer' : 'bigint'
  const index = quote(dialect, `${name.table}_expires`)
  const columns = [
    `cache_key ${text} NOT NULL PRIMARY KEY`,
    `value ${bytes}`,
    `number ${number}`,
    `expires ${number} NOT NULL`,
    `key_prefix ${text} NOT NULL`,
  ]
  const mysqlIndex = dialect === 'mysql' ? [`INDEX ${index} (expires)`] : []
  const create = `CREATE TABLE IF NOT EXISTS ${quoteTable(dialect, name)} (\n  ${[...columns, ...mysqlIndex].join(',\n  ')}\n)`
  if (dialect === 'mysql') return [`${create} ENGINE=InnoDB`]
  // SQLite wants the schema in front of the index, PostgreSQL puts it where the table is.
  const [on, indexName] =
    dialect === 'sqlite' && name.schema !== undefined
      ? [quote(dialect, name.table), `${quote(dialect, name.schema)}.${index}`]
      : [quoteTable(dialect, name), index]
  return [create, `CREATE INDEX IF NOT EXISTS ${indexName} ON ${on} (expires, cache_key)`]
}
