import { fragmentChannel, type FragmentMessage, type FragmentOutcome } from '../observe/channels.js'
import { UNTIMED } from '../backend/calls.js'
import type { Tally } from '../observe/tally.js'
import type { Fragment } from './spec.js'

export function tellOfFailure(
  { cache, variant }: Fragment,
  startedMs: number,
  error: unknown,
): void {
  const failedMs = startedMs === UNTIMED ? 0 : performance.now() - startedMs
  cache.calls.lookupFailed('get', variant.key, failedMs, error)
}

/** Whether anybody is told of each fragment that is no hit which is answered at once. */
export function isTold({ listeners }: Tally): boolean {
  return fragmentChannel.hasSubscribers || !listeners.isEmpty
}

/** When a look-up begins, where anybody asks how long it takes; else {@link UNTIMED}. */
export function lookupStartedMs({ tally }: Fragment): number {
  return isTold(tally) || tally.sampler.isTimed() ? performance.now() : UNTIMED
}

/** Of what is no hit each is told: its time counts from now on if it was not taken before. */
export function toldFrom({ tally }: Fragment, startedMs: number): number {
  return startedMs === UNTIMED && isTold(tally) ? performance.now() : startedMs
}

/** Counts what became of a fragment, and tells of it. */
export function publish(
  fragment: Fragment,
  outcome: FragmentOutcome,
  startedMs: number,
  bodyMs: number,
): void {
  const { tally } = fragment
  const durationMs = startedMs === UNTIMED ? 0 : performance.now() - startedMs
  tally.count(outcome)
  if (outcome === 'hit') {
    if (startedMs === UNTIMED) return
    tally.timed(durationMs)
    tellOfHit(fragment, durationMs)
  } else if (isTold(tally)) tell(fragment, messageOf(fragment, outcome, bodyMs, durationMs), 1)
}

/** Tells of a hit that was timed, for those that came since the last one was. */
export function tellOfHit(fragment: Fragment, durationMs: number): void {
  const { tally } = fragment
  const count = tally.sampler.takeUntold(tally.outcomes.hit)
  if (isTold(tally)) tell(fragment, messageOf(fragment, 'hit', 0, durationMs), count)
}

function tell({ tally }: Fragment, message: FragmentMessage, count: number): void {
  if (fragmentChannel.hasSubscribers) fragmentChannel.publish(message)
  tally.listeners.tell(message, count)
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
