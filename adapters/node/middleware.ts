import type { IncomingMessage, ServerResponse } from 'node:http'

/**
 * A middleware for Express, or for any framework that calls it with these three arguments.
 *
 * @remarks It has the types of Node's classes and not Express' `RequestHandler`. The latter would make
 *   TypeScript forget the names of the route's parameters in the handler that follows.
 */
export type Middleware = (
  req: IncomingMessage,
  res: ServerResponse,
  next: (error?: unknown) => void,
) => void
