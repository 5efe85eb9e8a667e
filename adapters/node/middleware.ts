import type { IncomingMessage, ServerResponse } from 'node:http'

/**
 * A middleware for Express and for whatever else calls one with these three.
 *
 * @remarks Typed by what Node has, not as Express' `RequestHandler`: in front of a view that would
 *   make the types of the route's parameters forget their names.
 */
export type Middleware = (
  req: IncomingMessage,
  res: ServerResponse,
  next: (error?: unknown) => void,
) => void
