import { currentMs } from '../../current-time.js'
import { chain, type MaybePromise } from '../../maybe-promise.js'
import { keyOf } from './removal.js'
import type { Answer } from './driver.js'
import { inFitting } from './fitting.js'
import { inTurn } from './in-turn.js'
import { INSERT_ID_OFFSET, REFUSED, type MysqlStatements } from './mysql-statements.js'
import { byKey, hasCondition, toParameters, type WriteRow } from './row.js'
import { Writer, type Written } from './writer.js'

/** Below this nobody's server refuses a packet. */
const SURE_BYTES = 1_000_000

/** What a row takes besides its key and its value, the key prefix included. */
const ROW_BYTES = 320

const STORED: Written = { outcomes: ['stored'], inserted: 1 }

/** Writes to MySQL and MariaDB. */
export class MysqlWriter extends Writer<MysqlStatements> {
  #packetBytes: number | undefined

  write(rows: readonly WriteRow[], dueMs: number): MaybePromise<Written> {
    const total = rows.reduce((sum, row) => sum + 2 * bytesOf(row), 0)
    return chain(total <= SURE_BYTES ? Infinity : this.#maxPacket(dueMs), (most) =>
      this.#write(rows, most, dueMs),
    )
  }

  #write(rows: readonly WriteRow[], most: number, dueMs: number): MaybePromise<Written> {
    const fitting = rows.filter((row) => bytesOf(row) <= most)
    const plain = fitting.filter((row) => !hasCondition(row))
    const singles = fitting.filter(hasCondition)
    return this.writeParts(
      rows,
      { batches: chunksOf(plain.sort(byKey), most), singles },
      (batch) => this.writeFitting(batch, (some) => this.insertAll(some, dueMs)),
      (row) => this.writeFitting([row], () => this.#writeIf(row, dueMs)),
    )
  }

  #writeIf(row: WriteRow, dueMs: number): MaybePromise<Written> {
    if (row.replacing === undefined) return this.#addIfAbsent(row, dueMs)
    return chain(this.replace(row, dueMs), (written) =>
      written.outcomes[0] === 'stored' || !row.ifAbsent ? written : this.#addIfAbsent(row, dueMs),
    )
  }

  #addIfAbsent(row: WriteRow, dueMs: number): MaybePromise<Written> {
    const nowMs = currentMs()
    const parameters = [...toParameters(row, this.owner), nowMs, nowMs, nowMs, nowMs]
    return chain(this.run(this.statements.addIfAbsent, parameters, dueMs), (answer) =>
      Number(insertIdOf(answer)) === REFUSED ? { outcomes: ['refused'], inserted: 0 } : STORED,
    )
  }

  /** A new row counts once, one that is changed twice. */
  insertedOf({ count }: Answer, rows: number): number {
    return Math.max(0, Math.min(rows, 2 * rows - count))
  }

  numberOf(answer: Answer): number | undefined {
    const id = insertIdOf(answer)
    return id === 0n ? undefined : Number(id - INSERT_ID_OFFSET)
  }

  /** There is no telling what a `DELETE` found besides how many, so of several keys that is asked before. */
  remove(keys: readonly string[], dueMs: number): MaybePromise<ReadonlySet<string>> {
    const nowMs = currentMs()
    const [only] = keys
    if (keys.length === 1 && only !== undefined) {
      const live = this.run(this.statements.remove, [only, nowMs], dueMs)
      return chain(live, ({ count }) => {
        if (count > 0) return new Set([only])
        return chain(
          this.run(this.statements.removeExpiring(1), [only, nowMs], dueMs),
          () => new Set<string>(),
        )
      })
    }
    const removed = inTurn(keyChunksOf([...keys].sort()), (chunk) =>
      inFitting(chunk, (some) =>
        chain(
          this.run(this.statements.readDeadlines(some.length), [...some, nowMs], dueMs),
          ({ rows }) =>
            chain(this.run(this.statements.removeMany(some.length), some, dueMs), () =>
              rows.map((row) => keyOf(row['cache_key'])),
            ),
        ),
      ),
    )
    return chain(removed, (all) => new Set(all.flat(2)))
  }

  found(answer: Answer): boolean {
    return answer.count > 0 || (answer.insertId !== undefined && insertIdOf(answer) !== 0n)
  }

  #maxPacket(dueMs: number): MaybePromise<number> {
    if (this.#packetBytes !== undefined) return this.#packetBytes
    return chain(this.run(this.statements.maxPacket, [], dueMs), ({ rows }) => {
      this.#packetBytes = Number(rows[0]?.['bytes'])
      return this.#packetBytes
    })
  }
}

function bytesOf({ key, value, replacing }: WriteRow): number {
  return ROW_BYTES + key.length + (value?.length ?? 0) + (replacing?.value?.length ?? 0)
}

/** What a key takes besides its bytes. */
const KEY_BYTES = 8

/** Cuts keys into pieces that any server takes with one statement. */
export function keyChunksOf(keys: readonly string[]): readonly (readonly string[])[] {
  const chunks: string[][] = []
  let left = 0
  for (const key of keys) {
    const bytes = 2 * key.length + KEY_BYTES
    if (bytes > left) {
      chunks.push([])
      left = SURE_BYTES
    }
    chunks.at(-1)?.push(key)
    left -= bytes
  }
  return chunks
}

/** Several rows go as text, in which a byte takes two characters. */
function chunksOf(rows: readonly WriteRow[], most: number): WriteRow[][] {
  const chunks: WriteRow[][] = []
  let left = 0
  for (const row of rows) {
    const bytes = 2 * bytesOf(row)
    const chunk = chunks.at(-1)
    if (chunk !== undefined && bytes <= left) {
      chunk.push(row)
      left -= bytes
    } else {
      chunks.push([row])
      left = most - bytes
    }
  }
  return chunks
}

function insertIdOf({ insertId }: Answer): bigint {
  if (insertId === undefined || insertId === null) {
    throw new Error(
      'the query function gave no insertId; with the dialect "mysql" let it give the client\'s own result, as in (await pool.query(sql, parameters))[0]',
    )
  }
  return BigInt(insertId as string | number | bigint)
}
