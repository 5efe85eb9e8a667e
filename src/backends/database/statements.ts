import { Statement, type Dialect, type StatementTraits } from './driver.js'
import { quoteTable, type TableName } from './table-name.js'

/** The columns of a written row, in the order of its parameters. */
export const COLUMNS = 'cache_key, value, number, expires, key_prefix'

/** Parameters of a written row. */
export const COLUMN_COUNT = 5

/** Up to so many rows a statement's text is worth keeping. */
const FIXED_ROWS = 16

/** Up to so many keys a statement is worth keeping: the database reads and plans it once for each connection. */
const FIXED_KEYS = 512

/**
 * For how many keys a statement is to be that reads so many: each up to 16, then ever fewer, so that there are few
 * of them.
 */
function sizeFor(keys: number): number {
  if (keys <= 16 || keys > FIXED_KEYS) return keys
  const step = 2 ** Math.max(3, Math.ceil(Math.log2(keys)) - 3)
  return Math.ceil(keys / step) * step
}

/** @returns Keys for one statement that reads many: some of them more than once. */
export function fillUp(keys: readonly string[]): readonly string[] {
  const missing = sizeFor(keys.length) - keys.length
  return missing === 0 ? keys : [...keys, ...new Array<string>(missing).fill(keys[0] as string)]
}

const ONCE: StatementTraits = {}
/** Traits of a fixed statement that gives rows. */
export const ROWS: StatementTraits = { isFixed: true, givesRows: true }

/** `(?, ?), (?, ?)`. */
export function places(rows: number, columns: number): string {
  const row = `(${list(columns)})`
  return rows === 1 ? row : new Array(rows).fill(row).join(', ')
}

/** `?, ?`. */
export function list(count: number): string {
  return count === 1 ? '?' : new Array(count).fill('?').join(', ')
}

/** Where the dialects differ within a statement. */
export interface StatementParts {
  /** The value as bytes, also where it is a number. */
  readonly value: string
  /** What a touched deadline is set to. */
  readonly touched: string
  /** Behind `INSERT … VALUES …`: what happens to rows that are there. */
  readonly overwrite: string
  /** What makes that give `inserted`: whether each row was not there before. */
  readonly tellsInserted?: string
  /** How to have the rows given back that were changed. */
  readonly returning?: string
  readonly givesChanges?: boolean
}

/** The statements over one table that all dialects have in common. */
export abstract class Statements {
  protected readonly table: string
  /** The key; now. Gives `value`. */
  readonly read: Statement
  /** The deadline; the key; now. */
  readonly touch: Statement
  /** Delta; the key; now; the least and the most number that may be counted on. */
  abstract readonly increment: Statement
  readonly #reads = new Map<number, Statement>()
  readonly #writes = new Map<number, Statement>()
  readonly #tellingWrites = new Map<number, Statement>()

  protected constructor(
    readonly dialect: Dialect,
    name: TableName,
    private readonly parts: StatementParts,
  ) {
    this.table = quoteTable(dialect, name)
    const { givesChanges = false, returning = '' } = parts
    const changes = { isFixed: true, givesRows: givesChanges }
    this.read = this.statement(
      `SELECT ${parts.value} AS value FROM ${this.table} WHERE cache_key = ? AND expires > ?`,
      ROWS,
    )
    this.touch = this.statement(
      `UPDATE ${this.table} SET expires = ${parts.touched} WHERE cache_key = ? AND expires > ? ${returning}`,
      changes,
    )
  }

  /**
   * Rows, written in any case.
   *
   * @param tells - Whether it gives `inserted`, where that costs something: whether each row was not
   *   there before.
   */
  write(rows: number, tells: boolean): Statement {
    const { overwrite, tellsInserted } = this.parts
    const tellsSo = tells && tellsInserted !== undefined
    return kept(tellsSo ? this.#tellingWrites : this.#writes, rows, () =>
      this.statement(
        `INSERT INTO ${this.table} (${COLUMNS}) VALUES ${places(rows, COLUMN_COUNT)} ${overwrite}${tellsSo ? ` ${tellsInserted}` : ''}`,
        { isFixed: rows === 1, givesRows: tellsSo },
      ),
    )
  }

  /** Keys, see {@link fillUp}; now. Gives `cache_key` and `value`. */
  readMany(keys: number): Statement {
    return kept(
      this.#reads,
      keys,
      () =>
        this.statement(
          `SELECT cache_key, ${this.parts.value} AS value FROM ${this.table} WHERE cache_key IN (${list(keys)}) AND expires > ?`,
          { givesRows: true, isFixed: keys <= FIXED_KEYS },
        ),
      FIXED_KEYS,
    )
  }

  /** Keys; now. Gives `cache_key` and `expires`. */
  readDeadlines(keys: number): Statement {
    return this.statement(
      `SELECT cache_key, expires FROM ${this.table} WHERE cache_key IN (${list(keys)}) AND expires > ?`,
      { givesRows: true },
    )
  }

  /* Making room. */

  /** Gives `entries`: how many there are, but no more than `most`. */
  countUpTo(most: number): Statement {
    return this.statement(
      `SELECT count(1) AS entries FROM (SELECT 1 AS one FROM ${this.table} LIMIT ${most}) AS sample`,
      ROWS,
    )
  }

  /** Now. Gives `cache_key` and `expires` of what has expired, the oldest first. */
  expired(limit: number): Statement {
    return this.statement(
      `SELECT cache_key, expires FROM ${this.table} WHERE expires <= ? ORDER BY expires, cache_key LIMIT ${limit}`,
      ROWS,
    )
  }

  /** Gives `cache_key` and `expires` of what expires next. */
  expiringNext(limit: number): Statement {
    return this.statement(
      `SELECT cache_key, expires FROM ${this.table} WHERE expires < ${Number.MAX_SAFE_INTEGER} ORDER BY expires, cache_key LIMIT ${limit}`,
      { givesRows: true },
    )
  }

  /** The key behind which to go on. Gives `entries`: how many of so many there are; `last`: the last key. */
  countBehind(rows: number): Statement {
    return this.#countPart('', rows)
  }

  /** As {@link countBehind}, of what never expires. */
  countEndlessBehind(rows: number): Statement {
    return this.#countPart(`expires = ${Number.MAX_SAFE_INTEGER} AND `, rows)
  }

  #countPart(condition: string, rows: number): Statement {
    return this.statement(
      `SELECT count(1) AS entries, max(cache_key) AS last FROM (SELECT cache_key FROM ${this.table} WHERE ${condition}cache_key > ? ORDER BY cache_key LIMIT ${rows}) AS part`,
      ROWS,
    )
  }

  /** Gives `entries`: how many never expire, but no more than `most`. */
  countEndlessUpTo(most: number): Statement {
    return this.statement(
      `SELECT count(1) AS entries FROM (SELECT 1 AS one FROM ${this.table} WHERE expires = ${Number.MAX_SAFE_INTEGER} LIMIT ${most}) AS sample`,
      ROWS,
    )
  }

  /** The key behind which to go on. Gives `cache_key` and `expires` of what never expires. */
  endless(limit: number): Statement {
    return this.statement(
      `SELECT cache_key, expires FROM ${this.table} WHERE expires = ${Number.MAX_SAFE_INTEGER} AND cache_key > ? ORDER BY expires, cache_key LIMIT ${limit}`,
      { givesRows: true },
    )
  }

  /** The key behind which to go on. Gives `cache_key` of any entries. */
  page(limit: number): Statement {
    return this.statement(
      `SELECT cache_key FROM ${this.table} WHERE cache_key > ? ORDER BY cache_key LIMIT ${limit}`,
      ROWS,
    )
  }

  /** The key behind which to go on. Gives the `cache_key` so many rows later, if there is one. */
  later(rows: number): Statement {
    return this.statement(
      `SELECT cache_key FROM ${this.table} WHERE cache_key > ? ORDER BY cache_key LIMIT 1 OFFSET ${rows - 1}`,
      ROWS,
    )
  }

  /** The key prefix; the key behind which to go on; if it is bounded, the last. Gives `cache_key`. */
  pageOf(limit: number, isBounded: boolean): Statement {
    const bound = isBounded ? ' AND cache_key <= ?' : ''
    return this.statement(
      `SELECT cache_key FROM ${this.table} WHERE key_prefix = ? AND cache_key > ?${bound} ORDER BY cache_key LIMIT ${limit}`,
      ROWS,
    )
  }

  /** The columns but the key; the key; now; the value (or number) that is replaced. */
  abstract replace(column: 'value' | 'number'): Statement

  /** Keys, sorted; the latest deadline that goes. */
  abstract removeExpiring(keys: number): Statement

  protected statement(marked: string, traits: StatementTraits = ONCE): Statement {
    return new Statement(this.dialect, marked, traits)
  }
}

/** Texts for a few rows come again and again; those for many do not. */
export function kept(
  known: Map<number, Statement>,
  count: number,
  make: () => Statement,
  most = FIXED_ROWS,
): Statement {
  const found = known.get(count)
  if (found !== undefined) return found
  const made = make()
  if (count <= most) known.set(count, made)
  return made
}
