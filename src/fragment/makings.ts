import type { TagPosition } from '../errors.js'
import type { Flight } from '../making/flight.js'
import type { Frame } from '../making/frame.js'
import type { Landed } from '../making/landed.js'
import { MakingsByCache } from '../making/makings.js'
import type { Order } from '../making/order.js'
import { chain, type MaybePromise } from '../maybe-promise.js'
import { privateField } from '../private-field.js'
import type { Content } from './hole-parts.js'
import type { HoleRenderer } from './hole-parts.js'
import { canShow, showContent } from './holes.js'
import { subjectOf, type Fragment } from './spec.js'

/** The fragments that are being made over each cache. */
export const fragmentMakings = new MakingsByCache<Content>()

export type FragmentFlight = Flight<Landed<Content>>

/** The flight a fragment would join, if any. */
export function flightToJoin(
  { cache, variant, bypass }: Fragment,
  parent: Frame | undefined,
): FragmentFlight | undefined {
  if (bypass) return undefined
  return fragmentMakings.over(cache).flights.toJoin(variant.storedKey, parent)
}

export function orderOf(fragment: Fragment): Order {
  const { cache, variant, tags, ageing } = fragment
  const { key, storedKey } = variant
  const { producerTimeoutMs } = cache.settings
  const subject = subjectOf(fragment)
  return { cache, key, storedKey, tags, ageing, producerTimeoutMs, subject }
}

const unfinished = privateField<FragmentFlight, Content>()

/** Notes what a body had put out before it threw. */
export function leaveUnfinished(flight: FragmentFlight, content: Content): void {
  unfinished.set(flight, content)
}

/**
 * The output of a body up to where it threw, for those who waited and render in place.
 *
 * @throws What a hole throws.
 */
export function unfinishedOf(
  flight: FragmentFlight,
  parent: Frame | undefined,
  holes: HoleRenderer | undefined,
  position: TagPosition,
): MaybePromise<string> {
  const left = unfinished.get(flight) ?? ''
  if (typeof left === 'string') return left
  const withoutHoles = left.filter((part) => typeof part === 'string').join('')
  if (!canShow(left, parent, holes, position)) return withoutHoles
  return chain(showContent(left, parent, holes, position), (shown) => shown?.text ?? withoutHoles)
}
