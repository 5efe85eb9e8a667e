import type { Hit } from '../backend/entries.js'
import { rememberedOf } from '../caches.js'
import type { Start } from '../making/order.js'
import { fragmentChannel, type FragmentMessage, type FragmentOutcome } from '../observe/channels.js'
import { STORE_FAILED, type MissCause } from '../observe/miss-cause.js'
import type { FragmentReason } from '../observe/reasons.js'
import type { Lost } from '../observe/remembered.js'
import type { Tally } from '../observe/tally.js'
import { endNow, UNTIMED } from '../observe/told.js'
import type { Served } from '../staleness.js'
import { observer } from './shown.js'
import { cachesOf, subjectOf, type Fragment } from './spec.js'

export function tellOfFailure(
  { cache, variant }: Fragment,
  startedMs: number,
  error: unknown,
): void {
  cache.calls.lookupFailed('get', variant.key, startedMs, error)
}

/** Whether anybody hears about each fragment, apart from hits that are answered at once. */
export function isTold({ listeners }: Tally): boolean {
  return fragmentChannel.hasSubscribers || !listeners.isEmpty
}

/** When a look-up begins, where anybody asks how long it takes; else {@link UNTIMED}. */
export function lookupStartedMs({ tally }: Fragment): number {
  return isTold(tally) || tally.sampler.isTimed() ? performance.now() : UNTIMED
}

/**
 * Every fragment that is not a hit is reported: its time counts from now on if it was not taken before.
 */
export function toldFrom({ tally }: Fragment, startedMs: number): number {
  return startedMs === UNTIMED && isTold(tally) ? performance.now() : startedMs
}

/** What the rendering of a fragment begins with. */
export interface FragmentStart {
  /** Left out: nothing is stored. */
  readonly start?: Start | undefined
  /** Why it is not going to be stored, whatever comes of it. */
  readonly refusal?: FragmentReason | undefined
  /**
   * What the look-up found in its place. `fresh`: an entry that is rendered again before its time ends. `failed`:
   * nothing, since the store did not answer.
   */
  readonly found?: Lost | 'fresh' | 'failed' | undefined
}

/**
 * Why there is no fresh one of a fragment, if anybody listens or counts.
 *
 * @param found - As {@link FragmentStart.found}.
 */
export function causeOf(fragment: Fragment, found: FragmentStart['found']): MissCause | undefined {
  const { cache, variant, bypass, tally } = fragment
  const isWanted = observer !== undefined || tally.countsCauses || isTold(tally)
  if (bypass || !isWanted) return undefined
  if (found === 'failed') return STORE_FAILED
  if (found === 'fresh') return undefined
  const caches = cachesOf(fragment)
  const siblings = caches === undefined ? [] : rememberedOf(caches)
  return cache.remembered.causeOf(subjectOf(fragment), variant.storedKey, found, true, siblings)
}

/** Counts what became of a fragment, and tells of it. */
export function publish(
  fragment: Fragment,
  outcome: FragmentOutcome,
  startedMs: number,
  bodyMs: number,
  cause?: MissCause,
  reason?: FragmentReason,
): void {
  const { tally, site } = fragment
  tally.count(outcome, reason)
  tally.missed(cause)
  if (outcome === 'hit') {
    if (startedMs === UNTIMED) return
    const durationMs = endNow(startedMs)
    tally.timed(durationMs)
    tellOfHit(fragment, durationMs)
    return
  }
  if (tally.countsCauses) tally.seenAt(site)
  if (isTold(tally)) {
    const durationMs = endNow(startedMs)
    tell(fragment, messageOf(fragment, outcome, bodyMs, durationMs, cause, reason), 1)
  }
}

/** What became of a fragment that was not rendered. */
export interface ServedAs {
  readonly outcome: FragmentOutcome
  readonly reason?: FragmentReason
  readonly cause?: MissCause | undefined
}

export const HIT: ServedAs = { outcome: 'hit' }
export const JOINED: ServedAs = { outcome: 'joined' }

/** What listeners hear about an entry that is served. @param served - `undefined`: it is fresh. */
export function toldOf(fragment: Fragment, served: Served | undefined): ServedAs {
  if (served === undefined) return HIT
  const { staleSinceMs: expiredAtMs, afterError } = served
  const reason = afterError ? 'body-failed' : 'stale-while-revalidate'
  return { outcome: 'stale', reason, cause: causeOf(fragment, { expiredAtMs }) }
}

/** Of an entry as it was found. */
export function toldOfHit(fragment: Fragment, { staleSinceMs }: Hit): ServedAs {
  const isFresh = staleSinceMs === undefined
  return toldOf(fragment, isFresh ? undefined : { staleSinceMs, afterError: false })
}

/** Counts a fragment that was not rendered, and tells of it. */
export function publishServed(
  fragment: Fragment,
  { outcome, reason, cause }: ServedAs,
  startedMs: number,
): void {
  publish(fragment, outcome, startedMs, 0, cause, reason)
}

/** Tells of a hit that was timed, for those that came since the last one was. */
export function tellOfHit(fragment: Fragment, durationMs: number): void {
  const { tally, site } = fragment
  if (tally.countsCauses) tally.seenAt(site)
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
  cause?: MissCause,
  reason?: FragmentReason,
): FragmentMessage {
  const { fragment: name, template } = site
  const { key } = variant
  return {
    name,
    key,
    alias,
    outcome,
    bodyMs,
    durationMs,
    ...(template !== undefined && { template }),
    ...(reason !== undefined && { reason }),
    ...(cause !== undefined && { cause }),
  }
}
