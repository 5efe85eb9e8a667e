import { chain, type MaybePromise } from '../../maybe-promise.js'
import { toColumn } from './column-key.js'
import type { Answer, Parameter, Statement } from './driver.js'
import { repeat, rescue } from './in-turn.js'
import type { Statements } from './statements.js'

/** How much the table holds. */
export interface Limits {
  readonly maxEntries: number
  /** One in so many entries goes when it is full; 0: all. */
  readonly cullFrequency: number
}

/** Runs a statement on the database that is written to, as a driver does. */
export type Run = (
  statement: Statement,
  parameters: readonly Parameter[],
  dueMs?: number,
) => MaybePromise<Answer>

/** Rows that go with one statement. */
const BATCH = 500

/** Rows that go with one where the table is small, so that processes that do it together leave some. */
const LEAST_BATCH = 16

/** Rows that are looked through with one statement for those of a key prefix. */
const STRETCH = 2000

/** How often, about, a process that removes many looks whether others have done it. */
const COUNTS = 16

/** How often, at most, expired entries are removed while there is room. */
const PURGE_INTERVAL_MS = 60_000

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
  #room: number | undefined
  /** Whether the look that is to tell {@link #room} has failed, or took too long to be waited for. */
  #isSlow = false
  #purgedAtMs: number | undefined
  /** The last key of those that never expire that went. */
  #endlessBehind = ''
  #running: Promise<void> | undefined

  /** @param waitMs - Most milliseconds a write waits for room; then room is made behind it. */
  constructor(
    private readonly run: Run,
    private readonly statements: Statements,
    private readonly limits: Limits,
    private readonly waitMs: number,
  ) {
    this.#excess = Math.max(32, Math.floor(limits.maxEntries / 10))
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
    if (this.#room === undefined) return this.#lookFirst()
    // Others may have been written while the last count was still on its way.
    const left = this.#room - this.#added
    return this.#lookAround(left <= this.limits.maxEntries / 2)
  }

  /** Where counting is slow, or fails, writing may not be: no write fails for it, and few wait. */
  #lookFirst(): MaybePromise<void> {
    return rescue(
      () => this.#lookAround(!this.#isSlow),
      () => {
        this.#isSlow = true
      },
    )
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
        () => this.#lookAround(false),
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
      () => this.#lookAround(true),
      () => undefined,
    )
  }

  /** Takes back what was not added, since the entries were there before. */
  refund(entries: number): void {
    this.#added -= entries
  }

  /** Does not wait where there was much room: what is added meanwhile is known to the next count. */
  #lookAround(waits: boolean): MaybePromise<void> {
    if (this.waitMs === Infinity) return this.#look()
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

  #start(): Promise<void> {
    this.#running ??= Promise.resolve(this.#look()).finally(() => (this.#running = undefined))
    return this.#running
  }

  /** Waits for room, but not for long. What fails behind the write fails the next one too. */
  async #within(work: Promise<void>): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        this.#isSlow = true
        resolve()
      }, this.waitMs)
    })
    try {
      await Promise.race([work, late])
    } finally {
      clearTimeout(timer)
    }
  }

  #look(): MaybePromise<void> {
    const { maxEntries } = this.limits
    const unseen = this.#added - this.#inFlight
    // The entry that is being written finds its place when there are no more than the limit.
    const coming = Math.min(this.#excess, Math.max(0, this.#inFlight - 1))
    return chain(this.#count(), (count) => {
      const isFull = count + coming > maxEntries
      const left = isFull ? this.#cull(count, coming) : chain(this.#purge(), () => count)
      return chain(left, (remaining) => {
        const room = Math.max(0, maxEntries - remaining)
        this.#room = room
        this.#isSlow = false
        this.#allowance = Math.max(this.#step, Math.floor(room / PROCESSES))
        this.#added -= unseen
      })
    })
  }

  /** Of an enormous number no more is known than {@link #most}. */
  #count(statement = this.statements.countUpTo(this.#most)): MaybePromise<number> {
    return chain(this.run(statement, []), ({ rows }) => Number(rows[0]?.['entries'] ?? 0))
  }

  #cull(count: number, coming: number): MaybePromise<number> {
    const { cullFrequency, maxEntries } = this.limits
    if (cullFrequency === 0) return chain(this.removePages(undefined), () => 0)
    this.#purgedAtMs = Date.now()
    let left = count
    // Of an enormous number it takes several rounds.
    const round = () =>
      chain(this.#removeExpired(Infinity), (expired) =>
        chain(expired === 0 ? left : this.#count(), (counted) => {
          left = counted
          if (left + coming <= maxEntries) return false
          const quota = Math.max(Math.floor(left / cullFrequency), left + coming - maxEntries)
          return chain(this.#removeNext(left, quota), ({ removed, rest }) => {
            left = rest
            if (counted < this.#most || removed === 0) return false
            return chain(this.#count(), (recounted) => {
              left = recounted
              return true
            })
          })
        }),
      )
    return chain(repeat(round), () => left)
  }

  /** Expired entries go now and then although there is room. */
  #purge(): MaybePromise<unknown> {
    const nowMs = Date.now()
    if (this.#purgedAtMs !== undefined && Math.abs(nowMs - this.#purgedAtMs) < PURGE_INTERVAL_MS) {
      return undefined
    }
    this.#purgedAtMs = nowMs
    return this.#removeExpired(4 * BATCH)
  }

  #removeExpired(quota: number): MaybePromise<number> {
    let removed = 0
    const step = () =>
      chain(this.#removeOf(this.statements.expired(BATCH), [Date.now()]), (found) => {
        removed += found
        return found === BATCH && removed < quota
      })
    return chain(repeat(step), () => removed)
  }

  /**
   * Of what is live, the entries go that would be gone first. What never expires goes in proportion
   * to its share: with a tag per entry, counters would else take the place of all entries.
   */
  #removeNext(
    left: number,
    quota: number,
  ): MaybePromise<{ readonly removed: number; readonly rest: number }> {
    const goal = Math.max(0, left - quota)
    const { maxEntries } = this.limits
    const batch = Math.min(BATCH, Math.max(LEAST_BATCH, Math.floor(maxEntries / 10)))
    const stretch = Math.max(batch, Math.ceil(quota / COUNTS))
    return chain(this.#count(this.statements.countEndlessUpTo(this.#most)), (endless) => {
      const share = Math.min(1, endless / left)
      let [removed, removedEndless, rest, lookedAt] = [0, 0, left, 0]
      const step = () => {
        const limit = Math.min(batch, quota - removed, rest - goal)
        const limitEndless = Math.floor((removed + limit) * share) - removedEndless
        return chain(this.#removeEndless(limitEndless), (foundEndless) => {
          const limitNext = limit - foundEndless
          return chain(this.#removeExpiring(limitNext), (found) => {
            removedEndless += foundEndless
            removed += foundEndless + found
            rest = Math.max(0, rest - foundEndless - found)
            if (found < limitNext || removed >= quota || rest <= goal) return false
            if (removed - lookedAt < stretch) return true
            lookedAt = removed
            // Other processes may be at the same.
            return chain(this.#count(), (counted) => {
              rest = counted
              return rest > goal
            })
          })
        })
      }
      return chain(repeat(step), () => ({ removed, rest }))
    })
  }

  #removeExpiring(limit: number): MaybePromise<number> {
    return limit <= 0 ? 0 : this.#removeOf(this.statements.expiringNext(limit), [])
  }

  /** Goes round by key, since no deadline tells which of them are worth less. */
  #removeEndless(limit: number): MaybePromise<number> {
    if (limit <= 0) return 0
    const behind = this.#endlessBehind
    return chain(this.#removeOf(this.statements.endless(limit), [behind]), (found) => {
      if (found === limit || behind === '') return found
      this.#endlessBehind = ''
      return chain(this.#removeEndless(limit - found), (more) => found + more)
    })
  }

  /** What got a later deadline since it was chosen stays. */
  #removeOf(choice: Statement, parameters: readonly Parameter[]): MaybePromise<number> {
    return chain(this.run(choice, parameters), ({ rows }) => {
      if (rows.length === 0) return 0
      const keys = rows.map((row) => keyOf(row['cache_key'])).sort()
      const latest = Number(rows.at(-1)?.['expires'])
      if (latest === Number.MAX_SAFE_INTEGER) {
        this.#endlessBehind = keyOf(rows.at(-1)?.['cache_key'])
      }
      const removal = this.statements.removeExpiring(keys.length)
      return chain(this.run(removal, [...keys, latest]), () => rows.length)
    })
  }

  /**
   * Removes the entries of one key prefix, page by page, so that nobody waits for long.
   *
   * @param keyPrefix - `undefined`: all entries.
   */
  removePages(keyPrefix: string | undefined): MaybePromise<void> {
    const { statements } = this
    if (keyPrefix === undefined) {
      return this.#removeEach((after) => this.run(statements.page(BATCH), [after]), '')
    }
    const owner = toColumn(keyPrefix)
    let behind = ''
    // Where it has few entries among many, one page of them would take reading the whole table.
    const stretch = () =>
      chain(this.run(statements.later(STRETCH), [behind]), ({ rows }) => {
        const last = rows[0] === undefined ? undefined : keyOf(rows[0]['cache_key'])
        const bound = last === undefined ? [] : [last]
        const pageOf = statements.pageOf(BATCH, last !== undefined)
        const removed = this.#removeEach(
          (after) => this.run(pageOf, [owner, after, ...bound]),
          behind,
        )
        behind = last ?? ''
        return chain(removed, () => last !== undefined)
      })
    return repeat(stretch)
  }

  /** @param page - Gives up to {@link BATCH} entries behind a key. */
  #removeEach(page: (after: string) => MaybePromise<Answer>, behind: string): MaybePromise<void> {
    let after = behind
    const step = () =>
      chain(page(after), ({ rows }) => {
        if (rows.length === 0) return false
        const keys = rows.map((row) => keyOf(row['cache_key']))
        after = keys.at(-1) ?? ''
        const removal = this.statements.removeExpiring(keys.length)
        return chain(
          this.run(removal, [...keys, Number.MAX_SAFE_INTEGER]),
          () => rows.length === BATCH,
        )
      })
    return repeat(step)
  }

  /** Lets the room be counted anew. */
  forget(): void {
    this.#allowance = 0
    this.#room = undefined
    this.#isSlow = false
  }
}

/** A key as drivers give it: MySQL's are binary. */
export function keyOf(column: unknown): string {
  return column instanceof Uint8Array ? Buffer.from(column).toString('latin1') : String(column)
}
