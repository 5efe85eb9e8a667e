import type Handlebars from 'handlebars'
import type { Caches } from '../../src/caches.js'
import { show } from '../../src/errors.js'
import { renderDeferred } from '../../src/fragment/deferred.js'
import { toFragmentCache, type FragmentCache } from '../../src/fragment/render.js'
import { missingPeer } from '../../src/missing-peer.js'
import { checkTags } from './check.js'
import type { Instance } from './engine.js'
import { makeHelper } from './helper.js'
import { instrument, nameOfCompiled } from './instrument.js'
import { explainSyntaxError } from './syntax-error.js'

/** What {@link registerCache} gives. */
export interface HandlebarsCache {
  /**
   * Renders a template over any cache.
   *
   * @param template - A compiled or precompiled template, its source, or any function that renders
   *   by this Handlebars instance, at once or by promise, such as a view engine.
   * @param context - What the template sees.
   * @param options - Handlebars' runtime options.
   * @returns The text.
   * @throws CacheTagError: a cache tag is written wrongly or was given a value it cannot use.
   * @throws What the template throws.
   * @remarks Over an asynchronous cache the body of a fragment runs after the rest of its template.
   *   All fragments of a level are read in one round trip per cache and written in another.
   */
  renderAsync<Context>(
    template: string | HandlebarsTemplate<Context>,
    context?: Context,
    options?: Handlebars.RuntimeOptions,
  ): Promise<string>
}

/** A function that renders. */
export type HandlebarsTemplate<Context = unknown> = (
  context: Context,
  options?: Handlebars.RuntimeOptions,
) => string | Promise<string>

/** Most sources whose compiled templates are kept. */
const MAX_SOURCES = 500

/** Marks the helper, also for another copy of this package. */
const OURS = Symbol.for('fragcache.handlebars')

const instrumented = new WeakSet<object>()

/**
 * Registers the block helper `cache`:
 *
 *     {{#cache 500 "sidebar" user.username using="local"}} ... {{/cache}}
 *
 * @param handlebars - The instance: what `import Handlebars from 'handlebars'` gives, or
 *   `Handlebars.create()`. Others are left alone. Call this before `Handlebars.template`.
 * @param caches - Caches, or a `FragmentCache` made from them.
 * @returns `renderAsync`, which asynchronous caches need. Over a cache that answers at once (local
 *   memory) templates may be rendered as ever.
 * @throws FragcacheError `FRAGCACHE_MISSING_PEER`: there is no `handlebars`, as without the engine.
 * @throws TypeError: `handlebars` is no Handlebars instance or has another helper of this name, or
 *   `caches` are none.
 * @remarks Registered again, the caches given last are used.
 */
export function registerCache(
  handlebars: typeof Handlebars,
  caches: Caches | FragmentCache,
): HandlebarsCache {
  const instance = checkInstance(handlebars)
  const helper = Object.assign(makeHelper(toFragmentCache(caches)), { [OURS]: true })
  instance.registerHelper('cache', helper)
  if (!instrumented.has(instance)) {
    instrumented.add(instance)
    instrumentInstance(instance)
  }
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
    async renderAsync(template, context, options) {
      const render = typeof template === 'string' ? compile(template) : template
      if (typeof render !== 'function') {
        throw new TypeError(`template: ${show(render)} is neither a template nor its source`)
      }
      return renderDeferred(async () => {
        const text: unknown = await render(context as never, options)
        if (typeof text === 'string') return text
        throw new TypeError(`template: it gave ${show(text)} instead of a text`)
      })
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
      `handlebars: ${show(handlebars)} is no Handlebars instance; give what import Handlebars from 'handlebars' gives`,
    )
  }
  const known = helpers['cache']
  if (known !== undefined && !(OURS in Object(known))) {
    throw new TypeError(
      'handlebars: it has another helper called "cache"; register that one under another name',
    )
  }
  return handlebars as Instance
}

/** The instance's own methods are replaced, since only they see a template before it is rendered. */
function instrumentInstance(instance: Instance): void {
  const { template, parse } = instance
  instance.template = (spec) => instrument(spec, (given) => template.call(instance, given))
  if (parse === undefined) return
  instance.parse = (input, options) => {
    const name = nameOfCompiled(options?.srcName)
    let tree: unknown
    try {
      tree = parse.call(
        instance,
        input,
        name === undefined ? options : { ...options, srcName: name },
      )
    } catch (error) {
      const { message } = error as Error
      throw explainSyntaxError(message, String(input), name) ?? error
    }
    checkTags(tree, options, name)
    return tree
  }
}
