import { AsyncLocalStorage } from 'node:async_hooks'

// One for all: until Node 24 each that is in use adds its share to every promise of the process.
const contexts = new AsyncLocalStorage<readonly unknown[]>()
let count = 0

/**
 * A value for what runs inside, also after an `await`, in timers and in streams, as in an
 * `AsyncLocalStorage` of its own.
 */
export class AsyncSlot<T> {
  readonly #index = count++
  #isUsed = false

  /** Whether anything ever ran in it. */
  get isUsed(): boolean {
    return this.#isUsed
  }

  /** The value around the calling code. */
  get current(): T | undefined {
    return this.#isUsed ? (contexts.getStore()?.[this.#index] as T | undefined) : undefined
  }

  /** @param value - `undefined` hides that of the code around. */
  run<R>(value: T | undefined, action: () => R): R {
    return contexts.run(this.#with(value), action)
  }

  /** Holds for the rest of the calling code, and for what it begins. */
  enter(value: T | undefined): void {
    contexts.enterWith(this.#with(value))
  }

  #with(value: T | undefined): readonly unknown[] {
    this.#isUsed = true
    const inside = contexts.getStore()?.slice() ?? new Array<unknown>(count)
    inside[this.#index] = value
    return inside
  }
}
