import type { CacheCore } from '../backend/core.js'
import type { TagPosition } from '../errors.js'
import { Flight } from '../making/flight.js'
import { Flights } from '../making/flights.js'
import type { Frame } from '../making/frame.js'
import { chain, type MaybePromise } from '../maybe-promise.js'
import type { SeenVersions } from '../tags.js'
import type { Deadline } from '../timeout.js'
import { canShow, show, type Content, type HoleRenderer } from './holes.js'

/** What a flight brings those who waited for it. */
export interface Landed {
  readonly content: Content
  readonly tags: SeenVersions | undefined
  /** Found, not made. */
  readonly hit: boolean
  /** Until when it lives, if that is known. */
  readonly expiresAtMs?: Deadline | undefined
  /** Past its time. */
  readonly isOld?: boolean
}

/** What a flight brings that is nothing to others: each has to render for itself, and none is waited for. */
export const APART = Symbol('apart')

/** The flight of a fragment. */
export class FragmentFlight extends Flight<Landed | typeof APART> {
  #unfinished: Content = ''

  /** @param unfinished - What the body had put out before it threw. */
  override fail(error: unknown, unfinished: Content = ''): void {
    this.#unfinished = unfinished
    super.fail(error)
  }

  /** After it failed: what the body had put out by then, for who renders in place; without holes. */
  get unfinished(): string {
    const left = this.#unfinished
    if (typeof left === 'string') return left
    return left.filter((part) => typeof part === 'string').join('')
  }

  /**
   * The same with the holes of whoever waited for it.
   *
   * @throws What a hole throws.
   */
  unfinishedHoles(
    parent: Frame | undefined,
    holes: HoleRenderer | undefined,
    position: TagPosition,
  ): MaybePromise<string> {
    const left = this.#unfinished
    if (typeof left === 'string' || !canShow(left, parent, holes, position)) return this.unfinished
    return chain(show(left, parent, holes, position), (shown) => shown?.text ?? this.unfinished)
  }
}

const flightsOf = new WeakMap<CacheCore, Flights<Landed | typeof APART>>()

/** The flights over a cache, shared by everyone who renders with it. */
export function flightsOver(cache: CacheCore): Flights<Landed | typeof APART> {
  const known = flightsOf.get(cache)
  if (known !== undefined) return known
  const flights = new Flights<Landed | typeof APART>()
  flightsOf.set(cache, flights)
  cache.removalListeners.push((storedKey) => flights.forget(storedKey))
  return flights
}
