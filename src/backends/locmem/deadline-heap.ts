import { isExpired, type Deadline } from '../../timeout.js'

/** What has a deadline. */
export interface Due {
  readonly expiresAtMs: Deadline
  /** The heap's own note of where it is; -1: it is in none. */
  deadlineAt: number
}

/** Items whose place one call corrects at most. */
const MOST_STEPS = 1000

/** An array that grows by pieces: to copy a long one takes long. */
const PIECE_BITS = 12
const PIECE = 1 << PIECE_BITS

interface Piece<T> {
  readonly items: T[]
  /** Milliseconds, of each item: it does not expire before. */
  readonly dueMs: Float64Array
}

/**
 * What has a deadline, ordered by it, so that what has expired is found without looking at the
 * others. Each change costs the logarithm of the size, but for a later deadline, which costs nothing: only once the
 * earlier one has passed is the item put where it belongs.
 */
export class DeadlineHeap<T extends Due> {
  readonly #pieces: Piece<T>[] = []
  #size = 0

  get size(): number {
    return this.#size
  }

  /**
   * Of what has expired, what did so first.
   *
   * @returns `undefined`: nothing has, or that is not known before this was called again.
   */
  expired(nowMs: number): T | undefined {
    for (let steps = MOST_STEPS; steps > 0 && this.#size > 0; steps--) {
      const dueMs = this.#dueAt(0)
      if (!isExpired(dueMs, nowMs)) return undefined
      const first = this.#itemAt(0)
      const { expiresAtMs } = first
      if (dueMs === expiresAtMs) return first
      this.#sift(first, expiresAtMs as number, 0)
    }
    return undefined
  }

  /** Takes note of an item's deadline, also of another one than it had; `null` is none. */
  put(item: T): void {
    const { expiresAtMs, deadlineAt } = item
    if (expiresAtMs === null) {
      this.remove(item)
      return
    }
    if (deadlineAt >= 0) {
      if (expiresAtMs < this.#dueAt(deadlineAt)) this.#sift(item, expiresAtMs, deadlineAt)
      return
    }
    if (this.#size === this.#pieces.length * PIECE) {
      this.#pieces.push({ items: [], dueMs: new Float64Array(PIECE) })
    }
    this.#sift(item, expiresAtMs, this.#size++)
  }

  remove(item: T): void {
    const at = item.deadlineAt
    if (at < 0) return
    item.deadlineAt = -1
    const end = --this.#size
    const last = this.#itemAt(end)
    const dueMs = this.#dueAt(end)
    this.#piece(end).items.pop()
    // One that is empty is kept, since the next item may need it again.
    if (end + PIECE === (this.#pieces.length - 1) * PIECE) this.#pieces.pop()
    if (last !== item) this.#sift(last, dueMs, at)
  }

  #piece(index: number): Piece<T> {
    return this.#pieces[index >> PIECE_BITS] as Piece<T>
  }

  #itemAt(index: number): T {
    return this.#piece(index).items[index & (PIECE - 1)] as T
  }

  #dueAt(index: number): number {
    return this.#piece(index).dueMs[index & (PIECE - 1)] as number
  }

  #place(item: T, dueMs: number, index: number): void {
    const piece = this.#piece(index)
    piece.items[index & (PIECE - 1)] = item
    piece.dueMs[index & (PIECE - 1)] = dueMs
    item.deadlineAt = index
  }

  #move(from: number, to: number): void {
    this.#place(this.#itemAt(from), this.#dueAt(from), to)
  }

  /**
   * Puts an item where it belongs.
   *
   * @param at - Where there is room for it.
   */
  #sift(item: T, dueMs: number, at: number): void {
    let to = at
    while (to > 0) {
      const parent = (to - 1) >> 1
      if (this.#dueAt(parent) <= dueMs) break
      this.#move(parent, to)
      to = parent
    }
    for (;;) {
      let child = 2 * to + 1
      if (child >= this.#size) break
      if (child + 1 < this.#size && this.#dueAt(child + 1) < this.#dueAt(child)) child++
      if (this.#dueAt(child) >= dueMs) break
      this.#move(child, to)
      to = child
    }
    this.#place(item, dueMs, to)
  }
}
