import type { IncomingMessage, ServerResponse } from 'node:http'

/**
 * A middleware for Express, or for any framework that calls it with these three arguments.
 *
 * @remarks Typed by Node's classes and not as Express' `RequestHandler`, which would make TypeScript forget the
 *   names of the route's parameters in the handler that follows.
 */
export type Middleware = (
  req: IncomingMessage,
  res: ServerResponse,
  next: (error?: unknown) => void,
) => void
