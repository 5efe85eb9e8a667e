import { AsyncLocalStorage } from 'node:async_hooks'
import { isPromise, type MaybePromise } from './maybe-promise.js'

// One for all: until Node 24 each that is in use adds its share to every promise of the process.
const contexts = new AsyncLocalStorage<readonly unknown[]>()
let count = 0
let holds = 0

/**
 * Keeps asynchronous contexts tracked for as long as anything asks what it runs in. While nobody holds, they are
 * not tracked: until Node 24 that would make each promise, tick and request of the process dearer.
 */
export class ContextHold {
  #isHeld = false
  #isReleased = false

  /** Once is enough. After its release it does nothing: nobody would release it again. */
  take(): void {
    if (this.#isHeld || this.#isReleased) return
    this.#isHeld = true
    holds++
  }

  /** What still runs inside is outside from now on, unless others hold. */
  release(): void {
    this.#isReleased = true
    if (!this.#isHeld) return
    this.#isHeld = false
    if (--holds === 0) contexts.disable()
  }
}

/**
 * A value for what runs inside, also after an `await`, in timers and in streams, as in an
 * `AsyncLocalStorage` of its own.
 */
export class AsyncSlot<T> {
  readonly #index = count++

  /** The value around the calling code. */
  get current(): T | undefined {
    return holds === 0 ? undefined : (contexts.getStore()?.[this.#index] as T | undefined)
  }

  /**
   * @param value - `undefined` hides that of the code around.
   * @param hold - Released when nobody asks for the value any more. Default: never.
   */
  run<R>(value: T | undefined, action: () => R, hold?: ContextHold): R {
    if (value !== undefined) (hold ?? new ContextHold()).take()
    // Where nobody holds, nobody asks.
    return holds === 0 ? action() : contexts.run(this.#with(value), action)
  }

  /** As {@link run}, for as long as the action takes. */
  runUntilSettled<R>(value: T, action: () => MaybePromise<R>): MaybePromise<R> {
    const hold = new ContextHold()
    let result: MaybePromise<R> | undefined
    try {
      result = this.run(value, action, hold)
      return isPromise(result) ? result.finally(() => hold.release()) : result
    } finally {
      if (!isPromise(result)) hold.release()
    }
  }

  /**
   * Has contexts tracked from now on, before one is entered by hand.
   *
   * @param hold - Released when nothing that is entered runs any more.
   */
  track(hold: ContextHold): void {
    hold.take()
    contexts.run(this.#with(this.current), () => undefined)
  }

  /**
   * Holds for the rest of the calling code, and for what it begins. Contexts have to be tracked since before that
   * began to wait: see {@link track}.
   */
  enter(value: T | undefined): void {
    contexts.enterWith(this.#with(value))
  }

  #with(value: T | undefined): readonly unknown[] {
    const inside = contexts.getStore()?.slice() ?? new Array<unknown>(count)
    inside[this.#index] = value
    return inside
  }
}
