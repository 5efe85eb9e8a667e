import type { Hit } from '../backend/entries.js'
import type { Frame } from '../making/frame.js'
import type { MissCause } from '../observe/miss-cause.js'
import type { FragmentOutcome } from '../observe/channels.js'
import type { FragmentReason } from '../observe/reasons.js'
import type { Piece } from './hole-parts.js'
import type { Fragment } from './spec.js'

/** A fragment whose text was handed to what is around it. */
export interface ShownFragment {
  readonly fragment: Fragment
  /** The frame around it. */
  readonly parent: Frame | undefined
  /** As it is handed on, before placeholders and holes around it are filled. */
  readonly text: string
  /** The frame it was made in. Left out: it was found, or made by another caller. */
  readonly frame?: Frame
  /** Left out: `ended` tells. */
  readonly outcome?: FragmentOutcome
  /** Why it is stale. */
  readonly reason?: FragmentReason | undefined
  /** Why there was no fresh one. */
  readonly cause?: MissCause | undefined
  /** What was found. */
  readonly hit?: Hit | undefined
}

/** What became of a fragment that was rendered. */
export interface FragmentEnding {
  readonly outcome: FragmentOutcome
  readonly reason: FragmentReason | undefined
  readonly cause: MissCause | undefined
  readonly bodyMs: number
}

/** Somebody who looks at fragments while they are rendered, and changes nothing. Must not throw. */
export interface FragmentObserver {
  shown(fragment: ShownFragment): void
  /** Before or after `shown`, or without it where the text is put out nowhere. */
  ended(fragment: Fragment, frame: Frame, ending: FragmentEnding): void
  /** The holes of a fragment or a page were filled. @param pieces - All of its text. */
  filled(pieces: readonly Piece[]): void
}

/** Mostly there is no observer: then this is all it costs. */
export let observer: FragmentObserver | undefined

/** Sets the one who looks; for the whole process. */
export function observeFragments(by: FragmentObserver): void {
  observer = by
}
