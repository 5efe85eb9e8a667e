import { checkTags } from '../tags.js'
import { checkTimeout, type Timeout } from '../timeout.js'
import type { Frame } from './frame.js'

/**
 * What a producer receives: `getOrSet(key, ({ signal, old, setTimeout, addTags }) => …)`.
 *
 * @typeParam V - The type of the value, if the cache's keys are typed.
 */
export interface ProducerContext<V = unknown> {
  /**
   * Aborted when `producerTimeoutMs` is over, with the `ProducerTimeoutError` as its reason. Once a producer
   * has read it, what that producer returns after the abort is not stored, since it may have stopped
   * half-way.
   */
  readonly signal: AbortSignal
  /**
   * The expired value that the new one replaces, as this producer's own copy. `undefined`: there is none, or
   * none of `staleWhileRevalidate`, `staleIfError` and `earlyRefresh` keeps one.
   */
  readonly old: V | undefined
  /**
   * Sets how long the value is kept, depending on what the producer found. It replaces the option `timeout`.
   *
   * @param seconds - `null`: for ever. Zero or less: the value is not stored.
   * @throws TypeError: `seconds` is neither a finite number nor `null`.
   */
  readonly setTimeout: (seconds: Timeout) => void
  /**
   * Adds tags that are known only from what the producer found. As with `dependOn`, await it before you read
   * what the tags stand for.
   *
   * @throws TypeError: `tags` is not a list of texts, or a text is empty.
   */
  readonly addTags: (tags: readonly string[]) => PromiseLike<void>
}

/** A producer that runs, and what it decides about its value. */
export class Production implements ProducerContext {
  /** Whether it has given its value, or thrown. */
  hasEnded = false
  /** Seconds; `undefined`: the cache's default. */
  timeout: Timeout | undefined
  #controller: AbortController | undefined
  #late: Error | undefined
  #old: { readonly copy: unknown } | undefined

  /** @param copyOld - Copies the old value, which may still be served: the producer may change what it is given. */
  constructor(
    private readonly frame: Frame,
    timeout: Timeout | undefined,
    private readonly copyOld: () => unknown,
  ) {
    this.timeout = timeout
  }

  get old(): unknown {
    this.#old ??= { copy: this.copyOld() }
    return this.#old.copy
  }

  // Functions of their own, since a producer takes them out of its context.
  readonly setTimeout = (seconds: Timeout): void => {
    checkTimeout(seconds, 'setTimeout')
    this.timeout = seconds
  }

  readonly addTags = (tags: readonly string[]): PromiseLike<void> => {
    return this.frame.declare(checkTags(tags))
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#late !== undefined) this.#controller.abort(this.#late)
    }
    return this.#controller.signal
  }

  /** Nobody waits for it any more. */
  isLate(error: Error): void {
    this.#late = error
    this.#controller?.abort(error)
  }

  /**
   * It has given its value.
   *
   * @throws The error that {@link isLate} was given, if the producer may have stopped because of it.
   */
  end(): void {
    this.hasEnded = true
    if (this.#late !== undefined && this.#controller !== undefined) throw this.#late
  }
}
