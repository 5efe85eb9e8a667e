import type { ExpiredEntry, WriteEntry, WriteOutcome } from '../../backend/store.js'
import { currentMs } from '../../current-time.js'
import { chain, isPromise, type MaybePromise } from '../../maybe-promise.js'
import { addIntegers, readInteger } from '../../serializer.js'
import { isExpired, type Deadline } from '../../timeout.js'
import type { Limits } from '../limits.js'
import { toColumn } from './column-key.js'
import type { Route } from './connect.js'
import { Culling } from './culling.js'
import type { Answer, Driver } from './driver.js'
import { isTooLarge } from './failures.js'
import { inFitting } from './fitting.js'
import { inTurn, rescue, split } from './in-turn.js'
import { MysqlStatements } from './mysql-statements.js'
import { keyChunksOf, MysqlWriter } from './mysql-writer.js'
import { keyOf, Removal, type Run } from './removal.js'
import { fromExpires, fromValue, toExpires, toParameters, toRow, type WriteRow } from './row.js'
import { StandardStatements } from './standard-statements.js'
import { fillUp } from './statements.js'
import { StandardWriter } from './standard-writer.js'
import type { TableName } from './table-name.js'
import { carryOut } from './work.js'
import type { Writer } from './writer.js'

/** Keys that are read with one statement: SQLite takes no more parameters. */
const MOST_KEYS = 32_000

/** Keys that are listed with one statement. */
const KEYS_OF_PAGE = 1000

/** Every deadline is later. */
const SINCE_EVER = 0

const PLAIN_BYTES = 500_000

const STORED: readonly WriteOutcome[] = ['stored']
const TOO_LARGE: readonly WriteOutcome[] = ['too_large']

/** How often counting is tried again when what was found has changed since. */
const MOST_ATTEMPTS = 1000

/** The table of a cache, on the databases that it is read from and written to. */
export class Table {
  readonly #owner: string
  readonly #ownerColumn: string
  readonly #writer: Writer
  readonly #removal: Removal
  readonly #culling: Culling
  readonly #write: Run
  /** How long a call may take, of however many statements. */
  readonly #limitMs: number

  constructor(
    name: TableName,
    private readonly route: Route,
    keyPrefix: string,
    limits: Limits,
    timeLimitMs: number,
  ) {
    this.#owner = keyPrefix
    this.#write = (statement, parameters, dueMs) => {
      if (dueMs !== undefined && performance.now() >= dueMs) {
        throw new Error(`no answer within ${timeLimitMs} ms`)
      }
      return route.write.run(statement, parameters, dueMs)
    }
    const { dialect, answersAtOnce } = route.write
    const owner = toColumn(keyPrefix)
    this.#ownerColumn = owner
    this.#writer =
      dialect === 'mysql'
        ? new MysqlWriter(new MysqlStatements(name), this.#write, owner)
        : new StandardWriter(new StandardStatements(dialect, name), this.#write, owner)
    const waitMs = answersAtOnce ? Infinity : timeLimitMs / 4
    this.#limitMs = answersAtOnce ? Infinity : timeLimitMs
    this.#removal = new Removal(this.#write, this.#writer.statements, limits, answersAtOnce)
    this.#culling = new Culling(this.#removal, limits, waitMs)
  }

  /** When a call that begins now ends. */
  get #dueMs(): number {
    return this.#limitMs === Infinity ? Infinity : performance.now() + this.#limitMs
  }

  /** The payload of one live entry. */
  readOne(key: string, driver: Driver): MaybePromise<Uint8Array | undefined> {
    const { read } = this.#writer.statements
    const column = toColumn(key)
    if (driver.readValue !== undefined)
      return fromValue(driver.readValue(read, column, currentMs()))
    return chain(driver.run(read, [column, currentMs()]), valueOf)
  }

  /** The payloads of live entries, in the order asked. */
  readMany(
    keys: readonly string[],
    driver: Driver,
  ): MaybePromise<readonly (Uint8Array | undefined)[]> {
    const [first] = keys
    if (first === undefined) return []
    if (keys.length === 1) {
      if (driver.readValue !== undefined) return [this.readOne(first, driver) as Uint8Array]
      const { read } = this.#writer.statements
      return chain(driver.run(read, [toColumn(first), currentMs()]), (answer) => [valueOf(answer)])
    }
    const columns = keys.map(toColumn)
    return chain(this.#select(columns, driver, 'readMany'), (found) =>
      columns.map((column) => fromValue(found.get(column)?.['value'])),
    )
  }

  readDeadlines(keys: readonly string[]): MaybePromise<readonly (Deadline | undefined)[]> {
    const columns = keys.map(toColumn)
    return chain(this.#select(columns, this.route.write, 'readDeadlines'), (found) =>
      columns.map((column) => {
        const row = found.get(column)
        return row === undefined ? undefined : fromExpires(row['expires'])
      }),
    )
  }

  /** The row of a key, if it has expired and was not removed yet. */
  readExpired(key: string): MaybePromise<ExpiredEntry<Uint8Array> | undefined> {
    const column = toColumn(key)
    const { write } = this.route
    const select = (what: 'readMany' | 'readDeadlines') =>
      chain(this.#select([column], write, what, SINCE_EVER), (found) => found.get(column))
    return chain(select('readDeadlines'), (row) => {
      const expiresAtMs = row === undefined ? null : fromExpires(row['expires'])
      if (expiresAtMs === null || !isExpired(expiresAtMs, currentMs())) return undefined
      return chain(select('readMany'), (found) => {
        const payload = fromValue(found?.['value'])
        return payload === undefined ? undefined : { payload, expiresAtMs }
      })
    })
  }

  /** @param afterMs - Rows whose deadline is later. */
  #select(
    columns: readonly string[],
    driver: Driver,
    what: 'readMany' | 'readDeadlines',
    afterMs = currentMs(),
  ): MaybePromise<ReadonlyMap<string, Answer['rows'][number]>> {
    const { statements } = this.#writer
    const unique = [...new Set(columns)]
    const chunks = driver.dialect === 'mysql' ? keyChunksOf(unique) : split(unique, MOST_KEYS)
    const ask = (some: readonly string[]) => {
      const asked = what === 'readMany' ? fillUp(some) : some
      return driver.run(statements[what](asked.length), [...asked, afterMs])
    }
    return chain(
      inTurn(chunks, (some) => inFitting(some, ask)),
      (all) =>
        new Map(
          all.flat().flatMap(({ rows }) => rows.map((row) => [keyOf(row['cache_key']), row])),
        ),
    )
  }

  write(entries: readonly WriteEntry[]): MaybePromise<readonly WriteOutcome[]> {
    const [only] = entries
    const dueMs = this.#dueMs
    if (entries.length === 1 && only !== undefined && isPlain(only)) {
      const room = this.#makeRoom(1)
      return isPromise(room)
        ? room.then(() => this.#writePlain(only, dueMs))
        : this.#writePlain(only, dueMs)
    }
    const rows = entries.map(toRow)
    const culling = this.#culling
    const written = chain(this.#makeRoom(rows.length), () =>
      rescue(
        () => inTurn(roundsOf(rows), (round) => this.#writeRound(round, dueMs)),
        (error) => {
          culling.leaveOpen(rows.length)
          throw error
        },
      ),
    )
    return chain(written, (results) => {
      const outcomes = new Map(results.flat())
      return chain(culling.settle(rows.length), () =>
        rows.map((row) => outcomes.get(row) ?? 'failed'),
      )
    })
  }

  #makeRoom(entries: number): MaybePromise<void> {
    return rescue(
      () => this.#culling.makeRoom(entries),
      (error) => {
        this.#culling.abandon(entries)
        throw error
      },
    )
  }

  /** The most usual case: one entry without conditions, for which there is room. */
  #writePlain(entry: WriteEntry, dueMs: number): MaybePromise<readonly WriteOutcome[]> {
    // Where there is much room, to look somewhat sooner costs less than to be told each time.
    const tells = !this.#culling.hasMuchRoom
    const statement = this.#writer.statements.write(1, tells)
    const written = (answer: Answer): MaybePromise<readonly WriteOutcome[]> => {
      if (this.#writer.insertedOf(answer, 1, tells) === 0) this.#culling.refund(1)
      void this.#culling.settle(1)
      return STORED
    }
    const failed = (error: unknown): readonly WriteOutcome[] => {
      this.#culling.abandon(1)
      if (isTooLarge(error)) return TOO_LARGE
      throw error
    }
    try {
      const parameters = toParameters(toRow(entry), this.#ownerColumn)
      const answer = this.#write(statement, parameters, dueMs)
      return isPromise(answer) ? answer.then(written, failed) : written(answer)
    } catch (error) {
      return failed(error)
    }
  }

  #writeRound(rows: readonly WriteRow[], dueMs: number): MaybePromise<[WriteRow, WriteOutcome][]> {
    return chain(this.#writer.write(rows, dueMs), ({ outcomes, inserted }) => {
      if (inserted < rows.length) this.#culling.refund(rows.length - inserted)
      return rows.map((row, i) => [row, outcomes[i] ?? 'failed'])
    })
  }

  /** @returns `true` for each that was live. */
  remove(keys: readonly string[]): MaybePromise<readonly boolean[]> {
    const columns = keys.map(toColumn)
    return chain(this.#writer.remove([...new Set(columns)], this.#dueMs), (removed) => {
      const left = new Set(removed)
      return columns.map((column) => left.delete(column))
    })
  }

  touch(key: string, expiresAtMs: Deadline): MaybePromise<boolean> {
    const parameters = [toExpires(expiresAtMs), toColumn(key), currentMs()]
    return chain(this.#write(this.#writer.statements.touch, parameters), (answer) =>
      this.#writer.found(answer),
    )
  }

  /** As a backend's `incrementEntry`. */
  increment(
    key: string,
    delta: number,
    attempt = 1,
    dueMs = this.#dueMs,
  ): MaybePromise<number | null | undefined> {
    const least = -Number.MAX_SAFE_INTEGER - Math.min(0, delta)
    const most = Number.MAX_SAFE_INTEGER - Math.max(0, delta)
    return chain(this.#writer.increment(toColumn(key), delta, least, most, dueMs), (sum) => {
      if (sum !== undefined) return sum
      // Why not? What is found by now may be another entry than the one that was not counted.
      return chain(this.readOne(key, this.route.write), (payload) => {
        if (payload === undefined) return undefined
        const number = readInteger(payload)
        if (number === undefined) return null
        addIntegers(number, delta)
        if (attempt >= MOST_ATTEMPTS) throw new Error('incr: other writers were always faster')
        return this.increment(key, delta, attempt + 1, dueMs)
      })
    })
  }

  /**
   * The keys of this owner's entries, including those past their time. The hash of a key that is too long is
   * not a key.
   */
  async *keys(): AsyncGenerator<readonly string[], void, void> {
    const page = this.#writer.statements.pageOf(KEYS_OF_PAGE, false)
    for (let after: string | undefined = ''; after !== undefined;) {
      const { rows }: Answer = await this.#write(page, [this.#ownerColumn, after], this.#dueMs)
      const keys = rows.map((row) => keyOf(row['cache_key']))
      yield keys.filter((key) => toColumn(key) === key)
      after = keys.length < KEYS_OF_PAGE ? undefined : keys.at(-1)
    }
  }

  clear(): MaybePromise<void> {
    this.#culling.forget()
    return carryOut(this.#removal.clear(this.#owner))
  }
}

function valueOf({ rows }: Answer): Uint8Array | undefined {
  return fromValue(rows[0]?.['value'])
}

/** Large ones may be too large, which is another matter. */
function isPlain({ ifAbsent, replacing, payload }: WriteEntry): boolean {
  return ifAbsent !== true && replacing === undefined && payload.length <= PLAIN_BYTES
}

/** Entries of one key keep their order: one statement cannot write a row twice. */
function roundsOf(rows: readonly WriteRow[]): readonly (readonly WriteRow[])[] {
  if (rows.length === 1) return [rows]
  const rounds: Map<string, WriteRow>[] = []
  for (const row of rows) {
    const round = rounds.find((one) => !one.has(row.key))
    if (round === undefined) rounds.push(new Map([[row.key, row]]))
    else round.set(row.key, row)
  }
  return rounds.map((round) => [...round.values()])
}
