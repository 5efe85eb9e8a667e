import type Handlebars from 'handlebars'
import type { Caches } from '../../src/caches.js'
import { renderDeferredAtOnce } from '../../src/fragment/deferred.js'
import { EngineCache } from '../../src/engine.js'
import { watchInPage, watchNamedInPage } from '../../src/fragment/personal.js'
import { show } from '../../src/errors.js'
import type { HoleRenderer } from '../../src/fragment/hole-parts.js'
import type { HoleEngine } from '../../src/fragment/holes.js'
import type { AdapterOptions } from '../../src/fragment/options.js'
import type { FragmentCache } from '../../src/fragment/render.js'
import { chain } from '../../src/maybe-promise.js'
import { missingPeer } from '../../src/missing-peer.js'
import { extendCompiler } from './compiler.js'
import { Digests } from './digest.js'
import type { Instance, Main, Render, TemplateSpec } from './engine.js'
import { makeHelper, positionOf, REMEDY } from './helper.js'
import { ENGINE, Holes, makeHoleHelper } from './holes.js'
import { instrument, type Merge, type WatchPage } from './instrument.js'
import { ParsedTemplates } from './parsed.js'
import { TemplateRegistry } from './partials.js'
import { cacheTags } from './tags-helper.js'
import type { Template } from './template.js'

/** What {@link registerCache} returns. */
export interface HandlebarsCache extends HoleEngine {
  readonly name: 'handlebars'

  /**
   * Renders nocache blocks that have no cache tag around them: those of a cached page, and those of a
   * fragment that is rendered from code.
   *
   * @param context - The context that the blocks see, as a template sees it at its top level.
   * @param options - Handlebars' runtime options: helpers and partials that are not registered.
   */
  holes(
    context: unknown,
    options?: Pick<Handlebars.RuntimeOptions, 'helpers' | 'partials' | 'decorators' | 'data'>,
  ): HoleRenderer

  /**
   * Renders a template over any cache.
   *
   * @param template - A compiled or precompiled template, its source, or any function that renders with this
   *   Handlebars instance, synchronously or not, such as a view engine.
   * @param context - The template's context.
   * @param options - Handlebars' runtime options.
   * @returns The text.
   * @throws CacheTagError: a cache tag has a syntax error or a value that it cannot use.
   * @throws What the template throws.
   * @remarks Over an asynchronous cache the body of a fragment runs after the rest of its template. All
   *   fragments of a level are read in one round trip per cache and written in another.
   */
  renderAsync<Context>(
    template: string | HandlebarsTemplate<Context>,
    context?: Context,
    options?: Handlebars.RuntimeOptions,
  ): Promise<string>
}

/** A function that renders a template. */
export type HandlebarsTemplate<Context = unknown> = (
  context: Context,
  options?: Handlebars.RuntimeOptions,
) => string | Promise<string>

/** Most sources whose compiled templates are kept. */
const MAX_SOURCES = 500

/** Marks the helper, also for another copy of this package. */
const OURS = Symbol.for('fragcache.handlebars')

/**
 * Registers the block helper `cache`, and `nocache` for what is rendered again on every hit:
 *
 *     {{#cache 500 "sidebar" user.username using="local"}} ... {{/cache}}
 *     {{#nocache}} ... {{/nocache}}
 *
 * It also registers the helper `cacheTags`, unless there is one: `tags=(cacheTags "product" id)`.
 *
 * @param handlebars - The instance: what `import Handlebars from 'handlebars'` or `Handlebars.create()` gives
 *   you. Other instances do not change. Call this before `Handlebars.template`.
 * @param caches - Caches, or a `FragmentCache` made from them.
 * @param options - `strict`, `bubbleTimeout` and `digest`.
 * @returns An object with `renderAsync`, which asynchronous caches need. Over a cache that answers at once
 *   (local memory) you can render templates as usual.
 * @throws FragcacheError `FRAGCACHE_MISSING_PEER`: `handlebars` is missing because the engine is not
 *   installed.
 * @throws TypeError: `handlebars` is not a Handlebars instance or has another helper of this name; `caches`
 *   is neither of these; or an option is invalid.
 * @remarks If you register again, the latest caches and options apply.
 */
export function registerCache(
  handlebars: typeof Handlebars,
  caches: Caches | FragmentCache,
  options: AdapterOptions = {},
): HandlebarsCache {
  const instance = checkInstance(handlebars)
  const cache = new EngineCache(caches, { remedy: REMEDY, options })
  let registry = registries.get(instance)
  if (registry === undefined) {
    registry = instrumentInstance(instance)
    registries.set(instance, registry)
  }
  const templates = registry
  templates.cache = cache
  const holes = new Holes(templates)
  const digests = cache.wantsDigest ? new Digests(templates) : undefined
  register(instance, 'cache', makeHelper(cache, holes, digests))
  register(instance, 'nocache', makeHoleHelper(holes, positionOf))
  if (instance.helpers['cacheTags'] === undefined) register(instance, 'cacheTags', cacheTags)
  const compiled = new Map<string, HandlebarsTemplate>()
  const compile = (source: string): HandlebarsTemplate => {
    const known = compiled.get(source)
    if (known !== undefined) return known
    if (instance.compile === undefined) {
      throw new TypeError(
        'template: this Handlebars is its runtime, which cannot compile a source; give a precompiled template',
      )
    }
    if (compiled.size >= MAX_SOURCES) compiled.clear()
    const template = instance.compile(source)
    compiled.set(source, template)
    return template
  }
  return {
    name: ENGINE,
    holes: (context, given = {}) => holes.in(context, given),
    async renderAsync(template, context, options) {
      const render = typeof template === 'string' ? compile(template) : template
      if (typeof render !== 'function') {
        throw new TypeError(`template: ${show(render)} is neither a template nor its source`)
      }
      const textOf = (text: unknown): string => {
        if (typeof text === 'string') return text
        throw new TypeError(`template: it gave ${show(text)} instead of a string`)
      }
      return templates.rendersAtOnce(render)
        ? renderDeferredAtOnce(() => chain(render(context as never, options), textOf))
        : cache.renderDeferred(async () => textOf(await render(context as never, options)))
    },
  }
}

function checkInstance(handlebars: unknown): Instance {
  if (handlebars === undefined || handlebars === null) {
    throw missingPeer('fragcache/handlebars', 'handlebars')
  }
  const { registerHelper, template, helpers } = (handlebars ?? {}) as Partial<Instance>
  if (typeof registerHelper !== 'function' || typeof template !== 'function' || !helpers) {
    throw new TypeError(
      `handlebars: ${show(handlebars)} is not a Handlebars instance; give the default export of the package handlebars`,
    )
  }
  for (const name of ['cache', 'nocache']) {
    const known = helpers[name]
    if (known !== undefined && !(OURS in Object(known))) {
      throw new TypeError(
        `handlebars: it has another helper called "${name}"; register that one under another name`,
      )
    }
  }
  return handlebars as Instance
}

function register(
  instance: Instance,
  name: string,
  helper: (this: unknown, ...args: unknown[]) => unknown,
): void {
  instance.registerHelper(name, Object.assign(helper, { [OURS]: true }))
}

/** What is known of each instance with the tag. */
const registries = new WeakMap<object, TemplateRegistry>()

/** The instance's own methods are replaced, since only they see a template before it is rendered. */
function instrumentInstance(instance: Instance): TemplateRegistry {
  const { template, parse, compile, precompile } = instance
  const registry = new TemplateRegistry(instance, parse)
  const found = new ParsedTemplates(instance)
  const made = (one: Template): void => registry.add(one)
  const named = (name: string, one: Template): void => registry.addName(name, one)
  const merge: Merge = (context, own, root) => registry.merge(context, own, root)
  const watch: WatchPage = (context) => ({
    context: watchInPage(context, registry.cache),
    data: watchNamedInPage(registry.cache),
  })
  instance.template = (spec) => {
    const make = (given: TemplateSpec): Render => template.call(instance, given)
    // What is none is refused by Handlebars.
    if (!isTemplateSpec(spec)) return make(spec)
    return registry.addRender(
      instrument(spec, found.factsOf(spec), make, made, named, merge, watch),
    )
  }
  if (compile !== undefined) {
    instance.compile = (input, ...options) => {
      const render = compile.call(instance, input, ...options)
      registry.addSource(render, input)
      return registry.addRender(render)
    }
  }
  if (precompile !== undefined) {
    instance.precompile = (input, options) =>
      found.precompile(options, (given) => precompile.call(instance, input, given))
  }
  if (instance.Compiler !== undefined) {
    extendCompiler(instance as Required<Pick<Instance, 'Compiler'>>, found)
  }
  if (parse !== undefined) {
    instance.parse = (input, options) =>
      found.parse(input, options, (given) => parse.call(instance, input, given))
  }
  return registry
}

function isTemplateSpec(spec: unknown): spec is TemplateSpec & { readonly main: Main } {
  return typeof (spec as Partial<TemplateSpec> | null | undefined)?.main === 'function'
}
