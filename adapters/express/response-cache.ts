import type { RequestListener } from 'node:http'
import type { Application, Request, RequestHandler, Response } from 'express'
import type { Caches } from '../../src/caches.js'
import { CacheBackendError, MisuseError, show } from '../../src/errors.js'
import { headerOf } from '../../src/http/header-values.js'
import { absoluteUri } from '../../src/http/page-key.js'
import { narrowTarget } from '../../src/http/query.js'
import { parseVary } from '../../src/http/vary.js'
import { Exchange } from './exchange.js'
import type { Place } from './place.js'
import { isFirst } from './front.js'
import { listenInFront } from './listener.js'
import { asMiddleware, type Middleware } from './middleware.js'
import {
  resolveOptions,
  resolvePageOptions,
  type CachePageOptions,
  type PageTags,
  type ResponseCacheOptions,
} from './options.js'
import { PageFlights } from './page-flights.js'
import type { PageRequest } from './page.js'
import { PageStore } from './page-store.js'
import { admit } from './request.js'
import { Routes } from './routes.js'
import { lookUp, serve } from './serve.js'
import { warnOfFault } from './warnings.js'

/** Middlewares that answer from a cache, made by {@link responseCache}. */
export interface ResponseCache {
  /**
   * Caches every page of the site: answers GET and HEAD from the cache, or lets the view answer and
   * stores that, if it may be given to others.
   *
   * @see Django, `CacheMiddleware`; RFC 9111
   */
  cacheSite(): Middleware
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
  cachePage(seconds: number | null, options?: CachePageOptions): Middleware
  /**
   * The first half of `cacheSite`: stores. Middlewares between it and {@link fetchFromCache} may
   * still set `Vary`, the language or the time zone.
   *
   * @see Django, `UpdateCacheMiddleware`
   */
  updateCache(): Middleware
  /**
   * The second half of `cacheSite`: answers from the cache. Without the first half it stores nothing
   * and leaves every other answer as it is; what `cachePage` stores behind it, it answers with.
   *
   * @see Django, `FetchFromCacheMiddleware`
   */
  fetchFromCache(): Middleware
  /**
   * Drops every stored variant of a URL, and the answers of views that are running.
   *
   * @param url - Absolute, as clients send it: two spellings are two pages. A fragment is ignored.
   * @throws TypeError: not an absolute http or https URL, or an option is of the wrong kind.
   * @throws CacheBackendError: a cache failed; the pages may still be there.
   * @remarks Reaches every cache and key prefix that middlewares made here store in.
   */
  invalidate(url: string | URL, options?: InvalidateOptions): Promise<void>
  /**
   * The key of the page that a request gets, if its URL has pages.
   *
   * @returns `undefined` if no response of the URL is stored or learned of, or if the cache has
   *   nothing to do with such a request. For HEAD it is that of GET's page.
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
   * Puts the cache in front of an application: hits are answered before Express starts, by the same
   * rules and keys; everything else is handed on.
   *
   * @param app - The Express application; its `trust proxy` counts.
   * @returns For `createServer`.
   * @remarks Where the application has none of these middlewares, the listener caches the whole site
   *   as {@link cacheSite} does. Where `cacheSite` is the very first thing the application uses, its
   *   pages are answered in front. Where it is not, or only views have a cache, what comes before
   *   them (guards, security headers) must not be passed over, and all is handed on.
   *
   *   Nobody has said yet whose request it is: one with `Cookie` is answered in front only if
   *   the page varies on `Cookie`, says `public`, or `isPersonal` is `false`. With `language`,
   *   `timeZone` or `honorRequestDirectives` all is handed on.
   */
  listener(app: Application): RequestListener
}

/** Options of `invalidate`. */
export interface InvalidateOptions {
  /**
   * Only the variant of requests with these headers; those that are left out are absent. Default:
   * every variant.
   */
  readonly vary?: Readonly<Record<string, string>> | undefined
  /** With `vary`: the language that is part of the key. */
  readonly language?: string | undefined
  /** With `vary`: the time zone that is part of the key. */
  readonly timeZone?: string | undefined
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
  const parts = new Map<string, Pick<Place, 'store' | 'flights'>>()
  const routes = new Routes(caches.tallies.routes)
  const siteCaches = new WeakSet<RequestHandler>()
  let isInApp = false

  function known(middleware: RequestHandler): Middleware {
    siteCaches.add(middleware)
    return asMiddleware(middleware)
  }

  function placeOf(
    alias: string,
    keyPrefix: string,
    pageSeconds?: number | null,
    tags: PageTags = [],
    earlyRefresh = settings.earlyRefresh,
  ): Place {
    const id = JSON.stringify([alias, keyPrefix])
    let part = parts.get(id)
    if (part === undefined) {
      const store = new PageStore(caches.get(alias), alias, keyPrefix, settings)
      part = { store, flights: new PageFlights() }
      parts.set(id, part)
    }
    return { settings, ...part, routes, pageSeconds, tags, earlyRefresh, invalidate: dropQuietly }
  }

  const site = placeOf(settings.alias, settings.keyPrefix)
  const reading: Place = { ...site, isReadOnly: true }

  async function invalidateUri(uri: string): Promise<void> {
    const drops = [...parts.values()].map(({ store }) => store.invalidate(uri))
    const failed = (await Promise.allSettled(drops)).find(({ status }) => status === 'rejected')
    if (failed?.status === 'rejected') throw failed.reason
  }

  function dropQuietly(uri: string): void {
    // The cache has told of its outage.
    invalidateUri(narrowed(uri)).catch(ignoreOutage)
  }

  function narrowed(uri: string): string {
    return settings.keepsParameter === undefined ? uri : narrowTarget(uri, settings.keepsParameter)
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
      const own = resolvePageOptions(caches, seconds, pageOptions, settings)
      const place = placeOf(own.alias, own.keyPrefix, seconds, own.tags, own.earlyRefresh)
      return asMiddleware(function cachePage(req, res, next) {
        if ((res as Response | undefined) === undefined) {
          throw new MisuseError(
            'cachePage: it gives a middleware, which wraps no view; write app.get(path, pages.cachePage(60), view)',
          )
        }
        serve(place, req, res, next)
      })
    },

    updateCache(...args: readonly unknown[]) {
      checkNoArguments('updateCache', args)
      isInApp = true
      return asMiddleware(function updateCache(req, res, next) {
        const exchange = Exchange.current(res)
        if (exchange === undefined || exchange.isAside) {
          const begun = Exchange.begin(site, req, res)
          begun.noteVisitor()
          begun.attach()
        }
        next()
      })
    },

    fetchFromCache(...args: readonly unknown[]) {
      checkNoArguments('fetchFromCache', args)
      isInApp = true
      return asMiddleware(function fetchFromCache(req, res, next) {
        const exchange = Exchange.current(res)
        if (exchange?.isWaiting === true && exchange.place === site) {
          lookUp(exchange, req, res, next)
        } else if (exchange === undefined || exchange.isAside) {
          serve(reading, req, res, next)
        } else if (exchange.absorbs(site)) {
          exchange.letThrough(site, next)
        } else {
          // Another cache has to do with the response, and nothing here takes its place.
          next()
        }
      })
    },

    async invalidate(url, invalidateOptions = {}) {
      const uri = narrowed(toAbsoluteUri(url))
      const { vary, language, timeZone } = checkInvalidateOptions(invalidateOptions)
      if (vary === undefined) return invalidateUri(uri)
      const variant: PageRequest = { method: 'GET', uri, language, timeZone, headers: vary }
      const drops = [...parts.values()].map(({ store }) => store.invalidateVariant(variant))
      await Promise.all(drops)
    },

    async getCacheKey(req) {
      const { request } = admit(req, settings)
      if (request === undefined) return undefined
      const { key, isKnown } = await site.store.lookup(request)
      return isKnown ? key : undefined
    },

    async learnCacheKey(req, res) {
      const { request } = admit(req, settings)
      if (request === undefined) return undefined
      const vary = parseVary(headerOf(res.getHeaders(), 'vary'))
      if (vary.any || vary.unreadable) return undefined
      return site.store.learn(request, vary.names, settings.seconds)
    },

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
    `listener: ${show(app)} is no Express application; give what express() made`,
  )
}

const INVALIDATE_OPTIONS = ['vary', 'language', 'timeZone']

function checkInvalidateOptions(options: unknown): {
  readonly vary: Readonly<Record<string, string>> | undefined
  readonly language: string | undefined
  readonly timeZone: string | undefined
} {
  if (typeof options !== 'object' || options === null) {
    throw new MisuseError(`invalidate: ${show(options)} are no options; give an object`)
  }
  for (const name of Object.keys(options)) {
    if (INVALIDATE_OPTIONS.includes(name)) continue
    throw new MisuseError(
      `invalidate: unknown option ${show(name)}; known options are ${INVALIDATE_OPTIONS.join(', ')}`,
    )
  }
  const { vary, language, timeZone } = options as InvalidateOptions
  for (const [name, value] of Object.entries({ language, timeZone })) {
    if (value === undefined || typeof value === 'string') continue
    throw new MisuseError(`invalidate: ${name}: ${show(value)} is not a text`)
  }
  if (vary === undefined) return { vary, language, timeZone }
  if (typeof vary !== 'object' || (vary as unknown) === null || Array.isArray(vary)) {
    throw new MisuseError(
      `invalidate: vary: ${show(vary)} is not an object such as { 'Accept-Language': 'de' }`,
    )
  }
  const headers = Object.create(null) as Record<string, string>
  for (const [name, value] of Object.entries(vary)) {
    if (typeof value !== 'string') {
      throw new MisuseError(`invalidate: vary: ${name}: ${show(value)} is not a text`)
    }
    headers[name.toLowerCase()] = value
  }
  return { vary: headers, language, timeZone }
}

function ignoreOutage(error: unknown): void {
  if (!(error instanceof CacheBackendError)) warnOfFault(error)
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
