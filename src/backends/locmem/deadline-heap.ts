import { isExpired, type Deadline } from '../../timeout.js'

/** What has a deadline. */
export interface Due {
  readonly expiresAtMs: Deadline
  /** The heap's own note of a deadline that it had: it does not expire before. */
  dueMs: Deadline
  /** The heap's own note of where it is; -1: it is in none. */
  deadlineAt: number
}

/** Items whose place one call corrects at most. */
const MOST_STEPS = 1000

/** An array that grows by pieces: to copy a long one takes long. */
const PIECE_BITS = 12
const PIECE = 1 << PIECE_BITS

/**
 * What has a deadline, ordered by it, so that what has expired is found without looking at the
 * others. Each change costs the logarithm of the size, but for a later deadline, which costs nothing: only once the
 * earlier one has passed is the item put where it belongs.
 */
export class DeadlineHeap<T extends Due> {
  readonly #pieces: T[][] = []
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
      const first = this.#at(0)
      if (!isExpired(first.dueMs, nowMs)) return undefined
      if (first.dueMs === first.expiresAtMs) return first
      first.dueMs = first.expiresAtMs
      this.#sift(first)
    }
    return undefined
  }

  /** Takes note of an item's deadline, also of another one than it had; `null` is none. */
  put(item: T): void {
    const { expiresAtMs, dueMs } = item
    if (expiresAtMs === null) {
      this.remove(item)
      return
    }
    if (item.deadlineAt >= 0 && expiresAtMs >= (dueMs as number)) return
    item.dueMs = expiresAtMs
    if (item.deadlineAt < 0) {
      if (this.#size % PIECE === 0) this.#pieces.push([])
      this.#place(item, this.#size++)
    }
    this.#sift(item)
  }

  remove(item: T): void {
    const at = item.deadlineAt
    if (at < 0) return
    item.deadlineAt = -1
    const last = this.#at(--this.#size)
    this.#pieces.at(-1)?.pop()
    if (this.#size % PIECE === 0) this.#pieces.pop()
    if (last === item) return
    this.#place(last, at)
    this.#sift(last)
  }

  #at(index: number): T {
    return (this.#pieces[index >> PIECE_BITS] as T[])[index & (PIECE - 1)] as T
  }

  #place(item: T, index: number): void {
    ;(this.#pieces[index >> PIECE_BITS] as T[])[index & (PIECE - 1)] = item
    item.deadlineAt = index
  }

  /** Moves an item up or down to where it belongs. */
  #sift(item: T): void {
    const deadline = item.dueMs as number
    let at = item.deadlineAt
    while (at > 0) {
      const parent = this.#at((at - 1) >> 1)
      if ((parent.dueMs as number) <= deadline) break
      this.#place(parent, at)
      at = (at - 1) >> 1
    }
    for (;;) {
      let next = 2 * at + 1
      if (next >= this.#size) break
      let child = this.#at(next)
      if (next + 1 < this.#size) {
        const other = this.#at(next + 1)
        if ((other.dueMs as number) < (child.dueMs as number)) {
          child = other
          next++
        }
      }
      if ((child.dueMs as number) >= deadline) break
      this.#place(child, at)
      at = next
    }
    this.#place(item, at)
  }
}
