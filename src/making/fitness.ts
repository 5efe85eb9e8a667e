import { refusalOf } from '../backend/refusal.js'
import type { Claim } from '../backend/entries.js'
import { currentMs } from '../current-time.js'
import { chain, type MaybePromise } from '../maybe-promise.js'
import type { UnstoredReason } from '../observe/reasons.js'
import type { TagVersions } from '../tags.js'
import type { Deadline } from '../timeout.js'
import { tagsToStore } from './dependencies.js'
import type { Frame } from './frame.js'

/** Whether a result may be stored. */
export type Fitness =
  | {
      readonly isKept: true
      readonly tags: TagVersions
      readonly freshUntilMs: Deadline
    }
  | {
      readonly isKept: false
      readonly reason: UnstoredReason
      /** Its tags, where they are known all the same. */
      readonly tags?: TagVersions
    }

/** A result, and what it was begun with. */
export interface MadeIn {
  readonly frame: Frame
  /** The versions of its own tags, read before it was made. `undefined`: the store failed. */
  readonly versions: TagVersions | undefined
  /** `undefined`: it was not going to be stored from the start. */
  readonly claim: Claim
  /** From its own timeout. */
  readonly deadline: Deadline
}

/** Whether a result may be stored, with which tags and until when; if not, why. */
export function fitnessOf({ frame, versions, claim, deadline }: MadeIn): MaybePromise<Fitness> {
  const { dependencies, parent, cache } = frame
  if (versions === undefined) return { isKept: false, reason: refusalOf(cache) }
  const reading = tagsToStore(dependencies, versions, parent)
  // A copy in local memory was served that had not heard of an invalidation yet. Said at once: the frame around may be
  // done before the versions are read, by which more of that may be found.
  if (dependencies.isTorn) frame.holdOld()
  return chain(reading, (tags): Fitness => {
    if (dependencies.isTorn) frame.holdOld()
    if (typeof tags === 'string') return { isKept: false, reason: tags }
    if (dependencies.isOutdatedBy(tags.keys())) return { isKept: false, reason: 'invalidated' }
    const freshUntilMs = limited(frame, deadline)
    const reason = unkept(frame, claim, deadline, freshUntilMs)
    if (reason !== undefined) return { isKept: false, reason, tags }
    return { isKept: true, tags, freshUntilMs }
  })
}

function unkept(
  frame: Frame,
  claim: Claim,
  deadline: Deadline,
  freshUntilMs: Deadline,
): UnstoredReason | undefined {
  if (frame.unfitFor !== undefined) return frame.unfitFor
  if (frame.holdsOld) return 'stale-inside'
  if (deadline !== null && deadline <= 0) return 'zero-seconds'
  if (freshUntilMs !== null && freshUntilMs <= currentMs()) return 'stale'
  return claim === undefined ? refusalOf(frame.cache) : undefined
}

function limited({ isLimited, bubbledExpiresAtMs }: Frame, deadline: Deadline): Deadline {
  if (!isLimited || bubbledExpiresAtMs === Infinity) return deadline
  return Math.min(deadline ?? Infinity, bubbledExpiresAtMs)
}
