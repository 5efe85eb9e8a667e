import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import type { Caches } from '../../src/caches.js'
import { MisuseError, show } from '../../src/errors.js'
import type { Dependents } from '../../src/observe/dependents.js'
import { cameThrough } from './detached.js'
import { Visit } from './visit.js'
import type { InvalidateOptions } from './invalidate-options.js'
import { answerTimedOut } from './late-handler.js'
import type { CommonOptions, PageOptions } from './options.js'
import type { Place } from './place.js'
import { nodeHost, type TrustProxy } from './node-host.js'
import { onClosed } from './protocol.js'
import { serveFurther, tryAtOnce } from './serve.js'
import { resolveOptions } from './settings.js'
import { Site } from './site.js'

/** A request of `node:http`, `node:https` or the compatibility API of `node:http2`. */
export type NodeRequest = IncomingMessage | Http2ServerRequest

/** A response of `node:http`, `node:https` or the compatibility API of `node:http2`. */
export type NodeResponse = ServerResponse | Http2ServerResponse

/** Options of {@link responseCache}. */
export interface ResponseCacheOptions<A extends string = string> extends CommonOptions<
  IncomingMessage,
  A
> {
  /**
   * Whether `X-Forwarded-Host` and `X-Forwarded-Proto` are trusted; they become part of every key. A function
   * receives the address of the other end of the connection. Default `false`, since clients may send these
   * headers too.
   */
  readonly trustProxy?: TrustProxy | undefined
}

/** Options of {@link ResponseCache.handler}. */
export interface HandlerOptions<A extends string = string> extends PageOptions<
  IncomingMessage,
  ServerResponse,
  A
> {
  /**
   * How many seconds the pages of this handler are stored, whatever their `max-age`. The response tells later
   * caches the shorter of the two. `null`: for ever. Zero or less: not at all. Default: `seconds` of
   * `responseCache`.
   */
  readonly seconds?: number | null | undefined
}

/**
 * A cache of whole responses, created by {@link responseCache}.
 *
 * @typeParam A - The configured aliases.
 */
export interface ResponseCache<A extends string = string> {
  /**
   * Puts the cache in front of a handler. GET and HEAD are answered from the cache. Otherwise the handler
   * answers, and the response is stored if it may be served to others.
   *
   * @param inner - A handler for requests of `node:http`, `node:https` or the compatibility API of
   *   `node:http2`. It may return a promise.
   * @returns A handler for `createServer`, for Fastify's `serverFactory`, or for another handler to call. It
   *   returns and throws what `inner` does. If it has to wait for the cache, it returns a promise. The
   *   promise settles as `inner` does, or resolves when the response is closed.
   * @throws TypeError: `inner` is not a function, or an option is unknown or of the wrong kind.
   * @throws InvalidCacheBackendError: no cache has the alias.
   * @remarks Nothing that is sent after `inner` threw or rejected is stored.
   * @see RFC 9111; Django, `CacheMiddleware`, `cache_page`
   */
  handler<Req extends NodeRequest = IncomingMessage, Res extends NodeResponse = ServerResponse>(
    inner: (req: Req, res: Res) => unknown,
    options?: HandlerOptions<A>,
  ): (req: Req, res: Res) => unknown
  /**
   * Drops every stored variant of a URL, and the responses of handlers that are running.
   *
   * @param url - An absolute URL, as clients send it: two spellings are two pages. A part after `#` is
   *   ignored.
   * @throws TypeError: `url` is not an absolute http or https URL, or an option is of the wrong kind.
   * @throws CacheBackendError: a cache failed; the pages may still be there.
   * @remarks It reaches every cache and key prefix that the handlers of this `ResponseCache` store in.
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
  getCacheKey(req: NodeRequest): Promise<string | undefined>
  /**
   * Learns from a response's `Vary` what the pages of its URL vary on.
   *
   * @returns The key of the request's page; `undefined` if such a response cannot have one.
   * @throws CacheBackendError: the cache failed.
   * @see Django, `learn_cache_key`
   */
  learnCacheKey(req: NodeRequest, res: NodeResponse): Promise<string | undefined>
}

/**
 * Caches whole responses of any handler of `node:http`, `node:https` or `node:http2`.
 *
 * @param caches - What `createCaches` returned.
 * @throws TypeError: an option is unknown or of the wrong kind.
 * @throws InvalidCacheBackendError: no cache has the alias.
 * @example
 * const pages = responseCache(caches, { seconds: 600 })
 * createServer(pages.handler((req, res) => res.end('made once'))).listen(80)
 */
export function responseCache<A extends string>(
  caches: Caches<A>,
  options: ResponseCacheOptions<NoInfer<A>> = {},
): ResponseCache<A> {
  // Options that are no object are refused where all options are checked.
  const trustProxy = (options as ResponseCacheOptions | null)?.trustProxy ?? false
  const site = new Site(
    caches,
    resolveOptions(caches, options, nodeHost(trustProxy), ['trustProxy']),
  )

  return {
    handler(inner, own) {
      checkHandler(inner)
      const place = own === undefined ? site.place : site.placeOf('handler', own.seconds, own)
      return behind(place, inner as Inner) as ReturnType<ResponseCache['handler']>
    },
    invalidate: async (url, invalidateOptions = {}) => site.invalidate(url, invalidateOptions),
    explain: (url) => site.explain(url),
    getCacheKey: (req) => site.getCacheKey(req as IncomingMessage),
    learnCacheKey: (req, res) => site.learnCacheKey(req as IncomingMessage, res as ServerResponse),
  }
}

type Inner = (req: IncomingMessage, res: ServerResponse) => unknown

function behind(place: Place, inner: Inner): Inner {
  return function cached(req, res) {
    const early = tryAtOnce(place, req, res)
    if (early === 'answered') return undefined
    cameThrough(req, cached)
    let made: unknown
    let fail: (() => never) | undefined
    let isOver = false
    let hasLeft = false
    let settle: (() => void) | undefined
    const next = (error?: unknown): void => {
      if (isOver) return answerTimedOut(res)
      // The promise has settled, so that nobody would learn of a failure.
      if (hasLeft) return
      try {
        if (error !== undefined) throw error as Error
        made = watched(inner(req, res), res)
      } catch (thrown) {
        Visit.current(res)?.abandon()
        fail = () => {
          throw thrown
        }
      }
      isOver = true
      settle?.()
    }
    const outcome = () => {
      fail?.()
      return made
    }
    serveFurther(place, req, res, next, false, early)
    if (isOver || res.writableEnded) return outcome()
    return new Promise<void>((resolve) => {
      settle = resolve
      onClosed(res, () => {
        hasLeft = true
        resolve()
      })
    }).then(outcome)
  }
}

/** What a handler returns; where that is a promise that rejects, the response is not stored. */
function watched(made: unknown, res: ServerResponse): unknown {
  if (typeof (made as PromiseLike<unknown> | undefined)?.then !== 'function') return made
  // The promise that is returned is the one that handles the rejection, so that it does not go unhandled.
  return Promise.resolve(made).catch((error: unknown) => {
    Visit.current(res)?.abandon()
    throw error
  })
}

function checkHandler(inner: unknown): void {
  if (typeof inner === 'function') return
  throw new MisuseError(
    `handler: ${show(inner)} is not a function; give one such as (req, res) => res.end('Hello')`,
  )
}
