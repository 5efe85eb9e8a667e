import { shortKey, type ShortKey } from '../../bounded-memo.js'
import { currentMs } from '../../current-time.js'
import { Moments } from '../../moments.js'
import { MAX_SOFT_HISTORY } from '../../tags.js'
import { isTagged, type MemoryPayload } from './payload.js'

interface SoftInvalidation {
  readonly count: number
  readonly atMs: number
}

/** Tags whose soft invalidations are remembered one by one. */
const MAX_SOFT = 10_000

/** Longer tags are kept as digests. */
const MAX_TAG_LENGTH = 64

/**
 * The tags of local memory, which cost no entries: only the count of the latest invalidation of a tag is
 * remembered, and an entry is stored with the count at the time its versions were read. Where the oldest
 * of these memories are given up, what is older than them counts as invalidated.
 */
export class Invalidations {
  readonly #latest = new Moments()
  readonly #soft = new Map<ShortKey, readonly SoftInvalidation[]>()
  #forgottenSoftCount = 0
  #count = 0

  /** The count to store with an entry whose producer starts now. */
  get count(): number {
    return this.#count
  }

  /**
   * Makes a miss of what caches with this key prefix stored with one of the tags.
   *
   * @param soft - Makes it stale instead.
   * @param isAgain - The last soft one reaches until now.
   */
  note(keyPrefix: string, tags: readonly string[], soft = false, isAgain = false): void {
    const count = ++this.#count
    for (const tag of tags) {
      const own = ownTag(keyPrefix, tag)
      if (soft) this.#noteSoft(own, count, isAgain)
      else this.#latest.note(own, count)
    }
    for (const [tag, history] of this.#soft) {
      if (this.#soft.size <= MAX_SOFT) break
      this.#soft.delete(tag)
      this.#forgottenSoftCount = history.at(-1)?.count ?? this.#forgottenSoftCount
    }
  }

  #noteSoft(own: string, count: number, isAgain: boolean): void {
    const short = shortKey(own, MAX_TAG_LENGTH)
    const all = this.#soft.get(short) ?? []
    this.#soft.delete(short)
    const before = isAgain ? all.slice(0, -1) : all
    const atMs = (isAgain ? all.at(-1)?.atMs : undefined) ?? currentMs()
    this.#soft.set(short, [...before, { count, atMs }].slice(-MAX_SOFT_HISTORY))
  }

  /** Whether nothing that an entry of this key prefix depends on was invalidated, unless softly. */
  isCurrent(keyPrefix: string, payload: MemoryPayload): boolean {
    if (!isTagged(payload) || payload.checkedAt === this.#count) return true
    let softMs = Infinity
    for (const [tag, version] of payload.tags) {
      const own = ownTag(keyPrefix, tag)
      if (this.#latest.of(own) > Number(version)) return false
      const soft = this.#softHistory(own)
      if (soft === undefined) {
        if (this.#forgottenSoftCount > Number(version)) return false
        continue
      }
      // The first one since counts; where it may be one that is forgotten, the entry is gone.
      const at = soft.findIndex(({ count }) => count > Number(version))
      if (at === 0 && soft.length >= MAX_SOFT_HISTORY) return false
      softMs = Math.min(softMs, soft[at]?.atMs ?? Infinity)
    }
    payload.softMs = softMs
    payload.checkedAt = this.#count
    return true
  }

  /** Whether a tag of this key prefix was invalidated, softly too, after there had been so many. */
  happenedSince(keyPrefix: string, tag: string, count: number): boolean {
    if (this.#count === count) return false
    const own = ownTag(keyPrefix, tag)
    if (this.#latest.of(own) > count) return true
    return (this.#softHistory(own)?.at(-1)?.count ?? this.#forgottenSoftCount) > count
  }

  #softHistory(own: string): readonly SoftInvalidation[] | undefined {
    if (this.#soft.size === 0) return undefined
    return this.#soft.get(shortKey(own, MAX_TAG_LENGTH))
  }
}

function ownTag(keyPrefix: string, tag: string): string {
  return `${keyPrefix}\0${tag}`
}
