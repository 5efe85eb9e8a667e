import { callbackify, promisify } from 'node:util'
import type Handlebars from 'handlebars'
import type { Caches } from '../../src/caches.js'
import { show } from '../../src/errors.js'
import type { AdapterOptions } from '../../src/fragment/options.js'
import type { FragmentCache } from '../../src/fragment/render.js'
import { registerCache, type HandlebarsCache, type HandlebarsTemplate } from './register.js'

type Done = (error: unknown, html?: string) => void

/** What `create` of express-handlebars returns. */
export interface ExpressHandlebarsEngine {
  readonly handlebars: object
  /** Renders a view when Express asks for it. */
  renderView(file: string, options: object): Promise<string>
}

/** What the package `hbs` exports, or its `create` returns. */
export interface HbsEngine {
  readonly handlebars: typeof Handlebars
  /** Renders a view when Express asks for it. */
  __express(file: string, options: object, done: (error: unknown, html?: string) => void): unknown
}

/** A view engine with the cache tag, returned by {@link cacheEngine}. */
export interface HandlebarsViews extends HandlebarsCache {
  (file: string, options: object, done: Done): void
}

/** The hook by which express-handlebars renders a template; it may be asynchronous. */
interface Hooked extends ExpressHandlebarsEngine {
  _renderTemplate(
    template: HandlebarsTemplate,
    context?: unknown,
    options?: Handlebars.RuntimeOptions,
  ): string | Promise<string>
}

/**
 * Creates a view engine for Express. Its views, layouts and partials have the cache tag and work with any
 * cache:
 *
 *     app.engine('hbs', cacheEngine(create({ extname: '.hbs' }), caches))    // express-handlebars
 *     app.engine('hbs', cacheEngine(hbs, caches))                            // hbs
 *
 * @param engine - What `create` of express-handlebars returned, or hbs. It does not change, except that
 *   `registerCache` is called on its Handlebars instance.
 * @param caches - Caches, or a `FragmentCache` made from them.
 * @param options - The options of `registerCache`.
 * @returns A view engine for `app.engine`, and for `engines` of the option `holes` of `responseCache`. It
 *   also has everything that `registerCache` returns.
 * @throws TypeError: `engine` is neither of these, or as `registerCache`.
 */
export function cacheEngine(
  engine: ExpressHandlebarsEngine | HbsEngine,
  caches: Caches | FragmentCache,
  options: AdapterOptions = {},
): HandlebarsViews {
  checkEngine(engine)
  const cache = registerCache(engine.handlebars as typeof Handlebars, caches, options)
  const renderView = isHbs(engine) ? viewsOfHbs(engine) : viewsOf(engine as Hooked, cache)
  const render = (file: string, locals: object) => cache.renderAsync(() => renderView(file, locals))
  return Object.defineProperties(callbackify(render), {
    ...Object.getOwnPropertyDescriptors(cache),
    name: { value: cache.name },
  }) as unknown as HandlebarsViews
}

type RenderView = (file: string, locals: object) => Promise<string>

function viewsOfHbs(hbs: HbsEngine): RenderView {
  const render = promisify((file: string, locals: object, done: Done) => {
    hbs.__express(file, locals, done)
  })
  return render as RenderView
}

function viewsOf(engine: Hooked, cache: HandlebarsCache): RenderView {
  const own = Object.create(engine) as Hooked
  // It trims what a template gives, which must be the text then, and no placeholder for it.
  own._renderTemplate = async (template, context, options) => {
    const text = await cache.renderAsync(template, context, options)
    return engine._renderTemplate(() => text, context, options)
  }
  return (file, locals) => own.renderView(file, locals)
}

function checkEngine(engine: unknown): void {
  if (isHbs(engine)) return
  const { renderView, _renderTemplate: hook } = Object(engine) as Partial<Hooked>
  if (typeof renderView === 'function' && typeof hook === 'function') return
  throw new TypeError(`cacheEngine: engine: ${show(engine)} ${remedyFor(engine)}`)
}

function isHbs(engine: unknown): engine is HbsEngine {
  const { __express: render } = Object(engine) as Partial<HbsEngine>
  return typeof render === 'function'
}

function remedyFor(engine: unknown): string {
  const { registerHelper } = Object(engine) as Partial<typeof Handlebars>
  if (typeof registerHelper === 'function') {
    return 'is Handlebars itself, which finds no views; give the result of create of express-handlebars, or hbs'
  }
  return typeof engine === 'function'
    ? "does not tell which Handlebars it renders by; write create instead of engine: cacheEngine(create({ extname: '.hbs' }), caches)"
    : 'is not a view engine; give the result of create of express-handlebars, or hbs'
}
