import {
  fragmentChannel,
  isToldOfFragments,
  isToldOfOperations,
  tellFragmentHits,
  tellOfFragment,
  type FragmentMessage,
  type FragmentOutcome,
} from '../observe.js'
import { UNTIMED } from '../backend/calls.js'
import { HITS_OF_SUM } from '../stats/at-once.js'
import type { Fragment } from './spec.js'

export function tellOfFailure(
  { cache, variant }: Fragment,
  startedMs: number,
  error: unknown,
): void {
  if (!isToldOfOperations()) return
  const failedMs = startedMs === UNTIMED ? 0 : performance.now() - startedMs
  cache.calls.tellOfLookup(variant.key, false, failedMs, { error })
}

/** Of what is no hit each is told: its time counts from now on if it was not taken before. */
export function toldFrom(startedMs: number): number {
  return startedMs === UNTIMED && isToldOfFragments() ? performance.now() : startedMs
}

/** Counts what became of a fragment, and tells of it. */
export function publish(
  fragment: Fragment,
  outcome: FragmentOutcome,
  startedMs: number,
  bodyMs: number,
): void {
  const { tally, variant } = fragment
  const durationMs = startedMs === UNTIMED ? 0 : performance.now() - startedMs
  tally.count(outcome)
  if (outcome === 'hit') {
    if (startedMs === UNTIMED) return
    tally.timed(variant.key, durationMs)
    tellOfHit(fragment, durationMs)
  } else if (isToldOfFragments()) {
    // In the order in which they came: what hits saved is told by the bodies that ran before.
    tellFragmentHits(tally)
    tellOfFragment(messageOf(fragment, outcome, bodyMs, durationMs))
  }
}

/** Of those that were answered at once, who adds up is told many at a time. */
export function tellOfHit(fragment: Fragment, durationMs: number): void {
  const { tally, cache } = fragment
  if (fragmentChannel.hasSubscribers || !cache.answersAtOnce) {
    tally.atOnce.told(1)
    tellOfFragment(messageOf(fragment, 'hit', 0, durationMs))
  } else tellFragmentHits(tally, HITS_OF_SUM)
}

function messageOf(
  { site, variant, alias }: Fragment,
  outcome: FragmentOutcome,
  bodyMs: number,
  durationMs: number,
): FragmentMessage {
  const { fragment: name, template } = site
  const { key } = variant
  const message: FragmentMessage = { name, key, alias, outcome, bodyMs, durationMs }
  return template === undefined ? message : { ...message, template }
}
