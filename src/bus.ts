import type { MaybePromise } from './maybe-promise.js'

/** What a {@link Bus} calls. */
export interface BusListener {
  /** A message that this or another process published. */
  readonly message: (text: string) => void
  /** From now on every message arrives. Called again after each {@link down}. */
  readonly up: () => void
  /** From now on messages may be lost: nothing is served from local memory until the next `up`. */
  readonly down: () => void
}

/**
 * Tells processes of each other's changes: whatever carries a text of some kilobytes to all of them
 * within milliseconds, such as PostgreSQL's `NOTIFY`, NATS or the messages of `node:cluster`.
 */
export interface Bus {
  /** Sends a text to all processes. Rejects if it could not be sent; it is then sent again. */
  publish(text: string): MaybePromise<void>
  /** Starts listening, and calls `up` once it does. @returns Ends it. */
  subscribe(listener: BusListener): MaybePromise<() => MaybePromise<void>>
}
