import { newTagVersion, type TagVersions } from './tags.js'

/**
 * The age limits of an entry, stored with its tag versions. Only entries that may be served past their time,
 * or produced again before it ends, have one. All others end at their deadline.
 */
export interface Stamp {
  /** Milliseconds since the epoch; from then on the entry is stale. `Infinity`: never. */
  readonly freshUntilMs: number
  /** Milliseconds for which it is kept after that. */
  readonly graceMs: number
  /** Milliseconds it took to produce; 0 if unknown. */
  readonly costMs: number
  /** It was made stale, whatever a clock that is behind indicates. */
  readonly isExpired?: boolean | undefined
}

/** Where it lies among the tag versions. No tag's stored form is like it: they begin with a letter. */
const STAMP = '='

/** What is stored beside a value: the versions of its tags, and its stamp. */
export function withStamp(
  versions: TagVersions | undefined,
  stamp: Stamp | undefined,
): TagVersions | undefined {
  if (stamp === undefined)
    return versions === undefined || versions.size === 0 ? undefined : versions
  const { freshUntilMs, graceMs, costMs, isExpired } = stamp
  const end = isExpired === true ? ` ${EXPIRED}` : ''
  return new Map(versions).set(STAMP, `${freshUntilMs} ${graceMs} ${costMs}${end}`)
}

const EXPIRED = 'expired'

/** What {@link withStamp} put together, apart again. */
export interface Labels {
  readonly tags: TagVersions | undefined
  readonly stamp: Stamp | undefined
}

/** What makes an entry a claim: it says that something is about to be made, and reads as a miss. */
const CLAIM = '!'

/** Labels of a claim unlike any other. */
export function newClaim(): TagVersions {
  return new Map([[CLAIM, newTagVersion()]])
}

export function isClaim(labels: TagVersions | undefined): boolean {
  return labels?.has(CLAIM) === true
}

/** @throws Error: the stamp is damaged. */
export function splitLabels(labels: TagVersions | undefined): Labels {
  const text = labels?.get(STAMP)
  if (labels === undefined || text === undefined) return { tags: labels, stamp: undefined }
  const tags = new Map(labels)
  tags.delete(STAMP)
  return { tags: tags.size === 0 ? undefined : tags, stamp: readStamp(text) }
}

function readStamp(text: string): Stamp {
  const words = text.split(' ')
  const isExpired = words[3] === EXPIRED
  if (isExpired) words.pop()
  const [freshUntilMs = NaN, graceMs = NaN, costMs = NaN, ...rest] = words.map(Number)
  if (Number.isNaN(freshUntilMs + graceMs + costMs) || rest.length > 0) {
    throw new Error('payload: damaged stamp')
  }
  return isExpired
    ? { freshUntilMs, graceMs, costMs, isExpired }
    : { freshUntilMs, graceMs, costMs }
}
