import { currentMs } from './current-time.js'
import { isSameLife, laterOf, type ClockTime } from './clock.js'
import { show } from './errors.js'
import { nodeCrypto } from './node-crypto.js'

/**
 * Tags are version counters, never sets of keys. An entry is stored with the versions its tags had before it
 * was produced. It is live while all of them are still current. A version is never used twice, so an entry
 * whose counter was lost is a miss for ever, and nothing that was invalidated comes back.
 */
export type TagVersions = ReadonlyMap<string, string>

/** Versions as they were read; `undefined` where there was no counter, or it was not read yet. */
export type SeenVersions = ReadonlyMap<string, string | undefined>

export const NO_VERSIONS: TagVersions = new Map()

/** The tag all variants of a fragment carry. Not reachable by a tag of the user's. */
export function fragmentTag(name: string): string {
  return `f:${name}`
}

/**
 * Represents a tag in an entry of another cache. Fragment names are per cache: a fragment of the same name
 * there is another one.
 */
export function foreignTag(tag: string): string {
  return tag.startsWith('f:') ? `x:${tag.slice(2)}` : tag
}

/** Whether a stored tag says that a fragment, of this cache or of another, is in an entry. */
export function isFragmentTag(stored: string): boolean {
  return stored.startsWith('f:') || stored.startsWith('x:')
}

/** A user's tag as it is stored. */
export function userTag(tag: string): string {
  return `t:${tag}`
}

/**
 * Checks tags and turns them into their stored form.
 *
 * @throws TypeError: not a list of texts, or an empty text.
 */
export function checkTags(tags: unknown): readonly string[] {
  if (typeof tags === 'string' || !isIterable(tags)) {
    throw new TypeError(`tags: ${show(tags)} is not a list of tags; give an array of strings`)
  }
  const stored = new Set<string>()
  for (const tag of tags) {
    if (typeof tag !== 'string' || tag === '' || !tag.isWellFormed()) {
      throw new TypeError(
        `tags: ${show(tag)} is not a tag; give a well-formed string of at least one character`,
      )
    }
    stored.add(userTag(tag))
  }
  return [...stored]
}

/** Most tags that may be given for one entry. */
export const MAX_GIVEN_TAGS = 10_000

/** Most tags of one entry, with those it has by itself, as that of a fragment's name. */
export const MAX_TAGS = MAX_GIVEN_TAGS + 8

/**
 * Checks the tags that somebody gives an entry. Each is a counter to ask for whenever it is read.
 *
 * @throws TypeError: as {@link checkTags}, or more than {@link MAX_GIVEN_TAGS}.
 */
export function checkEntryTags(tags: unknown): readonly string[] {
  const stored = checkTags(tags)
  if (stored.length <= MAX_GIVEN_TAGS) return stored
  throw new TypeError(
    `tags: ${stored.length} are too many for one entry, of which each reading asks for all; give at most ${MAX_GIVEN_TAGS}, for example one for a whole table in place of one per row`,
  )
}

function isIterable(value: unknown): value is Iterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.iterator in value
}

/** What the keys of all counters begin with. */
export const TAG_KEY_PREFIX = 'fragcache.tag.'

/** The key of a store's clock. */
export const CLOCK_KEY = 'fragcache.clock'

/** The key of a tag's counter: always short and portable, whatever the tag is. */
export function tagKey(tag: string): string {
  return /^[\x21-\x7e]{1,120}$/.test(tag)
    ? TAG_KEY_PREFIX + tag
    : `${TAG_KEY_PREFIX}md5.${nodeCrypto().createHash('md5').update(tag).digest('hex')}`
}

let writer: string | undefined
let issued = 0

/**
 * A version that no other process, and no earlier run of this one, gives out.
 *
 * @param time - What the store's clock showed; left out where that is not known.
 */
export function newTagVersion(time?: ClockTime): string {
  writer ??= nodeCrypto().randomBytes(WRITER_BYTES).toString('base64url')
  const unique = `${writer}${currentMs().toString(36)}.${(issued++).toString(36)}`
  return time === undefined ? unique : `${TIMED}${time.toString(36)}.${unique}`
}

const WRITER_BYTES = 6
/** In base64url. */
const WRITER_LENGTH = 8

const TIMED = '@'
const BIRTH = '+'

/** The version of a counter that is begun. */
export function newBirthVersion(time: ClockTime | undefined): string {
  return BIRTH + newTagVersion(time)
}

/** Whether a counter was begun and has not been invalidated since, unless softly. */
export function isBirthVersion(version: string): boolean {
  return version.startsWith(BIRTH)
}

/** What the store's clock showed when a tag was last invalidated, softly too; `undefined`: not known. */
export function clockTimeOf(version: string): ClockTime | undefined {
  const latest = version.includes(SOFT) ? (version.split(SOFT).at(-2) ?? '') : version
  const at = latest.startsWith(BIRTH) ? BIRTH.length : 0
  if (!latest.startsWith(TIMED, at)) return undefined
  const time = parseInt(latest.slice(at + TIMED.length), 36)
  return Number.isSafeInteger(time) ? time : undefined
}

/** Whether a tag was not invalidated after the clock showed a time. One that was begun since then was not. */
export function isUnchangedSince(version: string, time: ClockTime | undefined): boolean {
  if (isBirthVersion(version) && !version.includes(SOFT)) return true
  const own = clockTimeOf(version)
  return own !== undefined && time !== undefined && isSameLife(own, time) && own <= time
}

/** What {@link currentUntil} answers for versions of which one was invalidated. */
export const INVALIDATED = -Infinity

const SOFT = '~'

/** Most soft invalidations of a tag that are remembered; what is older than them counts as gone. */
export const MAX_SOFT_HISTORY = 8

/**
 * The version after an invalidation.
 *
 * @param version - The one before. The new time is never before its time, whichever process was faster.
 */
export function hardened(version: string | undefined, time: ClockTime | undefined): string {
  return newTagVersion(timeAfter(version, time))
}

/**
 * The version after a soft invalidation: what was stored with the one before is stale, not gone. It
 * says when each of the last ones was, so that what is old does not get younger by another.
 *
 * @param atMs - When: milliseconds since the epoch.
 * @param isAgain - It takes the place of the last one: what was stored since that one is gone.
 */
export function softened(
  version: string,
  time: ClockTime | undefined,
  atMs: number,
  isAgain = false,
): string {
  const [hard = '', ...all] = version.split(SOFT)
  const own = newTagVersion(timeAfter(version, time))
  const history = isAgain ? all.slice(0, -2) : all
  const at = (isAgain ? all.at(-1) : undefined) ?? String(atMs)
  return [hard, ...[...history, own, at].slice(-2 * MAX_SOFT_HISTORY)].join(SOFT)
}

function timeAfter(
  version: string | undefined,
  time: ClockTime | undefined,
): ClockTime | undefined {
  if (time === undefined || version === undefined) return time
  return laterOf(clockTimeOf(version), time)
}

/** Of a version, what only a hard invalidation changes. */
export function hardPart(version: string): string {
  const end = version.indexOf(SOFT)
  return end < 0 ? version : version.slice(0, end)
}

/**
 * When the first soft invalidation was after a version.
 *
 * @returns {@link INVALIDATED}: it is no longer known.
 */
function softenedAfter(version: string, now: string): number {
  const history = now.split(SOFT).slice(1)
  const last = version.split(SOFT).at(-2)
  if (last === undefined) {
    return history.length < 2 * MAX_SOFT_HISTORY ? Number(history[1]) : INVALIDATED
  }
  const at = history.indexOf(last)
  return at < 0 ? INVALIDATED : Number(history[at + 3])
}

/**
 * Whether a tag was invalidated after a version. Of a counter that was lost, also of one that was begun again since,
 * nobody knows.
 *
 * @param now - The version by now.
 */
export function wasInvalidated(version: string, now: string | undefined): now is string {
  if (now === undefined || now === version) return false
  return !isBirthVersion(now) || hardPart(now) === hardPart(version)
}

/**
 * When a tag was invalidated after a version, by the clock of who did it: milliseconds since the epoch.
 *
 * @param now - The version by now.
 * @returns `undefined`: it is not known.
 */
export function invalidatedAtMs(version: string, now: string): number | undefined {
  const atMs =
    hardPart(now) === hardPart(version) ? softenedAfter(version, now) : madeAtMs(hardPart(now))
  return Number.isFinite(atMs) ? atMs : undefined
}

function madeAtMs(version: string): number {
  const unique = version.startsWith(TIMED) ? version.slice(version.indexOf('.') + 1) : version
  return parseInt(unique.slice(WRITER_LENGTH), 36)
}

/**
 * How long versions that were stored were current.
 *
 * @returns `Infinity`: they are; {@link INVALIDATED}; or, after a soft invalidation, its time in
 *   milliseconds since the epoch.
 */
export function currentUntil(tags: TagVersions | undefined, current: SeenVersions): number {
  let untilMs = Infinity
  if (tags === undefined) return untilMs
  for (const [tag, version] of tags) {
    const now = current.get(tag)
    if (now === version) continue
    if (now === undefined || hardPart(now) !== hardPart(version)) return INVALIDATED
    untilMs = Math.min(untilMs, softenedAfter(version, now))
  }
  return Number.isNaN(untilMs) ? INVALIDATED : untilMs
}
