import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Frame } from '../../src/making/frame.js'

/** What a web framework makes of the requests and responses of `node:http`. */
export interface Host {
  /**
   * Who routes a request at the moment: whom `X-Forwarded-Host` and `X-Forwarded-Proto` are believed may
   * change with that.
   */
  readonly scopeOf: (req: IncomingMessage) => object | undefined
  /** Whether the other end of the connection is believed there. */
  readonly trusts: (req: IncomingMessage, scope: object | undefined) => boolean
  /** Takes the query parameters out of a request that are not kept, wherever its handler could see them. */
  readonly narrow: (req: IncomingMessage, keeps: (name: string) => boolean) => void
  /** What a request of an application that no server listens with can be given to once more. */
  readonly listenerOf: (req: IncomingMessage) => RequestListener | undefined
  /** Tells of each error that is given to a handler of errors: a page that was begun is not whole then. */
  readonly watchErrors: (req: IncomingMessage, onError: (res: ServerResponse) => void) => void
  /** Lets somebody see what is rendered for a response. */
  readonly watchRender: (req: IncomingMessage, res: ServerResponse, watcher: RenderWatcher) => void
}

/** Somebody who has to see what a template makes before it goes on. */
export interface RenderWatcher {
  /** @returns What a template is to be rendered in; `undefined`: as without the watcher. */
  enter(): Frame | undefined
  /**
   * Called with what was rendered in a frame that {@link enter} gave, in place of `finish`.
   */
  leave(frame: Frame, rendered: RenderedText): void
}

/** What a template made, and where it goes. */
export interface RenderedText {
  readonly error: Error | null
  readonly text: string | undefined
  /** The handler gets it, to make of it what it likes; else it is sent as it is. */
  readonly isForHandler: boolean
  readonly finish: (error: Error | null, text?: string) => void
  /** Fails the request. */
  readonly fail: (error: Error) => void
}
