import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Application, Request, Response } from 'express'
import { currentMs } from '../../src/current-time.js'
import { lookupRefusal } from '../../src/pages/policy.js'
import { narrowTarget } from '../../src/http/query.js'
import { judgeReuse } from '../../src/pages/reuse.js'
import type { StoredResponse } from '../../src/http/stored-response.js'
import { isPromise } from '../../src/maybe-promise.js'
import { responseChannel } from '../../src/pages/channel.js'
import { isChosenEarly } from '../../src/pages/early-refresh.js'
import type { PageLookup, PageRequest } from '../../src/pages/page.js'
import { cameThrough, isDetached } from '../node/detached.js'
import { passBehind } from '../node/front.js'
import { answerTimedOut } from '../node/late-handler.js'
import type { Place } from '../node/place.js'
import { receivedFields } from '../node/received.js'
import { isRangeForHandler } from '../node/replay.js'
import { uriOf } from '../node/request.js'
import { serve } from '../node/serve.js'
import { warnOfHolesInFront } from '../node/warnings.js'
import { answerFresh } from '../node/wire.js'
import { firstMiddleware } from './first-middleware.js'

/**
 * A listener that answers hits before the application sees the request, with pages that were rendered while no part
 * of the application ran before the cache, so that nothing is skipped.
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
  // These may depend on what middlewares add to the request.
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
    cameThrough(req, listener)
    if (position?.kind !== 'cache') return void app(req, res)
    const [request, response] = [req as Request, res as Response]
    becomeExpress(app, request, response)
    let isInside = false
    const next = () => {
      // No error handler runs here.
      if (isInside) return answerTimedOut(res)
      isInside = true
      app(req, res)
    }
    try {
      serve(front, request, response, next, true)
    } catch (error) {
      if (isInside) throw error
      // A function of the site threw. No error handler runs here, so the request goes on without the cache.
      app(req, res)
    }
  }

  /** Answers a hit. @returns Whether there is one, that may be given here. */
  function answers(
    req: IncomingMessage,
    res: ServerResponse,
    request: PageRequest,
    { page, headerList }: PageLookup,
  ): boolean {
    if (page?.isWhole !== true || isDetached(req) || !mayAnswer(page, request, req, site)) {
      return false
    }
    // Holes can be filled only inside of the application.
    const isFresh = judgeReuse(page, undefined, currentMs()) === 'fresh'
    if (page.holes !== undefined || !isFresh || isChosenEarly(req, page, site.earlyRefresh)) {
      return false
    }
    answerFresh(req, res, page, site, request.uri)
    if (responseChannel.hasSubscribers) {
      const { method, uri: url } = request
      const key = store.keyOf(request, headerList)
      responseChannel.publish({ method, url, key, alias: store.alias, outcome: 'hit' })
    }
    return true
  }

  function settle(
    req: IncomingMessage,
    res: ServerResponse,
    request: PageRequest,
    lookup: PageLookup,
  ): void {
    if (answers(req, res, request, lookup)) return
    passBehind(req, { first: position?.first, store, uri: request.uri, lookup })
    handOn(req, res)
  }

  function listener(req: IncomingMessage, res: ServerResponse): void {
    position ??= findPosition()
    const { kind } = position
    const isBlind = knowsTooLittle || kind === 'apart'
    let request: PageRequest | undefined
    try {
      request = isBlind ? undefined : toPageRequest(req, app, site)
    } catch {
      // A function of the site threw; inside of Express its errors are handled.
    }
    if (request === undefined) return handOn(req, res)
    let found
    try {
      found = store.lookupAtOnce(request) ?? store.lookup(request)
    } catch {
      // The next look-up, inside of the application, reports it.
      return handOn(req, res)
    }
    if (isPromise(found)) {
      found.then(
        (lookup) => settle(req, res, request, lookup),
        () => handOn(req, res),
      )
    } else settle(req, res, request, found)
  }

  return listener
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
  const uri = uriOf(req, site.settings.host, target, app)
  if (uri === undefined || lookupRefusal({ method, uri, headers }) !== undefined) return undefined
  return { method, uri, language: undefined, timeZone: undefined, headers }
}

/** Whether a page may answer before the application could tell whether the request is per-user. */
function mayAnswer(
  page: StoredResponse,
  { headers }: PageRequest,
  req: IncomingMessage,
  { settings }: Place,
): boolean {
  if (isRangeForHandler(req, page)) return false
  if (page.isPublic || settings.isImpersonal) return true
  if (page.nominated.some(([name]) => name === 'cookie')) return true
  return !settings.hasOwnIsPersonal && headers['cookie'] === undefined
}

/**
 * The place with a stricter rule for per-user requests: before the application has opened a session, any cookie may
 * be that of a user.
 */
function withoutVisitors(site: Place): Place {
  const { settings } = site
  if (settings.isImpersonal) return site
  const isPersonal = (req: IncomingMessage) =>
    receivedFields(req)['cookie'] !== undefined || settings.isPersonal(req)
  return { ...site, settings: { ...settings, isPersonal } }
}

/** Makes a request and a response those of Express, as Express does when they come in. */
function becomeExpress(app: Application, req: Request, res: Response): void {
  const prototypes = app as unknown as { readonly request: object; readonly response: object }
  Object.setPrototypeOf(req, prototypes.request)
  Object.setPrototypeOf(res, prototypes.response)
  req.res = res
  ;(res as { req: Request }).req = req
  req.originalUrl = req.url
}
