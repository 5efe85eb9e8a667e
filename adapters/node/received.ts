import type { IncomingMessage } from 'node:http'
import { types } from 'node:util'
import type { HeaderFields, HeaderValue } from '../../src/http/header-values.js'
import { ROUTED } from '../../src/http/page-key.js'
import { isPlainObject } from '../../src/value.js'
import { isWatched, unnoticed } from './unnoticed.js'

/**
 * The header fields by which a request is judged and its page is keyed: those of `req.headers`, with `Cookie`
 * and `Authorization` as they were received. A request stays per-user though a layer has read a credential and
 * then deleted or rewritten it. Over HTTP/2, `:authority` counts as `Host`. Where a layer
 * in front of the cache rewrote `req.url`, the target that is routed is a field too, called `ROUTED`.
 *
 * @returns `req.headers` itself where there is nothing to add.
 */
export function receivedFields(req: IncomingMessage): HeaderFields {
  return unnoticed(() => read(req))
}

function read(req: IncomingMessage): HeaderFields {
  const { headers } = req
  // A copy: to read the values later must not count as a read by the handler.
  let fields: Record<string, HeaderValue | undefined> | undefined = isWatched(headers)
    ? { ...headers }
    : undefined
  const set = (name: string, value: string | undefined) => {
    if (value === undefined || value === headers[name]) return
    fields ??= { ...headers }
    const left = headers[name]
    // A rewritten credential may be that of another user: both are part of the value.
    fields[name] = left === undefined ? value : `${value}\n${String(left)}`
  }
  const { cookie, authorization } = rawCredentials(req.rawHeaders)
  set('cookie', cookie)
  set('authorization', authorization)
  set('host', headers[':authority'] as string | undefined)
  const routed = routedTarget(req)
  if (routed !== undefined) (fields ??= { ...headers })[ROUTED] = routed
  return fields ?? headers
}

/** As Node reads them: lines of `Cookie` are joined, of `Authorization` the first one counts. */
function rawCredentials(rawHeaders: readonly string[]): {
  readonly cookie: string | undefined
  readonly authorization: string | undefined
} {
  let cookie: string | undefined
  let authorization: string | undefined
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const { length } = rawHeaders[i] ?? ''
    if (length === 6 && rawHeaders[i]?.toLowerCase() === 'cookie') {
      cookie = cookie === undefined ? rawHeaders[i + 1] : `${cookie}; ${rawHeaders[i + 1] ?? ''}`
    } else if (length === 13 && rawHeaders[i]?.toLowerCase() === 'authorization') {
      authorization ??= rawHeaders[i + 1]
    }
  }
  return { cookie, authorization }
}

/** What a framework that routes by `req.url` adds: the original URL, and the path that routers have taken off. */
interface Routable {
  readonly baseUrl?: string
  readonly url?: string | undefined
  readonly originalUrl?: string | undefined
}

/**
 * The target that is routed, where a layer in front of the cache has rewritten the URL: by language, tenant or
 * device, for example.
 *
 * @returns `undefined`: it is the one that was requested.
 */
function routedTarget({ baseUrl = '', url = '', originalUrl = url }: Routable): string | undefined {
  const routed = baseUrl + url
  if (routed === originalUrl) return undefined
  // Where a mounted application or router takes the whole path, Express adds a slash to what is left.
  const isCutOff = baseUrl !== '' && /^\/(?:$|[?.])/.test(url)
  return isCutOff && baseUrl + url.slice(1) === originalUrl ? undefined : routed
}

/**
 * Whether a request is per-user, as far as the usual middlewares tell.
 *
 * @remarks A session that this request opened does not count while it is empty. One that holds anything does, such
 *   as a flash message or the secret of a form token; and so does an empty one that existed before, since a
 *   layer may have taken out what it held in order to show it.
 */
export function looksPersonal(req: IncomingMessage): boolean {
  if (hasUser(req)) return true
  const { session, sessionID } = req as { session?: unknown; sessionID?: unknown }
  // express-session; an id that is in the cookie is one that it knew.
  if (typeof sessionID === 'string' && hasCookieWith(req, sessionID)) return true
  return !isEmptySession(session)
}

/** Whether a session is seen to hold nothing. */
function isEmptySession(session: unknown): boolean {
  if (typeof session !== 'object' || session === null) return !session
  const names = Object.keys(session)
  if (names.some((name) => name !== 'cookie')) return false
  const { isNew } = session as { readonly isNew?: unknown }
  // cookie-session
  if (typeof isNew === 'boolean') return isNew
  // express-session always has a `cookie`. Others of a class, such as a `Map`, may hold what cannot be listed.
  return names.length > 0 || (isPlainObject(session) && !types.isProxy(session))
}

/** Whether a sign-in has given the request its user. */
export function hasUser(req: IncomingMessage): boolean {
  const { user, auth } = req as { user?: unknown; auth?: unknown }
  return isSet(user) || isSet(auth)
}

function hasCookieWith(req: IncomingMessage, text: string): boolean {
  const cookie = receivedFields(req)['cookie']
  if (typeof cookie !== 'string' || text === '') return false
  return cookie.includes(text) || cookie.includes(encodeURIComponent(text))
}

function isSet(value: unknown): boolean {
  return value !== undefined && value !== null && value !== false
}
