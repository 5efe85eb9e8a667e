import type { NextFunction, Request, RequestHandler, Response } from 'express'
import type { Caches } from '../../src/caches.js'
import { CacheBackendError, MisuseError, show } from '../../src/errors.js'
import { absoluteUri } from '../../src/http/page-key.js'
import { isPromise } from '../../src/maybe-promise.js'
import { Exchange, warnOfFault, type Place } from './exchange.js'
import {
  resolveOptions,
  resolvePageOptions,
  type CachePageOptions,
  type ResponseCacheOptions,
} from './options.js'
import { PageStore, type PageLookup, type PageRequest } from './page-store.js'
import { admit, isPersonal } from './request.js'

/** Middlewares that answer from a cache, made by {@link responseCache}. */
export interface ResponseCache {
  /**
   * Caches every page of the site: answers GET and HEAD from the cache, or lets the view answer and
   * stores that, if it may be given to others.
   *
   * @see Django, `CacheMiddleware`; RFC 9111
   */
  cacheSite(): RequestHandler
  /**
   * Caches the page of one view.
   *
   * @param seconds - How long it is kept, whatever the response's `max-age` is; later caches are
   *   told the shorter of the two. `null`: without end. Zero or less: not at all.
   * @throws TypeError: `seconds` or an option is of the wrong kind.
   * @throws InvalidCacheBackendError: no cache has the alias.
   * @remarks Inside `cacheSite` the page is stored once, for these seconds.
   * @see Django, `cache_page`
   */
  cachePage(seconds: number | null, options?: CachePageOptions): RequestHandler
  /**
   * The first half of `cacheSite`: stores. Middlewares between it and {@link fetchFromCache} may
   * still set `Vary`, the language or the time zone.
   *
   * @see Django, `UpdateCacheMiddleware`
   */
  updateCache(): RequestHandler
  /**
   * The second half of `cacheSite`: answers from the cache. Without the first half it is the whole.
   *
   * @see Django, `FetchFromCacheMiddleware`
   */
  fetchFromCache(): RequestHandler
  /**
   * Drops every stored variant of a URL, and the answers of views that are running.
   *
   * @param url - Absolute, as clients send it: two spellings are two pages. A fragment is ignored.
   * @throws TypeError: not an absolute http or https URL.
   * @throws CacheBackendError: a cache failed; the pages may still be there.
   * @remarks Reaches every cache and key prefix that middlewares made here store in.
   */
  invalidate(url: string | URL): Promise<void>
}

/**
 * Caches whole responses.
 *
 * @param caches - What `createCaches` returned.
 * @throws TypeError: an option is unknown or of the wrong kind.
 * @throws InvalidCacheBackendError: no cache has the alias.
 * @example
 * const pages = responseCache(caches, { seconds: 600 })
 * app.get('/news', pages.cachePage(60), view)
 */
export function responseCache(caches: Caches, options: ResponseCacheOptions = {}): ResponseCache {
  const settings = resolveOptions(caches, options)
  const stores = new Map<string, PageStore>()

  function placeOf(alias: string, keyPrefix: string, pageSeconds?: number | null): Place {
    const id = JSON.stringify([alias, keyPrefix])
    let store = stores.get(id)
    if (store === undefined) {
      store = new PageStore(caches.get(alias), alias, keyPrefix)
      stores.set(id, store)
    }
    return { settings, store, pageSeconds }
  }

  const site = placeOf(settings.alias, settings.keyPrefix)

  return {
    cacheSite() {
      return function cacheSite(req, res, next) {
        serve(site, req, res, next)
      }
    },

    cachePage(seconds, pageOptions = {}) {
      const { alias, keyPrefix } = resolvePageOptions(caches, seconds, pageOptions, settings)
      const place = placeOf(alias, keyPrefix, seconds)
      return function cachePage(req, res, next) {
        serve(place, req, res, next)
      }
    },

    updateCache() {
      return function updateCache(req, res, next) {
        if (Exchange.current(res) === undefined) Exchange.begin(site, req, res).attach()
        next()
      }
    },

    fetchFromCache() {
      return function fetchFromCache(req, res, next) {
        const exchange = Exchange.current(res)
        if (exchange?.isWaiting === true && exchange.place === site) {
          lookUp(exchange, req, res, next)
        } else {
          serve(site, req, res, next)
        }
      }
    },

    async invalidate(url) {
      const uri = toAbsoluteUri(url)
      const failures: unknown[] = []
      for (const store of stores.values()) {
        await store.invalidate(uri).catch((error: unknown) => failures.push(error))
      }
      if (failures.length > 0) throw failures[0]
    },
  }
}

function serve(place: Place, req: Request, res: Response, next: NextFunction): void {
  if (Exchange.current(res)?.absorbs(place) === true) next()
  else lookUp(Exchange.begin(place, req, res), req, res, next)
}

function lookUp(exchange: Exchange, req: Request, res: Response, next: NextFunction): void {
  const { settings, store } = exchange.place
  const { request, refusal } = admit(req, settings)
  if (request === undefined) {
    exchange.pass(refusal)
    next()
    return
  }
  const fail = (error: unknown) => {
    if (!(error instanceof CacheBackendError)) warnOfFault(error)
    if (res.headersSent) return
    exchange.pass('cache-failed')
    next()
  }
  let found
  try {
    found = store.lookup(request)
  } catch (error) {
    fail(error)
    return
  }
  const settle = (lookup: PageLookup) => {
    // Somebody answered while the cache was asked, a time limit for example.
    if (res.headersSent) return
    if (!answers(exchange, req, request, lookup)) {
      exchange.attach()
      exchange.forward(request, lookup, next)
    }
  }
  if (isPromise(found)) void found.then(settle, fail)
  else settle(found)
}

function answers(
  exchange: Exchange,
  req: Request,
  request: PageRequest,
  lookup: PageLookup,
): boolean {
  const { page, headerList } = lookup
  if (page === undefined) return false
  const isForAll = page.isPublic || headerList.includes('cookie')
  // A signed-in visitor is not given what everybody is given, unless it is meant for them too.
  if (!isForAll && isPersonal(req, exchange.place.settings)) return false
  exchange.answer(request, lookup, page)
  return true
}

function toAbsoluteUri(url: unknown): string {
  const text = url instanceof URL ? url.href : url
  if (typeof text === 'string') {
    const parts = /^(https?):\/\/([^/?#]*)([^#]*)/i.exec(text)
    const [, protocol = '', host, target = ''] = parts ?? []
    const path = target.startsWith('/') ? target : `/${target}`
    const uri = absoluteUri(protocol.toLowerCase(), host, path)
    if (uri !== undefined) return uri
  }
  throw new MisuseError(
    `invalidate: ${show(text)} is no absolute URL; give one such as https://example.com/news`,
  )
}
