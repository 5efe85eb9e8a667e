import type { Outbox } from './outbox.js'
import type { Request } from './request.js'

/** One way to speak to a server, with the state of one connection. */
export interface Protocol {
  /** Writes what goes out together. */
  encode(requests: readonly Request[], out: Outbox): void
  /**
   * Takes what the server sent, cut anywhere, and settles the requests it answers.
   *
   * @param next - The oldest request without an answer; `undefined` if there is none.
   * @param answered - Called when that request has its answer, before it is settled.
   * @throws Error: the bytes are no answer to the request. Nothing on the connection can be
   *   trusted any more.
   */
  receive(chunk: Buffer, next: () => Request | undefined, answered: () => void): void
}
