import { settledWithin } from '../time-limit.js'
import { FAILED, mustNotWait, type Failed, type Flight } from './flight.js'
import { flightAround, isUnderLease, type Frame } from './frame.js'
import type { InFlight } from './in-flight.js'

/** How somebody waits for what another makes. */
export interface Patience {
  /** When it was asked for, in the order of what happens here. */
  readonly askedAt: number
  /** Milliseconds; `Infinity`: without end. */
  readonly limitMs: number
}

/** What is on its way over one cache, by stored key. */
export class Flights<Landed> {
  readonly #flights = new Map<string, Flight<Landed>>()

  /** The one that somebody who asks from inside a frame may wait for, if any. */
  toJoin(key: string, frame: Frame | undefined): Flight<Landed> | undefined {
    const running = this.#flights.get(key)
    if (running === undefined || !isOpen(running) || running.dependsOn(frame)) return undefined
    // Under a lease nobody waits for who may wait for a lease: in a circle, all would wait.
    if (mustNotWait(frame) && running.mayHoldUp) return undefined
    return running
  }

  /**
   * Begins one: beside one that may be joined by others, else in place of what is there.
   *
   * @param frame - What it is made inside of.
   */
  takeOff(key: string, flight: Flight<Landed>, frame: Frame | undefined): void {
    const running = this.#flights.get(key)
    // Also where nobody joins it: what it waits for must not wait for what is around it.
    need(frame, flight)
    if (running !== undefined && isOpen(running)) {
      // Nobody joins it, but its key may be removed meanwhile.
      flight.goBeside(running)
      return
    }
    flight.takePlaceOf(running)
    this.#flights.set(key, flight)
  }

  /**
   * Waits for one.
   *
   * @param look - What there is by now of what it brought, or of what it could not make: that may have been
   *   invalidated before it was asked for.
   * @returns `undefined`: it brought nothing that counts, or takes longer than `limitMs`. One has to look for
   *   oneself, and nobody joins it any more.
   * @throws What it failed with.
   */
  async join(
    flight: Flight<Landed>,
    frame: Frame | undefined,
    { askedAt, limitMs }: Patience,
    look: (landed: Landed | Failed) => Promise<Landed | Failed | undefined>,
  ): Promise<Landed | undefined> {
    need(frame, flight)
    let latest: Landed | Failed | undefined
    let failure: unknown
    try {
      latest = await settledWithin(flight.landed, limitMs, () => Promise.resolve(undefined))
    } catch (error) {
      latest = FAILED
      failure = error
    }
    const landed = latest
    if (landed !== undefined && flight.wasMadeBefore(askedAt)) {
      latest = await flight.latest(askedAt, () => look(landed))
    }
    if (latest === FAILED) throw failure
    if (latest === undefined) flight.isClosed = true
    return latest
  }

  /** Ends one. What it took the place of may still be on its way, and its key may still be removed. */
  release(key: string, flight: Flight<Landed>): void {
    flight.end()
    if (this.#flights.get(key) !== flight) return
    const next = flight.successor
    if (next === undefined) this.#flights.delete(key)
    else this.#flights.set(key, next)
  }

  /** Lets what is on its way end for those who wait already; whoever comes later begins again. */
  detach(key: string): void {
    const running = this.#flights.get(key)
    if (running !== undefined) running.isClosed = true
  }

  /** The same, and what is on its way is not to be kept: of one key, or of all. */
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

/** Notes that what is made around a frame cannot end before a flight does. */
function need(frame: Frame | undefined, flight: InFlight): void {
  if (isUnderLease(frame)) flight.hurry()
  flightAround(frame)?.need(flight)
}
