import { settledWithin } from '../time-limit.js'
import { FAILED, mustNotWait, type Failed, type Flight } from './flight.js'
import { flightAround, isUnderLease, type Frame } from './frame.js'
import { nextMoment, type InFlight } from './in-flight.js'

/** Instead of a result: it was not waited for. */
const LATE = Symbol('late')
type Late = typeof LATE

/** Makings whose end is remembered. */
const MAX_ENDED = 1_000

/** Flights after which the map of those under way is copied, if it has no more entries than that. */
const RENEWED_AFTER = 16

/** How long a caller waits for what another one makes. */
export interface Patience {
  /** When it was asked for, by `nextMoment`. */
  readonly askedAt: number
  /** Milliseconds; `Infinity`: no limit. */
  readonly limitMs: number
}

/** The same, and what there is for who has waited too long; `undefined`: nothing. */
export interface PatienceOf<Landed> extends Patience {
  readonly instead?: () => Promise<Landed | undefined>
}

/** What is being looked up or made over one cache, by stored key. */
export class Flights<Landed> {
  #flights = new Map<string, Flight<Landed>>()
  #sinceRenewed = 0
  /** When the last makings ended, by key, the oldest first. */
  readonly #ended = new Map<string, number>()
  #forgottenUntil = 0

  /** The flight that code in a frame may wait for, if any. */
  toJoin(key: string, frame: Frame | undefined): Flight<Landed> | undefined {
    const running = this.#flights.get(key)
    if (running === undefined || !isOpen(running) || running.dependsOn(frame)) return undefined
    // Under a lease nobody waits for one that may wait for a lease: they could wait for each other.
    if (mustNotWait(frame) && running.mayHoldUp) return undefined
    return running
  }

  /**
   * Begins a flight: beside one that others may still join, otherwise in its place.
   *
   * @param frame - The frame of the calling code.
   */
  takeOff(key: string, flight: Flight<Landed>, frame: Frame | undefined): void {
    const running = this.#flights.get(key)
    // Also if nobody joins it: what it waits for must not wait for what is around it.
    need(frame, flight)
    if (running !== undefined && isOpen(running)) {
      // Nobody joins it, but its key may still be removed meanwhile.
      flight.goBeside(running)
      return
    }
    flight.takePlaceOf(running)
    this.#flights.set(key, flight)
    this.#renew()
  }

  /**
   * A `Map` of V8 that grows or shrinks gets a new table, and the old one refers to it. Once such a table is old, all
   * later ones, and whatever was ever in them, would stay in memory until the next full garbage collection.
   */
  #renew(): void {
    if (++this.#sinceRenewed < Math.max(RENEWED_AFTER, this.#flights.size)) return
    this.#sinceRenewed = 0
    this.#flights = new Map(this.#flights)
  }

  /**
   * Waits for a flight.
   *
   * @param look - Tells what is stored by now of what it brought, or could not make: that may have been
   *   invalidated before this caller asked.
   * @returns `undefined`: it brought nothing that may be used, or took longer than `limitMs` and there is nothing
   *   else. The caller has to look for itself, and nobody joins this flight any more.
   * @throws What it failed with.
   */
  async join(
    flight: Flight<Landed>,
    frame: Frame | undefined,
    { askedAt, limitMs, instead }: PatienceOf<Landed>,
    look: (landed: Landed | Failed) => Promise<Landed | Failed | undefined>,
  ): Promise<Landed | undefined> {
    need(frame, flight)
    let latest: Landed | Failed | undefined
    let failure: unknown
    try {
      const given = await settledWithin<Landed | Late | undefined>(flight.landed, limitMs, () =>
        Promise.resolve(LATE),
      )
      if (given === LATE) {
        flight.isClosed = true
        return await instead?.()
      }
      latest = given
    } catch (error) {
      latest = FAILED
      failure = error
    }
    const landed = latest
    if (landed !== undefined && flight.wasMadeBefore(askedAt)) {
      // This process' own invalidations count also where the store cannot be asked.
      latest = flight.isOutdated ? undefined : await flight.latest(askedAt, () => look(landed))
    }
    if (latest === FAILED) throw failure
    if (latest === undefined) flight.isClosed = true
    return latest
  }

  /** Ends a flight. An earlier one that it replaced may still be running, and is then what a removal reaches. */
  release(key: string, flight: Flight<Landed>): void {
    flight.end()
    if (flight.hasBegun) this.#noteEnd(key)
    if (this.#flights.get(key) !== flight) return
    const next = flight.successor
    if (next === undefined) this.#flights.delete(key)
    else this.#flights.set(key, next)
  }

  #noteEnd(key: string): void {
    this.#ended.delete(key)
    this.#ended.set(key, nextMoment())
    if (this.#ended.size <= MAX_ENDED) return
    for (const [oldest, moment] of this.#ended) {
      this.#ended.delete(oldest)
      this.#forgottenUntil = moment
      break
    }
  }

  /**
   * Whether something was made under a key, or may have been, since a moment: who looked at that moment has to
   * look again.
   */
  haveEndedSince(key: string, moment: number): boolean {
    return this.#forgottenUntil > moment || (this.#ended.get(key) ?? 0) > moment
  }

  /** Those who wait already still get the result; who asks later begins again. */
  detach(key: string): void {
    const running = this.#flights.get(key)
    if (running !== undefined) running.isClosed = true
  }

  /** The same, and what is being made is not stored: of one key, or of all. */
  forget(key?: string): void {
    for (const one of key === undefined ? [...this.#flights.keys()] : [key]) {
      this.#flights.get(one)?.discard()
      this.#flights.delete(one)
    }
  }
}

function isOpen(flight: { readonly isClosed: boolean; readonly isOutdated: boolean }): boolean {
  return !flight.isClosed && !flight.isOutdated
}

/** Records that what is made around a frame cannot end before a flight does. */
function need(frame: Frame | undefined, flight: InFlight): void {
  if (isUnderLease(frame)) flight.hurry()
  flightAround(frame)?.need(flight)
}
