import { invalidationsSoFar } from '../invalidations.js'

/** From this many on, those that have ended are dropped. */
const FIRST_SWEEP = 64

let moment = 0

/** A number that grows with each call, to tell what came first in this process. */
export function nextMoment(): number {
  return ++moment
}

/**
 * Something that is being made under a key and that others may wait for. It knows who waits for whom, so
 * that nobody waits for itself, and what else is being made under the same key, so that a removal reaches all.
 */
export abstract class InFlight {
  /** Its key was removed meanwhile: the result is not stored. */
  isDiscarded = false
  /** It waits, or may still wait, for another process. */
  mayWait = false
  /** Another of the same key that is still running: one that this replaced, or that went beside it. */
  replaced: this | undefined
  readonly #needs = new Needs()
  #hasEnded = false
  #isUrgent = false
  protected readonly begunAt = invalidationsSoFar()

  get hasEnded(): boolean {
    return this.#hasEnded
  }

  end(): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#needs.clear()
  }

  /** Its result is not stored, nor the results of those that it replaced. */
  discard(): void {
    this.isDiscarded = true
    for (let at = this.successor; at !== undefined; at = at.successor) at.isDiscarded = true
  }

  /** Replaces one of the same key, which a removal must still reach while it runs. */
  takePlaceOf(running: this | undefined): void {
    this.replaced = running?.hasEnded === true ? running.successor : running
    // Under a busy key those that have ended would pile up.
    for (let at = this.replaced; at !== undefined; at = at.replaced) at.replaced = at.successor
  }

  /** Runs beside one of the same key, which keeps its place. */
  goBeside(running: this): void {
    this.takePlaceOf(running.replaced)
    running.replaced = this
  }

  /** The next one of the same key that has not ended. */
  get successor(): this | undefined {
    let next = this.replaced
    while (next?.hasEnded === true) next = next.replaced
    return next
  }

  /**
   * Records that this one cannot end before another. Once it has ended, what a producer or body leaves
   * running (a pool of connections, a timer) is no longer waited for.
   */
  need(other: InFlight): void {
    if (this.#hasEnded) return
    if (this.#isUrgent) other.hurry()
    this.#needs.add(other)
  }

  /** Whether the holder of a lease waits for it: then it must not wait for another lease. */
  get isUrgent(): boolean {
    return this.#isUrgent
  }

  /** Records that the holder of a lease waits for it, and so for all that it needs now or later. */
  hurry(): void {
    if (this.#isUrgent || this.#hasEnded) return
    this.#isUrgent = true
    for (const one of this.#needs.all) one.hurry()
  }

  /** Whether it, or one it needs, waits or may still wait for another process. */
  get mayHoldUp(): boolean {
    return this.#needsOne((one) => one.mayWait, new Set())
  }

  /** Whether one of its known dependencies was invalidated in this process since it began. */
  protected get isMadeOfOld(): boolean {
    return false
  }

  /** Whether that is so of one that it waits for, whose result will be part of its own. */
  get waitsForOld(): boolean {
    if (invalidationsSoFar() === this.begunAt) return false
    return this.#needsOne((one) => !one.#hasEnded && one.isMadeOfOld, new Set())
  }

  /** Whether it is, or needs, one of these. */
  protected needsAnyOf(these: ReadonlySet<InFlight>): boolean {
    return these.size > 0 && this.#needsOne((one) => these.has(one), new Set())
  }

  #needsOne(is: (one: InFlight) => boolean, seen: Set<InFlight>): boolean {
    if (is(this)) return true
    seen.add(this)
    for (const next of this.#needs.all) if (!seen.has(next) && next.#needsOne(is, seen)) return true
    return false
  }
}

/** Those that must end first. */
class Needs {
  #all: Set<InFlight> | undefined
  #sweepAt = FIRST_SWEEP

  get all(): Iterable<InFlight> {
    return this.#all ?? NONE
  }

  add(one: InFlight): void {
    const all = (this.#all ??= new Set())
    all.add(one)
    if (all.size < this.#sweepAt) return
    // A long making may need any number of others, one after the other.
    for (const other of all) if (other.hasEnded) all.delete(other)
    this.#sweepAt = Math.max(FIRST_SWEEP, 2 * all.size)
  }

  clear(): void {
    this.#all = undefined
  }
}

const NONE: readonly InFlight[] = []
