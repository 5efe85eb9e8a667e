import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Express, NextFunction, Request, Response } from 'express'
import { createCaches, LocMemCache, type Cache } from 'fragcache'
import {
  responseCache,
  type CachePageOptions,
  type ResponseCache,
  type ResponseCacheOptions,
} from 'fragcache/express'
import { onTestFinished, vi } from 'vitest'
import { Site } from './express.js'

export type View = (req: Request, res: Response, next: NextFunction) => unknown

export interface CachedSiteOptions extends ResponseCacheOptions {
  readonly cache?: Cache
  /** For `cachePage`; left out: the site is cached. */
  readonly page?: readonly [seconds: number | null, options?: CachePageOptions]
  /** Before the cache. */
  readonly before?: readonly View[]
  /** Between the cache and the view. */
  readonly inside?: readonly View[]
  /** An error handler of the site's own. */
  readonly onError?: (error: unknown, req: Request, res: Response) => unknown
}

export interface CachedSite {
  readonly site: Site
  readonly pages: ResponseCache
  /** Times that the view ran. */
  readonly runs: { count: number }
  readonly cache: Cache
}

/** A site whose every request goes through the cache to one view. */
export async function cachedSite(
  express: () => Express,
  view: View,
  options: CachedSiteOptions = {},
): Promise<CachedSite> {
  const { cache = new LocMemCache(), page, before = [], inside = [], onError, ...rest } = options
  const runs = { count: 0 }
  const pages = responseCache<string>(createCaches({ default: cache }), rest)
  const app = express()
  for (const layer of before) app.use(layer)
  app.use(page === undefined ? pages.cacheSite() : pages.cachePage(...page))
  for (const layer of inside) app.use(layer)
  app.use((req, res, next) => {
    runs.count++
    view(req, res, next)
  })
  app.use((error: unknown, req: Request, res: Response, next: NextFunction) => {
    if (onError !== undefined) onError(error, req, res)
    else if (res.headersSent) next(error)
    else res.status(500).send('the view failed')
  })
  return { site: await Site.open(app), pages, runs, cache }
}

/** Moves the clock; everything but `Date` stays real. */
export function stopClock(): { advance(seconds: number): void } {
  vi.useFakeTimers({ toFake: ['Date'], now: 1_700_000_000_000 })
  onTestFinished(() => void vi.useRealTimers())
  return { advance: (seconds) => vi.setSystemTime(Date.now() + seconds * 1000) }
}

/** What `fragcache:response` says of a site from now on: outcomes, with the reason if there is one. */
export function watchOutcomes(origin: string): string[] {
  const outcomes: string[] = []
  const listen = (message: unknown) => {
    const { url, outcome, reason } = message as { url: string; outcome: string; reason?: string }
    if (!url.startsWith(`${origin}/`)) return
    outcomes.push(reason === undefined ? outcome : `${outcome} ${reason}`)
  }
  subscribe('fragcache:response', listen)
  onTestFinished(() => void unsubscribe('fragcache:response', listen))
  return outcomes
}
