import type { MaybePromise } from './maybe-promise.js'

/** The callbacks of a {@link Bus}. */
export interface BusListener {
  /** Receives a message that this or another process published. */
  readonly message: (text: string) => void
  /** From now on every message arrives. Called again after each {@link down}. */
  readonly up: () => void
  /** From now on messages may be lost. Nothing is served from local memory until the next `up`. */
  readonly down: () => void
}

/**
 * Notifies processes of each other's changes. Anything will do that carries a text of some kilobytes to all
 * of them within milliseconds, such as PostgreSQL's `NOTIFY`, NATS or the messages of `node:cluster`.
 */
export interface Bus {
  /** Sends a text to all processes. Rejects if it could not be sent; it is then sent again. */
  publish(text: string): MaybePromise<void>
  /** Starts listening, and calls `up` once it does. @returns A function that stops listening. */
  subscribe(listener: BusListener): MaybePromise<() => MaybePromise<void>>
}
