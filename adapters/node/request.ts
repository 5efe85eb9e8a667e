import type { IncomingMessage } from 'node:http'
import { headerText, type HeaderFields } from '../../src/http/header-values.js'
import { absoluteUri, isKeyPart } from '../../src/http/page-key.js'
import { lookupRefusal } from '../../src/pages/policy.js'
import type { AdmissionRefusal } from '../../src/pages/reasons.js'
import type { Host } from './host.js'
import type { Settings } from './settings.js'
import type { PageRequest } from '../../src/pages/page.js'
import { hasUser, receivedFields } from './received.js'
import { unnoticed } from './unnoticed.js'
import { hasUntoldBody } from './protocol.js'

/** A request that the cache is asked for, or why it is not. */
export type Admission =
  | { readonly request: PageRequest; readonly refusal?: undefined }
  | { readonly request?: undefined; readonly refusal: AdmissionRefusal }

/**
 * Reads what the cache needs to know of a request, once per request. Query parameters that are not part of the
 * key are removed, so that the handler does not see them either.
 */
export function admit(req: IncomingMessage, settings: Settings): Admission {
  const method = requestLineMethod(req)
  if (settings.keepsParameter !== undefined && (method === 'GET' || method === 'HEAD')) {
    settings.host.narrow(req, settings.keepsParameter)
  }
  const uri = uriOf(req, settings.host)
  const headers = receivedFields(req)
  const refusal =
    lookupRefusal({ method, uri, headers }) ?? (hasUntoldBody(req) ? 'request-body' : undefined)
  if (refusal !== undefined || uri === undefined) return { refusal: refusal ?? 'uri-unreadable' }
  const language = keyPart(settings.language, req)
  if (language === null) return { refusal: 'language-unreadable' }
  const timeZone = keyPart(settings.timeZone, req)
  if (timeZone === null) return { refusal: 'time-zone-unreadable' }
  return { request: { method, uri, language, timeZone, headers } }
}

/** The request target that the client sent, though layers may have rewritten it. */
export function targetOf(req: IncomingMessage): string {
  return (req as { readonly originalUrl?: string }).originalUrl ?? req.url ?? ''
}

/**
 * The absolute URI of a request, as sent; scheme and host as far as the site trusts the proxy that names them.
 *
 * @param target - The request target, as far as it is part of the key.
 * @param scope - Who routes the request.
 * @param headers - The header fields that may name scheme and host.
 * @returns `undefined` if it cannot be told safely.
 * @see Express, `req.protocol`
 */
export function uriOf(
  req: IncomingMessage,
  host: Host,
  target = targetOf(req),
  scope = host.scopeOf?.(req),
  headers: HeaderFields = req.headers,
): string | undefined {
  const { socket } = req
  const own = (socket as { encrypted?: boolean }).encrypted === true ? 'https' : 'http'
  const forwarded = headers['x-forwarded-proto']
  let protocol = own
  if (forwarded !== undefined && forwarded !== '' && host.trusts(req, scope)) {
    const text = String(forwarded)
    const comma = text.indexOf(',')
    protocol = (comma === -1 ? text : text.slice(0, comma)).trim()
  }
  return absoluteUri(protocol, hostOf(req, host, scope, headers), target)
}

/**
 * With the port, which `req.hostname` leaves out.
 *
 * @returns `undefined`: there is none, or it is not clear which it is.
 * @see Express, `req.host`; RFC 9113 §8.3.1
 */
function hostOf(
  req: IncomingMessage,
  host: Host,
  scope: object | undefined,
  headers: HeaderFields,
): string | undefined {
  const forwarded = headerText(headers, 'x-forwarded-host')
  if (forwarded === undefined || forwarded === '' || !host.trusts(req, scope)) {
    const named = headerText(headers, 'host')
    const authority = headerText(headers, ':authority')
    // Handlers read the one or the other, and an attacker may have sent both.
    const isClear = named === undefined || authority === undefined || named === authority
    return isClear ? (named ?? authority) : undefined
  }
  return forwarded.split(',', 1)[0]?.trimEnd()
}

/**
 * The method in the request line, unless a method override made it one that is not for the cache.
 *
 * @remarks The middleware `method-override` keeps it as `req.originalMethod`.
 */
export function requestLineMethod(req: IncomingMessage): string {
  const { method = '' } = req
  if (method !== 'GET' && method !== 'HEAD') return method
  const { originalMethod } = req as { originalMethod?: unknown }
  return typeof originalMethod === 'string' ? originalMethod : method
}

/** @returns `null` if the function throws, or gives something that cannot be part of a key. */
export function keyPart(
  read: ((req: IncomingMessage) => string | undefined) | undefined,
  req: IncomingMessage,
): string | null | undefined {
  if (read === undefined) return undefined
  let part: unknown
  try {
    part = unnoticed(() => read(req))
  } catch {
    return null
  }
  return part === undefined || isKeyPart(part) ? part : null
}

/** Whether a request is per-user; it is if the site's function throws. */
export function isPersonal(req: IncomingMessage, settings: Settings): boolean {
  return isOrThrows(() => settings.isPersonal(req))
}

/** Whether a sign-in has given the request a user; it has if its getter throws. */
export function isSignedIn(req: IncomingMessage): boolean {
  return isOrThrows(() => hasUser(req))
}

/** In doubt a request is a visitor's. */
function isOrThrows(ask: () => boolean): boolean {
  try {
    return unnoticed(ask)
  } catch {
    return true
  }
}
