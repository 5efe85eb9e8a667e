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

/** A view engine with the cache tag, made by {@link cacheEngine}. */
export interface EtaViews extends HoleEngine {
  (file: string, data: object, done: (error: unknown, html?: string) => void): void
  readonly name: 'eta'
}

/**
 * Makes a view engine for Express, whose templates have the cache tag over any cache:
 *
 *     app.engine('eta', cacheEngine(new Eta({ cache: true }), caches))
 *
 * @param eta - It is given the plugin of {@link cachePlugin}, and the folder of Express' views where it has none of its
 *   own.
 * @param caches - What `createCaches` returned, or fragments made from it.
 * @param options - As for `cachePlugin`.
 * @returns For `app.engine`, and for `engines` of the option `holes` of `responseCache`.
 * @throws TypeError: it is given no Eta, or one with the plugin; or as `cachePlugin`.
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
    `cacheEngine: views: ${show(views)} is no folder, and Eta has one; write new Eta({ views: folder })`,
  )
}

function checkEta(eta: unknown): void {
  if (eta === undefined || eta === null) throw missingPeer('fragcache/eta', 'eta')
  const { config, configure, renderAsync } = eta as Partial<Eta>
  if (typeof configure !== 'function' || typeof renderAsync !== 'function' || !config) {
    throw new TypeError(
      `cacheEngine: eta: ${show(eta)} is no Eta; write cacheEngine(new Eta({ cache: true }), caches)`,
    )
  }
  if (config.plugins.some((plugin) => (plugin as Partial<HoleEngine>).name === ENGINE)) {
    throw new TypeError(
      'cacheEngine: eta: it has the plugin of cachePlugin already; leave that out, cacheEngine adds it',
    )
  }
}
