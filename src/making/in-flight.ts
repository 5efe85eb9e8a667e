import { invalidationsSoFar } from '../invalidations.js'

/** So many that are needed are kept before it is looked which of them have ended. */
const FIRST_SWEEP = 64

let moment = 0

/** Counts what happens in this process, to tell what came first. */
export function nextMoment(): number {
  return ++moment
}

/**
 * Something that is being made under a key, and that others may wait for: who waits for whom, so that
 * nobody waits for itself, and what of the same key is still on its way, so that a removal reaches it.
 */
export abstract class InFlight {
  /** Its key was removed meanwhile: what it makes is not to be kept. */
  isDiscarded = false
  /** It waits, or may yet wait, for what another process makes. */
  mayWait = false
  /** One of the same key that is still on its way: what this took the place of, or went beside this. */
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

  /** What it makes is not to be kept, nor what those make that it took the place of. */
  discard(): void {
    this.isDiscarded = true
    for (let at = this.successor; at !== undefined; at = at.successor) at.isDiscarded = true
  }

  /** Comes in place of one of the same key, whose key may still be removed while it is on its way. */
  takePlaceOf(running: this | undefined): void {
    this.replaced = running?.hasEnded === true ? running.successor : running
    // Under a key that is never quiet, those that have ended would pile up.
    for (let at = this.replaced; at !== undefined; at = at.replaced) at.replaced = at.successor
  }

  /** Goes beside one of the same key, which keeps its place. */
  goBeside(running: this): void {
    this.takePlaceOf(running.replaced)
    running.replaced = this
  }

  /** What has the place of one that has ended. */
  get successor(): this | undefined {
    let next = this.replaced
    while (next?.hasEnded === true) next = next.replaced
    return next
  }

  /**
   * Notes that this one cannot end before another. What a producer or a body leaves behind (a pool of
   * connections, a timer) asks from inside it for ever, but nothing of that is needed any more.
   */
  need(other: InFlight): void {
    if (this.#hasEnded) return
    if (this.#isUrgent) other.hurry()
    this.#needs.add(other)
  }

  /** Whether somebody who holds a lease waits for it: then it waits for nobody else's lease any more. */
  get isUrgent(): boolean {
    return this.#isUrgent
  }

  /** Notes that somebody who holds a lease waits for it, and so for all it needs now or later. */
  hurry(): void {
    if (this.#isUrgent || this.#hasEnded) return
    this.#isUrgent = true
    for (const one of this.#needs.all) one.hurry()
  }

  /** Whether it, or one it needs, waits or may yet wait for what another process makes. */
  get mayHoldUp(): boolean {
    return this.#needsOne((one) => one.mayWait, new Set())
  }

  /** Whether what it is made from was invalidated in this process since it began, as far as that is known. */
  protected get isMadeOfOld(): boolean {
    return false
  }

  /** Whether that is so of one that it waits for: it is going to be made from the same. */
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

/** What one cannot end before. */
class Needs {
  readonly all = new Set<InFlight>()
  #sweepAt = FIRST_SWEEP

  add(one: InFlight): void {
    this.all.add(one)
    if (this.all.size < this.#sweepAt) return
    // What takes long may ask for any number, one after the other.
    for (const other of this.all) if (other.hasEnded) this.all.delete(other)
    this.#sweepAt = Math.max(FIRST_SWEEP, 2 * this.all.size)
  }

  clear(): void {
    this.all.clear()
  }
}
