import { checkEachOption, checkOption, isBoolean, isText, must } from './option-checks.js'

/** Options of `invalidate`. */
export interface InvalidateOptions {
  /**
   * The headers of one variant, to drop that variant alone. Headers that you omit are absent. Default: every
   * variant.
   */
  readonly vary?: Readonly<Record<string, string>> | undefined
  /** With `vary`: the language that is part of the key. */
  readonly language?: string | undefined
  /** With `vary`: the time zone that is part of the key. */
  readonly timeZone?: string | undefined
  /**
   * Whether the invalidation may be sent later if the cache is down, see `Cache.invalidateTags`. Default
   * `false`.
   */
  readonly later?: boolean | undefined
}

const INVALIDATE_OPTIONS = {
  vary: must(
    (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
    "an object such as { 'Accept-Language': 'de' }",
  ),
  language: isText,
  timeZone: isText,
  later: isBoolean,
}

/**
 * @returns The options, with the names of the headers in lower case.
 * @throws TypeError: an option is unknown or of the wrong kind.
 */
export function checkInvalidateOptions(options: InvalidateOptions): InvalidateOptions {
  checkEachOption('invalidate', options, INVALIDATE_OPTIONS)
  if (options.vary === undefined) return options
  // Without a prototype: a header may be called __proto__.
  const vary = Object.create(null) as Record<string, string>
  for (const [name, value] of Object.entries(options.vary)) {
    checkOption('invalidate: vary', name, value, isText)
    vary[name.toLowerCase()] = value
  }
  return { ...options, vary }
}
