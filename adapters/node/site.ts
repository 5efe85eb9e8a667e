import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Invalidating } from '../../src/backend/late-invalidations.js'
import type { CacheCore } from '../../src/backend/core.js'
import { stillThere } from '../../src/backend/still-there.js'
import { rememberedOf, talliesOf, type Caches } from '../../src/caches.js'
import { MisuseError, show } from '../../src/errors.js'
import { headerOf } from '../../src/http/header-values.js'
import { toAbsoluteUri } from '../../src/http/page-key.js'
import { narrowTarget } from '../../src/http/query.js'
import { parseVary } from '../../src/http/vary.js'
import { Makings } from '../../src/making/makings.js'
import { Marks } from '../../src/pages/marks.js'
import { toDependents, type Dependents } from '../../src/observe/dependents.js'
import { PageStore } from '../../src/pages/page-store.js'
import type { PageRequest } from '../../src/pages/page.js'
import { checkInvalidateOptions, type InvalidateOptions } from './invalidate-options.js'
import type { PageOptions } from './options.js'
import type { Place } from './place.js'
import { admit } from './request.js'
import { Routes } from './routes.js'
import { resolvePageOptions, type PageTags, type Settings } from './settings.js'
import { ignoreOutage } from './warnings.js'

/** The pages of one `responseCache`: where they are stored, and how they are dropped. */
export class Site {
  /** The place of pages without options of their own. */
  readonly place: Place
  readonly #parts = new Map<string, Pick<Place, 'store' | 'makings' | 'marks'>>()
  readonly #routes: Routes

  constructor(
    private readonly caches: Caches,
    readonly settings: Settings,
  ) {
    this.#routes = new Routes(talliesOf(caches).routes)
    this.place = this.#placeOf(settings)
  }

  /**
   * The place of pages with options of their own.
   *
   * @param caller - Named in error messages.
   * @throws TypeError: `seconds` is none, or an option is unknown or of the wrong kind.
   * @throws InvalidCacheBackendError: no cache has the alias.
   */
  placeOf(
    caller: 'cachePage' | 'handler',
    seconds: number | null | undefined,
    options: PageOptions<IncomingMessage, ServerResponse>,
  ): Place {
    const own = resolvePageOptions(caller, this.caches, seconds, options, this.settings)
    return this.#placeOf(own, seconds, own.tags)
  }

  #placeOf(
    { alias, keyPrefix, earlyRefresh }: Pick<Settings, 'alias' | 'keyPrefix' | 'earlyRefresh'>,
    pageSeconds?: number | null,
    tags: PageTags = [],
  ): Place {
    const { settings } = this
    const id = JSON.stringify([alias, keyPrefix])
    let part = this.#parts.get(id)
    if (part === undefined) {
      const store = new PageStore(this.caches.get(alias), alias, keyPrefix, settings)
      part = { store, makings: new Makings(), marks: new Marks() }
      this.#parts.set(id, part)
    }
    const invalidate = (uri: string) => {
      // The cache has reported its outage.
      this.#invalidateUri(this.#narrowed(uri)).catch(ignoreOutage)
    }
    const remembered = () => rememberedOf(this.caches)
    const routes = this.#routes
    return { settings, ...part, routes, pageSeconds, tags, earlyRefresh, remembered, invalidate }
  }

  async invalidate(url: string | URL, options: InvalidateOptions): Promise<void> {
    const uri = this.#narrowed(toAbsoluteUri(url))
    const { vary, language, timeZone, later = false } = checkInvalidateOptions(options)
    if (vary === undefined) return this.#invalidateUri(uri, { later })
    const variant: PageRequest = { method: 'GET', uri, language, timeZone, headers: vary }
    await Promise.all(this.#stores.map((store) => store.invalidateVariant(variant, { later })))
  }

  async explain(url: string | URL): Promise<Dependents> {
    const uri = this.#narrowed(toAbsoluteUri(url))
    const records = new Map<CacheCore, Set<string>>()
    for (const store of this.#stores) {
      const keys = records.get(store.cache) ?? new Set()
      records.set(store.cache, keys.add(store.recordKey(uri)))
    }
    const found = [...records].map(([core, keys]) =>
      stillThere(
        core,
        ({ subject: { record } }) => record !== undefined && keys.has(record.storedKey),
      ),
    )
    return toDependents(await Promise.all(found))
  }

  async getCacheKey(req: IncomingMessage): Promise<string | undefined> {
    checkRequest('getCacheKey', req)
    const { request } = admit(req, this.settings)
    if (request === undefined) return undefined
    const { key, isKnown } = await this.place.store.lookup(request)
    return isKnown ? key : undefined
  }

  async learnCacheKey(req: IncomingMessage, res: ServerResponse): Promise<string | undefined> {
    checkRequest('learnCacheKey', req)
    const { settings } = this
    const { request } = admit(req, settings)
    if (request === undefined) return undefined
    const vary = parseVary(headerOf(res.getHeaders(), 'vary'))
    if (vary.any || vary.unreadable) return undefined
    return this.place.store.learn(request, vary.names, settings.seconds)
  }

  get #stores(): readonly PageStore[] {
    return [...this.#parts.values()].map(({ store }) => store)
  }

  async #invalidateUri(uri: string, how: Invalidating = {}): Promise<void> {
    const drops = this.#stores.map((store) => store.invalidate(uri, how))
    const failed = (await Promise.allSettled(drops)).find(({ status }) => status === 'rejected')
    if (failed?.status === 'rejected') throw failed.reason
  }

  #narrowed(uri: string): string {
    const { keepsParameter } = this.settings
    return keepsParameter === undefined ? uri : narrowTarget(uri, keepsParameter)
  }
}

/** A key alone is no request: what the page varies on is in the headers. */
function checkRequest(caller: string, req: unknown): void {
  const { headers } = Object(req) as { readonly headers?: unknown }
  if (typeof headers === 'object' && headers !== null) return
  throw new MisuseError(
    `${caller}: ${show(req)} is not a request; give that of a handler, such as (req, res) => pages.${caller}(req)`,
  )
}
