import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Application, Request, Response } from 'express'
import { formatCacheStatus } from '../../src/http/cache-status.js'
import { hasPrecondition } from '../../src/http/conditional.js'
import type { Coding } from '../../src/http/content-coding.js'
import { lookupRefusal } from '../../src/http/policy.js'
import { narrowTarget } from '../../src/http/query.js'
import { judgeReuse } from '../../src/http/reuse.js'
import { currentAgeSeconds, type StoredResponse } from '../../src/http/stored-response.js'
import { isPromise } from '../../src/maybe-promise.js'
import { responseChannel } from './channel.js'
import { cameThrough, isDetached } from './detached.js'
import { isChosenEarly } from './early-refresh.js'
import type { Place } from './place.js'
import { firstMiddleware, passBehind } from './front.js'
import type { PageLookup, PageRequest } from './page.js'
import { keepCookieToItsOwner } from './last-word.js'
import {
  codingOf,
  endWith,
  isRangeForView,
  prepareAnswer,
  remainingSeconds,
  weakened,
} from './replay.js'
import { receivedFields } from './received.js'
import { rawUriOf } from './request.js'
import { serve } from './serve.js'
import { warnOfHolesInFront } from './warnings.js'

/**
 * A listener that answers hits before the application sees the request: of pages that were made with
 * nothing of the application before the cache, so that nothing is passed over.
 *
 * @param isOurs - Whether a middleware is the site's cache.
 * @param isInApp - Whether there is any such middleware in the application.
 */
export function listenInFront(
  app: Application,
  site: Place,
  isOurs: (middleware: unknown) => boolean,
  isInApp: () => boolean,
): RequestListener {
  const { settings, store } = site
  // They may depend on what middlewares make of the request.
  const knowsTooLittle =
    settings.language !== undefined ||
    settings.timeZone !== undefined ||
    settings.honorRequestDirectives
  const front = withoutVisitors(site)
  let position: { readonly kind: 'cache' | 'before-cache' | 'apart'; first?: unknown } | undefined

  /** Looked at when the first request comes: then the application is complete. */
  function findPosition(): NonNullable<typeof position> {
    if (!isInApp()) {
      if (settings.holes === undefined) return { kind: 'cache' }
      warnOfHolesInFront()
      return { kind: 'apart' }
    }
    const first = firstMiddleware(app)
    return isOurs(first) ? { kind: 'before-cache', first } : { kind: 'apart' }
  }

  function handOn(req: IncomingMessage, res: ServerResponse): void {
    if (position?.kind !== 'cache') return void app(req, res)
    const [request, response] = [req as Request, res as Response]
    becomeExpress(app, request, response)
    let isInside = false
    const next = () => {
      isInside = true
      app(req, res)
    }
    try {
      serve(front, request, response, next, true)
    } catch (error) {
      if (isInside) throw error
      // A function of the site's threw. No error handler is out here, so the cache is left out.
      app(req, res)
    }
  }

  return function listener(req, res) {
    cameThrough(req, listener)
    position ??= findPosition()
    const { kind, first } = position
    const isBlind = knowsTooLittle || kind === 'apart'
    let request: PageRequest | undefined
    try {
      request = isBlind ? undefined : toPageRequest(req, app, site)
    } catch {
      // A function of the site's threw; where Express asks it, its errors are handled.
    }
    if (request === undefined) return handOn(req, res)
    const settle = (lookup: PageLookup) => {
      const { page } = lookup
      if (page?.isWhole === true && !isDetached(req) && mayAnswer(page, req, site)) {
        // Who fills holes has to know the visitor.
        const isFresh = judgeReuse(page, undefined, Date.now()) === 'fresh'
        if (page.holes === undefined && isFresh && !isChosenEarly(req, page, site.earlyRefresh)) {
          return answer(req, res, page, site, { request, lookup })
        }
      }
      passBehind(req, { first, store, uri: request.uri, lookup })
      handOn(req, res)
    }
    let found
    try {
      found = store.lookupAtOnce(request) ?? store.lookup(request)
    } catch {
      // Whoever looks next will tell.
      return handOn(req, res)
    }
    if (isPromise(found)) found.then(settle, () => handOn(req, res))
    else settle(found)
  }
}

function toPageRequest(
  req: IncomingMessage,
  app: Application,
  site: Place,
): PageRequest | undefined {
  const { method = '', url = '' } = req
  const headers = receivedFields(req)
  const { keepsParameter } = site.settings
  const target = keepsParameter === undefined ? url : narrowTarget(url, keepsParameter)
  const uri = rawUriOf(req, app, target)
  if (uri === undefined || lookupRefusal({ method, uri, headers }) !== undefined) return undefined
  return { method, uri, language: undefined, timeZone: undefined, headers }
}

/** Nobody has said yet whose request it is. */
function mayAnswer(page: StoredResponse, req: IncomingMessage, { settings }: Place): boolean {
  if (isRangeForView(req, page)) return false
  if (page.isPublic || settings.isImpersonal) return true
  if (page.nominated.some(([name]) => name === 'cookie')) return true
  return !settings.hasOwnIsPersonal && receivedFields(req)['cookie'] === undefined
}

/**
 * Where no session has been opened yet, a cookie may be that of a visitor who is signed in, unless
 * the site can tell by itself.
 */
function withoutVisitors(site: Place): Place {
  const { settings } = site
  if (settings.isImpersonal) return site
  const isPersonal = (req: Request) =>
    receivedFields(req)['cookie'] !== undefined || settings.isPersonal(req)
  return { ...site, settings: { ...settings, isPersonal } }
}

/** What Express makes of a request and a response when they come in. */
function becomeExpress(app: Application, req: Request, res: Response): void {
  const prototypes = app as unknown as { readonly request: object; readonly response: object }
  Object.setPrototypeOf(req, prototypes.request)
  Object.setPrototypeOf(res, prototypes.response)
  req.res = res
  ;(res as { req: Request }).req = req
  req.originalUrl = req.url
}

/** A stored response as it goes over the wire. */
interface Wire {
  readonly headers: readonly string[]
  readonly body: Buffer
}

const wires = new WeakMap<StoredResponse, Map<Coding | undefined, Wire>>()

function wireOf(page: StoredResponse, coding: Coding | undefined): Wire {
  let ofPage = wires.get(page)
  if (ofPage === undefined) wires.set(page, (ofPage = new Map<Coding | undefined, Wire>()))
  let wire = ofPage.get(coding)
  if (wire === undefined) ofPage.set(coding, (wire = makeWire(page, coding)))
  return wire
}

function makeWire(page: StoredResponse, coding: Coding | undefined): Wire {
  const i = page.codings.findIndex(([name]) => name === coding)
  const body = page.encoded[i] ?? page.body
  const headers: string[] = []
  for (const [name, value] of page.headers) {
    const lower = name.toLowerCase()
    if (lower === 'content-length') continue
    const values = typeof value === 'string' ? [value] : value
    for (const one of values) {
      headers.push(name, coding !== undefined && lower === 'etag' ? String(weakened(one)) : one)
    }
  }
  if (coding !== undefined) headers.push('Content-Encoding', coding)
  headers.push('Content-Length', String(body.length))
  return { headers, body }
}

function answer(
  req: IncomingMessage,
  res: ServerResponse,
  page: StoredResponse,
  { settings, store, routes }: Place,
  { request, lookup }: { readonly request: PageRequest; readonly lookup: PageLookup },
): void {
  const nowMs = Date.now()
  const { headers } = req
  const handling = { hit: true, ttlSeconds: remainingSeconds(page, nowMs) } as const
  const isSimple =
    page.status === 200 &&
    headers['range'] === undefined &&
    !hasPrecondition(headers) &&
    res.getHeaderNames().length === 0
  if (isSimple) {
    const coding = codingOf(page, headers)
    const wire = wireOf(page, coding)
    const all = [...wire.headers, 'Age', String(currentAgeSeconds(page, nowMs))]
    if (settings.cacheStatus) all.push('Cache-Status', formatCacheStatus(handling))
    if (page.statusMessage === undefined) res.writeHead(page.status, all)
    else res.writeHead(page.status, page.statusMessage, all)
    if (req.method === 'HEAD') res.end()
    else res.end(wire.body)
  } else {
    const body = prepareAnswer(req, res, page, nowMs)
    if (!settings.rfc9111) keepCookieToItsOwner(res)
    if (settings.cacheStatus) res.setHeader('Cache-Status', formatCacheStatus(handling))
    endWith(res, body)
  }
  routes.of(req, request.uri, store.alias).hits++
  if (!responseChannel.hasSubscribers) return
  const { method, uri: url } = request
  const key = store.keyOf(request, lookup.headerList)
  responseChannel.publish({ method, url, key, alias: store.alias, outcome: 'hit' })
}
