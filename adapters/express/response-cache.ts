import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Application, Request, RequestHandler, Response } from 'express'
import type { Caches } from '../../src/caches.js'
import { MisuseError, show } from '../../src/errors.js'
import type { Dependents } from '../../src/observe/dependents.js'
import { Visit } from '../node/visit.js'
import { isFirst } from '../node/front.js'
import type { InvalidateOptions } from '../node/invalidate-options.js'
import type { Middleware } from '../node/middleware.js'
import type { CommonOptions, HoleOptions, PageOptions, TagsOf } from '../node/options.js'
import type { Place } from '../node/place.js'
import { lookUp, serve } from '../node/serve.js'
import { resolveOptions, type FrameworkOptions } from '../node/settings.js'
import { Site } from '../node/site.js'
import { noteRequest, watchForRequests } from './behind-handler.js'
import { Halves } from './halves.js'
import { expressHost } from './host.js'
import { listenInFront } from './listener.js'

/** Options of {@link responseCache}. */
export interface ResponseCacheOptions<A extends string = string> extends CommonOptions<Request, A> {
  /**
   * Allows `nocache` blocks in cached pages. Default: such a block is an error in a cached page, even outside
   * of cached fragments.
   */
  readonly holes?: PageHoleOptions | undefined
}

/**
 * Fills the holes that `nocache` blocks leave in a page, on each request.
 *
 * @remarks A page with holes is sent with `Cache-Control: private, no-cache` and without validators.
 */
export type PageHoleOptions = HoleOptions<Request, Response>

/** Options of `cachePage`. */
export type CachePageOptions<A extends string = string> = PageOptions<Request, Response, A>

/** Tags of a page, or a function that returns them when the response is ready. */
export type PageTags = TagsOf<Request, Response>

/**
 * Middlewares that answer from a cache, created by {@link responseCache}.
 *
 * @typeParam A - The configured aliases.
 */
export interface ResponseCache<A extends string = string> {
  /**
   * Caches every page of the site. It answers GET and HEAD from the cache. Otherwise the handler answers, and
   * the response is stored if it may be served to others.
   *
   * @see Django, `CacheMiddleware`; RFC 9111
   */
  cacheSite(): Middleware
  /**
   * Caches the pages of one handler.
   *
   * @param seconds - How long a page is stored, whatever the response's `max-age`. The response tells later
   *   caches the shorter of the two. `null`: for ever. Zero or less: not at all.
   * @throws TypeError: `seconds` or an option is of the wrong kind.
   * @throws InvalidCacheBackendError: no cache has the alias.
   * @remarks Inside `cacheSite` the page is stored once, for these seconds.
   * @see Django, `cache_page`
   */
  cachePage(seconds: number | null, options?: CachePageOptions<A>): Middleware
  /**
   * The first half of `cacheSite`: it stores responses. Middlewares between it and {@link fetchFromCache} may
   * still set `Vary`, the language or the time zone.
   *
   * @see Django, `UpdateCacheMiddleware`
   */
  updateCache(): Middleware
  /**
   * The second half of `cacheSite`: it answers from the cache. Without the first half it stores nothing and
   * leaves every other response as it is. It also answers with the pages that a `cachePage` behind it has
   * stored.
   *
   * @see Django, `FetchFromCacheMiddleware`
   */
  fetchFromCache(): Middleware
  /**
   * Drops every stored variant of a URL, and the responses of handlers that are running.
   *
   * @param url - An absolute URL, as clients send it: two spellings are two pages. A part after `#` is
   *   ignored.
   * @throws TypeError: `url` is not an absolute http or https URL, or an option is of the wrong kind.
   * @throws CacheBackendError: a cache failed; the pages may still be there.
   * @remarks It reaches every cache and key prefix that the middlewares of this `ResponseCache` store in.
   */
  invalidate(url: string | URL, options?: InvalidateOptions): Promise<void>
  /**
   * Returns what {@link invalidate} would drop, as far as this process knows: the pages that this process
   * stored and remembers, and that are still there.
   *
   * @throws TypeError: `url` is not an absolute http or https URL.
   */
  explain(url: string | URL): Promise<Dependents>
  /**
   * Returns the key of the page that a request gets, if its URL has pages.
   *
   * @returns `undefined` if no response of the URL is stored or learned, or if the cache does not handle such
   *   a request. HEAD has the key of GET's page.
   * @throws CacheBackendError: the cache failed.
   * @see Django, `get_cache_key`
   */
  getCacheKey(req: Request): Promise<string | undefined>
  /**
   * Learns from a response's `Vary` what the pages of its URL vary on.
   *
   * @returns The key of the request's page; `undefined` if such a response cannot have one.
   * @throws CacheBackendError: the cache failed.
   * @see Django, `learn_cache_key`
   */
  learnCacheKey(req: Request, res: Response): Promise<string | undefined>
  /**
   * Puts the cache in front of an application. Hits are answered before Express starts, by the same rules and
   * keys. Everything else goes to the application.
   *
   * @param app - The Express application. Its setting `trust proxy` applies.
   * @returns A listener for `createServer`.
   * @remarks If the application has none of these middlewares, the listener caches the whole site as
   *   {@link cacheSite} does. If `cacheSite` is the very first thing the application uses, its pages are
   *   answered in front. If it is not, or if only handlers have a cache, what comes before them (guards,
   *   security headers) must not be skipped, so the listener passes everything on.
   *
   *   Before the application runs, it is not known whether a request is per-user. A request with `Cookie` is
   *   answered in front only if the page varies on `Cookie` or says `public`, or if `isPersonal` is `false`.
   *   With `language`, `timeZone` or `honorRequestDirectives` every request is passed on.
   */
  listener(app: Application): RequestListener
}

/**
 * Caches whole responses.
 *
 * @param caches - What `createCaches` returned.
 * @throws TypeError: an option is unknown or of the wrong kind.
 * @throws InvalidCacheBackendError: no cache has the alias.
 * @example
 * const pages = responseCache(caches, { seconds: 600 })
 * app.get('/news', pages.cachePage(60), (req, res) => res.send('rendered once a minute'))
 */
export function responseCache<A extends string>(
  caches: Caches<A>,
  options: ResponseCacheOptions<NoInfer<A>> = {},
): ResponseCache<A> {
  // The option's functions take requests of Express, and all requests here are such.
  const common = options as FrameworkOptions
  const pages = new Site(caches, resolveOptions(caches, common, expressHost, ['holes']))
  const site = pages.place
  const reading: Place = { ...site, isReadOnly: true }
  const siteCaches = new WeakSet<RequestHandler>()
  const halves = new Halves()
  let isInApp = false

  function known(middleware: RequestHandler): Middleware {
    siteCaches.add(middleware)
    return asMiddleware(middleware)
  }

  return {
    cacheSite(...args: readonly unknown[]) {
      checkNoArguments('cacheSite', args)
      isInApp = true
      return known(function cacheSite(req, res, next) {
        serve(site, req, res, next, isFirst(req, cacheSite))
      })
    },

    cachePage(seconds, pageOptions = {}) {
      isInApp = true
      halves.noteOrder()
      const place = pages.placeOf(
        'cachePage',
        seconds,
        pageOptions as unknown as PageOptions<IncomingMessage, ServerResponse>,
      )
      watchForRequests(cachePage)
      return asMiddleware(cachePage)

      function cachePage(...[req, res, next]: Parameters<RequestHandler>): void {
        if ((res as Response | undefined) === undefined) {
          throw new MisuseError(
            'cachePage: it gives a middleware, which wraps no handler; write app.get(path, pages.cachePage(60), handler)',
          )
        }
        noteRequest(cachePage, res)
        serve(place, req, res, next)
      }
    },

    updateCache(...args: readonly unknown[]) {
      checkNoArguments('updateCache', args)
      isInApp = true
      return asMiddleware(function updateCache(req, res, next) {
        const visit = Visit.current(res)
        if (visit === undefined || visit.isAside) {
          const begun = Visit.begin(site, req, res)
          begun.noteVisitor()
          begun.attach()
          halves.watch('updateCache', req, res)
        }
        next()
      })
    },

    fetchFromCache(...args: readonly unknown[]) {
      checkNoArguments('fetchFromCache', args)
      isInApp = true
      return asMiddleware(function fetchFromCache(req, res, next) {
        const visit = Visit.current(res)
        if (visit?.isWaiting === true && visit.place === site) {
          halves.noteOrder()
          lookUp(visit, req, res, next)
        } else if (visit === undefined || visit.isAside) {
          halves.watch('fetchFromCache', req, res)
          serve(reading, req, res, next)
        } else if (visit.absorbs(site)) {
          visit.letThrough(site, next)
        } else {
          // Another cache handles the response, and this one must not take its place.
          next()
        }
      })
    },

    invalidate: async (url, invalidateOptions = {}) => pages.invalidate(url, invalidateOptions),
    explain: (url) => pages.explain(url),
    getCacheKey: (req) => pages.getCacheKey(req),
    learnCacheKey: (req, res) => pages.learnCacheKey(req, res),

    listener(app) {
      checkApplication(app)
      return listenInFront(
        app,
        site,
        (middleware) =>
          typeof middleware === 'function' && siteCaches.has(middleware as RequestHandler),
        () => isInApp,
      )
    },
  }
}

/** `app.use(pages.cacheSite)` would leave every request without an answer. */
function checkNoArguments(name: string, args: readonly unknown[]): void {
  if (args.length === 0) return
  throw new MisuseError(
    `${name} takes no arguments and makes a middleware: write app.use(pages.${name}()), and give options such as seconds to responseCache`,
  )
}

function checkApplication(app: unknown): void {
  const { handle, get } = (app ?? {}) as { readonly handle?: unknown; readonly get?: unknown }
  if (typeof app === 'function' && typeof handle === 'function' && typeof get === 'function') return
  throw new MisuseError(
    `listener: ${show(app)} is not an Express application; give the result of express()`,
  )
}

/** Express calls it with its own request and response. */
function asMiddleware(handler: RequestHandler): Middleware {
  return handler as Middleware
}
