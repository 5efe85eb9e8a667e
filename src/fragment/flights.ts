import type { Cache } from '../cache.js'
import type { Claim } from '../backend.js'
import { InFlight, nextMoment } from '../making/in-flight.js'
import { invalidationsSoFar, wereInvalidatedSince } from '../invalidations.js'
import { flightAround, flightsAround, isUnderLease, type Frame } from '../making/frame.js'
import { addRunsAround, Run } from '../making/single-flight.js'
import type { TagPosition } from '../errors.js'
import type { SeenVersions } from '../tags.js'
import type { Deadline } from '../timeout.js'
import { chain, type MaybePromise } from '../maybe-promise.js'
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

const NONE: readonly string[] = []

/** What a flight brings that is nothing to others: each has to render for itself, and none is waited for. */
export const APART = Symbol('apart')

/** One look-up and, after a miss, one body: whoever wants the same key meanwhile waits for it. */
export class Flight extends InFlight {
  readonly landed: Promise<Landed | typeof APART | undefined>
  /** What its body is rendered in, once it is. */
  frame: Frame | undefined
  /** What its body was begun with. */
  claim: Claim
  /** When its body began, in the order of what happens here. */
  #begunMaking = 0
  /** What there was when it was last looked, for those who asked before that. */
  #looked: { readonly at: number; readonly found: Promise<Landed | undefined> } | undefined
  readonly #tags: readonly string[]
  #unfinished: Content = ''
  #settle!: (landed: Landed | typeof APART | undefined) => void
  #reject!: (error: unknown) => void

  /** @param tags - The stored tags of the fragment itself. */
  constructor(tags: readonly string[]) {
    super()
    this.#tags = tags
    this.landed = new Promise((resolve, reject) => {
      this.#settle = resolve
      this.#reject = reject
    })
    // Mostly nobody waits, and then an error must not count as unhandled.
    this.landed.catch(() => undefined)
  }

  /** Its body is about to be rendered. */
  beginMaking(frame: Frame, claim: Claim): void {
    this.frame = frame
    this.claim = claim
    this.mayWait = false
    this.#begunMaking = nextMoment()
  }

  /** Whether what it brings may have been invalidated before somebody asked. */
  wasMadeBefore(askedAt: number): boolean {
    return this.frame !== undefined && this.#begunMaking < askedAt
  }

  /** What there is by now of what it brought. All who asked before it was last looked share that look. */
  latest(askedAt: number, look: () => Promise<Landed | undefined>): Promise<Landed | undefined> {
    if (this.#looked === undefined || this.#looked.at < askedAt) {
      this.#looked = { at: nextMoment(), found: look() }
    }
    return this.#looked.found
  }

  /** Ends it; `undefined` tells those who wait to look for themselves. */
  land(landed: Landed | typeof APART | undefined): void {
    this.end()
    this.#settle(landed)
  }

  /** @param unfinished - What the body had put out before it threw. */
  fail(error: unknown, unfinished: Content = ''): void {
    this.#unfinished = unfinished
    this.end()
    this.#reject(error)
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

  /** Whether what it depends on was invalidated since it took off: it is too old to join. */
  get isOutdated(): boolean {
    // While it is looked up, nobody knows its tags.
    if (this.frame === undefined) return invalidationsSoFar() !== this.begunAt
    return this.isMadeOfOld || this.waitsForOld
  }

  protected override get isMadeOfOld(): boolean {
    if (this.frame === undefined) return false
    return wereInvalidatedSince(this.#tags, this.begunAt) || this.frame.isOutdatedBy(NONE)
  }

  /** Whether waiting for this flight from inside a frame would wait for that frame itself. */
  dependsOn(frame: Frame | undefined): boolean {
    const waiting = new Set<InFlight>(flightsAround(frame))
    addRunsAround(Run.current, waiting)
    return this.needsAnyOf(waiting)
  }
}

const flightsOf = new WeakMap<Cache, Map<string, Flight>>()

/** The flights over a cache by stored key, shared by everyone who renders with it. */
export function flightsOver(cache: Cache): Map<string, Flight> {
  const known = flightsOf.get(cache)
  if (known !== undefined) return known
  const flights = new Map<string, Flight>()
  flightsOf.set(cache, flights)
  cache.removalListeners.push((storedKey) => {
    for (const key of storedKey === undefined ? [...flights.keys()] : [storedKey]) {
      flights.get(key)?.discard()
      flights.delete(key)
    }
  })
  return flights
}

/** Notes that what a frame is rendered for cannot end before a flight does. */
export function needFrom(frame: Frame | undefined, flight: Flight): void {
  if (isUnderLease(frame)) flight.hurry()
  Run.current?.need(flight)
  flightAround(frame)?.need(flight)
}
