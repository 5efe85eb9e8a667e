import { defaultKeyFunction, type KeyFunction, type Version } from '../../keys.js'

/** Keys and versions that a key function is tried with. Letters and digits only: nothing to escape. */
const KEYS = ['fragcache0key0one', 'fragcache0key0two'] as const
const VERSIONS = [918273645, 564738291] as const
const OTHER_PREFIX = 'fragcache0prefix'

/** Stand for key and version among the literal parts of a stored key. */
const KEY = '\0key'
const VERSION = '\0version'

const NUMBER = String.raw`-?\d+(?:\.\d+)?(?:e[+-]?\d+)?`

/** What a server's `MATCH` takes for these very characters. */
export function escapeGlob(text: string): string {
  return text.replace(/[*?[\]\\^-]/g, String.raw`\$&`)
}

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, String.raw`\$&`)
}

/** Which stored keys a cache could have written. */
export interface KeySpace {
  /** What `MATCH` takes; it may find too much. */
  readonly pattern: string
  /** Whether a key that was found is this cache's. */
  readonly owns: (storedKey: string) => boolean
}

/**
 * Finds out by trying the key function which stored keys are this cache's.
 *
 * @returns `undefined` if its keys cannot be told from those of another key prefix.
 * @remarks A key of the default key function belongs to a cache whose prefix it begins with and in
 *   which a version follows: a number, this cache's own version, or, unless what follows reads as
 *   the rest of a longer prefix, any text.
 */
export function keySpaceOf(
  keyFunction: KeyFunction,
  keyPrefix: string,
  ownVersion: Version,
): KeySpace | undefined {
  const [key, version] = [KEYS[0], VERSIONS[0]]
  const parts = partsOf(keyFunction(key, keyPrefix, version), key, version)
  const again = partsOf(keyFunction(KEYS[1], keyPrefix, VERSIONS[1]), KEYS[1], VERSIONS[1])
  // A hash of the key, say, leaves no parts that stay.
  if (parts.join('\0') !== again.join('\0') || !parts.includes(KEY)) return undefined
  const pattern = parts.map((part) => (isMark(part) ? '*' : escapeGlob(part))).join('')
  const owns = ownerTest(parts, ownVersion, keyFunction === defaultKeyFunction)
  const elsewhere = keyFunction(key, OTHER_PREFIX, version)
  const isBlindToPrefix = elsewhere === keyFunction(key, keyPrefix, version)
  if (!isBlindToPrefix && owns(elsewhere)) return undefined
  return { pattern, owns }
}

function isMark(part: string): boolean {
  return part === KEY || part === VERSION
}

/** The literal parts of a stored key, with marks for key and version. */
function partsOf(storedKey: string, key: string, version: number): readonly string[] {
  return storedKey
    .split(new RegExp(`(${key}|${version})`))
    .filter((part) => part !== '')
    .map((part) => (part === key ? KEY : part === String(version) ? VERSION : part))
}

function ownerTest(
  parts: readonly string[],
  ownVersion: Version,
  isDefault: boolean,
): (storedKey: string) => boolean {
  const build = (version: string, key: string) =>
    new RegExp(
      `^${parts
        .map((part) => (part === KEY ? key : part === VERSION ? version : escapeRegExp(part)))
        .join('')}$`,
      's',
    )
  const numbered = build(`(?:${NUMBER}|${escapeRegExp(String(ownVersion))})`, '.+')
  // The parts of another function's keys are not known: only what can be nothing else is removed.
  if (!isDefault) return (storedKey) => numbered.test(storedKey)
  const any = build('.*?', '.+')
  const nested = nestedTest(parts)
  return (storedKey) => numbered.test(storedKey) || (any.test(storedKey) && !nested.test(storedKey))
}

/** Whether a key reads as one of a longer prefix, as `shop:eu:1:k` does beside `shop`. */
function nestedTest(parts: readonly string[]): RegExp {
  const place = parts.indexOf(VERSION)
  const before = parts[place - 1]
  const after = parts[place + 1]
  if (place < 1 || before === undefined || isMark(before)) return /$^/
  if (after === undefined || isMark(after)) return /$^/
  const separator = escapeRegExp(before.at(-1) ?? '')
  return new RegExp(`^${escapeRegExp(before)}.+${separator}${NUMBER}${escapeRegExp(after)}.`, 's')
}

/** The text before and after the key; `undefined` if the key function hides it. */
export function surroundings(
  keyFunction: KeyFunction,
  keyPrefix: string,
  version: Version,
): readonly [before: string, after: string] | undefined {
  const found = KEYS.map((key) => keyFunction(key, keyPrefix, version).split(key))
  const [[before, after, ...more] = [], other] = found
  if (before === undefined || after === undefined || more.length > 0) return undefined
  return other?.[0] === before && other[1] === after ? [before, after] : undefined
}
