import type { ExpiredEntry, OwnStore, WriteEntry, WriteOutcome } from '../../backend/store.js'
import { CacheBackendError } from '../../errors.js'
import { chain, isPromise, type MaybePromise } from '../../maybe-promise.js'
import type { PayloadFormat } from '../../payload-format.js'
import type { Unpacked } from '../../serializer.js'
import { besideReplicas, SHARE_OF_LIMIT, type ServerFigures } from '../../server-stats.js'
import type { TagVersions } from '../../tags.js'
import { TimeLimit } from '../../time-limit.js'
import type { Deadline } from '../../timeout.js'
import type { Limits } from '../limits.js'
import type { Route } from './connect.js'
import type { NeededTable } from './create-table.js'
import type { Driver } from './driver.js'
import { isAnswer, isMissingTable, isOutOfTime } from './failures.js'
import { Replica } from './replica.js'
import { Table } from './table.js'
import type { TableName } from './table-name.js'
import { measureTable } from './usage.js'

/** What the entries of a table are kept by. */
export interface TableSettings {
  readonly name: TableName
  readonly route: Route
  readonly keyPrefix: string
  readonly limits: Limits
  readonly timeLimitMs: number
  readonly format: PayloadFormat
  /** Called before connections are let go. */
  readonly closing: () => void
}

/** The entries of a table, and of its replica. */
export class DatabasePrimitives implements OwnStore<Uint8Array> {
  readonly needed: NeededTable
  readonly #route: Route
  readonly #replica: Replica
  readonly #table: Table
  readonly format: PayloadFormat
  readonly #maxEntries: number
  readonly #timeLimitMs: number
  readonly #closing: () => void
  #isOpen = false

  constructor(settings: TableSettings) {
    const { name, route, keyPrefix, limits, timeLimitMs, format, closing } = settings
    this.needed = { name, driver: route.write }
    this.#route = route
    this.format = format
    this.#maxEntries = limits.maxEntries
    this.#timeLimitMs = timeLimitMs
    this.#closing = closing
    // A table that was made just now may not have reached the replica.
    const isDown = (error: unknown) => isFault(error) || isMissingTable(error)
    this.#replica = new Replica(route.write, route.read, timeLimitMs, isDown)
    this.#table = new Table(name, route, keyPrefix, limits, timeLimitMs)
  }

  get answersAtOnce(): boolean {
    const { read, write } = this.#route
    return read.answersAtOnce && write.answersAtOnce
  }

  get readsMayLag(): boolean {
    return this.#route.read !== this.#route.write
  }

  get readsPassWrites(): boolean {
    const { read, write } = this.#route
    return read.isPool && write.isPool
  }

  readEntries(keys: readonly string[]): MaybePromise<readonly (Uint8Array | undefined)[]> {
    this.#open()
    return this.#table.readMany(keys, this.#route.write)
  }

  readCopies(
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

  writeEntries(entries: readonly WriteEntry[]): MaybePromise<readonly WriteOutcome[]> {
    this.#open()
    return this.#table.write(entries)
  }

  removeEntries(keys: readonly string[]): MaybePromise<readonly boolean[]> {
    this.#open()
    return this.#table.remove(keys)
  }

  touchEntry(key: string, expiresAtMs: Deadline): MaybePromise<boolean> {
    this.#open()
    return this.#table.touch(key, expiresAtMs)
  }

  incrementEntry(key: string, delta: number): MaybePromise<number | null | undefined> {
    this.#open()
    return this.#table.increment(key, delta)
  }

  readDeadline(key: string): MaybePromise<Deadline | undefined> {
    return chain(this.readDeadlines([key]), ([deadline]) => deadline)
  }

  readDeadlines(keys: readonly string[]): MaybePromise<readonly (Deadline | undefined)[]> {
    this.#open()
    return this.#table.readDeadlines(keys)
  }

  readExpired(key: string): MaybePromise<ExpiredEntry<Uint8Array> | undefined> {
    this.#open()
    return this.#table.readExpired(key)
  }

  removeAll(): MaybePromise<void> {
    this.#open()
    return this.#table.clear()
  }

  listKeys(): AsyncIterable<readonly string[]> {
    this.#open()
    return this.#table.keys()
  }

  readServerStats(): MaybePromise<ServerFigures> {
    this.#open()
    const { name } = this.needed
    const { read, write } = this.#route
    const maxEntries = this.#maxEntries
    const measure = (driver: Driver) =>
      chain(measureTable(driver, name), (figures) => ({ ...figures, maxEntries }))
    if (read === write) return measure(write)
    const limit = new TimeLimit(this.#timeLimitMs * SHARE_OF_LIMIT)
    const asked = (name: string, driver: Driver) => ({
      name,
      ask: () => limit.race(Promise.resolve(driver).then(measure)),
    })
    return besideReplicas(asked('primary', write), [asked('replica', read)])
  }

  packValue(value: unknown, tags: TagVersions | undefined): Uint8Array {
    return this.format.pack(value, tags)
  }

  unpackPayload(payload: Uint8Array): Unpacked {
    return this.format.unpack(payload)
  }

  disconnect(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#closing()
    this.#route.write.close?.()
    this.#route.read.close?.()
  }

  isOutage(error: unknown): boolean {
    return isFault(error)
  }

  #open(): void {
    if (this.#isOpen) return
    this.#isOpen = true
    this.#route.write.open?.()
    this.#route.read.open?.()
  }
}

/** Whether a failure is no answer, in time, of a database that works. */
function isFault(error: unknown): boolean {
  return !(error instanceof CacheBackendError) && (!isAnswer(error) || isOutOfTime(error))
}
