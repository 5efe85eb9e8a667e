import type { Claim } from '../backend/entries.js'
import { currentMs } from '../current-time.js'
import { chain, type MaybePromise } from '../maybe-promise.js'
import type { TagVersions } from '../tags.js'
import type { Deadline } from '../timeout.js'
import { tagsToStore } from './dependencies.js'
import type { Frame } from './frame.js'

/** Why a result is not stored. */
export type Unkept =
  /** The store failed, or was not asked. */
  | 'not-begun'
  /** One of its dependencies was, or may have been, invalidated meanwhile. */
  | 'invalidated'
  /** It contains output that only one user may see. */
  | 'personal'
  /** A stale entry was served inside. */
  | 'stale-inside'
  /** Its timeout is zero or less. */
  | 'no-time'
  /** An entry inside, which it must not outlive, has expired by now. */
  | 'ended-inside'

/** Whether a result may be stored. */
export type Fitness =
  | {
      readonly isKept: true
      readonly tags: TagVersions
      readonly freshUntilMs: Deadline
    }
  | {
      readonly isKept: false
      readonly reason: Unkept
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
  if (versions === undefined) return { isKept: false, reason: 'not-begun' }
  const { dependencies, parent } = frame
  return chain(tagsToStore(dependencies, versions, parent), (tags): Fitness => {
    // Without all versions an invalidation could not reach it.
    if (tags === undefined || dependencies.isOutdatedBy(tags.keys())) {
      return { isKept: false, reason: 'invalidated' }
    }
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
): Unkept | undefined {
  if (frame.isUnfit) return 'personal'
  if (frame.holdsOld) return 'stale-inside'
  if (deadline !== null && deadline <= 0) return 'no-time'
  if (freshUntilMs !== null && freshUntilMs <= currentMs()) return 'ended-inside'
  return claim === undefined ? 'not-begun' : undefined
}

function limited({ isLimited, bubbledExpiresAtMs }: Frame, deadline: Deadline): Deadline {
  if (!isLimited || bubbledExpiresAtMs === Infinity) return deadline
  return Math.min(deadline ?? Infinity, bubbledExpiresAtMs)
}
