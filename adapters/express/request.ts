import type { IncomingMessage } from 'node:http'
import type { Application, Request } from 'express'
import { headerText, type HeaderFields } from '../../src/http/header-values.js'
import { absoluteUri, isKeyPart } from '../../src/http/page-key.js'
import { lookupRefusal, type LookupRefusal } from '../../src/http/policy.js'
import { narrowRequest } from './narrow.js'
import type { Settings } from './options.js'
import type { PageRequest } from './page.js'
import { receivedFields } from './received.js'
import { unnoticed } from './unnoticed.js'

/** A request the cache is asked for, or why it is not. */
export type Admission =
  | { readonly request: PageRequest; readonly refusal?: undefined }
  | {
      readonly request?: undefined
      readonly refusal: LookupRefusal | 'language-unreadable' | 'time-zone-unreadable'
    }

/**
 * Reads what the cache needs to know of a request, once per request. What of the query is no part of
 * the key, the view does not see either.
 */
export function admit(req: Request, settings: Settings): Admission {
  const method = requestLineMethod(req)
  if (settings.keepsParameter !== undefined && (method === 'GET' || method === 'HEAD')) {
    narrowRequest(req, settings.keepsParameter)
  }
  const uri = uriOf(req)
  const headers = receivedFields(req)
  const refusal = lookupRefusal({ method, uri, headers })
  if (refusal !== undefined || uri === undefined) return { refusal: refusal ?? 'uri-unreadable' }
  const language = keyPart(settings.language, req)
  if (language === null) return { refusal: 'language-unreadable' }
  const timeZone = keyPart(settings.timeZone, req)
  if (timeZone === null) return { refusal: 'time-zone-unreadable' }
  return { request: { method, uri, language, timeZone, headers } }
}

/** The absolute URI as sent, scheme and host as Express derives them under its `trust proxy`. */
export function uriOf(req: Request): string | undefined {
  return rawUriOf(req, req.app, req.originalUrl)
}

/**
 * The same, also before Express has seen the request.
 *
 * @param app - Whose `trust proxy` counts.
 * @param target - The request target, as far as it is part of the key.
 * @see Express, `req.protocol`
 */
export function rawUriOf(
  req: IncomingMessage,
  app: Application,
  target: string,
  headers: HeaderFields = req.headers,
): string | undefined {
  const { socket } = req
  const own = (socket as { encrypted?: boolean }).encrypted === true ? 'https' : 'http'
  const forwarded = headers['x-forwarded-proto']
  let protocol = own
  if (forwarded !== undefined && forwarded !== '' && trusts(app, req)) {
    const text = String(forwarded)
    const comma = text.indexOf(',')
    protocol = (comma === -1 ? text : text.slice(0, comma)).trim()
  }
  return absoluteUri(protocol, hostOf(req, app, headers), target)
}

/** Scheme and host of a request with these header fields, under the `trust proxy` of an application. */
export function originOf(
  req: IncomingMessage,
  app: Application,
  headers: HeaderFields,
): string | undefined {
  return rawUriOf(req, app, '/', headers)
}

function trusts(app: Application, req: IncomingMessage): boolean {
  const trust = app.get('trust proxy fn') as (address: string | undefined, hop: number) => boolean
  return trust(req.socket.remoteAddress, 0)
}

/**
 * With the port, which `req.hostname` leaves out.
 *
 * @see Express, `req.host`
 */
function hostOf(req: IncomingMessage, app: Application, headers: HeaderFields): string | undefined {
  const forwarded = headerText(headers, 'x-forwarded-host')
  if (forwarded === undefined || forwarded === '' || !trusts(app, req)) {
    return headerText(headers, 'host')
  }
  return forwarded.split(',', 1)[0]?.trimEnd()
}

/**
 * The method in the request line, unless an override made of it what is not for the cache.
 *
 * @remarks The middleware `method-override` keeps it as `req.originalMethod`.
 */
export function requestLineMethod(req: Request): string {
  const { method } = req
  if (method !== 'GET' && method !== 'HEAD') return method
  const { originalMethod } = req as { originalMethod?: unknown }
  return typeof originalMethod === 'string' ? originalMethod : method
}

/** @returns `null` if what the function gives, or throws, cannot be part of a key. */
export function keyPart(
  read: ((req: Request) => string | undefined) | undefined,
  req: Request,
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
export function isPersonal(req: Request, settings: Settings): boolean {
  try {
    return unnoticed(() => settings.isPersonal(req))
  } catch {
    return true
  }
}
