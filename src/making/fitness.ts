import type { Claim } from '../backend/entries.js'
import { chain, type MaybePromise } from '../maybe-promise.js'
import type { TagVersions } from '../tags.js'
import type { Deadline } from '../timeout.js'
import { tagsToStore } from './dependencies.js'
import type { Frame } from './frame.js'

/** Why something that was made is not kept. */
export type Unkept =
  /** The store failed, or was not asked. */
  | 'not-begun'
  /** Something it was made from was invalidated meanwhile, or may have been. */
  | 'invalidated'
  /** It holds what only one user may see. */
  | 'personal'
  /** Something inside is past its time. */
  | 'stale-inside'
  /** Its timeout says so. */
  | 'no-time'
  /** Something inside, which it must not outlive, has ended by now. */
  | 'ended-inside'

/** Whether something that was made may be kept. */
export type Fitness =
  | {
      readonly isKept: true
      readonly tags: TagVersions
      readonly freshUntilMs: Deadline
    }
  | {
      readonly isKept: false
      readonly reason: Unkept
      /** What it depends on, where that is known all the same. */
      readonly tags?: TagVersions
    }

/** What was made, and what it was begun with. */
export interface MadeIn {
  readonly frame: Frame
  /** The versions of its own tags, read before it was made. `undefined`: the store failed. */
  readonly versions: TagVersions | undefined
  /** `undefined`: it was not to be kept from the beginning. */
  readonly claim: Claim
  /** By its own timeout. */
  readonly deadline: Deadline
}

/** Whether something may be kept, with which tags, until when; and if not, why. */
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
  if (freshUntilMs !== null && freshUntilMs <= Date.now()) return 'ended-inside'
  return claim === undefined ? 'not-begun' : undefined
}

function limited({ isLimited, bubbledExpiresAtMs }: Frame, deadline: Deadline): Deadline {
  if (!isLimited || bubbledExpiresAtMs === Infinity) return deadline
  return Math.min(deadline ?? Infinity, bubbledExpiresAtMs)
}
