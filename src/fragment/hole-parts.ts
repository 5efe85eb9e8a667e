import type { MaybePromise } from '../maybe-promise.js'

/** Which hole of which template: what is stored in its place. */
export interface HoleRef {
  /** The engine. */
  readonly e: string
  /** The template's name, as its loader knows it. */
  readonly t: string
  /**
   * The hole in the template, the same for the same source and another for another, with the values that
   * it names.
   */
  readonly h: string
}

/** Renders holes in the context of one page. */
export interface HoleRenderer {
  /**
   * Whether there still is such a hole. Asked on every hit with holes, and when a hole is met while a
   * body runs. Never throws.
   */
  has(ref: HoleRef): boolean
  /**
   * The hole's text.
   *
   * @returns `undefined`: it is not there any more. A promise only in asynchronous rendering.
   * @throws What the hole throws.
   */
  render(ref: HoleRef): MaybePromise<string | undefined>
  /**
   * Called where the tag is put off: gives one that renders later what this one would render now.
   * Left out: it holds nothing that changes.
   */
  capture?(): HoleRenderer
  /** The page whose context the holes see. Left out: it is known by that context alone. */
  readonly page?: object | undefined
}

/** Texts with the holes between them: begins and ends with a text, which may be empty. */
export type Parts = readonly (string | HoleRef)[]

/** Of a text whose holes are filled. */
export interface Piece {
  readonly text: string
  readonly isHole: boolean
}

/** What is stored for a fragment. */
export type Content = string | Parts

/**
 * Reads what is stored for a fragment, if it is no text.
 *
 * @returns `undefined`: it is nothing that {@link takeContent} gives.
 */
export function readParts(value: unknown): Parts | undefined {
  if (!Array.isArray(value) || value.length < 3 || value.length % 2 === 0) return undefined
  // Not by a method that passes over what is not there.
  for (let i = 0; i < value.length; i++) {
    const part: unknown = value[i]
    if (i % 2 === 0 ? typeof part !== 'string' : !isRef(part)) return undefined
  }
  return value as Parts
}

/** As {@link readParts}, for texts too. */
export function readContent(value: unknown): Content | undefined {
  return typeof value === 'string' ? value : readParts(value)
}

function isRef(part: unknown): part is HoleRef {
  if (typeof part !== 'object' || part === null || Object.keys(part).length !== 3) return false
  const { e, t, h } = part as Partial<Record<string, unknown>>
  return typeof e === 'string' && typeof t === 'string' && typeof h === 'string'
}
