import { AsyncLocalStorage } from 'node:async_hooks'

/** One run of an action that others may be waiting for. */
export class Run {
  /** Its key was removed meanwhile: what it makes is not to be kept. */
  isForgotten = false
  result: Promise<unknown> | undefined
  readonly #needs = new Set<Run>()
  #hasEnded = false

  constructor(readonly parent: Run | undefined) {
    parent?.need(this)
  }

  /**
   * The run that the calling code is made in. What a producer leaves behind (a pool of connections, a
   * timer) calls from inside its run for ever, but nobody waits for that run any more.
   */
  static get current(): Run | undefined {
    const run = used ? runs.getStore() : undefined
    return run === undefined || run.#hasEnded ? undefined : run
  }

  end(): void {
    this.#hasEnded = true
    this.#needs.clear()
  }

  /** Calls a producer, so that what it asks for in turn is known to be asked from here. */
  produce<T>(producer: () => T): T {
    used = true
    return runs.run(this, producer)
  }

  /** Notes that this one cannot end before another. */
  need(other: Run): void {
    this.#needs.add(other)
  }

  /** Whether waiting for this run from inside another would wait for that one itself. */
  dependsOn(inside: Run | undefined): boolean {
    const waiting = new Set<Run>()
    for (let at = inside; at !== undefined; at = at.parent) waiting.add(at)
    return waiting.size > 0 && this.#reaches(waiting, new Set())
  }

  #reaches(targets: ReadonlySet<Run>, seen: Set<Run>): boolean {
    if (targets.has(this)) return true
    seen.add(this)
    for (const next of this.#needs) if (!seen.has(next) && next.#reaches(targets, seen)) return true
    return false
  }
}

const runs = new AsyncLocalStorage<Run>()
let used = false

/**
 * Runs one action at a time per key; whoever comes meanwhile gets its result, or its error.
 *
 * @remarks Within this process and this instance. Who would wait for itself, at once or in a circle,
 *   runs the action by itself.
 */
export class SingleFlight {
  readonly #running = new Map<string, Run>()

  run<T>(key: string, action: (run: Run) => Promise<T>): Promise<T> {
    return this.#runInside(Run.current, key, action)
  }

  /** The same for what nobody is going to wait for. */
  runDetached<T>(key: string, action: (run: Run) => Promise<T>): Promise<T> {
    return this.#runInside(undefined, key, action)
  }

  #runInside<T>(
    inside: Run | undefined,
    key: string,
    action: (run: Run) => Promise<T>,
  ): Promise<T> {
    const running = this.#running.get(key)
    if (running !== undefined) {
      if (running.dependsOn(inside)) return runAlone(new Run(inside), action)
      inside?.need(running)
      return running.result as Promise<T>
    }
    const run = new Run(inside)
    this.#running.set(key, run)
    const result = runAlone(run, action).finally(() => {
      if (this.#running.get(key) === run) this.#running.delete(key)
    })
    run.result = result
    return result
  }

  /** Lets what is running end for those who wait already; whoever comes later starts anew. */
  detach(): void {
    this.#running.clear()
  }

  /** The same, and what is running is not to be kept: of one key, or of all. */
  forget(key?: string): void {
    const keys = key === undefined ? [...this.#running.keys()] : [key]
    for (const one of keys) {
      const run = this.#running.get(one)
      if (run !== undefined) run.isForgotten = true
      this.#running.delete(one)
    }
  }
}

function runAlone<T>(run: Run, action: (run: Run) => Promise<T>): Promise<T> {
  return action(run).finally(() => run.end())
}
