import { AsyncLocalStorage } from 'node:async_hooks'
import { InFlight } from './in-flight.js'

/** One run of an action that others may be waiting for. */
export class Run extends InFlight {
  /** Whether what it makes is too old for who asks now. */
  isOutdated: () => boolean = isNever
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
    const run = used ? runs.getStore() : undefined
    return run === undefined || run.hasEnded ? undefined : run
  }

  /** Calls a producer, so that what it asks for in turn is known to be asked from here. */
  produce<T>(producer: () => T): T {
    used = true
    return runs.run(this, producer)
  }

  /** Whether waiting for this run from inside another would wait for that one itself. */
  dependsOn(inside: Run | undefined): boolean {
    const waiting = new Set<InFlight>()
    for (let at = inside; at !== undefined; at = at.parent) waiting.add(at)
    return this.needsAnyOf(waiting)
  }
}

function isNever(): boolean {
  return false
}

function isAlways(): boolean {
  return true
}

const runs = new AsyncLocalStorage<Run>()
let used = false

/**
 * Runs one action at a time per key; whoever comes meanwhile gets its result, or its error.
 *
 * @remarks Within this process and this instance. Who would wait for itself, at once or in a circle,
 *   runs the action by itself. Who finds a run that is outdated starts anew.
 */
export class SingleFlight {
  readonly #running = new Map<string, Run>()

  /** @param mayBeHeldUp - Whether it may wait for a run that itself waits for something made elsewhere. */
  run<T>(key: string, action: (run: Run) => Promise<T>, mayBeHeldUp = true): Promise<T> {
    return this.#runInside(Run.current, key, action, mayBeHeldUp)
  }

  /** Runs an action that nobody joins. */
  runAlone<T>(key: string, action: (run: Run) => Promise<T>): Promise<T> {
    return this.#runBeside(this.#running.get(key), new Run(Run.current), key, action)
  }

  /** Its key may be removed meanwhile, so it has to be found. */
  #runBeside<T>(
    running: Run | undefined,
    run: Run,
    key: string,
    action: (run: Run) => Promise<T>,
  ): Promise<T> {
    if (running === undefined) {
      run.isOutdated = isAlways
      this.#running.set(key, run)
    } else {
      run.goBeside(running)
    }
    const result = runAlone(run, action).finally(() => this.#ended(key, run))
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
    return this.#runInside(undefined, key, action, true)
  }

  #runInside<T>(
    inside: Run | undefined,
    key: string,
    action: (run: Run) => Promise<T>,
    mayBeHeldUp: boolean,
  ): Promise<T> {
    const running = this.#running.get(key)
    if (running?.isOutdated() === false) {
      const isHeldUp = !mayBeHeldUp && running.mayHoldUp
      if (isHeldUp || running.dependsOn(inside)) {
        return this.#runBeside(running, new Run(inside), key, action)
      }
      inside?.need(running)
      return running.result as Promise<T>
    }
    const run = new Run(inside)
    run.takePlaceOf(running)
    this.#running.set(key, run)
    const result = runAlone(run, action).finally(() => this.#ended(key, run))
    run.result = result
    return result
  }

  /** Lets what is running end for those who wait already; whoever comes later starts anew. */
  detach(key: string): void {
    const run = this.#running.get(key)
    if (run !== undefined) run.isOutdated = isAlways
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

function runAlone<T>(run: Run, action: (run: Run) => Promise<T>): Promise<T> {
  return action(run).finally(() => run.end())
}
