import type { FragmentOutcome } from '../../../src/observe/channels.js'
import { ANY_PLACEHOLDER } from '../../../src/fragment/placeholder.js'
import type { PutOut, PutOutNow } from './put-out.js'
import { isOpen, type Scan, type Span } from './scan.js'

/**
 * Why a fragment has no outline: it put out nothing that could be seen; its text is not on the page as it
 * was put out; or it is where the page has no room for marks, as in an attribute or a script.
 */
export type Unplaced = 'empty' | 'changed' | 'closed'

/** A fragment, and where it is in the page's text. */
export interface Placed {
  readonly seen: PutOut
  /** Left out: it came along in something that was found. */
  readonly outcome: FragmentOutcome | undefined
  readonly container: Placed | undefined
  readonly place: Span | Unplaced
  /** Whether the text is nowhere else where it could be, too. */
  readonly isSure: boolean
}

/** More are not looked for. */
export const MAX_PLACED = 2_000

/** More places of one text are not compared. */
const MAX_PLACES = 500

/**
 * Finds fragments in a page by what they put out. Nothing has to be in their texts for that: what is
 * rendered, stored and compared on the way is the same to the byte, with the overlay and without it.
 *
 * @param outer - Those that are in no other, in the order in which they were put out.
 * @returns In the order of the page, the outer before the inner; those without a place come last.
 */
export function locate(
  html: string,
  scan: Scan,
  outer: readonly (PutOut | PutOutNow)[],
): readonly Placed[] {
  const finder = new Finder(html, scan)
  finder.placeAll(outer, { start: 0, end: html.length }, undefined)
  return finder.placed.toSorted(byPlace)
}

function byPlace(a: Placed, b: Placed): number {
  const [one, other] = [a.place, b.place]
  if (typeof one === 'string' || typeof other === 'string') {
    return Number(typeof one === 'string') - Number(typeof other === 'string')
  }
  return one.start - other.start || other.end - one.end
}

/** Fragments side by side that put out the same. */
interface Group {
  readonly members: readonly number[]
  readonly places: readonly Span[]
}

class Finder {
  readonly placed: Placed[] = []
  #squeezed: Squeezed | undefined

  constructor(
    readonly html: string,
    readonly scan: Scan,
  ) {}

  placeAll(
    siblings: readonly (PutOut | PutOutNow)[],
    within: Span,
    container: Placed | undefined,
  ): void {
    const found: (Span | undefined)[] = []
    const doubtful = new Set<number>()
    const groups = this.#groupsOf(siblings, within)
    const isClear = ({ members, places }: Group) => places.length === members.length
    for (const { members, places } of groups.filter(isClear)) {
      members.forEach((at, i) => (found[at] = places[i]))
    }
    for (const group of groups) if (!isClear(group)) this.#choose(group, found, doubtful)
    for (const [at, seen] of siblings.entries()) {
      if (this.placed.length >= MAX_PLACED) return
      const place = found[at]
      const isDrawn = place !== undefined && this.#isOpen(place.start) && this.#isOpen(place.end)
      const one: Placed = {
        seen,
        outcome: 'outcome' in seen ? seen.outcome : undefined,
        container,
        place: isDrawn ? place : faultOf(seen, place),
        isSure: isDrawn && !doubtful.has(at) && this.#isBounded(place),
      }
      this.placed.push(one)
      this.placeAll(seen.inner, place ?? within, one)
    }
  }

  #groupsOf(siblings: readonly PutOut[], within: Span): readonly Group[] {
    const byText = new Map<string, number[]>()
    siblings.forEach(({ text }, at) => {
      const members = byText.get(text)
      if (members === undefined) byText.set(text, [at])
      else members.push(at)
    })
    return Array.from(byText, ([text, members]) => {
      const pieces = piecesOf(text)
      return { members, places: pieces.length === 0 ? [] : this.#find(pieces, within) }
    })
  }

  /** Where a text is found more often than it was put out, or less often: the order decides. */
  #choose({ members, places }: Group, found: (Span | undefined)[], doubtful: Set<number>): void {
    const others = found.filter((place) => place !== undefined)
    // What is inside of another fragment is most likely its own; and hardly any is a part of a word.
    const own = enough(
      places,
      (place) => !others.some((other) => isInside(place, other)),
      members.length,
    )
    let left = enough(own, (place) => this.#isBounded(place), members.length)
    for (const at of members) {
      const before = lastBefore(found, at)
      const next = firstAfter(found, at)
      const fitting = left.filter(
        ({ start, end }) => start >= (before?.start ?? 0) && end <= (next?.end ?? Infinity),
      )
      const taken = fitting[0] ?? left[0]
      if (own.length !== members.length && fitting.length !== 1) doubtful.add(at)
      found[at] = taken
      left = left.filter(({ start }) => taken !== undefined && start >= taken.end)
    }
  }

  #isOpen(position: number): boolean {
    return isOpen(this.scan, position)
  }

  /** Whether it is no part of a word. */
  #isBounded({ start, end }: Span): boolean {
    const { html } = this
    return !isWithinWord(html, start) && !isWithinWord(html, end)
  }

  #find(pieces: readonly string[], within: Span): readonly Span[] {
    const exact = findAll(this.html, pieces, within)
    if (exact.length > 0) return exact
    // A partial that was indented, or a page that was made smaller: only the white space differs.
    const squeezed = (this.#squeezed ??= squeeze(this.html))
    const texts = pieces.map((piece) => piece.replace(/\s+/g, ''))
    const inner = { start: squeezed.at(within.start), end: squeezed.at(within.end) }
    return findAll(squeezed.text, texts, inner).map(({ start, end }) => ({
      start: squeezed.offsets[start] as number,
      end: (squeezed.offsets[end - 1] as number) + 1,
    }))
  }
}

/** What of a text can be looked for: without what is still to come, and without space around it. */
function piecesOf(text: string): readonly string[] {
  return text
    .split(ANY_PLACEHOLDER)
    .map((piece) => piece.trim())
    .filter((piece) => piece !== '')
}

function findAll(text: string, pieces: readonly string[], within: Span): readonly Span[] {
  const places: Span[] = []
  const [first = '', ...others] = pieces
  let start = text.indexOf(first, within.start)
  while (start >= 0 && places.length < MAX_PLACES) {
    let end = start + first.length
    for (const piece of others) {
      const at = text.indexOf(piece, end)
      if (at < 0) return places
      end = at + piece.length
    }
    if (end > within.end) return places
    if (!isTagName(text, start)) places.push({ start, end })
    start = text.indexOf(first, end)
  }
  return places
}

/** Nobody renders those. */
function isTagName(text: string, start: number): boolean {
  const before = text[start - 1]
  return before === '<' || (before === '/' && text[start - 2] === '<')
}

interface Squeezed {
  readonly text: string
  /** Where each of its characters was. */
  readonly offsets: Uint32Array
  /** How many characters were before another. */
  at(offset: number): number
}

function squeeze(html: string): Squeezed {
  const offsets = new Uint32Array(html.length)
  let length = 0
  let text = ''
  for (const { 0: run, index } of html.matchAll(/\S+/g)) {
    for (let i = 0; i < run.length; i++) offsets[length++] = index + i
    text += run
  }
  return {
    text,
    offsets,
    at(offset) {
      let low = 0
      let high = length
      while (low < high) {
        const middle = (low + high) >> 1
        if ((offsets[middle] as number) < offset) low = middle + 1
        else high = middle
      }
      return low
    },
  }
}

function enough(
  all: readonly Span[],
  is: (place: Span) => boolean,
  count: number,
): readonly Span[] {
  const some = all.filter(is)
  return some.length >= count ? some : all
}

function faultOf({ text }: PutOut, place: Span | undefined): Unplaced {
  if (place !== undefined) return 'closed'
  return piecesOf(text).length === 0 ? 'empty' : 'changed'
}

function isInside(place: Span, other: Span): boolean {
  return place.start >= other.start && place.end <= other.end
}

function isWithinWord(html: string, position: number): boolean {
  return isOfWord(html[position - 1]) && isOfWord(html[position])
}

function isOfWord(character: string | undefined): boolean {
  return character !== undefined && /[\p{L}\p{N}_]/u.test(character)
}

function lastBefore(found: readonly (Span | undefined)[], at: number): Span | undefined {
  for (let i = at - 1; i >= 0; i--) if (found[i] !== undefined) return found[i]
  return undefined
}

function firstAfter(found: readonly (Span | undefined)[], at: number): Span | undefined {
  for (let i = at + 1; i < found.length; i++) if (found[i] !== undefined) return found[i]
  return undefined
}
