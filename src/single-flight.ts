/**
 * Runs one action at a time per key; whoever comes meanwhile gets its result, or its error.
 *
 * @remarks Within this process and this instance.
 */
export class SingleFlight {
  readonly #running = new Map<string, Promise<unknown>>()

  run<T>(key: string, action: () => Promise<T>): Promise<T> {
    const running = this.#running.get(key)
    if (running !== undefined) return running as Promise<T>
    const flight = action().finally(() => {
      if (this.#running.get(key) === flight) this.#running.delete(key)
    })
    this.#running.set(key, flight)
    return flight
  }

  /** Lets what is running end for those who wait already; whoever comes later starts anew. */
  forget(key?: string): void {
    if (key === undefined) this.#running.clear()
    else this.#running.delete(key)
  }
}
