import { clockAhead, countOf, known, type ServerFigures } from '../../server-stats.js'
import { chain, type MaybePromise } from '../../maybe-promise.js'
import { Statement, type Dialect, type Driver } from './driver.js'
import { quoteTable, showTable, type TableName } from './table-name.js'

/** Rows whose sizes are looked at; of more, these tell the mean. */
const SAMPLE = 10_000

/** Rows that are counted. */
const MOST = 1_000_000

interface Words {
  /** Bytes of a row's key and value. */
  readonly size: string
  readonly version: string
  /** Milliseconds since the epoch by the server's clock; SQLite runs here. */
  readonly clock: string
}

const WORDS: Readonly<Record<Dialect, Words>> = {
  postgresql: {
    size: 'octet_length(cache_key) + COALESCE(octet_length(value), 8)',
    version: `current_setting('server_version')`,
    clock: 'EXTRACT(EPOCH FROM clock_timestamp()) * 1000',
  },
  mysql: {
    size: 'LENGTH(cache_key) + COALESCE(LENGTH(value), 8)',
    version: 'VERSION()',
    clock: 'UNIX_TIMESTAMP(SYSDATE(3)) * 1000',
  },
  sqlite: {
    size: 'length(CAST(cache_key AS blob)) + COALESCE(length(value), 8)',
    version: 'sqlite_version()',
    clock: 'NULL',
  },
}

/** One query, whose cost does not grow with the table beyond its bounds. */
function usageStatement(dialect: Dialect, name: TableName): Statement {
  const { size, version, clock } = WORDS[dialect]
  const table = quoteTable(dialect, name)
  const counted = `SELECT count(1) FROM (SELECT 1 AS one FROM ${table} LIMIT ${MOST}) AS counted`
  return new Statement(
    dialect,
    `SELECT (${counted}) AS entries, count(1) AS sampled, sum(size) AS bytes, ${version} AS version, ${clock} AS clock FROM (SELECT ${size} AS size FROM ${table} LIMIT ${SAMPLE}) AS sample`,
    { givesRows: true },
  )
}

/** What the table holds, expired rows included. */
export function measureTable(driver: Driver, name: TableName): MaybePromise<ServerFigures> {
  const { dialect } = driver
  const sentAtMs = Date.now()
  return chain(driver.run(usageStatement(dialect, name), []), ({ rows }) => {
    const { entries, sampled, bytes, version, clock } = rows[0] ?? {}
    const count = countOf(entries)
    const sample = countOf(sampled) ?? 0
    const mean = sample === 0 ? 0 : (countOf(bytes) ?? 0) / sample
    const serverMs = countOf(clock)
    return known({
      scope: dialect === 'sqlite' ? ('machine' as const) : ('shared' as const),
      table: showTable(name),
      entries: count,
      bytes: count === undefined ? undefined : Math.round(mean * count),
      version: typeof version === 'string' ? version : undefined,
      clockAheadMs: serverMs === undefined ? undefined : clockAhead(serverMs, sentAtMs, Date.now()),
    })
  })
}
