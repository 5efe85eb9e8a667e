import { currentMs } from '../../current-time.js'
import type { MaybePromise } from '../../maybe-promise.js'
import { excessOf, type Limits } from '../limits.js'
import { rescue } from './in-turn.js'
import type { Removal } from './removal.js'
import { carryOut, Piecework, type Work } from './work.js'

/** How often, at most, expired entries are removed while there is room. */
const PURGE_INTERVAL_MS = 60_000

/** How many of them. */
const PURGED = 2000

/** Of entries that are written together, so many bear with one piece of making room. */
const ENTRIES_PER_PIECE = 32

/** Between two pieces in the background. */
const PAUSE_MS = 1

/** An allowance that is worth more than to know of each entry whether it was there before. */
const MUCH = 16

/** Processes that may all fill the same table before it exceeds its limit by more than a tenth. */
const PROCESSES = 8

/**
 * Keeps the number of entries in the table near its limit.
 *
 * A process may add some entries without asking. Only then does it count those in the table, up to
 * the limit and no further, and is allowed a share of the room that is left: much where there is
 * much, so that the cost per entry does not depend on the size of the table.
 */
export class Culling {
  /** How many entries a process adds at least between two counts. */
  readonly #step: number
  /** By how many entries the table may exceed its limit. */
  readonly #excess: number
  /** Most entries that are counted. */
  readonly #most: number
  #allowance = 0
  /** Entries that were added, or are being, and that the last count did not see. */
  #added = 0
  /** Entries that are being written. */
  #inFlight = 0
  /** How many more were found to fit in, or how the look goes that is to tell it. */
  #room: number | 'unseen' | 'slow' = 'unseen'
  #purgedAtMs: number | undefined
  #running: Promise<void> | undefined
  /** The look that is being taken piece by piece, where answers come at once. */
  #pieces: Piecework<void> | undefined
  #isPieceDue = false

  /** @param waitMs - Most milliseconds a write waits for room; then room is made behind it. */
  constructor(
    private readonly removal: Removal,
    private readonly limits: Limits,
    private readonly waitMs: number,
  ) {
    this.#excess = excessOf(limits.maxEntries)
    this.#most = 2 * limits.maxEntries + 1
    this.#step = Math.max(1, Math.floor(limits.maxEntries / (10 * PROCESSES)))
  }

  /** Whether many entries may be added before the table is looked at again. */
  get hasMuchRoom(): boolean {
    return this.#allowance >= MUCH
  }

  /** Called before entries are written. */
  makeRoom(entries: number): MaybePromise<void> {
    this.#inFlight += entries
    this.#added += entries
    if (this.#added <= this.#allowance) return undefined
    if (typeof this.#room === 'string') return this.#lookFirst(entries)
    // Others may have been written while the last count was still on its way.
    const left = this.#room - this.#added
    return this.#lookAround(left <= this.limits.maxEntries / 2, entries)
  }

  /** Where counting is slow, or fails, writing may not be: no write fails for it, and few wait. */
  #lookFirst(entries: number): MaybePromise<void> {
    return rescue(
      () => this.#lookAround(this.#room !== 'slow', entries),
      () => this.#slowDown(),
    )
  }

  #slowDown(): void {
    if (this.#room === 'unseen') this.#room = 'slow'
  }

  /** Called where they were not written. */
  abandon(entries: number): void {
    this.#inFlight -= entries
    this.#added -= entries
  }

  /** Called where a part of them may have been written. */
  leaveOpen(entries: number): void {
    this.#inFlight -= entries
    if (this.#added > this.#allowance) {
      void rescue(
        () => this.#lookAround(false, entries),
        () => undefined,
      )
    }
  }

  /** Called after they were written. */
  settle(entries: number): MaybePromise<void> {
    this.#inFlight -= entries
    // More at once than there was room for must go again.
    if (entries <= this.#step || this.#added <= this.#allowance) return undefined
    // They are stored, whatever becomes of the others.
    return rescue(
      () => this.#lookAround(true, entries),
      () => undefined,
    )
  }

  /** Takes back what was not added, since the entries were there before. */
  refund(entries: number): void {
    this.#added -= entries
  }

  /** Does not wait where there was much room: what is added meanwhile is known to the next count. */
  #lookAround(waits: boolean, entries: number): MaybePromise<void> {
    if (this.waitMs === Infinity) {
      this.#lookOn(entries)
      return undefined
    }
    const running = this.#running
    if (!waits) {
      // What fails here fails the write too.
      this.#start().catch(() => undefined)
      return undefined
    }
    if (running === undefined) return this.#within(this.#start())
    // It may have counted before the entries came that this is about.
    const again = () => (this.#added > this.#allowance ? this.#start() : undefined)
    return this.#within(running.then(again))
  }

  /**
   * Takes a piece of a look in this call, or some where it writes many entries. What is left is done
   * by the calls that follow, and in the background.
   */
  #lookOn(entries: number): void {
    const pieces = (this.#pieces ??= new Piecework(this.#look()))
    try {
      const most = 1 + Math.floor(entries / ENTRIES_PER_PIECE)
      for (let i = 0; i < most && pieces.result === undefined; i++) void pieces.advance()
    } catch (error) {
      this.#pieces = undefined
      throw error
    }
    if (pieces.result !== undefined) this.#pieces = undefined
    if (this.#pieces === undefined || this.#isPieceDue) return
    this.#isPieceDue = true
    // The process may end before.
    setTimeout(() => {
      this.#isPieceDue = false
      if (this.#pieces === undefined) return
      void rescue(
        () => this.#lookOn(1),
        () => undefined,
      )
    }, PAUSE_MS).unref()
  }

  #start(): Promise<void> {
    this.#running ??= this.#lookThrough().finally(() => (this.#running = undefined))
    return this.#running
  }

  async #lookThrough(): Promise<void> {
    await carryOut(this.#look())
  }

  /** Waits for room, but not for long. What fails behind the write fails the next one too. */
  async #within(work: Promise<void>): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        this.#slowDown()
        resolve()
      }, this.waitMs)
    })
    try {
      await Promise.race([work, late])
    } finally {
      clearTimeout(timer)
    }
  }

  *#look(): Work<void> {
    const { maxEntries } = this.limits
    const unseen = this.#added - this.#inFlight
    // The entry that is being written finds its place when there are no more than the limit.
    const coming = Math.min(this.#excess, Math.max(0, this.#inFlight - 1))
    let left = yield* this.removal.count(this.#most)
    if (left + coming > maxEntries) left = yield* this.#cull(left, coming)
    else yield* this.#purge()
    const room = Math.max(0, maxEntries - left)
    this.#room = room
    this.#allowance = Math.max(this.#step, Math.floor(room / PROCESSES))
    this.#added -= unseen
  }

  *#cull(count: number, coming: number): Work<number> {
    const { cullFrequency, maxEntries } = this.limits
    const { removal } = this
    if (cullFrequency === 0) {
      yield* removal.removeAll(undefined)
      return 0
    }
    this.#purgedAtMs = currentMs()
    let left = count
    // Of an enormous number it takes several rounds.
    for (;;) {
      if ((yield* removal.removeExpired(Infinity)) > 0) left = yield* removal.count(this.#most)
      if (left + coming <= maxEntries) return left
      const counted = left
      const quota = Math.max(Math.floor(left / cullFrequency), left + coming - maxEntries)
      const { removed, rest } = yield* removal.removeLive(left, quota, this.#most)
      left = rest
      if (counted < this.#most || removed === 0) return left
      left = yield* removal.count(this.#most)
    }
  }

  /** Expired entries go now and then although there is room. */
  *#purge(): Work<void> {
    const nowMs = currentMs()
    if (this.#purgedAtMs !== undefined && Math.abs(nowMs - this.#purgedAtMs) < PURGE_INTERVAL_MS) {
      return
    }
    this.#purgedAtMs = nowMs
    yield* this.removal.removeExpired(PURGED)
  }

  /** Lets the room be counted again. */
  forget(): void {
    this.#allowance = 0
    this.#room = 'unseen'
  }
}
