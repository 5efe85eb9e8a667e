import { nearlyNamed } from '../did-you-mean.js'
import { MisuseError, show } from '../errors.js'
import { headerLines, isToken, trimWhitespace, type HeaderValue } from './header-values.js'
import { listMembers, splitQuotedList } from './lists.js'

/** The value of a directive. */
export type DirectiveValue = boolean | number | string

/**
 * Directives of a response's `Cache-Control`, in camel case: `maxAge` stands for `max-age`. `true` writes the
 * bare directive. Directives that are not listed here are written too (`{ myExtension: 'a' }`).
 *
 * @remarks `false` does not omit a directive: as in Django, `name=False` is written. To omit a directive,
 *   omit its name or pass `undefined`.
 */
export interface CacheControlDirectives {
  /** Replaces `private`. */
  readonly public?: boolean | undefined
  /** Replaces `public`. A text names the headers that are private. */
  readonly private?: boolean | string | undefined
  /** A text names the headers that must not be reused; `true` takes precedence. */
  readonly noCache?: boolean | string | undefined
  readonly noStore?: boolean | undefined
  readonly noTransform?: boolean | undefined
  readonly mustRevalidate?: boolean | undefined
  readonly proxyRevalidate?: boolean | undefined
  readonly mustUnderstand?: boolean | undefined
  readonly immutable?: boolean | undefined
  /** Seconds. The smaller of this value and the response's present one is written. */
  readonly maxAge?: number | undefined
  /** Seconds, for shared caches. `sMaxAge` works too. */
  readonly sMaxage?: number | undefined
  readonly sMaxAge?: number | undefined
  /** Seconds. */
  readonly staleWhileRevalidate?: number | undefined
  /** Seconds. */
  readonly staleIfError?: number | undefined
  readonly [extension: string]: DirectiveValue | undefined
}

/** A directive to write, checked. */
export interface NewDirective {
  readonly name: string
  readonly value: DirectiveValue
}

const KNOWN = [
  'public',
  'private',
  'no-cache',
  'no-store',
  'no-transform',
  'must-revalidate',
  'proxy-revalidate',
  'must-understand',
  'immutable',
  'max-age',
  's-maxage',
  'stale-while-revalidate',
  'stale-if-error',
]
/**
 * Checks what is to be written, in the order given; Django's spelling (`max_age`) and the header's
 * own (`max-age`) are understood too.
 *
 * @param caller - Whose arguments these are, for the message.
 * @throws TypeError: no directive has such a name, or it cannot have such a value.
 */
export function readDirectives(caller: string, directives: unknown): readonly NewDirective[] {
  if (typeof directives !== 'object' || directives === null || Array.isArray(directives)) {
    throw new MisuseError(
      `${caller}: ${show(directives)} is not a set of directives; give an object such as { private: true, maxAge: 3600 }`,
    )
  }
  const read: NewDirective[] = []
  for (const [option, value] of Object.entries(directives)) {
    if (value === undefined) continue
    read.push({ name: nameOf(caller, option), value: checkValue(caller, option, value) })
  }
  return read
}

function nameOf(caller: string, option: string): string {
  const name = toDirectiveName(option)
  if (!isToken(name)) {
    throw new MisuseError(
      `${caller}: ${show(option)} is not a directive name; use letters, digits and hyphens`,
    )
  }
  // Nobody would obey a misspelt one.
  const meant = KNOWN.includes(name.toLowerCase()) ? undefined : nearlyNamed(name, KNOWN)
  if (meant !== undefined) {
    throw new MisuseError(
      `${caller}: ${option}: there is no directive ${show(name)}; write ${toOption(meant)}`,
    )
  }
  return name
}

function toDirectiveName(option: string): string {
  const hyphened = option.replaceAll('_', '-')
  // A name in capitals is written as it is, as Django does.
  const name = /^[a-z]/.test(hyphened)
    ? hyphened.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
    : hyphened
  return name === 's-max-age' ? 's-maxage' : name
}

function toOption(name: string): string {
  return name.replace(/-[a-z]/g, (part) => part.charAt(1).toUpperCase())
}

/** What would end a header, hide in it, or is no Latin-1. */
const NOT_IN_HEADERS = /[^\t\x20-\x7e\x80-\xff]/

function checkValue(caller: string, option: string, value: unknown): DirectiveValue {
  if (typeof value === 'boolean') return value
  if (typeof value === 'number' && Number.isFinite(value)) return value
  if (typeof value === 'string' && !NOT_IN_HEADERS.test(value)) return value
  throw new MisuseError(
    `${caller}: ${option}: ${show(value)} cannot be written into a header; give true, a finite number, or one line of Latin-1 text`,
  )
}

/** What a directive is followed by; of `no-cache` every value that occurs. */
interface Present {
  readonly name: string
  readonly values: DirectiveValue[]
}

/**
 * A `Cache-Control` with further directives, written as Django writes it.
 *
 * @param value - The present header, as `node:http` keeps it.
 * @param caller - Whose arguments these are, for the message.
 * @returns Present directives keep their place and new ones follow. `public` and `private` take the
 *   place of each other; of two values of `max-age` the smaller stays.
 * @throws TypeError: `max-age` is given as text where the header has one already.
 * @remarks A present `max-age` that cannot be read is zero, as every cache must take it (Django
 *   throws). A quoted string is one value whatever is in it, and where its end is missing, the
 *   directive comes last, so that it hides no other.
 * @see Django, `patch_cache_control`
 */
export function patchedCacheControl(
  value: HeaderValue | undefined,
  directives: readonly NewDirective[],
  caller = 'patchCacheControl',
): string {
  const present = readPresent(value)
  const names = new Set(directives.map(({ name }) => name.toLowerCase()))
  // Only one of the two, as in Django.
  if (present.has('private') && names.has('public')) present.delete('private')
  else if (present.has('public') && names.has('private')) present.delete('public')
  const presentMaxAge = present.get('max-age')?.values[0]
  for (const { name, value } of directives) {
    const key = name.toLowerCase()
    const earlier = key === 'no-cache' ? (present.get(key)?.values ?? []) : []
    const written =
      key === 'max-age' && presentMaxAge !== undefined
        ? smaller(presentMaxAge, value, caller)
        : value
    present.set(key, { name, values: [...earlier, written] })
  }
  return write(present)
}

function readPresent(value: HeaderValue | undefined): Map<string, Present> {
  const present = new Map<string, Present>()
  for (const member of headerLines(value).flatMap(splitMembers)) {
    const equals = member.indexOf('=')
    const name = trimWhitespace(equals === -1 ? member : member.slice(0, equals)).toLowerCase()
    const argument = equals === -1 ? true : trimWhitespace(member.slice(equals + 1))
    const earlier = name === 'no-cache' ? present.get(name) : undefined
    if (earlier === undefined) present.set(name, { name, values: [argument] })
    else earlier.values.push(argument)
  }
  return present
}

/** Splits at commas outside quoted strings; inside them, one space follows each, as Django writes. */
function splitMembers(line: string): readonly string[] {
  const { members, openQuote } = splitQuotedList(line)
  if (openQuote) return listMembers(line)
  return members.map((member) => member.split(',').map(trimWhitespace).join(', '))
}

/** Whole seconds as Python reads them. */
const INTEGER = /^\s*[+-]?\d+(?:_\d+)*\s*$/

/** @returns `undefined` if it is no whole number. A bare directive counts as 1, as in Django. */
export function readDirectiveInteger(value: DirectiveValue): number | undefined {
  if (typeof value !== 'string') return Number(value)
  return INTEGER.test(value) ? Number(value.replaceAll('_', '')) : undefined
}

function smaller(present: DirectiveValue, asked: DirectiveValue, caller: string): DirectiveValue {
  if (typeof asked === 'string') {
    throw new MisuseError(
      `${caller}: maxAge: ${show(asked)} cannot be compared with the max-age the response has; give a number`,
    )
  }
  const unquoted = typeof present === 'string' ? present.replace(/^"(.*)"$/, '$1') : present
  const seconds = readDirectiveInteger(unquoted) ?? 0
  return Number(asked) < seconds ? asked : seconds
}

function write(directives: ReadonlyMap<string, Present>): string {
  const members: string[] = []
  const unclosed: string[] = []
  for (const { name, values } of directives.values()) {
    const kept = name === 'no-cache' && values.includes(true) ? [true] : new Set(values)
    for (const value of kept) {
      const member = value === true ? name : `${name}=${pythonText(value)}`
      ;(splitQuotedList(member).openQuote ? unclosed : members).push(member)
    }
  }
  return [...members, ...unclosed].join(', ')
}

function pythonText(value: DirectiveValue): string {
  return value === false ? 'False' : String(value)
}
