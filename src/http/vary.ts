import { headerLines, isToken, type HeaderValue } from './header-values.js'
import { isTooLong, listMembers, MAX_MEMBERS } from './lists.js'

/** A response's `Vary` header. */
export interface Vary {
  /** It says `*`: no other request may have this response. */
  readonly any: boolean
  /**
   * What the response depends on is unknown: a member is no header name, or there are more than 100
   * of them or more than 8192 characters, which no request could be compared by.
   */
  readonly unreadable: boolean
  /** In lower case, as often as written. */
  readonly names: readonly string[]
}

/** Reads a `Vary` header; never throws. @see RFC 9110 §12.5.5 */
export function parseVary(value: HeaderValue | undefined): Vary {
  const names: string[] = []
  let any = false
  const members = listMembers(value)
  // The names are given in any case: a caller may look for one of them.
  let unreadable = isTooLong(value) || members.length > MAX_MEMBERS
  for (const member of members) {
    const name = member.toLowerCase()
    if (name === '*') any = true
    else if (isToken(name)) names.push(name)
    else unreadable = true
  }
  return { any, unreadable, names }
}

/** A `Vary` with the names of both; the first one unchanged if it has all of them. */
export function joinVary(first: HeaderValue, second: HeaderValue): string {
  const known = new Set(parseVary(first).names)
  const text = headerLines(first).join(', ')
  const added = listMembers(second).filter((name) => !known.has(name.toLowerCase()))
  return [text, ...new Set(added)].filter((part) => part !== '').join(', ')
}

/** A header's name as Django's `request.META` spells it. */
export function djangoHeaderName(name: string): string {
  return `HTTP_${name.toUpperCase().replaceAll('-', '_')}`
}

/**
 * The list of headers a page is keyed by, in Django's order.
 *
 * @param names - In lower case; duplicates stay, as in Django.
 * @param languageInKey - The key says the language, so that `Accept-Language` does not count.
 * @see Django, `learn_cache_key`
 */
export function toHeaderList(names: readonly string[], languageInKey: boolean): readonly string[] {
  const kept = languageInKey ? names.filter((name) => name !== 'accept-language') : [...names]
  return kept.length < 2 ? kept : kept.sort(compareHeaderNames)
}

/**
 * The list with names from another response added. It only grows: otherwise one response without `Vary` would make
 * the next variant be served to all.
 *
 * @returns `known` itself if there is nothing new.
 */
export function growHeaderList(
  known: readonly string[],
  learned: readonly string[],
): readonly string[] {
  const fresh = learned.filter((name) => !known.includes(name))
  return fresh.length === 0 ? known : [...known, ...fresh].sort(compareHeaderNames)
}

/** Django's order; names that it takes for one (`x-a`, `x_a`) by themselves. */
function compareHeaderNames(a: string, b: string): number {
  return compare(djangoHeaderName(a), djangoHeaderName(b)) || compare(a, b)
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
