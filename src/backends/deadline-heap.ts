/**
 * Keys ordered by deadline, so that expired entries are found without looking at live ones.
 *
 * @remarks Entries are not removed when a key is written again or deleted; whoever pops a key must
 *   compare the deadline. {@link rebuild} drops the leftovers.
 */
export class DeadlineHeap {
  #deadlines: number[] = []
  #keys: string[] = []

  get size(): number {
    return this.#keys.length
  }

  push(deadline: number, key: string): void {
    const deadlines = this.#deadlines
    const keys = this.#keys
    let at = keys.length
    deadlines.push(deadline)
    keys.push(key)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if ((deadlines[parent] as number) <= deadline) break
      deadlines[at] = deadlines[parent] as number
      keys[at] = keys[parent] as string
      at = parent
    }
    deadlines[at] = deadline
    keys[at] = key
  }

  /** The earliest deadline, `Infinity` if there is none. */
  get earliest(): number {
    return this.#deadlines[0] ?? Infinity
  }

  /** Removes and gives the key with the earliest deadline. */
  pop(): string | undefined {
    const deadlines = this.#deadlines
    const keys = this.#keys
    const first = keys[0]
    const lastKey = keys.pop()
    const lastDeadline = deadlines.pop()
    if (lastKey === undefined || lastDeadline === undefined || keys.length === 0) return first
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= keys.length) break
      if ((deadlines[child + 1] ?? Infinity) < (deadlines[child] as number)) child++
      if ((deadlines[child] as number) >= lastDeadline) break
      deadlines[at] = deadlines[child] as number
      keys[at] = keys[child] as string
      at = child
    }
    deadlines[at] = lastDeadline
    keys[at] = lastKey
    return first
  }

  /** Starts anew with what is given. */
  rebuild(entries: Iterable<readonly [key: string, deadline: number]>): void {
    this.#deadlines = []
    this.#keys = []
    for (const [key, deadline] of entries) this.push(deadline, key)
  }
}
