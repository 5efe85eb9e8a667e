import { callbackify } from 'node:util'
import { relative } from 'node:path'
import type { Eta } from 'eta'
import type { Caches } from '../../src/caches.js'
import { show } from '../../src/errors.js'
import type { HoleEngine } from '../../src/fragment/holes.js'
import type { AdapterOptions } from '../../src/fragment/options.js'
import type { FragmentCache } from '../../src/fragment/render.js'
import { missingPeer } from '../../src/missing-peer.js'
import { ENGINE } from './holes.js'
import { cachePlugin } from './plugin.js'

/** A view engine with the cache tag, returned by {@link cacheEngine}. */
export interface EtaViews extends HoleEngine {
  (file: string, data: object, done: (error: unknown, html?: string) => void): void
  readonly name: 'eta'
}

/**
 * Creates a view engine for Express. Its templates have the cache tag and work with any cache:
 *
 *     app.engine('eta', cacheEngine(new Eta({ cache: true }), caches))
 *
 * @param eta - The Eta instance. It gets the plugin of {@link cachePlugin} and, unless it has its own
 *   `views`, the folder of Express' views.
 * @param caches - What `createCaches` returned, or a `FragmentCache` made from it.
 * @param options - The options of `cachePlugin`.
 * @returns A view engine for `app.engine`, and for `engines` of the option `holes` of `responseCache`.
 * @throws TypeError: `eta` is not an Eta instance, or already has the plugin; or as `cachePlugin`.
 */
export function cacheEngine(
  eta: Eta,
  caches: Caches | FragmentCache,
  options: AdapterOptions = {},
): EtaViews {
  checkEta(eta)
  const plugin = cachePlugin(caches, options)
  eta.configure({ plugins: [...eta.config.plugins, plugin] })
  plugin.attach(eta)
  const render = async (file: string, data: object): Promise<string> => {
    if (eta.config.views === undefined) eta.configure({ views: viewsIn(data) })
    return eta.renderAsync(relative(eta.config.views as string, file), data)
  }
  return Object.defineProperties(callbackify(render), {
    name: { value: plugin.name },
    holes: { value: (context: unknown) => plugin.holes(context) },
  }) as unknown as EtaViews
}

/** The folder of the views, which Express tells with the data of each. */
function viewsIn(data: object): string {
  const { settings } = data as { readonly settings?: { readonly views?: unknown } }
  const views = settings?.views
  if (typeof views === 'string') return views
  throw new TypeError(
    `cacheEngine: views: ${show(views)} is not a folder, and Eta has one; write new Eta({ views: folder })`,
  )
}

function checkEta(eta: unknown): void {
  if (eta === undefined || eta === null) throw missingPeer('fragcache/eta', 'eta')
  const { config, configure, renderAsync } = eta as Partial<Eta>
  if (typeof configure !== 'function' || typeof renderAsync !== 'function' || !config) {
    throw new TypeError(
      `cacheEngine: eta: ${show(eta)} is not an Eta; write cacheEngine(new Eta({ cache: true }), caches)`,
    )
  }
  if (config.plugins.some((plugin) => (plugin as Partial<HoleEngine>).name === ENGINE)) {
    throw new TypeError(
      'cacheEngine: eta: it has the plugin of cachePlugin already; leave that out, cacheEngine adds it',
    )
  }
}
