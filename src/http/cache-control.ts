import { headerLines, isToken, trimWhitespace, type HeaderValue } from './header-values.js'
import { isTooLong, MAX_MEMBERS, splitQuotedList } from './lists.js'

/** One directive of a `Cache-Control` header. */
export interface Directive {
  /** In lower case. */
  readonly name: string
  /** As written, quotes included; `undefined` without `=`. */
  readonly value: string | undefined
}

/** A `Cache-Control` header, as far as it could be read. */
export interface CacheControl {
  readonly directives: readonly Directive[]
  /** Something does not follow the grammar, so that a directive may hide in it. */
  readonly malformed: boolean
}

/** Directives that keep a response out of a shared cache. */
export type Restriction = 'no-store' | 'private' | 'no-cache'

/** Larger numbers of seconds count as this one. @see RFC 9111 §1.2.2 */
const MAX_DELTA_SECONDS = 2 ** 31

/** The result for a header that is too long to be read: it may contain any directive. */
const UNREAD: CacheControl = Object.freeze({
  directives: Object.freeze([Object.freeze({ name: 'no-store', value: undefined })]),
  malformed: true,
})

/**
 * Reads a `Cache-Control` header; never throws.
 *
 * @param value - As `node:http` keeps it; several lines count as one list, but an open quote ends
 *   with its line, so that it cannot swallow the next.
 * @returns For one of more than 8192 characters or 100 directives a malformed `no-store` alone,
 *   whatever it says.
 * @see RFC 9111 §5.2
 */
export function parseCacheControl(value: HeaderValue | undefined): CacheControl {
  if (isTooLong(value)) return UNREAD
  const lists = headerLines(value).map((line) => splitQuotedList(line, MAX_MEMBERS))
  const directives = lists.flatMap(({ members }) => members.map(parseDirective))
  if (directives.length > MAX_MEMBERS) return UNREAD
  const malformed = lists.some(({ openQuote }) => openQuote) || !directives.every(isWellFormed)
  return { directives, malformed }
}

function parseDirective(member: string): Directive {
  const equals = member.indexOf('=')
  if (equals === -1) return { name: member.toLowerCase(), value: undefined }
  return {
    name: trimWhitespace(member.slice(0, equals)).toLowerCase(),
    value: trimWhitespace(member.slice(equals + 1)),
  }
}

const QUOTED_STRING = /^"(?:[^"\\]|\\.)*"$/s

function isWellFormed({ name, value }: Directive): boolean {
  if (!isToken(name)) return false
  return value === undefined || isToken(value) || QUOTED_STRING.test(value)
}

const RESTRICTIONS = new Map<string, Restriction>([
  ['no-store', 'no-store'],
  ['nostore', 'no-store'],
  ['private', 'private'],
  ['no-cache', 'no-cache'],
  ['nocache', 'no-cache'],
])

const NOTHING_LIFTED: readonly Restriction[] = Object.freeze([])

/**
 * Whether the response may not be kept for others, and why.
 *
 * @remarks Fails closed. A qualified form (`private="set-cookie"`) counts as the plain one, `_` as
 *   `-`; quotes hide nothing, since it cannot be told which open quote they close; and where the
 *   header does not follow the grammar, the mere appearance of one of the words is enough.
 * @param lifted - These do not count, as far as the header follows the grammar.
 * @see RFC 9111 §5.2.2.4, §5.2.2.5, §5.2.2.7
 */
export function storingRestriction(
  value: HeaderValue | undefined,
  { directives, malformed }: CacheControl = parseCacheControl(value),
  lifted: readonly Restriction[] = NOTHING_LIFTED,
): Restriction | undefined {
  for (const { name } of directives) {
    const restriction = RESTRICTIONS.get(name.replaceAll('_', '-'))
    if (restriction !== undefined && !lifted.includes(restriction)) return restriction
  }
  // By RFC 9111 words in quotes are no directives.
  if (lifted.length > 0 && !malformed) return undefined
  for (const line of headerLines(value)) {
    if (!malformed && !line.includes('"')) continue
    const found = findRestriction(line, malformed)
    if (found !== undefined) return found
  }
  return undefined
}

const RESTRICTING = /private|no[-_ \t]?store|no[-_ \t]?cache/i

function findRestriction(line: string, anywhere: boolean): Restriction | undefined {
  if (anywhere) {
    const word = RESTRICTING.exec(line)?.[0]
    return word === undefined ? undefined : restrictionOf(word)
  }
  // The first member is read as such, whatever its quotes.
  for (const part of line.split(',').slice(1)) {
    const [word = ''] = part.replaceAll('"', '').split('=', 1)
    const restriction = restrictionOf(word.trim())
    if (restriction !== undefined) return restriction
  }
  return undefined
}

function restrictionOf(word: string): Restriction | undefined {
  return RESTRICTIONS.get(word.toLowerCase().replace(/[_ \t]/, '-'))
}

/**
 * A directive's seconds.
 *
 * @returns `undefined` if it is not there, `null` if it cannot be read; of several the shortest.
 * @remarks Digits only, quotes accepted: neither a sign nor a fraction. @see RFC 9111 §1.2.2
 */
export function readSeconds({ directives }: CacheControl, name: string): number | null | undefined {
  let seconds: number | undefined
  for (const directive of directives) {
    if (directive.name !== name) continue
    const one = parseDeltaSeconds(directive.value)
    if (one === null) return null
    seconds = seconds === undefined ? one : Math.min(seconds, one)
  }
  return seconds
}

/** @returns `null` if the text is no number of seconds. */
export function parseDeltaSeconds(text: string | undefined): number | null {
  const digits = /^(?:([0-9]+)|"([0-9]+)")$/.exec(text ?? '')
  if (digits === null) return null
  return Math.min(Number(digits[1] ?? digits[2]), MAX_DELTA_SECONDS)
}

export function hasDirective({ directives }: CacheControl, name: string): boolean {
  return directives.some((directive) => directive.name === name)
}

/** A directive with at most so many seconds; one that cannot be read stays. */
function limited(name: string, argument: string | undefined, seconds: number): string {
  const present = parseDeltaSeconds(argument)
  if (present !== null) return `${name}=${Math.min(present, seconds)}`
  return argument === undefined ? name : `${name}=${argument}`
}

/**
 * The header with a `max-age`, and an `s-maxage` if it has one, of at most so many seconds.
 *
 * @returns A shorter `max-age` stays, and so does one that cannot be read, which every cache takes
 *   for stale.
 * @see Django, `patch_cache_control`
 */
export function limitMaxAge(value: HeaderValue | undefined, seconds: number): string {
  const parsed = parseCacheControl(value)
  const present = readSeconds(parsed, 'max-age')
  // Behind an open quote it would be part of the quoted text.
  if (parsed.malformed) {
    const written = headerLines(value).join(', ')
    return present === undefined ? `max-age=${seconds}, ${written}` : written
  }
  const members: string[] = []
  let placed = false
  for (const { name, value: argument } of parsed.directives) {
    if (name === 's-maxage') {
      members.push(limited(name, argument, seconds))
    } else if (name !== 'max-age') {
      members.push(argument === undefined ? name : `${name}=${argument}`)
    } else if (present === null) {
      members.push(argument === undefined ? name : `${name}=${argument}`)
      placed = true
    } else if (!placed) {
      members.push(`max-age=${Math.min(present ?? seconds, seconds)}`)
      placed = true
    }
  }
  if (!placed) members.push(`max-age=${seconds}`)
  return members.join(', ')
}
