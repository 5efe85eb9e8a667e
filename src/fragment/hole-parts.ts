import type { MaybePromise } from '../maybe-promise.js'

/** Identifies a hole and its template. It is stored instead of the hole's text. */
export interface HoleRef {
  /** The engine. */
  readonly e: string
  /** The template's name, as its loader uses it. */
  readonly t: string
  /**
   * The id of the hole in its template (the same for the same source, another for another), with its named
   * values.
   */
  readonly h: string
}

/** Renders holes in the context of one page. */
export interface HoleRenderer {
  /**
   * Whether such a hole still exists. Called on every hit with holes, and when a body that is running reaches
   * a hole. Never throws.
   */
  has(ref: HoleRef): boolean
  /**
   * Renders the hole's text.
   *
   * @returns `undefined`: the hole no longer exists. A promise only in asynchronous rendering.
   * @throws What the hole throws.
   */
  render(ref: HoleRef): MaybePromise<string | undefined>
  /**
   * Called when the tag is put off. Returns a renderer that later renders what this one would render now.
   * Omitted: the renderer holds nothing that changes.
   */
  capture?(): HoleRenderer
  /** The page whose context the holes see. Omitted: the context alone identifies it. */
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

function isRef(part: unknown): part is HoleRef {
  if (typeof part !== 'object' || part === null || Object.keys(part).length !== 3) return false
  const { e, t, h } = part as Partial<Record<string, unknown>>
  return typeof e === 'string' && typeof t === 'string' && typeof h === 'string'
}
