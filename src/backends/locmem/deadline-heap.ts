/** What has a deadline. */
export interface Due {
  /** Milliseconds since the epoch. */
  readonly expiresAtMs: number | null
  /** The heap's own note of where it is; -1: it is in none. */
  deadlineAt: number
}

/** An array that grows by pieces: to copy a long one takes long. */
const PIECE_BITS = 12
const PIECE = 1 << PIECE_BITS

/**
 * What has a deadline, ordered by it, so that what has expired is found without looking at the
 * others. Each change costs the logarithm of the size.
 */
export class DeadlineHeap<T extends Due> {
  readonly #pieces: T[][] = []
  #size = 0

  get size(): number {
    return this.#size
  }

  /** Of what is in it, what expires first. */
  get first(): T | undefined {
    return this.#size === 0 ? undefined : this.#at(0)
  }

  /** Takes note of an item's deadline, also of another one than it had; `null` is none. */
  put(item: T): void {
    if (item.expiresAtMs === null) {
      this.remove(item)
      return
    }
    if (item.deadlineAt < 0) {
      if (this.#size % PIECE === 0) this.#pieces.push([])
      this.#place(item, this.#size++)
    }
    this.#sift(item)
  }

  /** Puts an item in the place of another, which is in the heap no more. */
  replace(before: T, item: T): void {
    const at = before.deadlineAt
    before.deadlineAt = -1
    if (at >= 0) this.#place(item, at)
    this.put(item)
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
    const deadline = item.expiresAtMs as number
    let at = item.deadlineAt
    while (at > 0) {
      const parent = this.#at((at - 1) >> 1)
      if ((parent.expiresAtMs as number) <= deadline) break
      this.#place(parent, at)
      at = (at - 1) >> 1
    }
    for (;;) {
      let next = 2 * at + 1
      if (next >= this.#size) break
      let child = this.#at(next)
      if (next + 1 < this.#size) {
        const other = this.#at(next + 1)
        if ((other.expiresAtMs as number) < (child.expiresAtMs as number)) {
          child = other
          next++
        }
      }
      if ((child.expiresAtMs as number) >= deadline) break
      this.#place(child, at)
      at = next
    }
    this.#place(item, at)
  }
}
