import { AsyncSlot } from '../async-slot.js'
import { flightAround, isUnderLease, type Frame } from './frame.js'
import { InFlight } from './in-flight.js'
import { settledWithin } from '../time-limit.js'

/** One run of an action that others may be waiting for. */
export class Run extends InFlight {
  /** Whether what it makes is too old for who asks now. */
  isOutdated: () => boolean = isNever
  /** Whether it is past looking for what is there already. */
  isMaking = false
  /** Whether nobody is to join it, or nobody any more. */
  isClosed = false
  result: Promise<unknown> | undefined

  constructor(readonly parent: Run | undefined) {
    super()
    parent?.need(this)
  }

  /**
   * The run that the calling code is made in. What a producer leaves behind (a pool of connections, a
   * timer) calls from inside its run for ever, but nobody waits for that run any more.
   */
  static get current(): Run | undefined {
    const run = runs.current
    return run === undefined || run.hasEnded ? undefined : run
  }

  /** Calls a producer, so that what it asks for in turn is known to be asked from here. */
  produce<T>(producer: () => T): T {
    return runs.run(this, producer)
  }

  protected override get isMadeOfOld(): boolean {
    return this.isMaking && this.isOutdated()
  }

  /**
   * Whether waiting for this run from inside another would wait for that one itself.
   *
   * @param around - What else waits for it then.
   */
  dependsOn(inside: Run | undefined, around: Iterable<InFlight> = NOBODY): boolean {
    const waiting = new Set<InFlight>(around)
    addRunsAround(inside, waiting)
    return this.needsAnyOf(waiting)
  }
}

/**
 * Whether what the calling code makes in a frame must not wait for a lease: something around it holds
 * one, or is waited for by somebody who does. In a circle, all would wait.
 */
export function mustNotWait(frame: Frame | undefined): boolean {
  if (isUnderLease(frame) || Run.current?.isUrgent === true) return true
  return flightAround(frame)?.isUrgent === true
}

/** Adds a run and all that it is made inside of. */
export function addRunsAround(inside: Run | undefined, to: Set<InFlight>): void {
  for (let at = inside; at !== undefined; at = at.parent) to.add(at)
}

const NOBODY: readonly InFlight[] = []

function isNever(): boolean {
  return false
}

const runs = new AsyncSlot<Run>()

/** How a caller may wait for another's run. */
export interface Waits {
  /** Whether for one that itself waits for something that is made elsewhere. Default `true`. */
  readonly mayBeHeldUp?: boolean
  /** What else than runs it is asked for in, from the inside out. */
  readonly around?: readonly InFlight[] | undefined
  /** For so long; then it starts one of its own. Milliseconds. Default: without end. */
  readonly limitMs?: number
}

/**
 * Runs one action at a time per key; whoever comes meanwhile gets its result, or its error.
 *
 * @remarks Within this process and this instance. Who would wait for itself, at once or in a circle,
 *   runs the action by itself. Who finds a run that is outdated starts anew.
 */
export class SingleFlight {
  readonly #running = new Map<string, Run>()

  run<T>(key: string, action: (run: Run) => Promise<T>, waits: Waits = {}): Promise<T> {
    return this.#runInside(Run.current, key, action, waits)
  }

  /** Runs an action that nobody joins. */
  runAlone<T>(key: string, action: (run: Run) => Promise<T>): Promise<T> {
    const run = new Run(Run.current)
    run.isClosed = true
    const running = this.#running.get(key)
    if (running === undefined) this.#running.set(key, run)
    else run.goBeside(running)
    return this.#start(key, run, action)
  }

  /** Whatever it is joined by, its key may be removed meanwhile: it has to be found until it ends. */
  #start<T>(key: string, run: Run, action: (run: Run) => Promise<T>): Promise<T> {
    const result = runToEnd(run, action).finally(() => this.#ended(key, run))
    run.result = result
    return result
  }

  #ended(key: string, run: Run): void {
    if (this.#running.get(key) !== run) return
    const next = run.successor
    if (next === undefined) this.#running.delete(key)
    else this.#running.set(key, next)
  }

  /** The same for what nobody is going to wait for. */
  runDetached<T>(key: string, action: (run: Run) => Promise<T>): Promise<T> {
    return this.#runInside(undefined, key, action, {})
  }

  #runInside<T>(
    inside: Run | undefined,
    key: string,
    action: (run: Run) => Promise<T>,
    waits: Waits,
  ): Promise<T> {
    const { mayBeHeldUp = true, around = NOBODY, limitMs = Infinity } = waits
    const running = this.#running.get(key)
    const isOutdated = running !== undefined && (running.isOutdated() || running.waitsForOld)
    const isOpen = running !== undefined && !running.isClosed && !isOutdated
    const isHeldUp = isOpen && !mayBeHeldUp && running.mayHoldUp
    if (isOpen && !isHeldUp && !running.dependsOn(inside, around)) {
      inside?.need(running)
      around[0]?.need(running)
      if (!mayBeHeldUp) running.hurry()
      return settledWithin(running.result as Promise<T>, limitMs, () => {
        // Whoever comes now starts again, and those who have waited for long enough with them.
        running.isClosed = true
        return this.#runInside(inside, key, action, waits)
      })
    }
    const run = new Run(inside)
    around[0]?.need(run)
    if (isOpen) {
      run.goBeside(running)
    } else {
      run.takePlaceOf(running)
      this.#running.set(key, run)
    }
    return this.#start(key, run, action)
  }

  /** Lets what is running end for those who wait already; whoever comes later starts anew. */
  detach(key: string): void {
    const run = this.#running.get(key)
    if (run !== undefined) run.isClosed = true
  }

  /** The same, and what is running is not to be kept: of one key, or of all. */
  forget(key?: string): void {
    const keys = key === undefined ? [...this.#running.keys()] : [key]
    for (const one of keys) {
      this.#running.get(one)?.discard()
      this.#running.delete(one)
    }
  }
}

function runToEnd<T>(run: Run, action: (run: Run) => Promise<T>): Promise<T> {
  return action(run).finally(() => run.end())
}
