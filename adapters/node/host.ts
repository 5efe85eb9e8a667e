import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Frame } from '../../src/making/frame.js'

/** What is different in each web framework over `node:http`. What is left out, a framework does not have. */
export interface Host {
  /**
   * The application that routes a request at the moment. Each may have its own rule for which proxies are
   * trusted.
   */
  readonly scopeOf?: (req: IncomingMessage) => object | undefined
  /** Whether `X-Forwarded-Host` and `X-Forwarded-Proto` are believed in this application. */
  readonly trusts: (req: IncomingMessage, scope: object | undefined) => boolean
  /** Removes the query parameters that are not part of the key, wherever the handler could see them. */
  readonly narrow: (req: IncomingMessage, keeps: (name: string) => boolean) => void
  /** What a request in the background is given to, where no server is known. */
  readonly listenerOf?: (req: IncomingMessage) => RequestListener | undefined
  /** Reports each error that is passed to an error handler: a page that was begun is then incomplete. */
  readonly watchErrors?: (req: IncomingMessage, onError: (res: ServerResponse) => void) => void
  /** Lets what getters of the variables read be known to the templates of a request's application. */
  readonly watchGetters?: (req: IncomingMessage) => void
  /** Lets a watcher see what templates render for a response. */
  readonly watchRender?: (req: IncomingMessage, res: ServerResponse, watcher: RenderWatcher) => void
}

/** Sees what a template rendered before the handler or the client does. */
export interface RenderWatcher {
  /** @returns The frame to render a template in; `undefined`: render it as without the watcher. */
  enter(): Frame | undefined
  /**
   * Called in place of `finish`, with what was rendered in a frame that {@link enter} gave.
   */
  leave(frame: Frame, rendered: RenderedText): void
}

/** What a template rendered, and where it goes. */
export interface RenderedText {
  readonly error: Error | null
  readonly text: string | undefined
  /** It is passed to the handler; otherwise it is sent as it is. */
  readonly isForHandler: boolean
  readonly finish: (error: Error | null, text?: string) => void
  /** Fails the request. */
  readonly fail: (error: Error) => void
}
