import type { IncomingMessage } from 'node:http'
import { headerText, type HeaderFields } from '../../src/http/header-values.js'
import { absoluteUri, isKeyPart } from '../../src/http/page-key.js'
import { lookupRefusal } from '../../src/pages/policy.js'
import type { AdmissionRefusal } from '../../src/pages/reasons.js'
import type { Host } from './host.js'
import type { Settings } from './settings.js'
import type { PageRequest } from '../../src/pages/page.js'
import { receivedFields } from './received.js'
import { unnoticed } from './unnoticed.js'
import { hasUntoldBody } from './protocol.js'

/** A request the cache is asked for, or why it is not. */
export type Admission =
  | { readonly request: PageRequest; readonly refusal?: undefined }
  | { readonly request?: undefined; readonly refusal: AdmissionRefusal }

/**
 * Reads what the cache needs to know of a request, once per request. What of the query is no part of
 * the key, the view does not see either.
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

/** What the client asked for, whatever layers on the way made of it. */
export function targetOf(req: IncomingMessage): string {
  return (req as { readonly originalUrl?: string }).originalUrl ?? req.url ?? ''
}

/** The absolute URI as sent; scheme and host as far as the site trusts the proxy that names them. */
export function uriOf(req: IncomingMessage, host: Host): string | undefined {
  return rawUriOf(req, host, host.scopeOf(req), targetOf(req))
}

/**
 * The same, of any target.
 *
 * @param scope - Who routes the request.
 * @param target - The request target, as far as it is part of the key.
 * @see Express, `req.protocol`
 */
export function rawUriOf(
  req: IncomingMessage,
  host: Host,
  scope: object | undefined,
  target: string,
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

/** Scheme and host of a request with these header fields. */
export function originOf(
  req: IncomingMessage,
  host: Host,
  scope: object | undefined,
  headers: HeaderFields,
): string | undefined {
  return rawUriOf(req, host, scope, '/', headers)
}

/**
 * With the port, which `req.hostname` leaves out.
 *
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
    return headerText(headers, 'host') ?? headerText(headers, ':authority')
  }
  return forwarded.split(',', 1)[0]?.trimEnd()
}

/**
 * The method in the request line, unless an override made of it what is not for the cache.
 *
 * @remarks The middleware `method-override` keeps it as `req.originalMethod`.
 */
export function requestLineMethod(req: IncomingMessage): string {
  const { method = '' } = req
  if (method !== 'GET' && method !== 'HEAD') return method
  const { originalMethod } = req as { originalMethod?: unknown }
  return typeof originalMethod === 'string' ? originalMethod : method
}

/** @returns `null` if what the function gives, or throws, cannot be part of a key. */
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

/** In doubt, it is. */
export function isPersonal(req: IncomingMessage, settings: Settings): boolean {
  try {
    return unnoticed(() => settings.isPersonal(req))
  } catch {
    return true
  }
}
