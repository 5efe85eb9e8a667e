import type { Claim } from '../backend/entries.js'
import { invalidationsSoFar, wereInvalidatedSince } from '../invalidations.js'
import { InFlight, nextMoment } from './in-flight.js'
import { flightAround, flightsAround, isUnderLease, type Frame } from './frame.js'
import type { SeenVersions } from '../tags.js'
import type { Start } from './order.js'

const NONE: readonly string[] = []

/** Instead of a result: it could not be made. */
export const FAILED = Symbol('failed')
export type Failed = typeof FAILED

/**
 * One look-up and, after a miss, one production. Anybody who asks for the same key meanwhile waits for it.
 *
 * @typeParam Landed - What those who wait get; `undefined` makes them look for themselves.
 */
export class Flight<Landed> extends InFlight {
  /** Whether it can no longer be joined. */
  isClosed = false
  #making: Begun | undefined
  /** The last look at the store, which answers all who asked before it. */
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
   * The entry was not found and is about to be made.
   *
   * @param start - `undefined`: the store failed.
   */
  beginMaking(frame: Frame, start: Start | undefined): void {
    this.#making = { frame, start, moment: nextMoment() }
    this.mayWait = false
  }

  /** Whether it was not found, and so was, or is being, made. */
  get hasBegun(): boolean {
    return this.#making !== undefined
  }

  /** The claim it was begun with. */
  get claim(): Claim {
    return this.#making?.start?.claim
  }

  /** The tag versions it was begun with, and those found inside since. */
  get versions(): SeenVersions {
    return new Map([...(this.#making?.frame.tags ?? []), ...(this.#making?.start?.versions ?? [])])
  }

  /** Whether its result may have been invalidated before the caller asked. */
  wasMadeBefore(askedAt: number): boolean {
    return this.#making !== undefined && this.#making.moment < askedAt
  }

  /** What is stored by now of its result. All who asked before the last look share it. */
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
    this.#landing.settle({ value: landed })
  }

  fail(error: unknown): void {
    this.end()
    this.#landing.settle({ error })
  }

  /** Whether what it depends on was invalidated since it took off: it is too old to join. */
  get isOutdated(): boolean {
    // During the look-up its tags are not known.
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

/** What is being made: in which frame, begun with what, and when (`nextMoment`). */
interface Begun {
  readonly frame: Frame
  readonly start: Start | undefined
  readonly moment: number
}

/** A promise that is settled from outside. It is made only for who waits: most flights are joined by nobody. */
class Landing<Landed> {
  #promise: Promise<Landed | undefined> | undefined
  #settled: Settled<Landed> | undefined
  #resolve!: (landed: Landed | undefined) => void
  #reject!: (error: unknown) => void

  get promise(): Promise<Landed | undefined> {
    if (this.#promise !== undefined) return this.#promise
    this.#promise = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    // If nobody waits any more, an error must not count as unhandled.
    this.#promise.catch(() => undefined)
    if (this.#settled !== undefined) this.#tell(this.#settled)
    return this.#promise
  }

  settle(settled: Settled<Landed>): void {
    if (this.#settled !== undefined) return
    this.#settled = settled
    if (this.#promise !== undefined) this.#tell(settled)
  }

  #tell(settled: Settled<Landed>): void {
    if ('error' in settled) this.#reject(settled.error)
    else this.#resolve(settled.value)
  }
}

type Settled<Landed> = { readonly value: Landed | undefined } | { readonly error: unknown }

/**
 * Whether what is made in a frame must not wait for a lease, because something around it holds one, or is
 * waited for by a holder. Otherwise they could wait for each other.
 */
export function mustNotWait(frame: Frame | undefined): boolean {
  return isUnderLease(frame) || flightAround(frame)?.isUrgent === true
}
