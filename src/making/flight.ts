import type { Claim } from '../backend/entries.js'
import { invalidationsSoFar, wereInvalidatedSince } from '../invalidations.js'
import { InFlight, nextMoment } from './in-flight.js'
import { flightAround, flightsAround, isUnderLease, type Frame } from './frame.js'
import type { SeenVersions } from '../tags.js'
import type { Start } from './order.js'

const NONE: readonly string[] = []

/** In place of what a flight brings: it could not be made. */
export const FAILED = Symbol('failed')
export type Failed = typeof FAILED

/**
 * One look-up and, after a miss, one making: whoever wants the same key meanwhile waits for it.
 *
 * @typeParam Landed - What it brings those who wait; `undefined` tells them to look for themselves.
 */
export class Flight<Landed> extends InFlight {
  /** Whether nobody is to join it, or nobody any more. */
  isClosed = false
  #making: Begun | undefined
  /** What there was when it was last looked, for those who asked before that. */
  #looked: { readonly at: number; readonly found: Promise<Landed | Failed | undefined> } | undefined
  readonly #tags: readonly string[]
  readonly #landing = new Landing<Landed>()

  /** @param tags - The stored tags of the entry itself. */
  constructor(tags: readonly string[]) {
    super()
    this.#tags = tags
  }

  get landed(): Promise<Landed | undefined> {
    return this.#landing.promise
  }

  /**
   * It was not found, and is about to be made.
   *
   * @param start - `undefined`: the store failed.
   */
  beginMaking(frame: Frame, start: Start | undefined): void {
    this.#making = { frame, start, moment: nextMoment() }
    this.mayWait = false
  }

  /** What it was begun with. */
  get claim(): Claim {
    return this.#making?.start?.claim
  }

  /** What it was begun with, and what has been found inside since. */
  get versions(): SeenVersions {
    return new Map([...(this.#making?.frame.tags ?? []), ...(this.#making?.start?.versions ?? [])])
  }

  /** Whether what it brings may have been invalidated before somebody asked. */
  wasMadeBefore(askedAt: number): boolean {
    return this.#making !== undefined && this.#making.moment < askedAt
  }

  /** What there is by now of what it brought. All who asked before it was last looked share that look. */
  latest(
    askedAt: number,
    look: () => Promise<Landed | Failed | undefined>,
  ): Promise<Landed | Failed | undefined> {
    if (this.#looked === undefined || this.#looked.at < askedAt) {
      this.#looked = { at: nextMoment(), found: look() }
    }
    return this.#looked.found
  }

  /** Ends it; `undefined` tells those who wait to look for themselves. */
  land(landed: Landed | undefined): void {
    this.end()
    this.#landing.resolve(landed)
  }

  fail(error: unknown): void {
    this.end()
    this.#landing.reject(error)
  }

  /** Whether what it depends on was invalidated since it took off: it is too old to join. */
  get isOutdated(): boolean {
    // While it is looked up, nobody knows its tags.
    if (this.#making === undefined) return invalidationsSoFar() !== this.begunAt
    return this.isMadeOfOld || this.waitsForOld
  }

  protected override get isMadeOfOld(): boolean {
    if (this.#making === undefined) return false
    const { dependencies } = this.#making.frame
    return wereInvalidatedSince(this.#tags, this.begunAt) || dependencies.isOutdatedBy(NONE)
  }

  /** Whether waiting for it from inside a frame would wait for that frame itself. */
  dependsOn(frame: Frame | undefined): boolean {
    return this.needsAnyOf(new Set<InFlight>(flightsAround(frame)))
  }
}

/** What is being made: in which frame, begun with what, and when in the order of what happens here. */
interface Begun {
  readonly frame: Frame
  readonly start: Start | undefined
  readonly moment: number
}

/** Settled from outside. */
class Landing<Landed> {
  readonly promise: Promise<Landed | undefined>
  resolve!: (landed: Landed | undefined) => void
  reject!: (error: unknown) => void

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
    // Mostly nobody waits, and then an error must not count as unhandled.
    this.promise.catch(() => undefined)
  }
}

/**
 * Whether what is made in a frame must not wait for a lease: something around it holds one, or is waited
 * for by somebody who does. In a circle, all would wait.
 */
export function mustNotWait(frame: Frame | undefined): boolean {
  return isUnderLease(frame) || flightAround(frame)?.isUrgent === true
}
