import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { AsyncSlot, ContextHold } from '../../src/async-slot.js'
import { neverThrowing } from '../../src/observe/watch.js'
import { RequestRoute } from '../node/routes.js'
import type { Trace } from './traces.js'

/** Node tells of every request of HTTP/1 here before it is handled. */
const REQUEST_CHANNEL = 'http.server.request.start'

/** What a message of that channel has. */
export interface RequestStarted {
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

/** A request that is being answered, and what is noted of it. */
export class Answering {
  readonly route: RequestRoute
  /** Of few requests, while somebody looks at the live feed. */
  trace: Trace | undefined
  /** Whether it is counted among those that have asked a cache for anything. */
  isCounted = false

  constructor(
    request: IncomingMessage,
    readonly path: string,
  ) {
    this.route = new RequestRoute(request)
  }
}

/** Knows which request the calling code answers, while it follows them. */
export class FollowedRequests {
  readonly #slot = new AsyncSlot<Answering>()

  constructor(private readonly who: string) {}

  /** The one that the calling code answers. */
  get current(): Answering | undefined {
    return this.#slot.current
  }

  /**
   * @param begin - Called with every request that this process answers from now on. `undefined`: it is not followed.
   * @returns Ends it.
   */
  follow(begin: (started: RequestStarted) => Answering | undefined): () => void {
    const hold = new ContextHold()
    this.#slot.track(hold)
    const onMessage = neverThrowing(this.who)((message: unknown) => {
      const answering = begin(message as RequestStarted)
      if (answering !== undefined) this.#slot.enter(answering)
    })
    subscribe(REQUEST_CHANNEL, onMessage)
    return () => {
      unsubscribe(REQUEST_CHANNEL, onMessage)
      hold.release()
    }
  }
}
