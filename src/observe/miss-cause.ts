import type { ClockTime } from '../clock.js'

/**
 * The reason for a miss. `not-stored`: it was not stored since this process began, as far as it remembers.
 * `expired`: its timeout had passed. `dropped`: one of its tags, or a fragment inside it, was invalidated.
 * `removed`: it was deleted, or its page or the whole cache was dropped. `evicted`: it should still be there,
 * so the store made room, was restarted, or another process removed it; or the store lost the version of a tag.
 * `unusable`: what is stored has holes that nothing can fill here, or is no fragment. `other-version`: it is stored under another version, or in another
 * cache of the site, which may be the same store with another key prefix. `other-variant`: another variant of the
 * same fragment or URL is stored. `store-failed`: the store did not answer.
 */
export type MissCode =
  | 'not-stored'
  | 'expired'
  | 'dropped'
  | 'removed'
  | 'evicted'
  | 'unusable'
  | 'other-version'
  | 'other-variant'
  | 'store-failed'

/** Why a fragment or a page was not served from the cache, as far as this process can tell. */
export interface MissCause {
  readonly code: MissCode
  /** One sentence for people. */
  readonly text: string
  /** Milliseconds since it ended, for `expired`, `dropped` and `removed`. Absent if unknown. */
  readonly agoMs?: number
  /** The invalidated tag, for `dropped`. */
  readonly tag?: string
  /** The invalidated fragment, for `dropped`. */
  readonly fragment?: string
  /**
   * Where in the code the application removed or invalidated it, such as `src/admin.ts:40`. Never in
   * production.
   */
  readonly from?: string
  /** Who removed or invalidated it by hand, such as `ann, in the inspector`. */
  readonly by?: string
}

/** When and from where something was removed or invalidated. */
export interface Ending {
  /** In which order things were stored and ended: many are in one millisecond. */
  readonly order: number
  /** Milliseconds since the epoch. */
  readonly atMs: number
  readonly from: string | undefined
  readonly by: string | undefined
  /** Of a tag: what the store's clock of invalidations shows since. Left out: it is not known yet. */
  clockTime?: ClockTime | undefined
}

export const NOT_STORED: MissCause = {
  code: 'not-stored',
  text: 'It was not stored since this process started.',
}

/** Where some of what was stored is remembered no more. */
export const NOT_REMEMBERED: MissCause = {
  code: 'not-stored',
  text: 'It was not stored, as far as this process remembers.',
}

/** Where it would not be kept either. */
export const NOT_KEPT: MissCause = {
  code: 'not-stored',
  text: 'Its cache stores nothing.',
}

export const STORE_FAILED: MissCause = {
  code: 'store-failed',
  text: 'The store did not answer.',
}

export const EVICTED: MissCause = {
  code: 'evicted',
  text: 'It should still be there. The store made room or was restarted, or another process removed it.',
}

export const UNUSABLE: MissCause = {
  code: 'unusable',
  text: 'What is stored cannot be shown here: it has holes that nothing can fill, or it is something else.',
}

export const OTHER_VERSION: MissCause = {
  code: 'other-version',
  text: 'It is stored under another version.',
}

export const OTHER_CACHE: MissCause = {
  code: 'other-version',
  text: 'It is stored in another cache of the site: under another alias, key prefix or version.',
}

/** @param difference - What differs, as a clause. */
export function otherVariant(difference: string): MissCause {
  return { code: 'other-variant', text: `Another variant is stored: ${difference}.` }
}

/** @param agoMs - `undefined`: it is not known. */
export function expired(agoMs: number | undefined): MissCause {
  const text = agoMs === undefined ? 'It expired.' : `It expired ${ago(agoMs)}.`
  return { code: 'expired', text, ...(agoMs !== undefined && { agoMs }) }
}

/** @param storedTag - As it is stored: the user's, or that of a fragment. */
export function dropped(storedTag: string, ending: Ending, nowMs: number): MissCause {
  return { ...droppedBy(storedTag, ended(ending, nowMs)), ...detailsOf(ending, nowMs) }
}

/**
 * Of a tag that another process invalidated.
 *
 * @param atMs - By its clock; `undefined`: not known.
 * @param who - What is said of it.
 */
export function droppedElsewhere(
  storedTag: string,
  atMs: number | undefined,
  nowMs: number,
  who = 'by another process',
): MissCause {
  const agoMs = atMs === undefined ? undefined : Math.max(0, nowMs - atMs)
  const when = agoMs === undefined ? [] : [ago(agoMs)]
  const end = [...when, who].filter((part) => part !== '').join(', ')
  return {
    ...droppedBy(storedTag, end === '' ? '' : ` ${end}`),
    ...(agoMs !== undefined && { agoMs }),
  }
}

function droppedBy(storedTag: string, end: string): MissCause {
  const name = storedTag.slice(2)
  return {
    code: 'dropped',
    text: `It depends on ${shownTag(storedTag)}, which was invalidated${end}.`,
    ...(isOfUser(storedTag) ? { tag: name } : { fragment: name }),
  }
}

/** Of a tag whose version the store has lost, so that nobody knows whether it was invalidated. */
export function tagLost(storedTag: string): MissCause {
  const text = `It depends on ${shownTag(storedTag)}, whose version the store has lost.`
  return { code: 'evicted', text }
}

function shownTag(storedTag: string): string {
  return `the ${isOfUser(storedTag) ? 'tag' : 'fragment'} ${JSON.stringify(storedTag.slice(2))}`
}

function isOfUser(storedTag: string): boolean {
  return storedTag.startsWith('t:')
}

export function removed(ending: Ending, nowMs: number): MissCause {
  const text = `It was removed${ended(ending, nowMs)}.`
  return { code: 'removed', text, ...detailsOf(ending, nowMs) }
}

function ended({ atMs, from, by }: Ending, nowMs: number): string {
  const where = from === undefined ? '' : `, from ${from}`
  return ` ${ago(nowMs - atMs)}${by === undefined ? where : `, by ${by}`}`
}

function detailsOf(
  { atMs, from, by }: Ending,
  nowMs: number,
): Pick<MissCause, 'agoMs' | 'from' | 'by'> {
  return {
    agoMs: Math.max(0, nowMs - atMs),
    ...(from !== undefined && { from }),
    ...(by !== undefined && { by }),
  }
}

const UNITS = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1000],
] as const

/** A time for people, as `3 seconds ago`. */
function ago(ms: number): string {
  for (const [unit, unitMs] of UNITS) {
    const count = Math.floor(ms / unitMs)
    if (count > 0) return `${count} ${unit}${count === 1 ? '' : 's'} ago`
  }
  return 'less than a second ago'
}
