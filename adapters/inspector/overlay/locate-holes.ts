import type { Piece } from '../../../src/fragment/hole-parts.js'
import type { Placed } from './locate.js'
import { isOpen, type Scan, type Span } from './scan.js'

/** A hole, and where it is in the page's text. */
export interface PlacedHole {
  readonly place: Span
  /** The innermost fragment around it. */
  readonly container: Placed | undefined
}

/** More are not looked for. */
const MAX_HOLES = 500

/**
 * Finds what was rendered for each visitor in a page, by the texts around it.
 *
 * @param filled - Texts whose holes were filled, in the order in which that was done.
 * @param placed - The fragments of the page.
 */
export function locateHoles(
  html: string,
  scan: Scan,
  filled: readonly (readonly Piece[])[],
  placed: readonly Placed[],
): readonly PlacedHole[] {
  const holes: PlacedHole[] = []
  /** Of texts that were put out more than once: behind the last. */
  const ends = new Map<string, number>()
  for (const pieces of filled.slice(0, MAX_HOLES)) {
    const text = pieces.map((piece) => piece.text).join('')
    const start = html.indexOf(text, ends.get(text) ?? 0)
    if (start < 0) continue
    ends.set(text, start + text.length)
    let end = start
    for (const piece of pieces) {
      const place = trimmed(end, piece.text)
      end += piece.text.length
      if (!piece.isHole || place.end <= place.start) continue
      if (!isOpen(scan, place.start) || !isOpen(scan, place.end)) continue
      holes.push({ place, container: innermostAround(place, placed) })
    }
  }
  return holes.slice(0, MAX_HOLES)
}

/** Without the space around it. */
function trimmed(at: number, text: string): Span {
  const start = at + text.length - text.trimStart().length
  return { start, end: at + text.trimEnd().length }
}

/** Outer fragments come before inner ones. */
function innermostAround({ start, end }: Span, placed: readonly Placed[]): Placed | undefined {
  return placed.findLast(
    ({ place }) => typeof place !== 'string' && place.start <= start && place.end >= end,
  )
}
