import type { Fragment } from '../../../src/fragment/spec.js'
import type { FragmentOutcome } from '../../../src/observe/channels.js'
import type { MissCause } from '../../../src/observe/miss-cause.js'
import type { FragmentReason } from '../../../src/observe/reasons.js'

/** A fragment as it was put out, with those in it. */
export interface PutOut {
  readonly fragment: Fragment
  /** What was put out; other texts may have been put into it since. */
  readonly text: string
  readonly inner: readonly PutOut[]
  /** Of the text: when it was made, if that was here. Milliseconds since the epoch. */
  readonly madeAtMs: number | undefined
  /** How long its body took when it was made, if that was here. */
  readonly bodyMs: number | undefined
  /** Why it is not stored, or is stale. */
  readonly reason?: FragmentReason | undefined
  /** Why there was no fresh one, if it was looked up. */
  readonly cause?: MissCause | undefined
  /** Its tags as they are stored, and those of all that is in it. */
  readonly tags: readonly string[]
}

/** A fragment of this request. */
export interface PutOutNow extends PutOut {
  readonly outcome: FragmentOutcome
}
