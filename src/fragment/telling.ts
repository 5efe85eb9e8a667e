import type { CacheCore } from '../backend/core.js'
import { rememberedOf } from '../caches.js'
import type { Old } from '../making/making.js'
import type { Start } from '../making/order.js'
import { fragmentChannel, type FragmentMessage, type FragmentOutcome } from '../observe/channels.js'
import { UNTIMED } from '../backend/calls.js'
import { STORE_FAILED, type MissCause } from '../observe/miss-cause.js'
import type { Tally } from '../observe/tally.js'
import { observer } from './shown.js'
import { cachesOf, subjectOf, type Fragment } from './spec.js'

export function tellOfFailure(
  { cache, variant }: Fragment,
  startedMs: number,
  error: unknown,
): void {
  const failedMs = startedMs === UNTIMED ? 0 : performance.now() - startedMs
  cache.calls.lookupFailed('get', variant.key, failedMs, error)
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

/**
 * Why a fragment is rendered, if anybody listens or counts.
 *
 * @param start - `undefined`: nothing was looked up, or nothing can be stored.
 * @param old - The entry found past its time.
 */
export function causeOf(
  fragment: Fragment,
  start: Start | undefined,
  old: Old<unknown> | undefined,
): MissCause | undefined {
  const { cache, variant, bypass, tally } = fragment
  const isWanted = observer !== undefined || tally.countsCauses || isTold(tally)
  if (bypass || !isWanted) return undefined
  if (start === undefined) return isFailing(cache) ? STORE_FAILED : undefined
  const expiredAtMs = old?.hit.staleSinceMs
  // It is rendered again before its time ends.
  if (old !== undefined && expiredAtMs === undefined) return undefined
  const lost = start.lost ?? (expiredAtMs === undefined ? undefined : { expiredAtMs })
  const caches = cachesOf(fragment)
  const siblings = caches === undefined ? [] : rememberedOf(caches)
  return cache.remembered.causeOf(subjectOf(fragment), variant.storedKey, lost, true, siblings)
}

/** Whether the cache, or one that it stands on, does not answer. */
function isFailing(cache: CacheCore): boolean {
  return cache.guard.isFailing || cache.standsOn.some(isFailing)
}

/** Counts what became of a fragment, and tells of it. */
export function publish(
  fragment: Fragment,
  outcome: FragmentOutcome,
  startedMs: number,
  bodyMs: number,
  cause?: MissCause,
): void {
  const { tally } = fragment
  const durationMs = startedMs === UNTIMED ? 0 : performance.now() - startedMs
  tally.count(outcome)
  tally.missed(cause)
  if (outcome === 'hit') {
    if (startedMs === UNTIMED) return
    tally.timed(durationMs)
    tellOfHit(fragment, durationMs)
  } else if (isTold(tally))
    tell(fragment, messageOf(fragment, outcome, bodyMs, durationMs, cause), 1)
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
  cause?: MissCause,
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
    ...(cause !== undefined && { cause }),
  }
}
