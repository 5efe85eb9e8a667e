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
    const flight = action().finally(() => this.#running.delete(key))
    this.#running.set(key, flight)
    return flight
  }
}
