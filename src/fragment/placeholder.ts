import type { TagPosition } from '../errors.js'
import { nodeCrypto } from '../node-crypto.js'

/** Digits by which a damaged placeholder is recognised, and those that follow them: groups of three. */
const MARK_GROUPS = 4
const SECRET_GROUPS = 9

/** No index has more digits. */
const MAX_INDEX_LENGTH = 9

/** Renders whose placeholders are recognised when they turn up in another render. */
const MAX_KNOWN = 4_096

/** The part of a placeholder that distinguishes a fragment's from a hole's. */
export type PlaceholderKind = 'fRaG' | 'hOlE'

/** The tags of the last renders, by the digits of these. */
class KnownMarks {
  readonly sites = new Map<string, TagPosition>()
  /** In a ring, which costs less than to ask the map for its oldest. */
  readonly #marks: string[] = []
  #next = 0

  add(mark: string, site: TagPosition): void {
    const oldest = this.#marks[this.#next]
    if (oldest !== undefined) this.sites.delete(oldest)
    this.#marks[this.#next] = mark
    this.#next = (this.#next + 1) % MAX_KNOWN
    this.sites.set(mark, site)
  }
}

const known: Readonly<Record<PlaceholderKind, KnownMarks>> = {
  fRaG: new KnownMarks(),
  hOlE: new KnownMarks(),
}

/** A text with placeholders, taken apart: before, between and behind them. */
export interface Split {
  /** One more than there are placeholders. */
  readonly texts: readonly string[]
  /** What the placeholders stand for. */
  readonly indices: readonly number[]
  /** Nothing in the texts is left of a placeholder, nor looks like one of another render. */
  readonly isClean: boolean
}

/**
 * The placeholders of one render.
 *
 * They are unguessable, so that content which looks like one stays inert, and fragile on purpose:
 * changing case, escaping, quoting, cutting or removing markup damages them, but leaves some of the
 * digits at both ends, by which the damage is found. So does trimming, but for a hole.
 */
export class Placeholders {
  readonly #mark: string
  readonly #secret: string
  readonly #kind: PlaceholderKind
  /** What each begins with, up to its index. */
  readonly #begin: string
  /** What each ends with, behind its index. */
  readonly #end: string
  readonly #made: string[] = []

  /** @param site - The tag that needs the first one. */
  constructor(site: TagPosition, kind: PlaceholderKind = 'fRaG') {
    this.#mark = randomDigits(MARK_GROUPS)
    this.#secret = randomDigits(SECRET_GROUPS)
    this.#kind = kind
    const edge = EDGES[kind]
    // Joined: a text is searched for what is added piece by piece in twice the time.
    this.#begin = [edge, this.#mark, this.#secret, '-'].join('')
    this.#end = ['-', this.#mark, edge].join('')
    known[kind].add(this.#mark, site)
  }

  /** The next one: its index is the count of those before it. */
  make(): string {
    const made = this.#begin + middleOf(this.#kind, this.#made.length) + this.#end
    this.#made.push(made)
    return made
  }

  /** In characters. */
  lengthOf(index: number): number {
    return this.#made[index]?.length ?? 0
  }

  /** Whether a text holds a placeholder or what is left of one. */
  isIn(text: string): boolean {
    return text.includes(this.#mark)
  }

  /** Takes a text apart at its intact placeholders. */
  split(text: string): Split {
    const texts: string[] = []
    const indices: number[] = []
    let end = 0
    let at = text.indexOf(this.#begin)
    while (at >= 0) {
      const index = indexAt(text, at + this.#begin.length)
      const made = this.#made[index]
      const after = at + (made?.length ?? 0)
      // Compared as a slice: V8 takes twice as long for `startsWith`.
      if (text.slice(at, after) === made) {
        texts.push(text.slice(end, at))
        indices.push(index)
        end = after
      }
      at = text.indexOf(this.#begin, Math.max(end, at + 1))
    }
    texts.push(text.slice(end))
    const between = texts.join('\n')
    const isClean = !this.isIn(between) && !between.includes(signOf(this.#kind))
    return { texts, indices, isClean }
  }

  /** The index of a damaged one, as far as it can still be read. */
  indexOfDamaged(text: string): number | undefined {
    const { index } =
      new RegExp(`${this.#secret}-(?<index>\\d+)`).exec(text)?.groups ??
      // No index has more digits; a text may.
      new RegExp(`(?<index>\\d{1,9})-${this.#mark}`).exec(text)?.groups ??
      {}
    return index === undefined ? undefined : Number(index)
  }
}

/** The number that begins there in a text. @returns `NaN`: none. */
function indexAt(text: string, at: number): number {
  let index = NaN
  for (let i = at; i < at + MAX_INDEX_LENGTH; i++) {
    const digit = text.charCodeAt(i) - DIGIT_0
    if (!(digit >= 0 && digit <= 9)) break
    index = 10 * (i === at ? 0 : index) + digit
  }
  return index
}

const DIGIT_0 = 0x30

const SIGNS = { fRaG: `<fRaG "' >`, hOlE: `<hOlE "' >` } as const

function signOf(kind: PlaceholderKind): string {
  return SIGNS[kind]
}

/** Those of the first placeholders of each kind, which every render needs. */
const MIDDLES: Record<PlaceholderKind, string[]> = { fRaG: [], hOlE: [] }
const MAX_MIDDLES = 1_000

/**
 * What each begins and ends with. Who trims a text with a fragment in it would trim that too, had it been there: it must
 * be found out. The text of a hole is another on each request, and view engines trim what has one at its end.
 */
const EDGES = { fRaG: ' ', hOlE: '' } as const

/** The part of a placeholder between the digits at its ends. */
function middleOf(kind: PlaceholderKind, index: number): string {
  const known = MIDDLES[kind][index]
  if (known !== undefined) return known
  const middle = `${index} ${signOf(kind)} ${index}`
  if (index < MAX_MIDDLES) MIDDLES[kind][index] = middle
  return middle
}

/** Numbers by chance, made many at a time. */
const chance = new Uint32Array(2_048)
let used = chance.length

/** All groups of three digits. */
const GROUPS: string[] = []

/** Only digits, which survive a change of case. In all there are 39, of 129 bits of chance. */
function randomDigits(groups: number): string {
  if (used + groups > chance.length) {
    for (let i = GROUPS.length; i < 1_000; i++) GROUPS.push(String(i).padStart(3, '0'))
    nodeCrypto().randomFillSync(chance)
    used = 0
  }
  let digits = ''
  for (let i = 0; i < groups; i++) {
    digits += GROUPS[(chance[used++] as number) % GROUPS.length]
  }
  return digits
}

/** The tag whose placeholder was carried out of its own render into this text, if any. */
export function findStray(text: string, kind: PlaceholderKind = 'fRaG'): TagPosition | undefined {
  const { sites } = known[kind]
  if (sites.size === 0 || !text.includes(signOf(kind))) return undefined
  for (const [, mark] of text.matchAll(STRAY[kind])) {
    const site = sites.get(mark as string)
    if (site !== undefined) return site
  }
  return undefined
}

/** An intact placeholder, of any render. */
export const ANY_PLACEHOLDER = / \d{39}-\d+ <fRaG "' > \d+-\d{12} |\d{39}-\d+ <hOlE "' > \d+-\d{12}/

const STRAY = {
  fRaG: /(?=(\d{12}))\d{39}-\d+ <fRaG "' >/g,
  hOlE: /(?=(\d{12}))\d{39}-\d+ <hOlE "' >/g,
}
