import { MisuseError, show } from '../errors.js'
import { parseCacheControl } from './cache-control.js'
import { isToken, trimWhitespace, type HeaderValue } from './header-values.js'
import { listMembers } from './lists.js'
import { readDirectiveInteger } from './patch-cache-control.js'

/**
 * Checks names of headers; one text may hold several, split by commas.
 *
 * @param caller - Whose arguments these are, for the message.
 * @throws TypeError: something is no name of a header, or a list that is none.
 */
export function readHeaderNames(caller: string, names: unknown): readonly string[] {
  if (!Array.isArray(names)) {
    throw new MisuseError(
      `${caller}: ${show(names)} is not a list of header names; give one such as ['Accept', 'Cookie']`,
    )
  }
  return names.flatMap((name: unknown) => {
    const members = typeof name === 'string' ? name.split(',').map(trimWhitespace) : []
    if (members.length === 0 || !members.every(isToken)) {
      throw new MisuseError(
        `${caller}: ${show(name)} is not a header name; give one such as 'Accept-Language'`,
      )
    }
    return members
  })
}

/**
 * A `Vary` with further names, written as Django writes it: what is there stays as it is spelled,
 * case does not matter, and `*` outweighs all.
 *
 * @see Django, `patch_vary_headers`
 */
export function patchedVary(value: HeaderValue | undefined, names: readonly string[]): string {
  const present = listMembers(value)
  const known = new Set(present.map((name) => name.toLowerCase()))
  const all = [...present, ...names.filter((name) => !known.has(name.toLowerCase()))]
  return all.includes('*') ? '*' : all.join(', ')
}

/** Whether a `Vary` names a header, in any case. @see Django, `has_vary_header` */
export function varyIncludes(value: HeaderValue | undefined, name: string): boolean {
  const wanted = trimWhitespace(name).toLowerCase()
  return listMembers(value).some((member) => member.toLowerCase() === wanted)
}

/**
 * The `max-age` of a `Cache-Control`.
 *
 * @returns Seconds; `undefined` without one or if it is no whole number; of several the last. A bare
 *   `max-age` is 1.
 * @see Django, `get_max_age`
 */
export function maxAgeOf(value: HeaderValue | undefined): number | undefined {
  const last = parseCacheControl(value).directives.findLast(({ name }) => name === 'max-age')
  return last === undefined ? undefined : readDirectiveInteger(last.value ?? true)
}

/** Django's `CACHE_MIDDLEWARE_SECONDS`, in whose place these are where seconds are left out. */
const DEFAULT_SECONDS = 600

/**
 * Seconds for `Expires` and `max-age`: 600 if left out, never fewer than zero.
 *
 * @throws TypeError: it is no number.
 */
export function readSecondsToKeep(caller: string, seconds: unknown): number {
  if (seconds === undefined || seconds === null) return DEFAULT_SECONDS
  if (typeof seconds !== 'number' || !Number.isFinite(seconds)) {
    throw new MisuseError(
      `${caller}: seconds: ${show(seconds)} is not a number of seconds; give one such as 600, or leave it out`,
    )
  }
  return Math.max(0, seconds)
}
