import { headerLines, isToken, trimWhitespace, type HeaderValue } from './header-values.js'

/** A response's `Vary` header. */
export interface Vary {
  /** It says `*`: no other request may have this response. */
  readonly any: boolean
  /** A member is no header name, so that what the response depends on is unknown. */
  readonly unreadable: boolean
  /** In lower case, as often as written. */
  readonly names: readonly string[]
}

/** Reads a `Vary` header; never throws. @see RFC 9110 §12.5.5 */
export function parseVary(value: HeaderValue | undefined): Vary {
  const names: string[] = []
  let any = false
  let unreadable = false
  for (const line of headerLines(value)) {
    for (const member of line.split(',')) {
      const name = trimWhitespace(member).toLowerCase()
      if (name === '') continue
      if (name === '*') any = true
      else if (isToken(name)) names.push(name)
      else unreadable = true
    }
  }
  return { any, unreadable, names }
}

/** A `Vary` that names what either of two names; the first as it is if it has all. */
export function joinVary(first: HeaderValue, second: HeaderValue): string {
  const { names } = parseVary(first)
  const text = headerLines(first).join(', ')
  const added = headerLines(second)
    .flatMap((line) => line.split(','))
    .map(trimWhitespace)
    .filter((name) => name !== '' && !names.includes(name.toLowerCase()))
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
 * The list once another response taught more names: it only ever grows, so that a response without
 * `Vary` does not make the next variant be served to all.
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
