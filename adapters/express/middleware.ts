import type { IncomingMessage, ServerResponse } from 'node:http'
import type { RequestHandler } from 'express'

/**
 * A middleware of Express.
 *
 * @remarks Typed by what Node has, not as Express' `RequestHandler`: in front of a view that would
 *   make the types of the route's parameters forget their names.
 */
export type Middleware = (
  req: IncomingMessage,
  res: ServerResponse,
  next: (error?: unknown) => void,
) => void

/** Express calls it with its own request and response. */
export function asMiddleware(handler: RequestHandler): Middleware {
  return handler as Middleware
}
