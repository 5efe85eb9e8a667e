import type { WriteEntry, WriteOutcome } from '../backend.js'
import { Cache } from '../cache.js'
import { CacheBackendError } from '../errors.js'
import { chain, isPromise, type MaybePromise } from '../maybe-promise.js'
import { FORMAT_SETTINGS, PayloadFormat, type FormatSettings } from '../payload-format.js'
import type { Unpacked } from '../serializer.js'
import type { ServerFigures } from '../server-stats.js'
import { resolveCount, type CacheSettings } from '../settings.js'
import type { TagVersions } from '../tags.js'
import type { Deadline } from '../timeout.js'
import { connect, type Route } from './database/connect.js'
import { NEEDED_TABLE, type NeededTable } from './database/create-table.js'
import { explain, isAnswer, isMissingTable } from './database/failures.js'
import { Replica } from './database/replica.js'
import { Table } from './database/table.js'
import { parseTableName } from './database/table-name.js'
import { measureTable } from './database/usage.js'
import type { QueryDatabase } from './database/drivers/query.js'

export {
  createCacheTable,
  type CreateCacheTableOptions,
  type CreatedTable,
} from './database/create-table.js'
export type { QueryDatabase } from './database/drivers/query.js'
export type { Dialect, Parameter } from './database/driver.js'

/** Options of {@link DatabaseCache}. */
export interface DatabaseOptions {
  /**
   * Most entries in the table, of all caches and processes together; it may exceed them by a tenth,
   * at least 32. Default 300.
   */
  readonly maxEntries?: number | undefined
  /**
   * When it is full, one in so many entries goes: expired ones first, then those that would expire
   * next. 0: all of them. Default 3.
   */
  readonly cullFrequency?: number | undefined
  /**
   * Milliseconds a call may take; then it fails. Default 1000. It has no effect on SQLite, which
   * answers at once or keeps the process waiting.
   */
  readonly timeLimitMs?: number | undefined
}

/**
 * A connection of the user's: a pool or client of `pg`, a pool or connection of `mysql2`, a database
 * of `better-sqlite3`, `libsql` or `node:sqlite`, a knex instance, or a function that runs SQL.
 */
export type DatabaseConnection = object | QueryDatabase

/** A primary, and a replica that entries are read from. */
export interface DatabaseRoute {
  readonly write: DatabaseConnection
  /** Default: as `write`. */
  readonly read?: DatabaseConnection | undefined
}

/** Settings of {@link DatabaseCache}. */
export interface DatabaseSettings extends CacheSettings, FormatSettings {
  /** The table: `table` or `schema.table`, of ASCII letters, digits and underscores. */
  readonly location: string
  /** Where the table is. */
  readonly database: DatabaseConnection | DatabaseRoute
  readonly options?: DatabaseOptions | undefined
}

/**
 * A cache in a table of PostgreSQL, MySQL, MariaDB or SQLite, over the user's own connection, which
 * it neither opens nor closes.
 *
 * The table is made by `fragcache createcachetable` or {@link createCacheTable}.
 *
 * @remarks Every call is one statement, exact among any number of processes. Over `better-sqlite3`,
 *   `libsql` and `node:sqlite` it answers at once, so that templates can be rendered synchronously.
 * @see Django, "Database caching"
 */
export class DatabaseCache extends Cache<Uint8Array> {
  override readonly answersAtOnce: boolean
  /** @internal */
  readonly [NEEDED_TABLE]: NeededTable
  readonly #route: Route
  readonly #replica: Replica
  readonly #table: Table
  readonly #format: PayloadFormat
  readonly #maxEntries: number
  #isOpen = false

  /** @throws InvalidCacheBackendError: a setting is missing, unknown or of the wrong kind. */
  constructor(settings: DatabaseSettings) {
    super(settings, {
      settings: ['database', ...FORMAT_SETTINGS],
      options: ['maxEntries', 'cullFrequency'],
      server: true,
    })
    const { location, database, options = {} } = settings
    this.#format = new PayloadFormat('DatabaseCache', settings)
    const name = parseTableName(location)
    const limits = {
      maxEntries: resolveCount('DatabaseCache', 'maxEntries', options.maxEntries, 300, 1),
      cullFrequency: resolveCount('DatabaseCache', 'cullFrequency', options.cullFrequency, 3, 0),
    }
    this.#maxEntries = limits.maxEntries
    const { keyPrefix, timeLimitMs } = this.settings
    this.#route = connect(database, {
      limitMs: timeLimitMs,
      explain: (error) => explain(error, location),
    })
    const { read, write } = this.#route
    this.answersAtOnce = read.answersAtOnce && write.answersAtOnce
    // A table that was made just now may not have reached the replica.
    const isDown = (error: unknown) => this.isOutage(error) || isMissingTable(error)
    this.#replica = new Replica(write, read, timeLimitMs, isDown)
    this[NEEDED_TABLE] = { name, driver: write }
    this.#table = new Table(name, this.#route, keyPrefix, limits, timeLimitMs)
  }

  /** @internal */
  override get readsMayLag(): boolean {
    return this.#route.read !== this.#route.write
  }

  protected override readEntries(
    keys: readonly string[],
  ): MaybePromise<readonly (Uint8Array | undefined)[]> {
    this.#open()
    return this.#table.readMany(keys, this.#route.write)
  }

  protected override readCopies(
    keys: readonly string[],
    counterKeys: readonly string[],
  ): MaybePromise<readonly (Uint8Array | undefined)[]> {
    const { read, write } = this.#route
    if (read === write) {
      return this.readEntries(counterKeys.length === 0 ? keys : [...keys, ...counterKeys])
    }
    this.#open()
    const entries = this.#replica.read((driver) => this.#table.readMany(keys, driver))
    if (counterKeys.length === 0) return entries
    const counters = this.#table.readMany(counterKeys, write)
    if (!isPromise(entries) && !isPromise(counters)) return [...entries, ...counters]
    return Promise.all([entries, counters]).then((both) => both.flat())
  }

  protected override writeEntries(
    entries: readonly WriteEntry[],
  ): MaybePromise<readonly WriteOutcome[]> {
    this.#open()
    return this.#table.write(entries)
  }

  protected override removeEntries(keys: readonly string[]): MaybePromise<readonly boolean[]> {
    this.#open()
    return this.#table.remove(keys)
  }

  protected override touchEntry(key: string, expiresAtMs: Deadline): MaybePromise<boolean> {
    this.#open()
    return this.#table.touch(key, expiresAtMs)
  }

  protected override incrementEntry(
    key: string,
    delta: number,
  ): MaybePromise<number | null | undefined> {
    this.#open()
    return this.#table.increment(key, delta)
  }

  protected override readDeadline(key: string): MaybePromise<Deadline | undefined> {
    return chain(this.readDeadlines([key]), ([deadline]) => deadline)
  }

  protected override readDeadlines(
    keys: readonly string[],
  ): MaybePromise<readonly (Deadline | undefined)[]> {
    this.#open()
    return this.#table.readDeadlines(keys)
  }

  protected override removeAll(): MaybePromise<void> {
    this.#open()
    return this.#table.clear()
  }

  protected override readServerStats(): MaybePromise<ServerFigures> {
    this.#open()
    const { name, driver } = this[NEEDED_TABLE]
    const maxEntries = this.#maxEntries
    return chain(measureTable(driver, name), (figures) => ({ ...figures, maxEntries }))
  }

  protected override packValue(value: unknown, tags: TagVersions | undefined): Uint8Array {
    return this.#format.pack(value, tags)
  }

  protected override unpackPayload(payload: Uint8Array): Unpacked {
    return this.#format.unpack(payload)
  }

  protected override disconnect(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.forgetOutage()
    this.#route.write.close()
    this.#route.read.close()
  }

  protected override isOutage(error: unknown): boolean {
    return !(error instanceof CacheBackendError) && !isAnswer(error)
  }

  #open(): void {
    if (this.#isOpen) return
    this.#isOpen = true
    this.#route.write.open()
    this.#route.read.open()
  }
}
