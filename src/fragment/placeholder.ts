import { randomBytes } from 'node:crypto'
import type { TagSite } from './spec.js'

/** Digits by which a damaged placeholder is recognised. */
const MARK_LENGTH = 12

/** Renders whose placeholders are recognised when they turn up in another render. */
const MAX_KNOWN = 4_096

const siteByMark = new Map<string, TagSite>()

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
  readonly #pattern: RegExp

  /** @param site - The tag that needs the first one. */
  constructor(site: TagSite) {
    const digits = BigInt(`0x${randomBytes(20).toString('hex')}`)
      .toString()
      .padStart(49, '0')
    this.#mark = digits.slice(-MARK_LENGTH)
    this.#secret = digits.slice(0, -MARK_LENGTH)
    this.#pattern = new RegExp(this.make('(\\d+)', '\\1'), 'g')
    siteByMark.set(this.#mark, site)
    if (siteByMark.size > MAX_KNOWN) {
      for (const oldest of siteByMark.keys()) {
        siteByMark.delete(oldest)
        break
      }
    }
  }

  make(index: number | string, again = index): string {
    return ` ${this.#mark}${this.#secret}-${index} <fRaG "' > ${again}-${this.#mark} `
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
      new RegExp(`(?<index>\\d+)-${this.#mark}`).exec(text)?.groups ??
      {}
    return index === undefined ? undefined : Number(index)
  }
}

/** The tag whose placeholder was carried out of its own render into this text, if any. */
export function findStray(text: string): TagSite | undefined {
  if (siteByMark.size === 0 || !text.includes(`<fRaG "' >`)) return undefined
  for (const [, mark] of text.matchAll(/(?=(\d{12}))\d{49}-\d+ <fRaG "' >/g)) {
    const site = siteByMark.get(mark as string)
    if (site !== undefined) return site
  }
  return undefined
}
