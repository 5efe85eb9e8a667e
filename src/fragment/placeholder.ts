import { randomBytes } from 'node:crypto'
import type { TagPosition } from '../errors.js'

/** Digits by which a damaged placeholder is recognised. */
const MARK_LENGTH = 12

/** Renders whose placeholders are recognised when they turn up in another render. */
const MAX_KNOWN = 4_096

/** The tags by the digits of their renders, for each kind of placeholder. */
const known = { fRaG: new Map<string, TagPosition>(), hOlE: new Map<string, TagPosition>() }

/** What stands in a placeholder and tells a fragment's from a hole's. */
export type PlaceholderKind = keyof typeof known

/**
 * The placeholders of one render.
 *
 * They are unguessable, so that content which looks like one stays inert, and fragile on purpose:
 * trimming, changing case, escaping, quoting, cutting or removing markup damages them, but leaves
 * some of the digits at both ends, by which the damage is found.
 */
export class Placeholders {
  readonly #mark: string
  readonly #secret: string
  readonly #kind: PlaceholderKind
  readonly #pattern: RegExp

  /** @param site - The tag that needs the first one. */
  constructor(site: TagPosition, kind: PlaceholderKind = 'fRaG') {
    const digits = BigInt(`0x${randomBytes(20).toString('hex')}`)
      .toString()
      .padStart(49, '0')
    this.#mark = digits.slice(-MARK_LENGTH)
    this.#secret = digits.slice(0, -MARK_LENGTH)
    this.#kind = kind
    this.#pattern = new RegExp(this.make('(\\d+)', '\\1'), 'g')
    const sites = known[kind]
    sites.set(this.#mark, site)
    if (sites.size > MAX_KNOWN) {
      for (const oldest of sites.keys()) {
        sites.delete(oldest)
        break
      }
    }
  }

  make(index: number | string, again = index): string {
    return ` ${this.#mark}${this.#secret}-${index} <${this.#kind} "' > ${again}-${this.#mark} `
  }

  /** Whether a text holds a placeholder or what is left of one. */
  isIn(text: string): boolean {
    return text.includes(this.#mark)
  }

  /** The intact ones in a text, with their index as first group. */
  find(text: string): IterableIterator<RegExpExecArray> {
    return text.matchAll(this.#pattern)
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

/** The tag whose placeholder was carried out of its own render into this text, if any. */
export function findStray(text: string, kind: PlaceholderKind = 'fRaG'): TagPosition | undefined {
  const sites = known[kind]
  if (sites.size === 0 || !text.includes(`<${kind} "' >`)) return undefined
  for (const [, mark] of text.matchAll(STRAY[kind])) {
    const site = sites.get(mark as string)
    if (site !== undefined) return site
  }
  return undefined
}

const STRAY = {
  fRaG: /(?=(\d{12}))\d{49}-\d+ <fRaG "' >/g,
  hOlE: /(?=(\d{12}))\d{49}-\d+ <hOlE "' >/g,
}
