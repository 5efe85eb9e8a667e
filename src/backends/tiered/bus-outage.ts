import { CacheBackendError } from '../../errors.js'
import { OutageReporter, type LastingOutage } from '../../observe/channels.js'

const BACKEND = 'TieredCache'

/** `subscribe`: to receive what other processes report; `publish`: to report to them. */
type Operation = 'subscribe' | 'publish'

/** Reports that changes do not get from this process to the others, or back: one outage, whichever way fails. */
export class BusOutage {
  readonly #reporter = new OutageReporter()
  readonly #alias: () => string
  /** A bus that still sends may have nobody listening: it works when neither fails. */
  readonly #failing = new Set<Operation>()

  /** @param alias - What the cache is called in reports. */
  constructor(alias: () => string) {
    this.#alias = alias
  }

  /** As {@link OutageReporter.lasting}. */
  get lasting(): LastingOutage | undefined {
    return this.#reporter.lasting
  }

  isFailing(operation: Operation): boolean {
    return this.#failing.has(operation)
  }

  failed(operation: Operation, cause: unknown): void {
    this.#failing.add(operation)
    const message = `TieredCache: bus: ${operation} failed: ${cause instanceof Error ? cause.message : String(cause)}`
    const error = new CacheBackendError(message, { cause, backend: BACKEND, operation })
    this.#reporter.failed(this.#alias(), BACKEND, error)
  }

  succeeded(operation: Operation): void {
    this.#failing.delete(operation)
    if (this.#failing.size > 0) return
    this.#reporter.succeeded(this.#alias(), BACKEND)
  }
}
