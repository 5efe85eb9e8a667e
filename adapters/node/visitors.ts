import type { IncomingMessage } from 'node:http'
import type { PageRequest } from '../../src/pages/page.js'
import type { Place } from './place.js'

/** Whether a request has cookies, and the handler of its page reads them: it may know the visitor. */
export function mayKnow(
  { store, routes }: Place,
  req: IncomingMessage,
  request: PageRequest,
): boolean {
  if (request.headers['cookie'] === undefined) return false
  return store.readsCookies(request, routes.routeOf(req, request.uri))
}
