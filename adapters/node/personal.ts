import type { IncomingMessage } from 'node:http'
import { receivedFields } from './received.js'

/**
 * Whether somebody is known to the site, as far as the usual middlewares tell.
 *
 * @remarks A session that was only just opened does not count. One that holds anything does: what a
 *   visitor did, a flash message, the secret behind a form's token; and so does an empty one that the
 *   visitor came with, since a layer may have taken out what it held in order to show it.
 */
export function looksPersonal(req: IncomingMessage): boolean {
  const { user, auth, session, sessionID } = req as {
    user?: unknown
    auth?: unknown
    session?: unknown
    sessionID?: unknown
  }
  if (isSet(user) || isSet(auth)) return true
  // express-session; it has made another id where the visitor's is not known to it.
  if (typeof sessionID === 'string' && hasCookieWith(req, sessionID)) return true
  if (typeof session !== 'object' || session === null) return false
  // cookie-session
  if ((session as { readonly isNew?: unknown }).isNew === false) return true
  return Object.keys(session).some((name) => name !== 'cookie')
}

function hasCookieWith(req: IncomingMessage, text: string): boolean {
  const cookie = receivedFields(req)['cookie']
  if (typeof cookie !== 'string' || text === '') return false
  return cookie.includes(text) || cookie.includes(encodeURIComponent(text))
}

function isSet(value: unknown): boolean {
  return value !== undefined && value !== null && value !== false
}
