import type { IncomingMessage } from 'node:http'
import type { HeaderFields, HeaderValue } from '../../src/http/header-values.js'
import { ROUTED } from '../../src/http/page-key.js'
import { isWatched, unnoticed } from './unnoticed.js'

/**
 * The header fields by which a request is judged and its page is keyed. They are those of `req.headers`,
 * and in addition what was received of `Cookie` and `Authorization`: a layer that reads a credential and
 * then deletes or rewrites it makes the request no less that visitor's. Where a layer in front of the
 * cache rewrote `req.url`, the target that is routed is a field too, called `ROUTED`.
 *
 * @returns `req.headers` itself where that says all there is to say.
 */
export function receivedFields(req: IncomingMessage): HeaderFields {
  return unnoticed(() => read(req))
}

function read(req: IncomingMessage): HeaderFields {
  const { headers } = req
  // What stands in a key is read later, too.
  let fields: Record<string, HeaderValue | undefined> | undefined = isWatched(headers)
    ? { ...headers }
    : undefined
  const set = (name: string, value: string | undefined) => {
    if (value === undefined || value === headers[name]) return
    fields ??= { ...headers }
    const left = headers[name]
    // What is left may be another visitor's credential: both tell requests apart.
    fields[name] = left === undefined ? value : `${value}\n${String(left)}`
  }
  const { cookie, authorization } = rawCredentials(req.rawHeaders)
  set('cookie', cookie)
  set('authorization', authorization)
  const routed = routedTarget(req)
  if (routed !== undefined) (fields ??= { ...headers })[ROUTED] = routed
  return fields ?? headers
}

/** As Node makes them of the lines that came: cookies are joined, of credentials the first counts. */
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

/** A framework that routes by `req.url` keeps what was asked for, and the part that a router has taken. */
interface Routable {
  readonly baseUrl?: string
  readonly url?: string | undefined
  readonly originalUrl?: string | undefined
}

/**
 * The target that Express routes, where a layer in front of the cache made another of it than what was
 * asked for: by a language, a tenant or a device, for example.
 *
 * @returns `undefined`: it is what was asked for.
 */
function routedTarget({ baseUrl = '', url = '', originalUrl = url }: Routable): string | undefined {
  const routed = baseUrl + url
  if (routed === originalUrl) return undefined
  // Where a mounted application or router takes the whole path, Express adds a slash to what is left.
  const isCutOff = baseUrl !== '' && /^\/(?:$|[?.])/.test(url)
  return isCutOff && baseUrl + url.slice(1) === originalUrl ? undefined : routed
}
