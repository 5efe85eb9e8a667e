import type { CacheTagError, TagPosition } from '../errors.js'
import { isWithin, type Frame } from '../making/frame.js'
import { faults } from './faults.js'
import type { Content, HoleRef } from './hole-parts.js'
import { Placeholders } from './placeholder.js'

/** A hole that was met, and the frame it was met in. */
interface Met {
  readonly ref: HoleRef
  readonly frame: Frame
  readonly position: TagPosition
  /** Something else stands in its place. */
  isReplaced?: boolean
}

/**
 * @param start - Where what stands for the hole begins in the text.
 * @param end - Where it ends.
 */
export type ChangeHole = (ref: HoleRef, start: number, end: number) => HoleRef

/** A text without marks. */
export interface Taken {
  readonly content: Content
  /** Whether a hole was met whose mark is not in the text: it was dropped, or something was made of it. */
  readonly hasLost: boolean
}

/** What stands for the holes in all texts inside one outermost frame. */
export class HoleMarks {
  readonly #placeholders: Placeholders
  readonly #met: Met[] = []

  /** @param position - The hole that needs the first mark. */
  constructor(position: TagPosition) {
    this.#placeholders = new Placeholders(position, 'hOlE')
  }

  /** @param frame - Where the hole was met. */
  make(ref: HoleRef, frame: Frame, position: TagPosition): string {
    return this.#placeholders.make(this.#met.push({ ref, frame, position }) - 1)
  }

  /** Whether a text holds what is left of at least one mark. */
  isIn(text: string): boolean {
    return this.#placeholders.isIn(text)
  }

  /**
   * Puts references in the place of marks.
   *
   * @param frame - What the text was made in.
   * @throws CacheTagError: a mark was altered on its way into the text.
   */
  take(text: string, frame: Frame): Taken {
    const parts: (string | HoleRef)[] = []
    const found = new Set<Met>()
    let end = 0
    for (const match of this.#placeholders.find(text)) {
      const met = this.#met[Number(match[1])]
      if (met === undefined) continue
      const before = text.slice(end, match.index)
      this.#checkUndamaged(before)
      parts.push(before, met.ref)
      found.add(met)
      end = match.index + match[0].length
    }
    const rest = text.slice(end)
    this.#checkUndamaged(rest)
    const isLost = (met: Met) =>
      met.isReplaced !== true && !found.has(met) && isWithin(met.frame, frame)
    return {
      content: parts.length === 0 ? rest : [...parts, rest],
      hasLost: this.#met.some(isLost),
    }
  }

  /** Gives the holes in a text other references; see `changeHoles`. */
  change(text: string, change: ChangeHole): string {
    let changed = ''
    let end = 0
    for (const match of this.#placeholders.find(text)) {
      const met = this.#met[Number(match[1])]
      if (met === undefined) continue
      const after = match.index + match[0].length
      met.isReplaced = true
      const ref = change(met.ref, match.index, after)
      changed += text.slice(end, match.index) + this.make(ref, met.frame, met.position)
      end = after
    }
    return changed + text.slice(end)
  }

  /** Nothing of what was made in a frame so far is put out: its holes are not missed. */
  drop(frame: Frame): void {
    for (const met of this.#met) if (isWithin(met.frame, frame)) met.isReplaced = true
  }

  #checkUndamaged(text: string): void {
    if (this.isIn(text)) throw this.alteredIn(text)
  }

  /** The fault of whoever alters a text with a mark. */
  alteredIn(text: string): CacheTagError {
    const index = this.#placeholders.indexOfDamaged(text)
    const met = index === undefined ? undefined : this.#met[index]
    return faults.alteredHole((met ?? this.#met[0])?.position ?? {})
  }
}
