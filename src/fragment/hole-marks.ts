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
  /** Something else is in its place. */
  isReplaced?: boolean
}

/**
 * @param start - The beginning of the hole's mark in the text.
 * @param end - The end of the mark.
 */
export type ChangeHole = (ref: HoleRef, start: number, end: number) => HoleRef

/** A text without marks. */
export interface Taken {
  readonly content: Content
  /** Whether a hole was met whose mark is not in the text: it was dropped, or something was made of it. */
  readonly hasLost: boolean
}

/** The marks of the holes in all texts inside one outermost frame. */
export class HoleMarks {
  readonly #placeholders: Placeholders
  readonly #met: Met[] = []

  /** @param position - The hole that needs the first mark. */
  constructor(position: TagPosition) {
    this.#placeholders = new Placeholders(position, 'hOlE')
  }

  /** @param frame - Where the hole was met. */
  make(ref: HoleRef, frame: Frame, position: TagPosition): string {
    this.#met.push({ ref, frame, position })
    return this.#placeholders.make()
  }

  /** Whether a text holds what is left of at least one mark. */
  isIn(text: string): boolean {
    return this.#placeholders.isIn(text)
  }

  /**
   * Replaces marks with references.
   *
   * @param frame - The frame in which the text was rendered.
   * @throws CacheTagError: a mark was altered on its way into the text.
   */
  take(text: string, frame: Frame): Taken {
    const { texts, indices, isClean } = this.#placeholders.split(text)
    if (!isClean) for (const one of texts) if (this.isIn(one)) throw this.alteredIn(one)
    const found = new Set(indices.map((index) => this.#at(index, text)))
    const parts: (string | HoleRef)[] = []
    texts.forEach((one, i) => {
      parts.push(one)
      const index = indices[i]
      if (index !== undefined) parts.push(this.#at(index, text).ref)
    })
    const isLost = (met: Met) =>
      met.isReplaced !== true && !found.has(met) && isWithin(met.frame, frame)
    return {
      content: indices.length === 0 ? text : parts,
      hasLost: this.#met.some(isLost),
    }
  }

  /** Gives the holes in a text other references; see `changeHoles`. */
  change(text: string, change: ChangeHole): string {
    const { texts, indices } = this.#placeholders.split(text)
    let changed = ''
    let end = 0
    texts.forEach((one, i) => {
      changed += one
      end += one.length
      const index = indices[i]
      if (index === undefined) return
      const met = this.#at(index, text)
      met.isReplaced = true
      const after = end + this.#placeholders.lengthOf(index)
      changed += this.make(change(met.ref, end, after), met.frame, met.position)
      end = after
    })
    return changed
  }

  #at(index: number, text: string): Met {
    const met = this.#met[index]
    if (met === undefined) throw this.alteredIn(text)
    return met
  }

  /** Nothing of what was made in a frame so far is put out: its holes are not missed. */
  drop(frame: Frame): void {
    for (const met of this.#met) if (isWithin(met.frame, frame)) met.isReplaced = true
  }

  /** The error for code that alters a text with a mark. */
  alteredIn(text: string): CacheTagError {
    const index = this.#placeholders.indexOfDamaged(text)
    const met = index === undefined ? undefined : this.#met[index]
    return faults.alteredHole((met ?? this.#met[0])?.position ?? {})
  }
}
