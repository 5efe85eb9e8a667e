import { needsRound } from '../../backend/clear-rounds.js'
import { currentMs } from '../../current-time.js'
import type { Limits } from '../limits.js'
import { isOwnKey } from '../../own-keys.js'
import { toColumn } from './column-key.js'
import { inFitting } from './fitting.js'
import type { Answer, Parameter, Statement } from './driver.js'
import { chain, type MaybePromise } from '../../maybe-promise.js'
import type { Statements } from './statements.js'
import type { Work } from './work.js'

/** Runs a statement on the database that is written to, as a driver does. */
export type Run = (
  statement: Statement,
  parameters: readonly Parameter[],
  dueMs?: number,
) => MaybePromise<Answer>

/** How many rows a statement is about. */
interface Sizes {
  /** Rows that go with one. */
  readonly batch: number
  /** Rows that are looked through with one. */
  readonly stretch: number
  /** Rows that are counted with one. */
  readonly counted: number
}

/** Servers do it beside other things. */
const ON_SERVER: Sizes = { batch: 500, stretch: 2000, counted: Infinity }

/** SQLite does it in this process, which waits. */
const IN_PROCESS: Sizes = { batch: 50, stretch: 1000, counted: 1000 }

/** Rows that go with one where the table is small, so that processes that do it together leave some. */
const LEAST_BATCH = 16

/** Rows that never expire and are looked at with one statement. */
const ENDLESS_STRETCH = 500

/** How often, about, a process that removes many looks whether others have done it. */
const COUNTS = 16

/** What is left and what is to go, while entries are removed. */
interface Progress {
  readonly goal: number
  readonly quota: number
  removed: number
  rest: number
}

/** Which of the entries go that never expire: the first kind there is. */
interface EndlessKind {
  readonly isOwn: boolean
  /** The last key that was looked at. */
  behind: string
}

/** Counts and removes entries of the table, batch by batch. */
export class Removal {
  readonly #sizes: Sizes
  /** Versions of tags go last: whatever has the tag goes with them. */
  readonly #endlessKinds: readonly EndlessKind[] = [
    { isOwn: false, behind: '' },
    { isOwn: true, behind: '' },
  ]

  constructor(
    private readonly run: Run,
    private readonly statements: Statements,
    private readonly limits: Limits,
    answersAtOnce: boolean,
  ) {
    this.#sizes = answersAtOnce ? IN_PROCESS : ON_SERVER
  }

  /** Of an enormous number no more is known than `most`. */
  *count(most: number): Work<number> {
    if (most <= this.#sizes.counted || this.#sizes.counted === Infinity) {
      return entriesOf(yield this.run(this.statements.countUpTo(most), []))
    }
    return yield* this.#countOn(this.statements.countBehind(this.#sizes.counted), most)
  }

  *#countEndless(most: number): Work<number> {
    if (most <= this.#sizes.counted || this.#sizes.counted === Infinity) {
      return entriesOf(yield this.run(this.statements.countEndlessUpTo(most), []))
    }
    return yield* this.#countOn(this.statements.countEndlessBehind(this.#sizes.counted), most)
  }

  *#countOn(part: Statement, most: number): Work<number> {
    let count = 0
    for (let behind = ''; count < most;) {
      const answer = yield this.run(part, [behind])
      const found = entriesOf(answer)
      count += found
      if (found < this.#sizes.counted) break
      behind = keyOf(answer.rows[0]?.['last'])
    }
    return Math.min(count, most)
  }

  /** @returns How many have gone. */
  *removeExpired(quota: number): Work<number> {
    const { batch } = this.#sizes
    for (let removed = 0; ;) {
      const found = yield* this.#removeOf(
        yield this.run(this.statements.expired(batch), [currentMs()]),
      )
      removed += found
      if (found < batch || removed >= quota) return removed
    }
  }

  /**
   * Of what is live, the entries go that would be gone first. What never expires goes only where
   * nothing else is left, or where it would be more than half of what stays: with a tag per entry,
   * the versions of tags would else take the place of all entries.
   */
  *removeLive(
    left: number,
    quota: number,
    most: number,
  ): Work<{ readonly removed: number; readonly rest: number }> {
    const { maxEntries } = this.limits
    const goal = Math.max(0, left - quota)
    const size = Math.min(this.#sizes.batch, Math.max(LEAST_BATCH, Math.floor(maxEntries / 10)))
    const lookAfter = Math.max(size, Math.ceil(quota / COUNTS))
    const progress: Progress = { goal, quota, removed: 0, rest: left }
    let lookedAt = 0
    let excess = Math.max(0, (yield* this.#countEndless(most)) - Math.floor(goal / 2))
    const kinds = [...this.#endlessKinds]
    let hasExpiring = true
    for (;;) {
      const limit = Math.min(size, quota - progress.removed, progress.rest - goal)
      if (limit <= 0) break
      let found: number
      if (excess > 0 || !hasExpiring) {
        const wanted = hasExpiring ? Math.min(limit, excess) : limit
        found = yield* this.#removeEndless(wanted, kinds)
        excess = found < wanted ? 0 : excess - found
        if (found < wanted && !hasExpiring) break
      } else {
        found = yield* this.#removeOf(yield this.run(this.statements.expiringNext(limit), []))
        hasExpiring = found === limit
      }
      progress.removed += found
      progress.rest = Math.max(0, progress.rest - found)
      if (progress.removed - lookedAt < lookAfter) continue
      lookedAt = progress.removed
      // Other processes may be at the same.
      progress.rest = yield* this.count(most)
    }
    return progress
  }

  /**
   * Goes round by key, since no deadline tells which of them are worth less.
   *
   * @param kinds - Those that there may still be; one that is used up is taken out.
   */
  *#removeEndless(limit: number, kinds: EndlessKind[]): Work<number> {
    let removed = 0
    for (let kind = kinds[0]; kind !== undefined && removed < limit; kind = kinds[0]) {
      const { isOwn } = kind
      const start = kind.behind
      let isRound = start === ''
      while (removed < limit) {
        const { rows } = yield this.run(this.statements.endless(ENDLESS_STRETCH), [kind.behind])
        const keys = rows.map((row) => keyOf(row['cache_key']))
        const going = keys.filter((key) => isOwnKey(key) === isOwn).slice(0, limit - removed)
        yield* this.#removeKeys(going, Number.MAX_SAFE_INTEGER)
        removed += going.length
        const isCut = removed >= limit
        kind.behind = (isCut ? going.at(-1) : keys.at(-1)) ?? kind.behind
        if (isCut) break
        if (isRound && (keys.length < ENDLESS_STRETCH || (start !== '' && kind.behind >= start))) {
          kinds.shift()
          break
        }
        if (keys.length < ENDLESS_STRETCH) {
          kind.behind = ''
          isRound = true
        }
      }
    }
    return removed
  }

  /** What got a later deadline since it was chosen stays. */
  *#removeOf({ rows }: Answer): Work<number> {
    const keys = rows.map((row) => keyOf(row['cache_key']))
    yield* this.#removeKeys(keys, Number(rows.at(-1)?.['expires']))
    return rows.length
  }

  *#removeKeys(keys: readonly string[], latest: number): Work<void> {
    if (keys.length === 0) return
    const removed = inFitting(keys.toSorted(), (some) =>
      this.run(this.statements.removeExpiring(some.length), [...some, latest]),
    )
    yield chain(removed, ([first]) => first as Answer)
  }

  /** Removes the entries of one key prefix, and what is made of them meanwhile. */
  *clear(keyPrefix: string): Work<void> {
    for (let rounds = 0, found = 0; needsRound(rounds, found); rounds++) {
      found = yield* this.removeAll(keyPrefix)
    }
  }

  /**
   * Removes the entries of one key prefix.
   *
   * @param keyPrefix - `undefined`: all entries.
   * @returns How many were found.
   */
  *removeAll(keyPrefix: string | undefined): Work<number> {
    const { statements } = this
    const { batch, stretch } = this.#sizes
    if (keyPrefix === undefined) {
      return yield* this.#removeEach((after) => this.run(statements.page(batch), [after]), '')
    }
    let count = 0
    const owner = toColumn(keyPrefix)
    // Where it has few entries among many, one page of them would take reading the whole table.
    for (let behind = ''; ;) {
      const { rows } = yield this.run(statements.later(stretch), [behind])
      const last = rows[0] === undefined ? undefined : keyOf(rows[0]['cache_key'])
      const bound = last === undefined ? [] : [last]
      const pageOf = statements.pageOf(batch, last !== undefined)
      count += yield* this.#removeEach(
        (after) => this.run(pageOf, [owner, after, ...bound]),
        behind,
      )
      if (last === undefined) return count
      behind = last
    }
  }

  /** @param page - Gives entries behind a key. */
  *#removeEach(page: (after: string) => MaybePromise<Answer>, behind: string): Work<number> {
    let count = 0
    for (let after = behind; ;) {
      const { rows } = yield page(after)
      const keys = rows.map((row) => keyOf(row['cache_key']))
      yield* this.#removeKeys(keys, Number.MAX_SAFE_INTEGER)
      count += keys.length
      if (keys.length < this.#sizes.batch) return count
      after = keys.at(-1) ?? ''
    }
  }
}

function entriesOf({ rows }: Answer): number {
  return Number(rows[0]?.['entries'] ?? 0)
}

/** A key as drivers give it: MySQL's are binary. */
export function keyOf(column: unknown): string {
  return column instanceof Uint8Array ? Buffer.from(column).toString('latin1') : String(column)
}
